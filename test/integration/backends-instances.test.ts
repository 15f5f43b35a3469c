import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { stdioUpstreamSchema } from '../../src/deployment/stdio-upstream-schema.ts';
import { createChildPool, type ChildPool } from '../../src/server/backends/child-pool.ts';
import { createStdioBackend } from '../../src/server/backends/stdio-backend.ts';
import type { Backend, BackendCall } from '../../src/server/types.ts';
import {
  callOf,
  callTool,
  errorOf,
  fixture,
  isAlive,
  keepingLog,
  request,
  silentLog,
  textOf,
  until,
} from '../fixtures/upstreams/backend-calls.ts';

const folder = mkdtempSync(join(tmpdir(), 'mcp-deploy-instances-'));
const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  await Promise.all(stops.splice(0).map((stop) => stop()));
});
afterAll(() => rmSync(folder, { recursive: true }));

async function startBackend(instances: 'per-session' | 'per-key', env: Record<string, string> = {}): Promise<Backend> {
  const upstream = stdioUpstreamSchema.parse({
    command: process.execPath,
    args: [fixture('server.mjs')],
    instances,
    env,
  });
  const backend = createStdioBackend('up', upstream, {
    env: process.env,
    baseDir: '/',
    log: silentLog,
    serverVersion: '0',
  });
  stops.push(() => backend.stop(500));
  backend.start();
  await until(() => backend.state.state === 'up');
  return backend;
}

const pidOf = async (backend: Backend, overrides: Partial<BackendCall>): Promise<number> =>
  Number(await textOf(callTool(backend, 'pid', {}, overrides)));

describe('a child for each session', () => {
  test('sessions have different processes, calls of one session the same', async () => {
    const backend = await startBackend('per-session');
    const [a, b, again] = [
      await pidOf(backend, { sessionId: 'a' }),
      await pidOf(backend, { sessionId: 'b' }),
      await pidOf(backend, { sessionId: 'a' }),
    ];
    expect(a).not.toBe(b);
    expect(again).toBe(a);
  });

  test('the end of a session ends its process only', async () => {
    const backend = await startBackend('per-session');
    const a = await pidOf(backend, { sessionId: 'a' });
    const b = await pidOf(backend, { sessionId: 'b' });
    const pending = errorOf(callTool(backend, 'silent', {}, { sessionId: 'a' }));
    backend.endSession('a');
    expect((await pending).code).toBe(-31004);
    await until(async () => !(await isAlive(a)));
    expect(await isAlive(b)).toBe(true);
    expect(await pidOf(backend, { sessionId: 'a' })).not.toBe(a);
  });

  test('a crash costs its own session only, and the next call gets a new process', async () => {
    const backend = await startBackend('per-session');
    const b = await pidOf(backend, { sessionId: 'b' });
    expect((await errorOf(callTool(backend, 'die', {}, { sessionId: 'a' }))).message).toContain('outcome unknown');
    expect(await textOf(callTool(backend, 'echo', { message: 'new' }, { sessionId: 'a' }))).toBe('new');
    expect(await pidOf(backend, { sessionId: 'b' })).toBe(b);
    expect(backend.state.state).toBe('up');
  });

  test('lists start no process', async () => {
    const pids = join(folder, 'lists.pids');
    const backend = await startBackend('per-session', { FIXTURE_PID_FILE: pids });
    await request(backend, 'tools/list', {}, { sessionId: 'x' });
    expect(readFileSync(pids, 'utf8').trim().split('\n')).toHaveLength(1);
  });

  test('what a child asks reaches its own session, also while others are busy', async () => {
    const backend = await startBackend('per-session');
    const slow = callTool(backend, 'slow', { ms: 300 }, { sessionId: 'a' });
    const answer = callTool(
      backend,
      'roots',
      {},
      {
        sessionId: 'b',
        clientCapabilities: { roots: {} },
        onServerRequest: (method, _params, reply) => reply({ result: { roots: [{ uri: `file:///${method}` }] } }),
      },
    );
    expect(await textOf(answer)).toContain('file:///roots/list');
    await slow;
  });
});

