import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createLog } from '../../src/server/observe/log.ts';
import { WorkerSlot, type SlotEvents } from '../../src/server/workers/worker-slot.ts';
import { buildServerBundle } from '../helpers/server-bundle.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import {
  childrenOf,
  isAlive,
  openWorkersHouse,
  postMessage,
  sessionsOfAll,
  toolCall,
  workersStatus,
  type WorkersHouse,
} from '../helpers/workers-house.ts';

let bundle = '';
let house: WorkersHouse;
beforeAll(async () => {
  bundle = await buildServerBundle();
});
beforeEach(() => {
  house = openWorkersHouse(bundle);
});
afterEach(() => house.close());

const pidsOf = async (url: string): Promise<number[]> => (await workersStatus(url)).workers.map(({ pid }) => pid);
const inFlight = async (url: string): Promise<number> => (await workersStatus(url)).upstreams[0]?.inFlight ?? 0;

test('of many calls at once, those on a worker that is killed fail, and every other one is answered', async () => {
  const { url } = await house.serve(3, {}, true);
  const sessions = await sessionsOfAll(url, 3);
  const [victim = 0] = await pidsOf(url);
  const agent = new Agent({ keepAlive: true, maxSockets: 60 });
  const calls = Array.from({ length: 60 }, (_, at) => {
    const session = sessions[at % 3] ?? '';
    const text = `call ${at}`;
    return postMessage(url, toolCall('slow', { ms: 2_500, text }, at), { session, agent }).then(
      ({ status, body }) => ({ worker: at % 3, right: status === 200 && body.includes(`"${text}"`), status }),
      () => ({ worker: at % 3, right: false, status: 0 }),
    );
  });
  await waitUntil(async () => (await inFlight(url)) === 60, 10_000, 'all calls in flight');
  process.kill(victim, 'SIGKILL');
  const answers = await Promise.all(calls);
  agent.destroy();
  // The connections of the victim carried calls of the other two workers too: those are lost on their way, not in their worker.
  const own = answers.filter(({ worker }) => worker === 0);
  expect(own.filter(({ right }) => right)).toEqual([]);
  const others = answers.filter(({ worker }) => worker !== 0);
  expect(others.filter(({ right, status }) => !right && status !== 0)).toEqual([]);
  expect(others.filter(({ right }) => right).length).toBeGreaterThanOrEqual(others.length / 2);
}, 40_000);

test('connections on their way to a worker that is killed are answered by another one, and none waits for ever', async () => {
  const { url } = await house.serve(2);
  const [victim = 0] = await pidsOf(url);
  // It takes nothing any more, and nobody knows yet.
  process.kill(victim, 'SIGSTOP');
  const tries = Array.from({ length: 16 }, () =>
    postMessage(url, { jsonrpc: '2.0', id: 1, method: 'ping' }, { signal: AbortSignal.timeout(20_000) }).then(
      ({ status }) => status,
      (error: NodeJS.ErrnoException) => error.name,
    ),
  );
  await Promise.race(tries);
  process.kill(victim, 'SIGKILL');
  const ends = await Promise.all(tries);
  expect(ends.filter((end) => end === 'AbortError' || end === 'TimeoutError')).toEqual([]);
  // The one that was sent last may have been lost with it; who waited behind it was not.
  expect(ends.filter((end) => end !== 200).length).toBeLessThanOrEqual(1);
}, 40_000);

