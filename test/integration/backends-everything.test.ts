import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stdioUpstreamSchema } from '../../src/deployment/stdio-upstream-schema.ts';
import { createRegistry, type Registry } from '../../src/server/backends/registry.ts';
import { createStdioBackend } from '../../src/server/backends/stdio-backend.ts';
import { callTool, request, silentLog, until } from '../fixtures/upstreams/backend-calls.ts';

const everything = fileURLToPath(
  new URL('../../node_modules/@modelcontextprotocol/server-everything/dist/index.js', import.meta.url),
);

describe('the published server-everything behind a stdio backend', () => {
  let registry: Registry;

  beforeAll(async () => {
    const upstream = stdioUpstreamSchema.parse({ command: process.execPath, args: [everything, 'stdio'] });
    registry = createRegistry([
      createStdioBackend('everything', upstream, {
        env: process.env,
        baseDir: '/',
        log: silentLog,
        serverVersion: '0',
      }),
    ]);
    registry.start();
    await until(() => registry.ready());
  });

  afterAll(() => registry.stop(2_000));

  test('its capabilities and instructions are the endpoint’s', () => {
    expect(registry.capabilities()).toEqual({
      tools: { listChanged: true },
      prompts: { listChanged: true },
      resources: { listChanged: true, subscribe: true },
      logging: {},
      completions: {},
    });
    expect(registry.instructions()).toContain('Everything Server');
  });

  test('its tools are listed under their own names', async () => {
    const { tools } = (await request(registry, 'tools/list')) as { tools: { name: string }[] };
    expect(tools.map((tool) => tool.name)).toContain('echo');
  });

  test('its tools answer', async () => {
    const result = await callTool(registry, 'echo', { message: 'hällo "wörld" \u{1f600}' });
    expect(result).toMatchObject({ content: [{ type: 'text', text: 'Echo: hällo "wörld" \u{1f600}' }] });
  });

  test('its resources and prompts answer', async () => {
    const { resources } = (await request(registry, 'resources/list')) as { resources: { uri: string }[] };
    const uri = resources[0]?.uri;
    expect(await request(registry, 'resources/read', { uri })).toMatchObject({ contents: [{ uri }] });
    expect(await request(registry, 'prompts/get', { name: 'simple-prompt' })).toMatchObject({
      messages: [{ role: 'user' }],
    });
  });

  test('progress reaches its call with the caller’s own token', async () => {
    const notes: { method: string; params: Record<string, unknown> }[] = [];
    await request(
      registry,
      'tools/call',
      {
        name: 'trigger-long-running-operation',
        arguments: { duration: 0.1, steps: 2 },
        _meta: { progressToken: 'mine' },
      },
      {
        onNotification: (method, params) =>
          notes.push({ method, params: JSON.parse(params) as Record<string, unknown> }),
      },
    );
    expect(notes.map((note) => note.params['progressToken'])).toEqual(['mine', 'mine']);
  });

  test('its elicitation reaches the caller, and the answer reaches it', async () => {
    const result = await request(
      registry,
      'tools/call',
      { name: 'trigger-elicitation-request', arguments: {} },
      {
        clientCapabilities: { elicitation: {} },
        onServerRequest: (_method, _params, reply) => reply({ result: { action: 'accept', content: { name: 'Ada' } } }),
      },
    );
    expect(JSON.stringify(result)).toContain('Ada');
  });
});
