import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { stdioUpstreamSchema } from '../../src/deployment/stdio-upstream-schema.ts';
import { createBuiltinBackend } from '../../src/server/backends/builtin-backend.ts';
import { createRegistry, type Registry } from '../../src/server/backends/registry.ts';
import { createStdioBackend } from '../../src/server/backends/stdio-backend.ts';
import type { Backend } from '../../src/server/types.ts';
import {
  callOf,
  callTool,
  errorOf,
  fixture,
  request,
  silentLog,
  textOf,
  until,
} from '../fixtures/upstreams/backend-calls.ts';

const registries: Registry[] = [];
afterEach(async () => {
  await Promise.all(registries.splice(0).map((registry) => registry.stop(500)));
});

function backend(name: string, env: Record<string, string> = {}, upstream: Record<string, unknown> = {}): Backend {
  const parsed = stdioUpstreamSchema.parse({
    command: process.execPath,
    args: [fixture('server.mjs')],
    env: { FIXTURE_NAME: name, FIXTURE_TOOLS: 'echo die', ...env },
    ...upstream,
  });
  return createStdioBackend(name, parsed, { env: process.env, baseDir: '/', log: silentLog, serverVersion: '0' });
}

/** Started; waits for the given number of backends to be up. */
async function start(backends: readonly Backend[], up = backends.length): Promise<Registry> {
  const registry = createRegistry(backends);
  registries.push(registry);
  registry.start();
  await until(() => backends.filter((one) => one.state.state === 'up').length >= up);
  return registry;
}

async function toolNames(registry: Registry): Promise<string[]> {
  const { tools } = (await request(registry, 'tools/list')) as { tools: { name: string }[] };
  return tools.map((tool) => tool.name);
}

describe('one upstream', () => {
  test('keeps its names, pages and cursors', async () => {
    const registry = await start([backend('one', { FIXTURE_PAGE: '1' })]);
    expect(await request(registry, 'tools/list')).toEqual({
      tools: [{ name: 'echo', inputSchema: { type: 'object' } }],
      nextCursor: '1',
    });
    expect(await toolNames(registry)).toEqual(['echo']);
    expect(await request(registry, 'tools/list', { cursor: '1' })).toMatchObject({ tools: [{ name: 'die' }] });
  });

  test('answers for unknown tools itself', async () => {
    const registry = await start([backend('one')]);
    expect(await errorOf(callTool(registry, 'nothing'))).toEqual({ code: -32602, message: 'Tool nothing not found' });
  });
});