describe('a worker that hangs', () => {
  test('gets no new connection, and loses nothing when it goes on in time', async () => {
    const { url } = await house.serve(2, {}, true);
    const [first = ''] = await sessionsOfAll(url, 2);
    const [hung = 0] = await pidsOf(url);
    process.kill(hung, 'SIGSTOP');
    try {
      const answered = async (): Promise<boolean> => {
        const tries = Array.from({ length: 6 }, () =>
          postMessage(url, { jsonrpc: '2.0', id: 1, method: 'ping' }, { signal: AbortSignal.timeout(400) }).then(
            ({ status }) => status > 0,
            () => false,
          ),
        );
        return (await Promise.all(tries)).every(Boolean);
      };
      await waitUntil(answered, 12_000, 'all new connections answered');
    } finally {
      process.kill(hung, 'SIGCONT');
    }
    const answer = await postMessage(url, toolCall('slow', { ms: 0, text: 'still here' }), { session: first });
    expect(answer.body).toContain('still here');
    expect((await workersStatus(url)).workers[0]).toMatchObject({ pid: hung, restarts: 0 });
  }, 40_000);

  test('is ended and started again; one that is well is left alone', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mcpd-beat-'));
    const log: string[] = [];
    const events: SlotEvents = {
      startMessage: (slot) => ({
        kind: 'start',
        slot,
        count: 2,
        argv: ['--listen', '127.0.0.1:0', '--no-auth'],
        config: null,
        folder,
        origins: [],
        ports: [],
        ticketSecret: Buffer.alloc(32, 1).toString('base64'),
        handsOver: false,
      }),
      ready() {},
      message() {},
      ended() {},
      failedToStart() {},
    };
    const toLog = createLog({ level: 'warn', write: (line) => void log.push(line) });
    const options = { program: bundle, beatMs: 150 };
    const slots = [0, 1].map((number) => new WorkerSlot(number, events, toLog, options));
    const [hung, well] = slots as [WorkerSlot, WorkerSlot];
    try {
      for (const slot of slots) slot.start();
      await waitUntil(() => slots.every(({ state }) => state === 'ready'), 20_000, 'both ready');
      const [hungPid, wellPid] = [hung.pid ?? 0, well.pid];
      process.kill(hungPid, 'SIGSTOP');
      await waitUntil(() => hung.restarts === 1 && hung.state === 'ready', 20_000, 'the replacement');
      expect(isAlive(hungPid)).toBe(false);
      expect(hung.pid).not.toBe(hungPid);
      expect(well).toMatchObject({ pid: wellPid, restarts: 0, state: 'ready' });
      expect(log.filter((line) => line.includes('worker.hung'))).toHaveLength(1);
    } finally {
      for (const slot of slots) slot.stop(true);
      await waitUntil(() => slots.every(({ state }) => state === 'ended'), 15_000, 'the end');
      rmSync(folder, { recursive: true, force: true });
    }
  }, 60_000);
});

test('when no worker can start any more, the server says why and ends with 70', async () => {
  const keyFile = join(house.folder, 'key');
  writeFileSync(keyFile, 'a-key-that-is-long-enough-0123456789abcdef\n');
  const served = house.spawn(['--listen', '127.0.0.1:0', '--workers', '2', '--key-file', keyFile]);
  await served.listening();
  rmSync(keyFile);
  for (const pid of childrenOf(served.child.pid ?? 0)) process.kill(pid, 'SIGKILL');
  expect(await served.exit).toBe(70);
  expect(served.output.stderr).toContain('cannot be read');
}, 60_000);

const foldersOf = (owner: number): string[] =>
  readdirSync(tmpdir()).filter((name) => /^mcp-deploy-workers-\d+-(\d+)-/.exec(name)?.[1] === String(owner));

test('the folder of a server that was killed goes with the last of its workers', async () => {
  const { served } = await house.serve(2);
  const pid = served.child.pid ?? 0;
  const workers = childrenOf(pid);
  expect(foldersOf(pid)).toHaveLength(1);
  process.kill(pid, 'SIGKILL');
  await waitUntil(async () => ![pid, ...workers].some(isAlive), 10_000, 'the end of all its processes');
  expect(foldersOf(pid)).toEqual([]);
}, 40_000);

test('the folder of a server that was killed with its workers is gone with the next start', async () => {
  const { served } = await house.serve(2);
  const pid = served.child.pid ?? 0;
  const workers = childrenOf(pid);
  for (const each of [...workers, pid]) process.kill(each, 'SIGSTOP');
  for (const each of [pid, ...workers]) process.kill(each, 'SIGKILL');
  await waitUntil(async () => ![pid, ...workers].some(isAlive), 10_000, 'the end of all its processes');
  const next = await house.serve(2);
  expect(foldersOf(pid)).toEqual([]);
  expect(foldersOf(next.served.child.pid ?? 0)).toHaveLength(1);
}, 40_000);

