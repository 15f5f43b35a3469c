import { Agent } from 'node:http';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { callHttp, openStream } from '../helpers/http-call.ts';
import { buildServerBundle } from '../helpers/server-bundle.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import {
  childrenOf,
  connectionsOfAll,
  isAlive,
  openSession,
  openWorkersHouse,
  postMessage,
  sessionsOfAll,
  toolCall as call,
  workersMetrics as metricsOf,
  workersStatus as status,
  type WorkerAnswer,
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

const serve: WorkersHouse['serve'] = (...given) => house.serve(...given);
const post = (url: string, message: unknown, session = '', agent?: Agent): Promise<WorkerAnswer> =>
  postMessage(url, message, { ...(session === '' ? {} : { session }), ...(agent === undefined ? {} : { agent }) });

test.each([
  { n: 2, calls: 6_000 },
  { n: 3, calls: 4_008 },
])(
  '$calls calls of 12 sessions over many connections, $n workers: every answer is its own',
  async ({ n, calls }) => {
    const { url } = await serve(n);
    const sessions = await Promise.all(Array.from({ length: 12 }, () => openSession(url)));
    expect(new Set(sessions.map((session) => session.slice(0, 3))).size).toBe(n);
    const agent = new Agent({ keepAlive: true, maxSockets: 24 });
    const each = calls / sessions.length;
    let wrong = 0;
    await Promise.all(
      sessions.flatMap((session, number) =>
        [0, 1].map(async (lane) => {
          for (let at = 0; at < each / 2; at++) {
            const message = `s${number} lane ${lane} call ${at}`;
            const answer = await post(url, call('echo', { message }, at), session, agent);
            const { id, result } = JSON.parse(answer.body) as { id: number; result: { content: { text: string }[] } };
            if (id !== at || result.content[0]?.text !== message) wrong++;
          }
        }),
      ),
    );
    agent.destroy();
    expect(wrong).toBe(0);
    const metrics = await metricsOf(url);
    expect(metrics).toContain(`mcp_requests_total{method="tools/call",tool="echo",status="ok"} ${calls}\n`);
    expect(metrics).toContain('mcp_active_sessions 12\n');
    for (let slot = 0; slot < n; slot++) expect(metrics).toContain(`mcp_worker_up{worker="${slot}"} 1\n`);
  },
  60_000,
);

test('what an outsider writes into the headers of workers is not believed, and ids of nobody are unknown', async () => {
  const { url } = await serve(2, {
    limits: { perKey: 'off', freePerKey: 'off' },
    server: { trustedProxies: ['10.0.0.1'] },
  });
  const [first = ''] = await sessionsOfAll(url, 2);
  for (const id of ['w9-x', 'w0-x', 'w1-x', first.slice(0, -1)]) {
    expect((await post(url, call('echo', { message: 'x' }), id)).status).toBe(404);
  }
  const answer = await callHttp({
    url,
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'x-mcp-worker-peer': '10.0.0.1',
      'x-mcp-worker-request': 'forged',
      'mcp-session-id': first,
    },
    body: JSON.stringify(call('echo', { message: 'x' })),
  });
  expect(answer.status).toBe(200);
  expect(answer.headers['x-request-id']).not.toBe('forged');
});

test('a stream is held, and ended by DELETE, over connections of any worker', async () => {
  const { url } = await serve(2);
  for (const session of await sessionsOfAll(url, 2)) {
    const headers = { accept: 'text/event-stream', 'mcp-session-id': session };
    const streams = await Promise.all([0, 1, 2].map(() => openStream({ url, headers })));
    for (const stream of streams) {
      expect(stream.status).toBe(200);
      expect(await stream.first).toContain(': open');
    }
    expect((await callHttp({ url, method: 'DELETE', headers })).status).toBe(204);
    for (const stream of streams) stream.close();
    expect((await post(url, call('echo', { message: 'x' }), session)).status).toBe(404);
  }
});

test('an answer whose connection was lost is resumed on another one, at whichever worker', async () => {
  const { url } = await serve(2, {}, true);
  for (const session of await sessionsOfAll(url, 2)) {
    const headers = { accept: 'application/json, text/event-stream', 'mcp-session-id': session };
    const lost = await openStream({
      url,
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json' },
      body: JSON.stringify(call('slow', { ms: 7_000, text: `late ${session}` })),
    });
    await waitUntil(() => /^id: /m.test(lost.received()), 10_000, 'the first event');
    const id = /^id: (\S+)/m.exec(lost.received())?.[1] ?? '';
    lost.close();
    const again = await Promise.all(
      [0, 1].map(() => openStream({ url, headers: { ...headers, 'last-event-id': id } })),
    );
    await waitUntil(() => again.some((stream) => stream.received().includes(`late ${session}`)), 15_000);
    for (const stream of again) stream.close();
  }
}, 60_000);