describe('several upstreams', () => {
  test('their tools carry their names and are called by them', async () => {
    const registry = await start([backend('a', { FIXTURE_PAGE: '1' }), backend('b')]);
    expect(await toolNames(registry)).toEqual(['a__echo', 'a__die', 'b__echo', 'b__die']);
    expect(await textOf(callTool(registry, 'a__echo'))).toBe('a:echo');
    expect(await textOf(callTool(registry, 'b__echo'))).toBe('b:echo');
  });

  test('a tool can be called before any list was read', async () => {
    const registry = await start([backend('a'), backend('b')]);
    expect(await textOf(callTool(registry, 'b__echo'))).toBe('b:echo');
  });

  test.each(['echo', 'c__echo', 'constructor', '__proto__', 'a__', 'a__nothing'])(
    '%s is an unknown tool',
    async (name) => {
      const registry = await start([backend('a'), backend('b')]);
      await toolNames(registry);
      expect(await errorOf(callTool(registry, name))).toEqual({ code: -32602, message: `Unknown tool: ${name}` });
    },
  );

  test('prompts and completions follow the names', async () => {
    const registry = await start([backend('a'), backend('b')]);
    expect(await request(registry, 'prompts/list')).toEqual({ prompts: [{ name: 'a__greet' }, { name: 'b__greet' }] });
    expect(JSON.stringify(await request(registry, 'prompts/get', { name: 'b__greet' }))).toContain('b greet');
    const complete = (ref: unknown): Promise<unknown> =>
      request(registry, 'completion/complete', { ref, argument: { name: 'x', value: '' } });
    expect(await complete({ type: 'ref/prompt', name: 'b__greet' })).toEqual({ completion: { values: ['b:greet'] } });
    expect(await complete({ type: 'ref/resource', uri: 'test://b/items/{id}' })).toEqual({
      completion: { values: ['b:test://b/items/{id}'] },
    });
  });

  test('resources are found by list, by template, and by asking', async () => {
    const registry = await start([backend('a'), backend('b')]);
    const textOfResource = async (uri: string): Promise<string> => {
      const { contents } = (await request(registry, 'resources/read', { uri })) as { contents: { text: string }[] };
      return contents[0]?.text ?? '';
    };
    expect(await textOfResource('test://b/one')).toBe('from b');
    expect(await textOfResource('test://b/items/7')).toBe('from b');
    expect(await textOfResource('hidden://b')).toBe('from b');
    expect(await errorOf(request(registry, 'resources/read', { uri: 'nobody://x' }))).toMatchObject({ code: -32002 });
  });

  test('a backend that answers for every URI does not take those that another one lists', async () => {
    const registry = await start([backend('any', { FIXTURE_READ_ANY: '1' }), backend('b')]);
    for (const uri of ['test://b/items/7', 'test://b/one']) {
      expect(JSON.stringify(await request(registry, 'resources/read', { uri }))).toContain('from b');
    }
    expect(JSON.stringify(await request(registry, 'resources/read', { uri: 'other://x' }))).toContain('from any');
  });

  test('a kind of thing that only one of them has keeps its names', async () => {
    const registry = await start([backend('a'), createBuiltinBackend({ serverVersion: '1', describe: () => ({}) })]);
    expect(await toolNames(registry)).toContain('builtin__current_time');
    expect(await request(registry, 'prompts/list')).toEqual({ prompts: [{ name: 'greet' }] });
    expect(JSON.stringify(await request(registry, 'prompts/get', { name: 'greet' }))).toContain('a greet');
  });

  test('a changed list is read again, and the listeners are told', async () => {
    const registry = await start([backend('a'), backend('b')]);
    await toolNames(registry);
    const kinds: string[] = [];
    registry.onListChanged((kind) => kinds.push(kind));
    await callTool(registry, 'a__echo');
    expect(kinds).toEqual([]);
    await request(registry, 'tools/call', { name: 'a__change', arguments: { tool: 'extra' } }).catch(() => {});
    // `change` is not listed, so the fixture is asked directly.
    await callTool(registry.backends[0] as Backend, 'change', { tool: 'extra' });
    expect(kinds).toEqual(['tools']);
    expect(await toolNames(registry)).toContain('a__extra');
  });

  test('a big merged list comes in pages, and a foreign cursor is refused', async () => {
    const many = Array.from({ length: 700 }, (_, i) => `t${i}`).join(' ');
    const registry = await start([backend('a', { FIXTURE_TOOLS: many }), backend('b', { FIXTURE_TOOLS: many })]);
    const first = (await request(registry, 'tools/list')) as { tools: unknown[]; nextCursor: string };
    const second = (await request(registry, 'tools/list', { cursor: first.nextCursor })) as { tools: unknown[] };
    expect(first.tools.length + second.tools.length).toBe(1_400);
    expect(await errorOf(request(registry, 'tools/list', { cursor: 'x' }))).toEqual({
      code: -32602,
      message: 'Invalid cursor',
    });
  });

  test('capabilities and instructions are those of all', async () => {
    const registry = await start([backend('a'), backend('b', { FIXTURE_CAPABILITIES: '{"tools":{}}' })]);
    expect(registry.capabilities()).toEqual({
      tools: { listChanged: true },
      prompts: { listChanged: true },
      resources: { listChanged: true, subscribe: true },
      logging: {},
      completions: {},
    });
    expect(registry.instructions()).toBe('a:\nUse a.\n\nb:\nUse b.');
    expect(await request(registry, 'logging/setLevel', { level: 'debug' })).toEqual({});
  });

  test('an answer never comes while dispatch is still running', async () => {
    const registry = await start([backend('a'), backend('b')]);
    await toolNames(registry);
    for (const [method, params] of [
      ['tools/list', {}],
      ['tools/call', { name: 'unknown' }],
      ['resources/read', {}],
      ['logging/setLevel', {}],
    ] as const) {
      let during = true;
      const { call, answer } = callOf(method, params, {});
      const answered: boolean[] = [];
      registry.dispatch({
        ...call,
        onResult: (json) => {
          answered.push(during);
          call.onResult(json);
        },
        onError: (error) => {
          answered.push(during);
          call.onError(error);
        },
      });
      during = false;
      await answer.catch(() => {});
      expect(answered).toEqual([false]);
    }
  });
});