test('a second SIGTERM ends a drain at once, calls in flight or not', async () => {
  const { served, url } = await house.serve(2, { server: { drainSeconds: 300 } }, true);
  const calls = (await sessionsOfAll(url, 2)).map((session) =>
    postMessage(url, toolCall('slow', { ms: 200_000, text: 'x' }), { session }).then(
      () => 'answered',
      () => 'cut',
    ),
  );
  await waitUntil(async () => (await inFlight(url)) === 2, 10_000);
  const pids = await pidsOf(url);
  served.child.kill('SIGTERM');
  await waitUntil(() => served.output.stderr.includes('server.draining'), 10_000);
  expect(pids.every(isAlive)).toBe(true);
  served.child.kill('SIGTERM');
  expect(await served.exit).toBe(0);
  await Promise.all(calls);
  expect(pids.some(isAlive)).toBe(false);
}, 40_000);

test('a client that goes ends its call at the worker that it was passed on to', async () => {
  const { served, url } = await house.serve(2, {}, true);
  const sessions = await sessionsOfAll(url, 2);
  const json = { accept: 'application/json' };
  const going = new AbortController();
  // Enough of them that both workers pass some on.
  const calls = Array.from({ length: 8 }, (_, at) =>
    postMessage(url, toolCall('slow', { ms: 100_000, text: 'x' }, at), {
      session: sessions[at % 2] ?? '',
      headers: json,
      signal: going.signal,
    }).catch(() => 'gone'),
  );
  await waitUntil(async () => (await inFlight(url)) === 8, 10_000, 'all calls in flight');
  going.abort();
  await Promise.all(calls);
  await waitUntil(async () => (await inFlight(url)) === 0, 10_000, 'no call in flight');
  await waitUntil(() => served.output.stderr.split('CANCELLED').length > 8, 10_000, 'the upstreams told');
}, 40_000);

describe('SIGHUP', () => {
  const change = (edit: (deployment: Record<string, Record<string, unknown>>) => void): void => {
    const file = join(house.folder, 'server.json');
    const config = JSON.parse(readFileSync(file, 'utf8')) as { deployment: Record<string, Record<string, unknown>> };
    edit(config.deployment);
    writeFileSync(file, JSON.stringify(config));
  };
  const large = toolCall('echo', { message: 'x'.repeat(4_000) });
  const statuses = (url: string, sessions: readonly string[]): Promise<number[]> =>
    Promise.all(
      sessions.map((session) =>
        postMessage(url, large, { session, signal: AbortSignal.timeout(1_500) }).then(
          ({ status }) => status,
          () => 0,
        ),
      ),
    );

  test('reaches every worker, one after the other', async () => {
    const { served, url } = await house.serve(3);
    const sessions = await sessionsOfAll(url, 3);
    expect(await statuses(url, sessions)).toEqual([200, 200, 200]);
    const [first = 0] = await pidsOf(url);
    change((deployment) => (deployment['limits'] = { ...deployment['limits'], bodyBytes: 2_048 }));
    process.kill(first, 'SIGSTOP');
    try {
      served.child.kill('SIGHUP');
      await waitUntil(() => served.output.stderr.includes('server.reloading'), 5_000);
      // The first one does not get on, so the others are not asked yet.
      expect((await statuses(url, sessions)).slice(1)).not.toContain(413);
    } finally {
      process.kill(first, 'SIGCONT');
    }
    const inForce = async (): Promise<boolean> => (await statuses(url, sessions)).every((status) => status === 413);
    await waitUntil(inForce, 20_000, 'the new limit at every worker');
  }, 40_000);

  test('with a configuration that is refused keeps the old one, also for workers that are replaced later', async () => {
    const { served, url } = await house.serve(2);
    change((deployment) => (deployment['server'] = { ...deployment['server'], path: 'no-path' }));
    served.child.kill('SIGHUP');
    await waitUntil(() => served.output.stderr.split('config.refused').length === 3, 10_000, 'both refusals');
    const [first = 0] = await pidsOf(url);
    process.kill(first, 'SIGKILL');
    await waitUntil(async () => (await workersStatus(url)).workers[0]?.restarts === 1, 10_000, 'the replacement');
    await waitUntil(async () => (await workersStatus(url)).workers[0]?.status === 'ready', 10_000, 'ready again');
    expect(await sessionsOfAll(url, 2)).toHaveLength(2);
  }, 40_000);
});
