import { describe, expect, test } from 'vitest';
import { createBuiltinBackend } from '../../src/server/backends/builtin-backend.ts';
import { callTool, errorOf, request, textOf } from '../fixtures/upstreams/backend-calls.ts';

const backend = createBuiltinBackend({ serverVersion: '1.2.3', describe: () => ({ url: 'https://localhost/mcp' }) });

describe('the built-in tools', () => {
  test('are listed with strict input schemas and as read-only', async () => {
    const { tools } = (await request(backend, 'tools/list')) as { tools: Record<string, unknown>[] };
    expect(tools.map((tool) => tool['name'])).toEqual(['server_info', 'echo', 'current_time']);
    for (const tool of tools) {
      expect(tool).toMatchObject({ inputSchema: { additionalProperties: false }, annotations: { readOnlyHint: true } });
    }
  });

  test('answer', async () => {
    expect(await textOf(callTool(backend, 'echo', { message: 'a "b"\n😀' }))).toBe('a "b"\n😀');
    expect(await textOf(callTool(backend, 'current_time'))).toMatch(/^\d{4}-\d\d-\d\dT.*Z$/);
    expect(await textOf(callTool(backend, 'current_time', { timeZone: 'Asia/Tokyo' }))).toMatch(/Asia\/Tokyo \(/);
    expect(JSON.parse(await textOf(callTool(backend, 'server_info')))).toMatchObject({
      version: '1.2.3',
      url: 'https://localhost/mcp',
    });
  });

  test.each([
    ['echo', {}, 'message must be a string'],
    ['echo', { message: 5 }, 'message must be a string'],
    ['echo', { message: 'x', more: 1 }, 'unknown argument "more"'],
    ['current_time', { timeZone: 'Mars/Base' }, 'is no time zone'],
    ['server_info', { x: 1 }, 'unknown argument "x"'],
  ])('%s with %j gives a result that says what is wrong', async (tool, args, expected) => {
    const result = await callTool(backend, tool, args);
    expect(result).toMatchObject({ isError: true });
    expect(JSON.stringify(result)).toContain(JSON.stringify(expected).slice(1, -1));
  });

  test('arguments that are no object are an input error too', async () => {
    expect(await request(backend, 'tools/call', { name: 'echo', arguments: [1] })).toMatchObject({ isError: true });
  });

  test('an unknown tool is a protocol error', async () => {
    expect(await errorOf(callTool(backend, 'constructor'))).toEqual({
      code: -32602,
      message: 'Unknown tool: constructor',
    });
  });

  test('a cancelled call is not answered', async () => {
    let answered = false;
    const call = {
      method: 'tools/list',
      params: undefined,
      caller: { keyId: '', label: '', address: '' },
      era: 'legacy',
      sessionId: null,
      clientCapabilities: {},
      onResult: () => void (answered = true),
      onError: () => void (answered = true),
      onNotification() {},
      onServerRequest() {},
    } as const;
    backend.forward(call)('gone');
    await new Promise((resolve) => setImmediate(resolve));
    expect(answered).toBe(false);
  });
});
