import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { CircuitBreaker, REFUSED } from '../../src/server/backends/circuit-breaker.ts';
import { guardBackend } from '../../src/server/backends/guarded-backend.ts';
import type { Backend, RpcError } from '../../src/server/types.ts';
import { callTool, errorOf, request } from '../fixtures/upstreams/backend-calls.ts';
import { createFakeBackend, type FakeBackend } from '../helpers/fake-backend.ts';

const settings = { failures: 3, resetSeconds: 60, trials: 2 };

function setUp(): { breaker: CircuitBreaker; log: string[]; clock: { ms: number } } {
  const log: string[] = [];
  const note = (event: string): void => void log.push(event);
  const clock = { ms: 1_000_000 };
  const breaker = new CircuitBreaker(
    'far',
    settings,
    { debug: note, info: note, warn: note, error: note },
    () => clock.ms,
  );
  return { breaker, log, clock };
}

/** One call after the other, each in a turn of its own. */
async function fail(breaker: CircuitBreaker, payers: readonly string[], reached = true): Promise<void> {
  for (const payer of payers) {
    breaker.failed(payer, breaker.admit(payer), reached);
    await nextTurn();
  }
}

describe('a circuit breaker', () => {
  test('opens after failures in a row, lets trials through after its time, and closes when all of them go well', async () => {
    const { breaker, log, clock } = setUp();
    await fail(breaker, ['a', 'b']);
    expect(breaker.view.state).toBe('closed');
    await fail(breaker, ['a']);
    expect(breaker.view).toEqual({ name: 'far', state: 'open', retryAt: 1_060_000, onlyOneCaller: false });
    expect(breaker.admit('c')).toBe(REFUSED);
    expect(breaker.retryAfterSeconds).toBe(60);

    clock.ms += 60_000;
    expect(breaker.view.state).toBe('half-open');
    const trials = [breaker.admit('a'), breaker.admit('b'), breaker.admit('c'), breaker.admit('d')];
    expect(trials.filter((ticket) => ticket > 0)).toHaveLength(2);
    breaker.succeeded('a', trials[0] ?? 0);
    expect(breaker.view.state).toBe('half-open');
    expect(breaker.admit('e')).toBe(REFUSED);
    breaker.succeeded('b', trials[1] ?? 0);
    expect(breaker.view).toEqual({ name: 'far', state: 'closed', retryAt: 0, onlyOneCaller: false });
    expect(log).toEqual(['breaker-open', 'breaker-half-open', 'breaker-closed']);
  });

  test('opens again when a trial fails, and what the other trials bring then says nothing', async () => {
    const { breaker, clock } = setUp();
    await fail(breaker, ['a', 'b', 'a']);
    clock.ms += 60_000;
    const [first, second] = [breaker.admit('a'), breaker.admit('b')];
    breaker.failed('a', first, true);
    expect(breaker.view).toMatchObject({ state: 'open', retryAt: 1_120_000 });
    breaker.succeeded('b', second);
    clock.ms += 60_000;
    expect([breaker.admit('a'), breaker.admit('a'), breaker.admit('a')].filter((ticket) => ticket > 0)).toHaveLength(2);
  });

  test('a trial that was cancelled gives its place to another call', async () => {
    const { breaker, clock } = setUp();
    await fail(breaker, ['a', 'b', 'a']);
    clock.ms += 60_000;
    const tickets = [breaker.admit('a'), breaker.admit('a')];
    expect(breaker.admit('a')).toBe(REFUSED);
    breaker.toldNothing(tickets[0] ?? 0);
    expect(breaker.admit('a')).toBeGreaterThan(0);
  });

  test('one success in between begins the row anew', async () => {
    const { breaker } = setUp();
    await fail(breaker, ['a', 'b']);
    breaker.succeeded('c', breaker.admit('c'));
    await fail(breaker, ['a', 'b']);
    expect(breaker.view.state).toBe('closed');
  });

  test('what one event fails at once counts once', async () => {
    const { breaker } = setUp();
    for (let count = 0; count < 20; count++) breaker.failed(`key ${count}`, 0, true);
    await nextTurn();
    expect(breaker.view.state).toBe('closed');
  });

  test('one caller alone closes the way for itself only', async () => {
    const { breaker, clock } = setUp();
    await fail(breaker, ['bad', 'bad', 'bad']);
    expect(breaker.view).toMatchObject({ state: 'open', onlyOneCaller: true });
    expect(breaker.admit('bad')).toBe(REFUSED);
    expect(breaker.admit('good')).toBe(0);
    breaker.succeeded('good', 0);
    expect(breaker.admit('bad')).toBe(REFUSED);
    clock.ms += 60_000;
    expect(breaker.admit('bad')).toBeGreaterThan(0);
    expect(breaker.admit('good')).toBe(0);
  });

  test('when those of others fail as well it is open for all', async () => {
    const { breaker } = setUp();
    await fail(breaker, ['bad', 'bad', 'bad', 'good', 'good', 'good']);
    expect(breaker.view).toMatchObject({ state: 'open', onlyOneCaller: false });
    expect(breaker.admit('third')).toBe(REFUSED);
  });

  test('what never reached the upstream is nobody’s fault', async () => {
    const { breaker } = setUp();
    await fail(breaker, ['a', 'a', 'a'], false);
    expect(breaker.view).toMatchObject({ state: 'open', onlyOneCaller: false });
  });
});

