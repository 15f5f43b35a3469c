import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterEach, describe, expect, test } from 'vitest';
import { createFakeBackend } from '../helpers/fake-backend.ts';
import { readEvents } from '../helpers/read-events.ts';
import {
  firstKey,
  modernRequest,
  secondKey,
  startRig,
  type RigOptions,
  type ServerRig,
} from '../helpers/server-rig.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const ping = '{"jsonrpc":"2.0","id":1,"method":"ping"}';
const mebibyte = 1_048_576;

const cleanUps: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
});

async function start(options: RigOptions): Promise<ServerRig> {
  const rig = await startRig(options);
  cleanUps.push(() => rig.stop());
  return rig;
}

/** Posts messages, one behind the other, and reads nothing. */
function postAndNotRead(
  rig: ServerRig,
  key: string,
  messages: readonly unknown[],
  { make = connectPlain, header = '' }: { readonly make?: typeof connectPlain; readonly header?: string } = {},
): void {
  const socket = make(Number(new URL(rig.url).port));
  socket.on('error', () => {});
  socket.pause();
  for (const message of messages) {
    const body = JSON.stringify(message);
    socket.write(
      `POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${key}\r\ncontent-type: application/json\r\n` +
        `accept: application/json, text/event-stream\r\n${header}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
  }
  cleanUps.push(() => void socket.destroy());
}

const connectPlain = (port: number): Socket => connect(port, '127.0.0.1');
const connectSafely = (port: number): Socket => connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false });

/** Waits until a reader was cut by the bound of all together; a client that reads nothing does not see it. */
async function waitForCut(rig: ServerRig): Promise<void> {
  const name = 'mcp_slow_readers_cut_total{bound="all"}';
  await waitUntil(async () => (await metric(rig, name)) > 0, 10_000, 'a cut');
}

async function metric(rig: ServerRig, name: string): Promise<number> {
  const { body } = await rig.call({ path: '/metrics', headers: {} });
  return Number(new RegExp(`^${name.replaceAll(/[{}]/g, String.raw`\$&`)} (\\d+)`, 'm').exec(body)?.[1] ?? 'NaN');
}

const callOf = (id: number): unknown => ({ jsonrpc: '2.0', id, method: 'tools/call', params: { name: 'big' } });

/** A stream of a client that reads; it must outlive every cut. */
async function openGoodStream(rig: ServerRig) {
  const stream = await readEvents({
    url: rig.url,
    headers: { authorization: `Bearer ${secondKey}`, 'mcp-session-id': await rig.initialize({ key: secondKey }) },
  });
  cleanUps.push(() => stream.close());
  return stream;
}

const bigResult = JSON.stringify({ content: [{ type: 'text', text: 'x'.repeat(12 * mebibyte) }] });

describe('what waits for slow readers is bounded over all of them, and the others go on', () => {
  test('with JSON answers on many connections', async () => {
    const backend = createFakeBackend(({ method }) => (method === 'tools/call' ? bigResult : '{}'));
    const rig = await start({ backends: [backend], limits: { unreadBytes: 32 * mebibyte } });
    const good = await openGoodStream(rig);
    for (let id = 0; id < 7; id++) postAndNotRead(rig, firstKey, [callOf(id)]);
    await waitForCut(rig);
    expect(rig.log.join('')).toContain('"bound":"all"');
    expect(await metric(rig, 'mcp_unread_bytes')).toBeLessThanOrEqual(32 * mebibyte);
    expect(good.ended).toBe(false);
    const answer = await rig.post(callOf(99), { authorization: `Bearer ${secondKey}` });
    expect([answer.status, answer.body.length > 12 * mebibyte]).toEqual([200, true]);
  });

  test('with answers that queue behind one another on one connection', async () => {
    const backend = createFakeBackend(({ method }) => (method === 'tools/call' ? bigResult : '{}'));
    const rig = await start({ backends: [backend], limits: { unreadBytes: 32 * mebibyte } });
    // Such requests are for node:http, which answers those that come meanwhile too.
    postAndNotRead(rig, firstKey, [1, 2, 3, 4, 5].map(callOf), { header: 'te: trailers\r\n' });
    await waitForCut(rig);
    expect(await metric(rig, 'mcp_unread_bytes')).toBe(0);
    expect((await rig.post(ping)).status).toBe(200);
  });

  test('and plain requests on one connection wait until the answer before them was taken', async () => {
    let calls = 0;
    const backend = createFakeBackend(({ method }) => (method === 'tools/call' && ++calls > 0 ? bigResult : '{}'));
    const rig = await start({ backends: [backend], limits: { unreadBytes: 32 * mebibyte } });
    postAndNotRead(rig, firstKey, [1, 2, 3, 4, 5].map(callOf));
    await waitUntil(async () => (await metric(rig, 'mcp_unread_bytes')) > 6 * mebibyte, 10_000, 'an answer that waits');
    expect(await metric(rig, 'mcp_unread_bytes')).toBeLessThan(13 * mebibyte);
    expect((await rig.post(ping)).status).toBe(200);
    expect(calls).toBe(1);
  });

  test('with event streams that each stay below their own bound, of calls and of sessions', async () => {
    const backend = createFakeBackend();
    const rig = await start({ backends: [backend], limits: { unreadBytes: 16 * mebibyte } });
    const good = await openGoodStream(rig);
    for (let id = 0; id < 8; id++) postAndNotRead(rig, firstKey, [callOf(id)]);
    await waitUntil(() => backend.open.length === 8, 5_000, 'the calls');
    const text = JSON.stringify({ level: 'info', data: 'x'.repeat(mebibyte) });
    for (let round = 0; round < 12; round++) {
      for (const call of backend.open) call.onNotification('notifications/message', text);
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
    }
    await waitForCut(rig);
    expect(await metric(rig, 'mcp_unread_bytes')).toBeLessThanOrEqual(16 * mebibyte);
    await waitUntil(() => backend.cancelled.length > 0, 5_000, 'the call of a reader that was cut is taken back');
    backend.listChanged('tools');
    await good.take(1);
    expect(good.ended).toBe(false);
  });

  test('over TLS', async () => {
    const backend = createFakeBackend(({ method }) => (method === 'tools/call' ? bigResult : '{}'));
    const rig = await start({ backends: [backend], tls: true, limits: { unreadBytes: 16 * mebibyte } });
    for (let id = 0; id < 4; id++) postAndNotRead(rig, firstKey, [callOf(id)], { make: connectSafely });
    await waitForCut(rig);
    expect((await rig.post(ping)).status).toBe(200);
  });
});

test('streams of calls count as streams of their key: beyond the quota the answer comes as JSON and nothing is lost', async () => {
  const backend = createFakeBackend();
  const rig = await start({ backends: [backend], limits: { streamsPerKey: 1 } });
  const headers = {
    authorization: `Bearer ${firstKey}`,
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
  };
  const first = readEvents({ url: rig.url, method: 'POST', headers, body: JSON.stringify(callOf(1)) });
  await waitUntil(() => backend.open.length === 1, 5_000);
  backend.open[0]?.onNotification('notifications/message', '{"level":"info","data":"a"}');
  const stream = await first;
  expect(stream.headers['content-type']).toBe('text/event-stream');
  const second = rig.post(callOf(2));
  const streamOnly = rig.post(callOf(3), { accept: 'text/event-stream' });
  await waitUntil(() => backend.open.length === 3, 5_000);
  for (const call of backend.open.slice(1)) {
    call.onNotification('notifications/message', '{"level":"info","data":"a"}');
    call.onResult('{"content":[]}');
  }
  expect((await second).headers['content-type']).toBe('application/json');
  expect(JSON.parse((await second).body).result).toEqual({ content: [] });
  expect(JSON.parse((await streamOnly).body).result).toEqual({ content: [] });
  const listen = modernRequest(9, 'subscriptions/listen', { notifications: { toolsListChanged: true } });
  expect((await rig.post(listen.message, listen.headers)).status).toBe(429);
  backend.open[0]?.onResult('{"content":[]}');
  await waitUntil(() => stream.ended, 5_000, 'the end of the stream');
  const again = rig.post(callOf(5));
  await waitUntil(() => backend.open.length === 4, 5_000);
  backend.open[3]?.onNotification('notifications/message', '{"level":"info","data":"a"}');
  backend.open[3]?.onResult('{"content":[]}');
  expect((await again).headers['content-type']).toBe('text/event-stream');
});
