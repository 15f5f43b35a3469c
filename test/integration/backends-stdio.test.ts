import { afterEach, describe, expect, test } from 'vitest';
import { stdioUpstreamSchema } from '../../src/deployment/stdio-upstream-schema.ts';
import { createStdioBackend } from '../../src/server/backends/stdio-backend.ts';
import type { Backend } from '../../src/server/types.ts';
import {
  type CallError,
  callOf,
  callTool,
  errorOf,
  fixture,
  keepingLog,
  request,
  textOf,
  until,
} from '../fixtures/upstreams/backend-calls.ts';

const started: Backend[] = [];
afterEach(async () => {
  await Promise.all(started.splice(0).map((backend) => backend.stop(500)));
});

interface Setup {
  readonly program?: string;
  readonly env?: Record<string, string>;
  readonly upstream?: Record<string, unknown>;
  readonly maxLineBytes?: number;
}

async function startBackend(setup: Setup = {}): Promise<{ backend: Backend; log: ReturnType<typeof keepingLog> }> {
  const log = keepingLog();
  const upstream = stdioUpstreamSchema.parse({
    command: process.execPath,
    args: [fixture(setup.program ?? 'server.mjs')],
    env: setup.env ?? {},
    ...setup.upstream,
  });
  const backend = createStdioBackend('up', upstream, {
    env: process.env,
    baseDir: '/',
    log,
    serverVersion: '0',
    ...(setup.maxLineBytes === undefined ? {} : { maxLineBytes: setup.maxLineBytes }),
  });
  started.push(backend);
  backend.start();
  await until(() => backend.state.state === 'up');
  return { backend, log };
}

describe('what a child prints', () => {
  test('banners, CRLF, broken lines and single bytes do not harm its answers', async () => {
    const { backend, log } = await startBackend({ program: 'garbage.mjs' });
    expect(await textOf(callTool(backend, 'dribble'))).toBe('ü€😀');
    expect(await textOf(callTool(backend, 'any'))).toBe('ok');
    expect(log.lines.some((line) => line.event === 'upstream-line-ignored')).toBe(true);
  });

  test('a flood on standard error is logged a little and without control characters', async () => {
    const { backend, log } = await startBackend({ program: 'garbage.mjs' });
    await callTool(backend, 'any');
    await until(() => log.lines.some((line) => line.event === 'upstream-stderr'));
    const lines = log.lines
      .filter((line) => line.event === 'upstream-stderr')
      .map((line) => String(line.fields['line']));
    expect(lines.length).toBeLessThan(500);
    expect(lines[0]).toBe('red warning ');
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(3_000);
  });

  test('a result of 8 MB passes', async () => {
    const { backend } = await startBackend({ program: 'garbage.mjs' });
    expect(await textOf(callTool(backend, 'huge', { megabytes: 8 }))).toHaveLength(8_000_000);
  });

  test('a line over the limit fails its call, the child is started again, and the next call works', async () => {
    const { backend } = await startBackend({ program: 'garbage.mjs', maxLineBytes: 3_000_000 });
    const error = await errorOf(callTool(backend, 'huge', { megabytes: 8 }));
    expect(error.message).toContain('more than 3000000 bytes');
    expect(await textOf(callTool(backend, 'any'))).toBe('ok');
    expect(backend.restarts).toBe(1);
  });

  test.each([
    ['batch', 'in a batch'],
    ['stringid', 'my id is a string'],
  ])('an answer in an unusual form (%s) is understood', async (tool, expected) => {
    const { backend } = await startBackend();
    expect(await textOf(callTool(backend, tool))).toBe(expected);
  });

  test('an answer that is not JSON fails its call at once', async () => {
    const { backend } = await startBackend();
    const error = await errorOf(callTool(backend, 'nan'));
    expect(error).toMatchObject({ code: -31005, message: expect.stringContaining('not valid JSON') as string });
  });
});

