import { expect, test } from 'vitest';
import { EnvironmentError } from '../../src/deployment/errors.ts';
import type { ActContext } from '../../src/apply/act.ts';
import type { ApplyPorts } from '../../src/apply/ports.ts';
import { waitUntilReady } from '../../src/apply/wait-until-ready.ts';

type Answer = { status: number; body: string } | null;

const action = {
  type: 'wait-until-ready',
  readyUrl: 'https://localhost:8443/readyz',
  pidFile: '/s/run/server.json',
  logFile: '/s/logs/server.log',
  timeoutMs: 10_000,
} as const;

/** A clock that only moves when someone sleeps, and a server that gives these answers, the last one for ever. */
function contextOf(
  answers: readonly Answer[],
  options: { log?: string; logStart?: number; diesAfter?: number } = {},
): ActContext {
  let now = 0;
  let asked = 0;
  const ports = {
    clock: {
      now: () => '',
      elapsed: () => now,
      sleep: (ms: number) => {
        now += ms;
        return Promise.resolve();
      },
    },
    endpoint: {
      ready: () => {
        asked += 1;
        return Promise.resolve(answers[Math.min(asked, answers.length) - 1] ?? null);
      },
    },
    files: { read: () => Promise.resolve(Buffer.from(options.log ?? '')) },
    processes: {
      serverState: () =>
        Promise.resolve(asked >= (options.diesAfter ?? Infinity) ? { state: 'stopped' } : { state: 'running', pid: 1 }),
    },
  } as unknown as ApplyPorts;
  return {
    ports,
    signal: new AbortController().signal,
    baseDir: '/s',
    plan: { schemaVersion: 1, deployment: 'x', purpose: 'apply', release: 1, steps: [], notices: [], desired: null },
    logStart: new Map([[action.logFile, options.logStart ?? 0]]),
    onDoing: () => {},
    verified: null,
    serverPid: null,
  };
}

function notReady(...upstreams: readonly object[]): Answer {
  return { status: 503, body: JSON.stringify({ status: 'unavailable', upstreams }) };
}

async function failureOf(context: ActContext): Promise<EnvironmentError> {
  const error = await waitUntilReady(action, context).catch((reason: unknown) => reason);
  if (error instanceof EnvironmentError) return error;
  throw new Error('it did not fail', { cause: error });
}

const ready: Answer = { status: 200, body: '{"status":"ready"}' };

test('succeeds on 200, after no answer and after 503', async () => {
  const starting = notReady({ name: 'files', state: 'starting' });
  expect(await waitUntilReady(action, contextOf([null, starting, ready]))).toBe('ready in 100 ms');
});

test('one upstream that failed is waited for while another may come up', async () => {
  const half = notReady({ name: 'a', state: 'broken', reason: 'no such command' }, { name: 'b', state: 'starting' });
  expect(await waitUntilReady(action, contextOf([half, half, half, ready]))).toContain('ready');
});

test('fails at once when every upstream is broken, with its reason and last words', async () => {
  const error = await failureOf(
    contextOf([
      notReady({ name: 'files', state: 'broken', reason: 'exited with 1', lastWords: ['Error: \u001b[31mENOENT'] }),
    ]),
  );
  expect(error).toMatchObject({
    message: 'The MCP server "files" does not start.',
    why: 'Exited with 1.',
    excerpt: ['Error: [31mENOENT'],
  });
});

test('fails at the third time that the only upstream goes down, not at the second', async () => {
  const down = (retryAt: string): Answer => notReady({ name: 'files', state: 'down', reason: 'exited', retryAt });
  const starting = notReady({ name: 'files', state: 'starting' });
  expect(await waitUntilReady(action, contextOf([down('1'), down('1'), starting, down('2'), ready]))).toContain(
    'ready',
  );
  expect((await failureOf(contextOf([down('1'), down('1'), down('2'), down('3')]))).message).toContain(
    'does not start',
  );
  expect((await failureOf(contextOf([down('1'), starting, down('1'), starting, down('1')]))).message).toContain(
    'does not start',
  );
});

test('fails at once when the process is gone, with what it said since its start', async () => {
  const log =
    'from an earlier run\n{"time":"2026-01-01T10:00:00Z","level":"error","event":"listen.failed","port":8443}\n';
  const error = await failureOf(contextOf([null], { diesAfter: 1, log, logStart: 20 }));
  expect(error).toMatchObject({
    message: 'The server ended while it was starting.',
    excerpt: ['10:00:00 error listen.failed port=8443'],
  });
});

test('on time-out names the upstream that is not up', async () => {
  const error = await failureOf(
    contextOf([notReady({ name: 'ok', state: 'up' }, { name: 'slow', state: 'starting' })], { log: 'last words\n' }),
  );
  expect(error).toMatchObject({
    message: 'The MCP server "slow" was not ready within 10 s.',
    why: 'It is still starting.',
    excerpt: ['last words'],
  });
  expect(error.next).toContain('server.upstreams.slow.startSeconds');
});

test.each<[string, Answer, string]>([
  ['nothing answers', null, 'It runs, and nothing answers at https://localhost:8443/readyz.'],
  ['another program answers', { status: 404, body: '<html>' }, 'https://localhost:8443/readyz answers 404 (unknown).'],
  ['the body is odd', { status: 503, body: '{"upstreams":[null,7]}' }, 'It is still unknown.'],
])('on time-out when %s, says so', async (_what, answer, why) => {
  expect((await failureOf(contextOf([answer]))).why).toBe(why);
});

test('an interrupt is heard', async () => {
  const context = { ...contextOf([null]), signal: AbortSignal.abort(new Error('stop')) };
  await expect(waitUntilReady(action, context)).rejects.toThrow('stop');
});

test('a wait says for whom it waits, so that it can be shown', async () => {
  const said: string[] = [];
  const context = contextOf([null, notReady({ name: 'slow', state: 'starting' }), ready]);
  context.onDoing = (text) => said.push(text);
  await waitUntilReady(action, context);
  expect(said).toEqual(['waiting for the server', 'waiting for "slow" to start (a package may be downloading)']);
});