describe('one of several upstreams', () => {
  test('that cannot start does not stop the others', async () => {
    const registry = await start([backend('a'), backend('gone', {}, { command: 'no-such-program-here' })], 1);
    expect(await toolNames(registry)).toEqual(['a__echo', 'a__die']);
    expect(await textOf(callTool(registry, 'a__echo'))).toBe('a:echo');
    expect((await errorOf(callTool(registry, 'gone__echo'))).message).toContain('Command not found');
    expect(registry.ready()).toBe(true);
  });

  test('that hangs in its list is left out, and its tools come with its answer', async () => {
    const registry = await start([backend('a'), backend('slow', { FIXTURE_LIST_MS: '3000' })]);
    const kinds: string[] = [];
    registry.onListChanged((kind) => kinds.push(kind));
    expect(await toolNames(registry)).toEqual(['a__echo', 'a__die']);
    await until(() => kinds.includes('tools'));
    expect(await toolNames(registry)).toContain('slow__echo');
  });

  test('that crashed is listed as it was, and is back after its restart', async () => {
    const registry = await start([backend('a'), backend('b')]);
    await toolNames(registry);
    await errorOf(callTool(registry, 'b__die'));
    expect(await textOf(callTool(registry, 'a__echo'))).toBe('a:echo');
    expect(await toolNames(registry)).toContain('b__echo');
    expect(await textOf(callTool(registry, 'b__echo'))).toBe('b:echo');
  });

  test('that hangs before initialize is left out', async () => {
    const hung = backend('hung', { FIXTURE_HANG: 'initialize' });
    const registry = await start([backend('a'), hung], 1);
    expect(await toolNames(registry)).toEqual(['a__echo', 'a__die']);
    expect(await textOf(callTool(registry, 'a__echo'))).toBe('a:echo');
  });

  test('that comes late is announced', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mcp-deploy-registry-'));
    const file = join(folder, 'exit-while');
    writeFileSync(file, 'exit');
    const late = backend('late', { FIXTURE_EXIT_WHILE: file });
    const registry = await start([backend('a'), late], 1);
    await until(() => late.state.state === 'down');
    const kinds: string[] = [];
    registry.onListChanged((kind) => kinds.push(kind));
    expect(await toolNames(registry)).toEqual(['a__echo', 'a__die']);
    writeFileSync(file, 'go on');
    await until(() => kinds.includes('tools'), 20_000);
    expect(await toolNames(registry)).toContain('late__echo');
    rmSync(folder, { recursive: true });
  });
});

test('without any upstream that answers, a list fails with the reason', async () => {
  const registry = createRegistry([
    backend('x', {}, { command: 'no-such-program-here' }),
    backend('y', {}, { command: 'no-such-program-here' }),
  ]);
  registry.start();
  expect((await errorOf(request(registry, 'tools/list'))).message).toContain('Command not found');
  expect(registry.ready()).toBe(false);
});