describe('many callers on one child', () => {
  test('10,000 calls with equal ids and progress tokens: every caller gets its own answer and progress', async () => {
    const { backend } = await startBackend();
    let wrong = 0;
    const one = async (i: number): Promise<void> => {
      const seen: unknown[] = [];
      const params = {
        name: 'progress',
        arguments: { message: `m${i}` },
        _meta: { progressToken: i % 2 === 0 ? 1 : 'same' },
      };
      const answer = request(backend, 'tools/call', params, {
        sessionId: `s${i % 100}`,
        onNotification: (_method, json) => seen.push((JSON.parse(json) as { progressToken: unknown }).progressToken),
      });
      if ((await textOf(answer)) !== `m${i}`) wrong++;
      if (seen.length !== 3 || seen.some((token) => token !== params._meta.progressToken)) wrong++;
    };
    for (let batch = 0; batch < 10; batch++) {
      await Promise.all(Array.from({ length: 1_000 }, (_, i) => one(batch * 1_000 + i)));
    }
    expect(wrong).toBe(0);
  });

  test('what the child asks during the only call in flight reaches its caller', async () => {
    const { backend } = await startBackend();
    const asked: string[] = [];
    const answer = callTool(
      backend,
      'ask',
      {},
      {
        onServerRequest: (method, _params, reply) => {
          asked.push(method);
          reply({ result: { action: 'accept', content: { name: 'Ada' } } });
        },
      },
    );
    expect(await textOf(answer)).toContain('Ada');
    expect(asked).toEqual(['elicitation/create']);
  });

  test('with two callers in flight nobody is asked and nobody sees log messages', async () => {
    const { backend, log } = await startBackend();
    const heard: string[] = [];
    const overrides = {
      onServerRequest: (method: string) => void heard.push(method),
      onNotification: (method: string) => void heard.push(method),
    };
    const slow = callTool(backend, 'slow', { ms: 300 }, overrides);
    expect(await textOf(callTool(backend, 'ask', {}, overrides))).toContain('belongs to no single call');
    await callTool(backend, 'log', {}, overrides);
    await slow;
    expect(heard).toEqual([]);
    expect(log.lines.some((line) => line.event === 'upstream-request-refused')).toBe(true);
  });

  test('two calls of one session are one client: it is asked', async () => {
    const { backend } = await startBackend();
    const slow = callTool(backend, 'slow', { ms: 200 }, { sessionId: 's' });
    const overrides = {
      sessionId: 's',
      onServerRequest: (_method: string, _params: unknown, reply: (answer: { result: unknown }) => void) =>
        reply({ result: { action: 'decline' } }),
    };
    expect(await textOf(callTool(backend, 'ask', {}, overrides))).toContain('decline');
    await slow;
  });

  test('what the child asks for a call that was cancelled does not reach the next caller', async () => {
    const { backend } = await startBackend();
    const { call } = callOf('tools/call', { name: 'late-ask', arguments: { ms: 100 } }, { sessionId: 'a' });
    const cancel = backend.forward(call);
    await callTool(backend, 'echo', {}, { sessionId: 'a' });
    cancel('changed my mind');
    const heard: string[] = [];
    await callTool(
      backend,
      'slow',
      { ms: 400 },
      { sessionId: 'b', onServerRequest: (method) => void heard.push(method) },
    );
    expect(heard).toEqual([]);
    expect(await textOf(callTool(backend, 'cancelled'))).toContain('changed my mind');
  });

  test('a cancelled call is not answered, and its place is free', async () => {
    const { backend } = await startBackend({ upstream: { maxConcurrency: 1 } });
    let answers = 0;
    const { call, answer } = callOf('tools/call', { name: 'silent', arguments: {} }, {});
    answer.then(
      () => answers++,
      () => answers++,
    );
    const cancel = backend.forward(call);
    const next = textOf(callTool(backend, 'echo', { message: 'next' }));
    cancel('gone');
    cancel('gone');
    expect(await next).toBe('next');
    expect(answers).toBe(0);
    expect(backend.inFlight).toBe(0);
  });

  test('updates of a resource reach the sessions that subscribed to it, and nobody else', async () => {
    const { backend } = await startBackend();
    const heard: string[] = [];
    backend.onResourceUpdated((uri, sessionId) => heard.push(`${sessionId} ${uri}`));
    await request(backend, 'resources/subscribe', { uri: 'test://a' }, { sessionId: 'one' });
    await request(backend, 'resources/subscribe', { uri: 'test://a' }, { sessionId: 'two' });
    await request(backend, 'resources/subscribe', { uri: 'test://b' }, { sessionId: 'two' });
    await callTool(backend, 'touch', { uri: 'test://a' });
    await callTool(backend, 'touch', { uri: 'test://c' });
    await request(backend, 'resources/unsubscribe', { uri: 'test://a' }, { sessionId: 'one' });
    // The child still has the other subscriber.
    expect(await textOf(callTool(backend, 'touch', { uri: 'test://a' }))).toContain('test://a');
    backend.endSession('two');
    await until(async () => (await textOf(callTool(backend, 'touch', { uri: 'test://a' }))) === '[]');
    expect(heard).toEqual(['one test://a', 'two test://a', 'two test://a']);
  });

  test('the child is started with the minimal environment and its own variables', async () => {
    const { backend } = await startBackend({ env: { FIXTURE_NAME: 'mine', FROM: '${PATH}' } });
    const env = JSON.parse(await textOf(callTool(backend, 'env'))) as Record<string, string>;
    expect(env['FROM']).toBe(process.env['PATH']);
    expect(Object.keys(env).filter((name) => /VITEST|NODE_(?!EXTRA_CA_CERTS)|npm_/.test(name))).toEqual([]);
  });
});

