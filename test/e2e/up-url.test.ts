import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { documentOf, runBin, withFolder } from '../helpers/cli.ts';

test('an MCP server over HTTP stands behind the endpoint with its key by reference', async () => {
  await withFolder(async (inner) => {
    // The other server is an endpoint of ours, on plain HTTP, with a key of its own.
    const other = documentOf<{ url: string; keyFile: string; caFile: string | null }>(
      await runBin(['up', '--json', '--name', 'other'], { cwd: inner }),
    );
    const key = (await readFile(other.keyFile, 'utf8')).trim();
    await withFolder(async (cwd) => {
      const flags = ['--url', other.url, '--header', 'Authorization=Bearer ${OTHER_KEY}'];
      const env = { OTHER_KEY: key, NODE_EXTRA_CA_CERTS: other.caFile ?? '' };
      const up = documentOf<{ verified: { tools: number } }>(await runBin(['up', '--json', ...flags], { cwd, env }));
      expect(up.verified.tools).toBeGreaterThan(0);
      const text = await readFile(join(cwd, 'mcp-deploy.yaml'), 'utf8');
      expect(text).toContain('${OTHER_KEY}');
      expect(text).not.toContain(key);
      expect(documentOf(await runBin(['up', '--json', ...flags], { cwd, env }))).toMatchObject({ changed: false });
      expect(documentOf(await runBin(['status', '--json'], { cwd, env }))).toMatchObject({
        server: { upstreams: [{ name: 'localhost', state: 'up' }] },
      });
    });
  });
}, 90_000);

test.each<[readonly string[], string]>([
  [['--header', 'A=b'], '--header needs --url'],
  [['--url', 'ftp://x/'], 'is not the URL of an MCP server'],
  [['--url', 'https://me:hush@x.example/mcp'], 'would end up in the file'],
  [['--url', 'https://x.example/mcp', '--header', 'Authorization=Bearer hush'], 'looks like a secret'],
  [['--url', 'https://x.example/mcp', '--header', 'X-Api-Key: hush'], 'looks like a secret'],
  [['--url', 'https://x.example/mcp', '--header', 'Authorization=${NOT_SET_HERE}'], 'NOT_SET_HERE is not set'],
  [['--url', 'https://x.example/mcp', '--header', 'hush'], 'is not NAME=VALUE'],
  [['--url', 'https://x.example/mcp', '--', 'npx', 'x'], 'contradict each other'],
])('up %j is refused, and no secret is repeated', async (flags, words) => {
  await withFolder(async (cwd) => {
    const refused = await runBin(['up', ...flags], { cwd });
    expect(refused.exitCode).toBe(2);
    expect(refused.stderr).toContain(words);
    if (words !== 'is not NAME=VALUE') expect(refused.stderr).not.toContain('hush');
  });
});
