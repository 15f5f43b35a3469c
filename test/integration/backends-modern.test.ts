import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stdioUpstreamSchema } from '../../src/deployment/stdio-upstream-schema.ts';
import { createStdioBackend } from '../../src/server/backends/stdio-backend.ts';
import type { Backend } from '../../src/server/types.ts';
import { callTool, errorOf, fixture, request, silentLog, textOf, until } from '../fixtures/upstreams/backend-calls.ts';

describe('an upstream of the modern era', () => {
  let backend: Backend;

  beforeAll(async () => {
    const upstream = stdioUpstreamSchema.parse({ command: process.execPath, args: [fixture('modern.mjs')] });
    backend = createStdioBackend('modern', upstream, {
      env: process.env,
      baseDir: '/',
      log: silentLog,
      serverVersion: '9',
    });
    backend.start();
    await until(() => backend.state.state === 'up');
  });
  afterAll(() => backend.stop(1_000));

  test('is found by server/discover after it refused initialize', () => {
    expect(backend.serverInfo).toEqual({ name: 'modern', version: '2.0.0' });
    expect(backend.instructions).toBe('Modern only.');
    expect(backend.capabilities).toHaveProperty('tools');
  });

  test('answers legacy callers', async () => {
    expect(await textOf(callTool(backend, 'echo', { message: 'old' }))).toBe('old');
  });

  test('answers modern callers', async () => {
    expect(await textOf(callTool(backend, 'echo', { message: 'new' }, { era: 'modern' }))).toBe('new');
  });

  test('a legacy caller is asked for input, and the call goes on with the answer', async () => {
    const asked: unknown[] = [];
    const answer = callTool(
      backend,
      'ask',
      {},
      {
        clientCapabilities: { elicitation: {} },
        onServerRequest: (method, params, reply) => {
          asked.push([method, params['message']]);
          reply({ result: { action: 'accept', content: { name: 'Ada' } } });
        },
      },
    );
    expect(JSON.parse(await textOf(answer))).toMatchObject({ name: { content: { name: 'Ada' } }, state: 'asked-once' });
    expect(asked).toEqual([['elicitation/create', 'Your name?']]);
    expect(backend.inFlight).toBe(0);
  });

  test('a legacy caller that cannot be asked gets an error', async () => {
    const error = await errorOf(callTool(backend, 'ask', {}, { clientCapabilities: { elicitation: {} } }));
    expect(error).toEqual({ code: -32601, message: 'not offered' });
  });

  test('a modern caller gets input_required itself and repeats its call', async () => {
    const modern = { era: 'modern', clientCapabilities: { elicitation: {} } } as const;
    const first = (await callTool(backend, 'ask', {}, modern)) as Record<string, unknown>;
    expect(first).toMatchObject({ resultType: 'input_required', requestState: 'asked-once' });
    const repeated = {
      name: 'ask',
      arguments: {},
      inputResponses: { name: { action: 'accept', content: { name: 'Bob' } } },
      requestState: first['requestState'],
    };
    expect(await textOf(request(backend, 'tools/call', repeated, modern))).toContain('Bob');
  });

  test('progress comes back under the caller’s own token', async () => {
    const tokens: unknown[] = [];
    const params = { name: 'progress', arguments: {}, _meta: { progressToken: 'mine' } };
    await request(backend, 'tools/call', params, {
      onNotification: (_method, json) => tokens.push((JSON.parse(json) as { progressToken: unknown }).progressToken),
    });
    expect(tokens).toEqual(['mine']);
  });

  test('its change notices arrive', async () => {
    const kinds: string[] = [];
    backend.onListChanged((kind) => kinds.push(kind));
    await callTool(backend, 'grow');
    await until(() => kinds.includes('tools'));
  });

  test('updates of a resource reach its subscribers', async () => {
    const heard: string[] = [];
    backend.onResourceUpdated((uri, sessionId) => heard.push(`${sessionId} ${uri}`));
    expect(await request(backend, 'resources/subscribe', { uri: 'modern://1' }, { sessionId: 's' })).toEqual({});
    await until(async () => {
      await callTool(backend, 'touch', { uri: 'modern://1' });
      return heard.length > 0;
    });
    expect(heard[0]).toBe('s modern://1');
  });
});