describe('life and death', () => {
  test('a worker that is killed costs its own calls and sessions only, and is back', async () => {
    const { url } = await serve(2, {}, true);
    // Each session is called over the connection that it was opened on: a call that came in through the killed worker for
    // another one is cut with its connection.
    const lines = await connectionsOfAll(url, 2);
    const [first = '', second = ''] = lines.map(({ session }) => session);
    const before = await status(url);
    const requestsBefore = Number(
      /mcp_requests_total\{method="initialize"[^}]*\} (\d+)/.exec(await metricsOf(url))?.[1],
    );
    const long = lines.map(({ session, agent }) =>
      post(url, call('slow', { ms: 1_500, text: session }), session, agent).then(
        ({ status: code, body }) => `${code} ${body}`,
        () => 'lost',
      ),
    );
    await waitUntil(async () => (await status(url)).upstreams[0]?.inFlight === 2, 5_000);
    process.kill(before.workers[0]?.pid ?? 0, 'SIGKILL');
    const [lost, kept] = await Promise.all(long);
    for (const { agent } of lines) agent.destroy();
    expect(lost).not.toMatch(/^200/);
    expect(kept).toMatch(/^200/);
    expect(kept).toContain(second);
    await waitUntil(async () => (await status(url)).workers.every(({ status: state }) => state === 'ready'), 10_000);
    expect((await status(url)).workers[0]?.restarts).toBe(1);
    for (let tries = 0; tries < 4; tries++) {
      expect((await post(url, call('slow', { ms: 0, text: 'a' }), first)).status).toBe(404);
      expect((await post(url, call('slow', { ms: 0, text: 'a' }), second)).status).toBe(200);
    }
    const metrics = await metricsOf(url);
    expect(Number(/mcp_requests_total\{method="initialize"[^}]*\} (\d+)/.exec(metrics)?.[1])).toBeGreaterThanOrEqual(
      requestsBefore,
    );
    expect(metrics).toContain('mcp_worker_restarts_total{worker="0"} 1\n');
  }, 30_000);

  test('SIGTERM finishes calls in flight at every worker, passed on or not, and ends with 0', async () => {
    const { served, url } = await serve(2, {}, true);
    const sessions = await sessionsOfAll(url, 2);
    const long = [...sessions, ...sessions].map((session) =>
      post(url, call('slow', { ms: 1_000, text: session }), session),
    );
    await waitUntil(async () => (await status(url)).upstreams[0]?.inFlight === 4, 5_000);
    served.child.kill('SIGTERM');
    for (const answer of await Promise.all(long)) expect(answer.status).toBe(200);
    expect(await served.exit).toBe(0);
  }, 30_000);

  test('SIGHUP reaches every worker and costs no session', async () => {
    const { served, url } = await serve(2);
    const sessions = await sessionsOfAll(url, 2);
    served.child.kill('SIGHUP');
    await waitUntil(() => served.output.stderr.includes('server.reloading'), 5_000);
    for (const session of sessions) expect((await post(url, call('echo', { message: 'x' }), session)).status).toBe(200);
  });

  test('SIGKILL of the process that holds the sockets leaves no worker and no upstream', async () => {
    const { served, url } = await serve(2, {}, true);
    await sessionsOfAll(url, 2);
    const pids = (await status(url)).workers.map(({ pid }) => pid);
    const children = pids.flatMap((pid) => childrenOf(pid));
    expect(children.length).toBeGreaterThanOrEqual(2);
    served.child.kill('SIGKILL');
    await waitUntil(() => [...pids, ...children].every((pid) => !isAlive(pid)), 15_000);
  }, 30_000);

  test('a start that is refused says why once and ends with its code', async () => {
    const served = house.spawn(['--listen', '127.0.0.1:0', '--workers', '2', '--key-file', 'gone']);
    expect(await served.exit).toBe(3);
    expect(served.output.stderr.match(/cannot be read/g)).toHaveLength(1);
    expect(served.output.stdout).toBe('');
  });
});

test('a limit holds over all workers: at most one burst each, and no more than the average after it', async () => {
  const limits = { freePerKey: 'off', perKey: { requests: 60, windowSeconds: 3_600, burst: 60 } };
  const { url } = await serve(2, { limits });
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  let allowed = 0;
  for (let round = 0; round < 40; round++) {
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => post(url, call('echo', { message: 'x' }), '', agent)),
    );
    allowed += answers.filter((answer) => answer.status === 200).length;
  }
  agent.destroy();
  expect(allowed).toBeGreaterThanOrEqual(60);
  // What came in the few milliseconds until the other worker knew.
  expect(allowed).toBeLessThan(120);
});