test('with a child for each key, sessions of one key share it', async () => {
  const backend = await startBackend('per-key');
  const caller = (keyId: string) => ({ keyId, label: keyId, address: '' });
  const [a1, a2, b] = [
    await pidOf(backend, { sessionId: '1', caller: caller('a') }),
    await pidOf(backend, { sessionId: '2', caller: caller('a') }),
    await pidOf(backend, { sessionId: '3', caller: caller('b') }),
  ];
  expect(a1).toBe(a2);
  expect(b).not.toBe(a1);
  backend.endSession('1');
  expect(await pidOf(backend, { sessionId: '2', caller: caller('a') })).toBe(a1);
});

describe('the pool of children', () => {
  function openPool(options: {
    maxChildren: number;
    placeWaitMs?: number;
    idleMs?: number;
    env?: Record<string, string>;
    warm?: number;
    instances?: 'per-session' | 'per-key';
  }): ChildPool {
    const { warm = 0, instances = 'per-session' } = options;
    const command = { command: process.execPath, args: [fixture('server.mjs')] };
    const upstream = stdioUpstreamSchema.parse({ ...command, warm, instances });
    const pool = createChildPool(
      {
        name: 'up',
        upstream,
        program: process.execPath,
        cwd: '/',
        env: { ...options.env },
        clientInfo: { name: 'test', version: '0' },
        maxLineBytes: 1_000_000,
        log: silentLog,
      },
      { ...options, placeWaitMs: options.placeWaitMs ?? 1_000, onNotification() {} },
    );
    stops.push(() => pool.stop(300));
    return pool;
  }

  function echo(pool: ChildPool, owner: string): Promise<unknown> {
    const { call, answer } = callOf(
      'tools/call',
      { name: 'echo', arguments: { message: owner } },
      { sessionId: owner },
    );
    pool.forward(owner, call);
    return answer;
  }

  test('200 sessions at once start no more processes than allowed; the others get "busy"', async () => {
    const pids = join(folder, 'storm.pids');
    const pool = openPool({ maxChildren: 3, env: { FIXTURE_PID_FILE: pids } });
    const answers = await Promise.allSettled(Array.from({ length: 200 }, (_, i) => echo(pool, `s${i}`)));
    expect(answers.filter((answer) => answer.status === 'fulfilled')).toHaveLength(3);
    const error = await errorOf(echo(pool, 'one-more'));
    expect(error).toMatchObject({ code: -31002, data: { outcome: 'not run' } });
    expect(error.message).toContain('all 3 processes are taken');
    expect(readFileSync(pids, 'utf8').trim().split('\n')).toHaveLength(3);
  });

  test('a place that becomes free goes to the first who waits', async () => {
    const pool = openPool({ maxChildren: 1 });
    await echo(pool, 'a');
    const waiting = echo(pool, 'b');
    pool.end('a');
    expect(await textOf(waiting)).toBe('b');
  });

  test('children that nobody uses are ended', async () => {
    const pool = openPool({ maxChildren: 2, idleMs: 100 });
    await echo(pool, 'a');
    await until(() => pool.size === 0);
    expect(await textOf(echo(pool, 'a'))).toBe('a');
  });

  test('processes that do not start are not started for ever', async () => {
    const pids = join(folder, 'broken.pids');
    const pool = openPool({ maxChildren: 4, env: { FIXTURE_EXIT_AT_START: '1', FIXTURE_PID_FILE: pids } });
    for (let i = 0; i < 20; i++) expect((await errorOf(echo(pool, `s${i}`))).code).toBe(-31001);
    expect(readFileSync(pids, 'utf8').trim().split('\n')).toHaveLength(5);
    expect((await errorOf(echo(pool, 'x'))).message).toContain('its processes do not start');
  });

  const pidsIn = (file: string): string[] => readFileSync(file, 'utf8').trim().split('\n');

  test.each(['per-session', 'per-key'] as const)(
    '%s: a client gets a process that was started before it came',
    async (instances) => {
      const pids = join(folder, `warm-${instances}.pids`);
      const pool = openPool({ maxChildren: 8, warm: 2, instances, env: { FIXTURE_PID_FILE: pids } });
      await until(() => pool.warm === 2 && existsSync(pids) && pidsIn(pids).length === 2);
      const before = pidsIn(pids);
      const { call, answer } = callOf('tools/call', { name: 'pid', arguments: {} }, { sessionId: 'a' });
      pool.forward('a', call);
      expect(before).toContain(await textOf(answer));
      // Its place among the warm ones is taken again.
      await until(() => pool.warm === 2 && pidsIn(pids).length === 3);
    },
  );

  test('a warm process is initialised with what its own client can be asked for', async () => {
    const pool = openPool({ maxChildren: 4, warm: 1 });
    await until(() => pool.warm === 1);
    const { call, answer } = callOf(
      'tools/call',
      { name: 'client', arguments: {} },
      { sessionId: 'a', clientCapabilities: { roots: { listChanged: true } } },
    );
    pool.forward('a', call);
    expect(JSON.parse(await textOf(answer))).toEqual({ roots: { listChanged: true } });
  });

  test('200 sessions at once with warm processes stay within the cap, and warm ones never take a place that is wanted', async () => {
    const pids = join(folder, 'warm-storm.pids');
    const pool = openPool({ maxChildren: 3, warm: 2, env: { FIXTURE_PID_FILE: pids } });
    const answers = await Promise.allSettled(Array.from({ length: 200 }, (_, i) => echo(pool, `s${i}`)));
    expect(answers.filter((answer) => answer.status === 'fulfilled')).toHaveLength(3);
    expect(pidsIn(pids)).toHaveLength(3);
    expect(pool.warm).toBe(0);
  });

  test('warm processes that end at once are not started for ever, and clients still get an answer', async () => {
    const pids = join(folder, 'warm-broken.pids');
    const pool = openPool({ maxChildren: 4, warm: 2, env: { FIXTURE_EXIT_AT_START: '1', FIXTURE_PID_FILE: pids } });
    await until(() => existsSync(pids) && pidsIn(pids).length >= 2);
    expect((await errorOf(echo(pool, 'a'))).code).toBe(-31001);
    expect(pidsIn(pids).length).toBeLessThan(12);
  });

  test('stop leaves no warm process', async () => {
    const pids = join(folder, 'warm-stop.pids');
    const pool = openPool({ maxChildren: 4, warm: 2, env: { FIXTURE_PID_FILE: pids, FIXTURE_STAY: '1' } });
    await until(() => existsSync(pids) && pidsIn(pids).length === 2);
    await pool.stop(300);
    for (const pid of pidsIn(pids)) expect(await isAlive(Number(pid))).toBe(false);
  });
});