describe('an upstream behind a breaker', () => {
  const log = { debug() {}, info() {}, warn() {}, error() {} };

  async function answerWith(fake: FakeBackend, guarded: Backend, error: RpcError, times: number): Promise<void> {
    for (let count = 0; count < times; count++) {
      const answer = errorOf(callTool(guarded, 'x', {}, { caller: { keyId: `key ${count}`, label: '', address: '' } }));
      fake.open.pop()?.onError(error);
      await answer;
      await nextTurn();
    }
  }

  const error = (code: number, outcome: string): RpcError => ({
    code,
    message: 'x',
    data: { upstream: 'fake', outcome },
  });
  const counted: [string, RpcError][] = [
    ['a time-out', error(-31003, 'unknown')],
    ['an upstream that ended, or answered HTTP 5xx', error(-31004, 'unknown')],
    ['an answer that is none', error(-31005, 'unknown')],
    ['an upstream that is up and does not take calls', error(-31001, 'not run')],
  ];
  test.each(counted)('opens after %s, several times', async (_, failure) => {
    const fake = createFakeBackend();
    const guarded = guardBackend(fake, settings, log);
    await answerWith(fake, guarded, failure, 3);
    expect(guarded.breakers?.()[0]?.state).toBe('open');
    const refused = await errorOf(callTool(guarded, 'x'));
    expect(refused.code).toBe(-31006);
    expect(refused.message).toMatch(/Try again in \d+ s\./);
    expect(refused.data).toMatchObject({ upstream: 'fake', outcome: 'not run', retryAfterSeconds: 60 });
    expect(fake.open).toHaveLength(0);
  });

  const notCounted: [string, RpcError][] = [
    ['invalid parameters', { code: -32602, message: 'x' }],
    ['an internal error that it answered itself', { code: -32603, message: 'x' }],
    ['a full queue', error(-31002, 'not run')],
    ['a call that ran out of time in the queue', error(-31003, 'not run')],
  ];
  test.each(notCounted)('stays closed after %s, however often', async (_, failure) => {
    const fake = createFakeBackend();
    const guarded = guardBackend(fake, settings, log);
    await answerWith(fake, guarded, failure, 10);
    expect(guarded.breakers?.()[0]?.state).toBe('closed');
  });

  test('that it is being started again is told by its state, not by the breaker', async () => {
    const fake = createFakeBackend();
    fake.setState({ state: 'down', since: 0, retryAt: 1, reason: 'x', lastWords: [] });
    const guarded = guardBackend(fake, settings, log);
    await answerWith(fake, guarded, error(-31001, 'not run'), 10);
    expect(guarded.breakers?.()[0]?.state).toBe('closed');
  });

  test('lists that go well do not hide calls that fail', async () => {
    const fake = createFakeBackend();
    const guarded = guardBackend(fake, settings, log);
    for (let count = 0; count < 2; count++) {
      await answerWith(fake, guarded, error(-31003, 'unknown'), 1);
      const listed = request(guarded, 'tools/list');
      fake.open.pop()?.onResult('{"tools":[]}');
      await listed;
    }
    await answerWith(fake, guarded, error(-31003, 'unknown'), 1);
    expect(guarded.breakers?.()[0]?.state).toBe('open');
  });
});
