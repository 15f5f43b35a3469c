import { fileURLToPath } from 'node:url';
import { CreateMessageRequestSchema, ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startRig, type ServerRig } from '../helpers/server-rig.ts';

const everything = fileURLToPath(
  new URL('../../node_modules/@modelcontextprotocol/server-everything/dist/index.js', import.meta.url),
);

describe('the published server-everything behind the endpoint, over TLS', () => {
  let rig: ServerRig;
  beforeAll(async () => {
    rig = await startRig({
      tls: true,
      server: { upstreams: { everything: { command: process.execPath, args: [everything, 'stdio'] } } },
    });
  });
  afterAll(() => rig.stop());

  test('gives both clients the same tools, resources and prompts', async () => {
    const [legacy, modern] = [await rig.legacyClient(), await rig.modernClient()];
    const names = (list: readonly { name: string }[]): string[] => list.map(({ name }) => name).toSorted();
    const tools = names((await legacy.listTools()).tools);
    expect(tools).toContain('echo');
    expect(names((await modern.listTools()).tools)).toEqual(tools);
    expect(names((await modern.listPrompts()).prompts)).toEqual(names((await legacy.listPrompts()).prompts));
    const resources = (await legacy.listResources()).resources;
    expect(names((await modern.listResources()).resources)).toEqual(names(resources));
    const uri = resources[0]?.uri ?? '';
    expect((await modern.readResource({ uri })).contents.length).toBe(
      (await legacy.readResource({ uri })).contents.length,
    );
  });

  test('answers calls of both clients, with progress on the way', async () => {
    for (const client of [await rig.legacyClient(), await rig.modernClient()]) {
      const echoed = await client.callTool({ name: 'echo', arguments: { message: 'through' } });
      expect(JSON.stringify(echoed.content)).toContain('through');
    }
    const steps: number[] = [];
    const legacy = await rig.legacyClient();
    await legacy.callTool(
      { name: 'trigger-long-running-operation', arguments: { duration: 0.5, steps: 5 } },
      undefined,
      {
        onprogress: ({ progress }) => void steps.push(progress),
      },
    );
    expect(steps.length).toBeGreaterThan(1);
    const modernSteps: number[] = [];
    const modern = await rig.modernClient();
    await modern.callTool(
      { name: 'trigger-long-running-operation', arguments: { duration: 0.5, steps: 5 } },
      { onprogress: ({ progress }) => void modernSteps.push(progress) },
    );
    expect(modernSteps.length).toBeGreaterThan(1);
  });

  test('may ask both clients back: elicitation and sampling', async () => {
    const accept = { action: 'accept' as const, content: { name: 'Ada' } };
    const sampled = {
      model: 'm',
      role: 'assistant' as const,
      content: { type: 'text' as const, text: 'sampled words' },
    };
    const capabilities = { elicitation: {}, sampling: {} };
    const legacy = await rig.legacyClient(capabilities);
    legacy.setRequestHandler(ElicitRequestSchema, () => accept);
    legacy.setRequestHandler(CreateMessageRequestSchema, () => sampled);
    const modern = await rig.modernClient({ capabilities });
    modern.setRequestHandler('elicitation/create', () => accept);
    modern.setRequestHandler('sampling/createMessage', () => sampled);
    for (const client of [legacy, modern]) {
      const elicited = await client.callTool({ name: 'trigger-elicitation-request', arguments: {} });
      expect(JSON.stringify(elicited.content)).toContain('Ada');
      const told = await client.callTool({
        name: 'trigger-sampling-request',
        arguments: { prompt: 'p', maxTokens: 5 },
      });
      expect(JSON.stringify(told.content)).toContain('sampled words');
    }
  });
});