describe.runIf(process.platform === 'linux')('a process that holds too much memory', () => {
  async function startHog(instances: 'shared' | 'per-session', log = keepingLog()) {
    const command = { command: process.execPath, args: [fixture('server.mjs')], instances };
    const backend = createStdioBackend('up', stdioUpstreamSchema.parse({ ...command, maxMemoryMegabytes: 200 }), {
      env: process.env,
      baseDir: '/',
      log,
      serverVersion: '0',
      memoryLookMs: 50,
    });
    stops.push(() => backend.stop(500));
    backend.start();
    await until(() => backend.state.state === 'up');
    return { backend, log };
  }
  const hog = (backend: Backend, megabytes: number) =>
    textOf(callTool(backend, 'hog', { bytes: megabytes * 1_048_576 }, { sessionId: 'a' })).then(Number);

  test.each(['shared', 'per-session'] as const)(
    '%s: another takes its place, its calls finish, nobody sees a gap',
    async (instances) => {
      const { backend, log } = await startHog(instances);
      const first = await pidOf(backend, { sessionId: 'a' });
      const slow = textOf(callTool(backend, 'slow', { ms: 1_500, message: 'finished' }, { sessionId: 'a' }));
      expect(await hog(backend, 220)).toBe(first);
      const states: string[] = [];
      backend.onStateChange(() => states.push(backend.state.state));
      await until(async () => (await pidOf(backend, { sessionId: 'a' })) !== first);
      expect(await isAlive(first)).toBe(true);
      expect(await slow).toBe('finished');
      await until(async () => !(await isAlive(first)));
      expect(backend.restarts).toBe(1);
      expect(states.filter((state) => state !== 'up')).toEqual([]);
      expect(log.lines.filter(({ event }) => event === 'upstream-over-memory')).toMatchObject([
        { fields: { upstream: 'up', maxMemoryMegabytes: 200, action: 'another takes its place' } },
      ]);
    },
  );

  test('beyond twice its limit it is ended at once, and its calls say that they may have run', async () => {
    const { backend } = await startHog('shared');
    const silent = errorOf(callTool(backend, 'silent'));
    void hog(backend, 500).catch(() => {});
    expect(await silent).toMatchObject({ code: -31004, data: { outcome: 'unknown' } });
    expect((await silent).message).toMatch(/it held \d+ MiB of memory and may hold 200/);
    await until(() => backend.state.state === 'up');
  });
});
