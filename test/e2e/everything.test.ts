import { expect, test } from 'vitest';
import { connectLegacy, connectModern, type EndpointAccess } from '../helpers/clients.ts';
import { documentOf, runBin, withFolder } from '../helpers/cli.ts';

interface UpDocument {
  readonly url: string;
  readonly keyFile: string;
  readonly caFile: string;
  readonly verified: { modern: boolean; legacy: boolean; tools: number; called: { tool: string } | null };
}

test('the published server-everything answers through the endpoint to both SDK clients over TLS', async () => {
  await withFolder(async (folder) => {
    const up = documentOf<UpDocument>(
      await runBin(['up', '--json', '--', 'npx', '-y', '@modelcontextprotocol/server-everything'], {
        cwd: folder,
        timeoutMs: 120_000,
      }),
    );
    expect(up.verified).toMatchObject({ modern: true, legacy: true, called: { tool: 'echo' } });
    const access: EndpointAccess = up;

    const modern = await connectModern(access);
    const legacy = await connectLegacy(access);
    try {
      for (const client of [modern, legacy]) {
        const { tools } = await client.listTools();
        expect(tools.map((tool) => tool.name)).toContain('echo');
        expect(tools.length).toBe(up.verified.tools);
        const echoed = await client.callTool({ name: 'echo', arguments: { message: 'hello' } });
        expect(JSON.stringify(echoed.content)).toContain('hello');

        const { resources } = await client.listResources();
        expect(resources.length).toBeGreaterThan(0);
        const read = await client.readResource({ uri: resources[0]?.uri ?? '' });
        expect(read.contents.length).toBeGreaterThan(0);
        const { resourceTemplates } = await client.listResourceTemplates();
        expect(resourceTemplates.length).toBeGreaterThan(0);

        const { prompts } = await client.listPrompts();
        expect(prompts.length).toBeGreaterThan(0);
        const simple = prompts.find((prompt) =>
          (prompt.arguments ?? []).every((argument) => argument.required !== true),
        );
        const prompt = await client.getPrompt({ name: simple?.name ?? '' });
        expect(prompt.messages.length).toBeGreaterThan(0);
      }
    } finally {
      await modern.close();
      await legacy.close();
    }
  });
}, 180_000);