describe('limits of one child', () => {
  test('beyond maxConcurrency calls wait their turn', async () => {
    const { backend } = await startBackend({ upstream: { maxConcurrency: 2 } });
    const answers = Array.from({ length: 20 }, (_, i) =>
      textOf(callTool(backend, 'slow', { ms: 5, message: String(i) })),
    );
    expect(backend.inFlight).toBe(20);
    expect(await Promise.all(answers)).toEqual(Array.from({ length: 20 }, (_, i) => String(i)));
  });

  test('beyond the queue a call fails as busy, never synchronously, and the others are served', async () => {
    const { backend } = await startBackend({ upstream: { maxConcurrency: 1 } });
    const slow = callTool(backend, 'slow', { ms: 200 });
    const waiting = Array.from({ length: 1_024 }, () => callTool(backend, 'echo', {}));
    let told = false;
    const { call, answer } = callOf('tools/call', { name: 'echo' }, {});
    answer.catch(() => (told = true));
    backend.forward({ ...call });
    expect(told).toBe(false);
    const error = await errorOf(answer);
    expect(error).toMatchObject({ code: -31002, data: { outcome: 'not run' } });
    expect(error.message).toContain('busy');
    await Promise.all([slow, ...waiting]);
  });

  test('a call that takes too long fails, says that it may have run, and the child is told', async () => {
    const { backend } = await startBackend({ upstream: { callSeconds: 0.3 } });
    const error = await errorOf(callTool(backend, 'silent'));
    expect(error).toMatchObject({ code: -31003, data: { outcome: 'unknown' } });
    expect(error.message).toContain('did not answer within 0.3 s');
    expect(await textOf(callTool(backend, 'cancelled'))).toContain('time-out');
  });

  test('a child that stops reading: calls time out, memory stays bounded, and it is started again', async () => {
    const { backend, log } = await startBackend({ upstream: { callSeconds: 0.5 } });
    await callTool(backend, 'stop-reading');
    const message = 'z'.repeat(100_000);
    const answers = await Promise.allSettled(Array.from({ length: 300 }, () => callTool(backend, 'echo', { message })));
    const errors = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason as CallError] : []));
    // Those that had not been sent may be served by the next child.
    expect(errors.length).toBeGreaterThan(0);
    for (const { rpc } of errors) expect([-31001, -31003, -31004]).toContain(rpc.code);
    await until(() => backend.restarts === 1);
    expect(await textOf(callTool(backend, 'echo', { message: 'again' }))).toBe('again');
    expect(JSON.stringify(log.lines)).toContain('stopped reading');
  });

  test('a caller that throws takes no other caller with it', async () => {
    const { backend, log } = await startBackend();
    const { call } = callOf('tools/call', { name: 'echo', arguments: {} }, {});
    backend.forward({
      ...call,
      onResult() {
        throw new Error('bug');
      },
    });
    expect(await textOf(callTool(backend, 'echo', { message: 'fine' }))).toBe('fine');
    expect(log.lines.find((line) => line.event === 'call-handler-failed')?.fields['reason']).toBe('bug');
  });
});
