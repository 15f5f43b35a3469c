import { readFileSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import forge from 'node-forge';
import { afterEach, describe, expect, test } from 'vitest';
import { issueSelfSigned } from '../../src/pki/issue-certificate.ts';
import { openListeners } from '../../src/server/http/listeners.ts';
import type { EventStream } from '../../src/server/http/event-stream.ts';
import type { Exchange } from '../../src/server/http/exchange.ts';
import { createLog } from '../../src/server/observe/log.ts';
import { createEventBudget } from '../../src/server/protocol/event-log.ts';
import { Session } from '../../src/server/protocol/session.ts';
import { createFakeBackend, echoBackend } from '../helpers/fake-backend.ts';
import { openStream } from '../helpers/http-call.ts';
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
const call = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'echo', arguments: { message: 'x' } } };
const head = `host: 127.0.0.1\r\nauthorization: Bearer ${firstKey}\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\n`;
const quiet = createLog({ level: 'error', write: () => {} });

const cleanUps: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
});

async function start(options: RigOptions = {}): Promise<ServerRig> {
  const rig = await startRig({ backends: [echoBackend()], ...options });
  cleanUps.push(() => rig.stop());
  return rig;
}

const portOf = (url: string): number => Number(new URL(url).port);

/** A connection that sends bytes as they are and never closes by itself, not even after the server has. */
function hold(port: number, bytes: string): { readonly socket: Socket; received(): string; readonly isLost: boolean } {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () => socket.write(bytes));
  let received = '';
  const held = { socket, received: () => received, isLost: false };
  socket.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')));
  socket.on('error', () => {});
  socket.on('close', () => (held.isLost = true));
  cleanUps.push(() => void socket.destroy());
  return held;
}

async function metric(rig: ServerRig, name: string): Promise<number> {
  const { body } = await rig.call({ path: '/metrics', headers: {} });
  return Number(new RegExp(`^${name} (\\d+)`, 'm').exec(body)?.[1]);
}

describe('a request whose end two readers could see at different places is refused and its connection closed', () => {
  test.each([
    ['both lengths', `content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /status HTTP/1.1\r\n`],
    ['two lengths', `content-length: 40\r\ncontent-length: 4\r\n\r\n${ping}`],
    ['a length with a sign', `content-length: +40\r\n\r\n${ping}`],
    ['a length beyond numbers', `content-length: 99999999999999999999999\r\n\r\n${ping}`],
    ['an unknown coding', 'transfer-encoding: xchunked\r\n\r\n0\r\n\r\n'],
    ['chunked not last', 'transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n'],
    ['a space before the colon', 'transfer-encoding : chunked\r\n\r\n0\r\n\r\n'],
    ['a folded header', `x-a: b\r\n c: d\r\ncontent-length: 40\r\n\r\n${ping}`],
    ['a chunk that ends in a bare line feed', `transfer-encoding: chunked\r\n\r\n28\n${ping}\r\n0\r\n\r\n`],
  ])('%s', async (_title, rest) => {
    const rig = await start();
    const held = hold(portOf(rig.url), `POST /mcp HTTP/1.1\r\n${head}${rest}`);
    await waitUntil(() => held.isLost || held.received().includes('"status":400'), 5_000, 'the refusal');
    expect(held.received().match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 400']);
  });
});

describe('a client that never closes its connection', () => {
  test.each([
    ['sent no HTTP', 'hello\r\n\r\n', '400'],
    ['was too slow with its head', 'GET /mcp HTTP/1.1\r\nhost: 127.', '408'],
    ['sent a head of 2 MB', `GET /mcp HTTP/1.1\r\nmcp-session-id: ${'a'.repeat(2_000_000)}`, '431'],
  ])('loses it when it %s', async (_title, bytes, status) => {
    const rig = await start({ timeouts: { headersTimeout: 300, requestTimeout: 600 } });
    const held = hold(portOf(rig.url), bytes);
    // What it writes after the server has let go is answered with a reset.
    await waitUntil(
      () => {
        if (held.received() !== '') held.socket.write('x');
        return held.isLost;
      },
      8_000,
      'the end of the connection',
    );
    if (held.received() !== '') expect(held.received()).toContain(`HTTP/1.1 ${status} `);
  });

  test('loses it when it does not read its answer', async () => {
    const big = 'x'.repeat(20_000_000);
    const lost = { count: 0 };
    const open = await openListeners(
      [{ kind: 'tcp', host: '127.0.0.1', port: 0 }],
      null,
      (req, res) => {
        req.socket.once('close', () => lost.count++);
        res.end(big);
      },
      quiet,
      { stalledAfterMs: 300 },
    );
    cleanUps.push(() => open.close(0));
    const socket = connect(portOf(open.origins[0] ?? ''), '127.0.0.1');
    cleanUps.push(() => void socket.destroy());
    socket.on('error', () => {});
    socket.pause();
    socket.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
    await waitUntil(() => lost.count === 1, 8_000, 'the cut');
  });

  test('keeps it while it waits for a slow answer, and loses it when it is idle', async () => {
    const open = await openListeners(
      [{ kind: 'tcp', host: '127.0.0.1', port: 0 }],
      null,
      (_req, res) => void setTimeout(() => res.end('late'), 900),
      quiet,
      { stalledAfterMs: 200, keepAliveTimeout: 200 },
    );
    cleanUps.push(() => open.close(0));
    const held = hold(portOf(open.origins[0] ?? ''), 'GET / HTTP/1.1\r\nhost: a\r\n\r\n');
    await waitUntil(() => held.received().endsWith('late'), 5_000, 'the answer');
    await waitUntil(
      () => {
        held.socket.write('x');
        return held.isLost;
      },
      5_000,
      'the end of the idle connection',
    );
  });
});

test('a stream whose reader is too slow is cut at a bound, and the others go on', async () => {
  const backend = createFakeBackend();
  const rig = await start({ backends: [backend], limits: { perKey: 'off' } });
  const socket = connect(portOf(rig.url), '127.0.0.1');
  cleanUps.push(() => void socket.destroy());
  socket.on('error', () => {});
  socket.pause();
  const body = JSON.stringify(call);
  socket.write(`POST /mcp HTTP/1.1\r\n${head}content-length: ${body.length}\r\n\r\n${body}`);
  await waitUntil(() => backend.open.length === 1, 5_000);
  const log = JSON.stringify({ level: 'info', data: 'x'.repeat(1_000_000) });
  await waitUntil(
    () => {
      backend.open[0]?.onNotification('notifications/message', log);
      return backend.cancelled.length === 1;
    },
    10_000,
    'the cut',
  );
  expect(rig.log.join('')).toContain('stream.slow-reader-cut');
  expect(await metric(rig, 'mcp_sse_connections_active')).toBe(0);
  expect(JSON.parse((await rig.post(ping)).body).result).toEqual({});
});

test('700 clients that go away at every point of a request leave no stream, no call and no place behind', async () => {
  const backend = createFakeBackend();
  const rig = await start({ backends: [backend], limits: { perKey: 'off', streamsPerKey: 30 } });
  const session = await rig.initialize();
  const listen = modernRequest(1, 'subscriptions/listen', { notifications: { toolsListChanged: true } });
  const post = (body: string, more = ''): string =>
    `POST /mcp HTTP/1.1\r\n${head}${more}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
  const modernHead = Object.entries(listen.headers)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('');
  const shapes = [
    'POST /mcp HT',
    `POST /mcp HTTP/1.1\r\n${head}content-length: 500\r\n\r\n{"js`,
    `POST /mcp HTTP/1.1\r\n${head}transfer-encoding: chunked\r\n\r\n5\r\nabc`,
    post(JSON.stringify(call)),
    post('[1,2]'),
    `GET /mcp HTTP/1.1\r\n${head}mcp-session-id: ${session}\r\n\r\n`,
    post(JSON.stringify(listen.message), modernHead),
  ];
  const visit = (number: number): Promise<void> =>
    new Promise((resolve) => {
      const socket = connect(portOf(rig.url), '127.0.0.1', () => {
        socket.write(shapes[number % shapes.length] ?? '');
        const leave = (): void => void (number % 2 === 0 ? socket.resetAndDestroy() : socket.destroy());
        if (number % 3 === 0) leave();
        else setTimeout(leave, number % 5);
      });
      socket.on('error', () => {});
      socket.on('close', () => resolve());
    });
  for (let from = 0; from < 700; from += 50) {
    await Promise.all(Array.from({ length: 50 }, (_entry, index) => visit(from + index)));
  }
  await waitUntil(async () => (await metric(rig, 'mcp_sse_connections_active')) === 0, 10_000, 'no open stream');
  const calls = backend.open.filter(({ method }) => method === 'tools/call').length;
  expect(calls).toBeGreaterThan(0);
  await waitUntil(() => backend.cancelled.length === calls, 5_000, `${calls} calls taken back`);
  const streams = await Promise.all(
    Array.from({ length: 30 }, () =>
      readEvents({
        url: rig.url,
        method: 'POST',
        headers: {
          authorization: `Bearer ${firstKey}`,
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
          ...listen.headers,
        },
        body: JSON.stringify(listen.message),
      }),
    ),
  );
  for (const stream of streams) cleanUps.push(() => stream.close());
  expect(streams.map(({ status }) => status)).toEqual(Array.from({ length: 30 }, () => 200));
  expect(rig.log.join('')).not.toContain('server.bug');
});

describe('a proxy on this machine', () => {
  test('is recognised also behind 2,000 headers of its client: the status stays closed', async () => {
    const rig = await start();
    for (const many of [0, 1_000, 2_500]) {
      const flood = `${'A:\r\n'.repeat(many)}X-Forwarded-For: 203.0.113.9\r\nConnection: close\r\n\r\n`;
      const held = hold(portOf(rig.url), `GET /status HTTP/1.1\r\nHost: localhost\r\n${flood}`);
      await waitUntil(() => held.received().includes('\r\n\r\n'), 5_000);
      expect(held.received(), `${many} headers`).toMatch(/^HTTP\/1\.1 401 /);
    }
  });

  test.each(['x-forwarded-for', 'forwarded', 'via', 'x-real-ip', 'x-forwarded-host', 'x-forwarded-proto'])(
    'is recognised by %s',
    async (name) => {
      const rig = await start();
      const answer = await rig.call({ path: '/metrics', headers: { [name]: 'a' } });
      expect(answer.status).toBe(403);
    },
  );

  test('that is not trusted cannot choose the address in the audit file', async () => {
    const audit = join(tmpdir(), `mcpd-hardening-${process.pid}-${Date.now()}.log`);
    const rig = await start({ audit });
    await rig.post(call, { 'x-forwarded-for': '203.0.113.9', 'x-request-id': 'chosen' });
    await rig.server.drain();
    const line = JSON.parse(readFileSync(audit, 'utf8')) as Record<string, unknown>;
    expect(line['address']).toBe('127.0.0.1');
    expect(line['request']).not.toBe('chosen');
  });
});

test('/readyz tells a page with a name of its own whether, not why', async () => {
  const backend = createFakeBackend();
  backend.setState({ state: 'down', since: 0, retryAt: 0, reason: 'it broke', lastWords: ['words of the program'] });
  const rig = await start({ backends: [backend] });
  const own = await rig.call({ path: '/readyz', headers: {} });
  expect(own.body).toContain('words of the program');
  const page = await rig.call({ path: '/readyz', headers: { host: 'evil.example' } });
  expect([page.status, page.body.includes('down'), page.body.includes('words')]).toEqual([503, true, false]);
});

describe('odd ids', () => {
  test.each([
    ['null', 'null'],
    ['true', 'true'],
    ['an array', '[1]'],
    ['an object', '{"a":1}'],
    ['endless', '1e400'],
    ['a number that would come back changed', '9007199254740993'],
    ['a text over 1,024 characters', `"${'x'.repeat(1_025)}"`],
  ])('%s is refused', async (_title, id) => {
    const rig = await start();
    const answer = await rig.post(`{"jsonrpc":"2.0","id":${id},"method":"ping"}`);
    expect([answer.status, JSON.parse(answer.body).error.code]).toEqual([400, -32_600]);
  });

  test.each(['1.5', '1e-7', '""', '"__proto__"', '"constructor"', String.raw`"\u0000\n"`, String.raw`"\ud800"`])(
    '%s comes back as it was',
    async (id) => {
      const rig = await start();
      const answer = await rig.post(
        `{"jsonrpc":"2.0","id":${id},"method":"tools/call","params":{"name":"echo","arguments":{}}}`,
      );
      expect(JSON.parse(answer.body).id).toEqual(JSON.parse(id));
    },
  );
});

test('of a key that is there twice everyone sees the last one: what is checked is what is called', async () => {
  const seen: unknown[] = [];
  const backend = createFakeBackend(({ method, params }) => {
    seen.push([method, params]);
    return '{"content":[]}';
  });
  const rig = await start({ backends: [backend] });
  seen.length = 0;
  await rig.post(
    '{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call","params":{"name":"a"},"params":{"name":"b"}}',
  );
  expect(seen).toEqual([['tools/call', { name: 'b' }]]);
});

test('a stream is resumed by its own session only', async () => {
  const backend = createFakeBackend();
  const rig = await start({ backends: [backend] });
  const watch = (session: string, key: string, lastEventId?: string) =>
    readEvents({
      url: rig.url,
      headers: {
        authorization: `Bearer ${key}`,
        'mcp-session-id': session,
        ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
      },
    });
  const mine = await rig.initialize();
  const other = await rig.initialize();
  const foreign = await rig.initialize({ key: secondKey });
  const first = await watch(mine, firstKey);
  cleanUps.push(() => first.close());
  backend.resourceUpdated('file:///mine', mine);
  const [event] = await first.take(1);
  for (const [session, key] of [
    [other, firstKey],
    [foreign, secondKey],
  ] as const) {
    const thief = await watch(session, key, '0-0');
    cleanUps.push(() => thief.close());
    backend.listChanged('tools');
    const [got] = await thief.take(1);
    expect(got?.data?.['method']).toBe('notifications/tools/list_changed');
  }
  expect((await watch(mine, secondKey, '0-0')).status).toBe(404);
  expect(event?.data?.['params']).toEqual({ uri: 'file:///mine' });
});

test('an answer that was taken over a second time is not given up when the first successor ends', async () => {
  const given: string[] = [];
  const session = new Session('id', 'key', '2025-11-25', {}, createEventBudget(1_000));
  const exchange = { resumeOn() {}, owner: { clientGone: () => void given.push('up') } } as unknown as Exchange;
  const recorder = session.recordAnswer(exchange);
  recorder.connectionLost();
  const streams = [0, 1].map(() => ({ send: () => true }) as unknown as EventStream);
  for (const stream of streams) session.resumeAnswer(1, 0, stream);
  const [first, second] = streams;
  if (first === undefined || second === undefined) throw new Error('two streams');
  session.answerLost(1, first);
  session.giveUpLostAnswers(performance.now() + 1);
  expect(given).toEqual([]);
  session.answerLost(1, second);
  session.giveUpLostAnswers(performance.now() + 1);
  expect(given).toEqual(['up']);
});

test('a key that is guessed at /status is counted and audited as at the endpoint', async () => {
  const audit = join(tmpdir(), `mcpd-hardening-status-${process.pid}-${Date.now()}.log`);
  const rig = await start({ audit });
  const headers = { 'x-forwarded-for': '203.0.113.9', authorization: 'Bearer guessed-0123456789abcdef' };
  expect((await rig.call({ path: '/status', headers })).status).toBe(401);
  expect(await metric(rig, String.raw`mcp_auth_failures_total\{reason="invalid"\}`)).toBe(1);
  await rig.server.drain();
  expect(JSON.parse(readFileSync(audit, 'utf8'))).toMatchObject({ status: 'refused', address: '127.0.0.1' });
});

test('without keys every address has streams of its own', async () => {
  const rig = await start({
    auth: { required: false },
    limits: { streamsPerKey: 1 },
    server: { trustedProxies: ['loopback'] },
  });
  const session = await rig.initialize();
  const statuses: number[] = [];
  for (const address of ['203.0.113.1', '203.0.113.1', '203.0.113.2']) {
    const headers = { 'mcp-session-id': session, 'x-forwarded-for': address };
    const stream = await openStream({ url: rig.url, headers: { ...headers, accept: 'text/event-stream' } });
    cleanUps.push(() => stream.close());
    statuses.push(stream.status);
  }
  expect(statuses).toEqual([200, 429, 200]);
});

describe('sessions', () => {
  async function initializeMany(rig: ServerRig, count: number, key: string): Promise<number[]> {
    const agent = new Agent({ keepAlive: true, maxSockets: 30 });
    cleanUps.push(() => agent.destroy());
    const body = JSON.stringify({
      jsonrpc: '2.0',
      id: 0,
      method: 'initialize',
      params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } },
    });
    const one = (): Promise<number> =>
      new Promise((resolve, reject) => {
        const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
        const sent = request(rig.url, { method: 'POST', headers, agent }, (response) => {
          response.resume();
          response.on('end', () => resolve(response.statusCode ?? 0));
        });
        sent.on('error', reject);
        sent.end(body);
      });
    return Promise.all(Array.from({ length: count }, one));
  }

  test('2,000 that nobody deletes are gone after their time, and never more than the cap', async () => {
    const rig = await start({ server: { sessions: { max: 2_000, idleSeconds: 5 } } });
    const statuses = await initializeMany(rig, 2_000, firstKey);
    expect(new Set(statuses)).toEqual(new Set([200]));
    expect(await metric(rig, 'mcp_active_sessions')).toBeLessThanOrEqual(2_000);
    await waitUntil(async () => (await metric(rig, 'mcp_active_sessions')) === 0, 20_000, 'no session');
  }, 40_000);

  test('a key that fills all places locks itself out and not the others', async () => {
    const rig = await start({ server: { sessions: { max: 50, idleSeconds: 600 } } });
    const theirs = await rig.initialize({ key: secondKey });
    const statuses = await initializeMany(rig, 60, firstKey);
    expect(statuses.filter((status) => status === 503)).toHaveLength(11);
    expect(await rig.initialize({ key: secondKey })).toMatch(/^[0-9a-f-]{36}$/);
    const headers = { authorization: `Bearer ${secondKey}`, 'mcp-session-id': theirs };
    expect((await rig.post(ping, headers)).status).toBe(200);
    expect(await metric(rig, 'mcp_active_sessions')).toBeLessThanOrEqual(50);
  });

  test('30 clients of one key that begin at once are not slowed down by its limit', async () => {
    const rig = await start({ limits: { perKey: { requests: 1, windowSeconds: 3_600, burst: 1 } } });
    expect(new Set(await initializeMany(rig, 30, firstKey))).toEqual(new Set([200]));
  });
});

test('what a client calls things cannot forge a line of log or audit file, and no key is in either', async () => {
  const audit = join(tmpdir(), `mcpd-hardening-lines-${process.pid}-${Date.now()}.log`);
  const rig = await start({ audit });
  const evil = `a\n{"time":"forged"}\r\u2028\u001b[31m\u009b`;
  await rig.post({ ...call, id: evil, params: { name: evil } });
  await rig.post({ ...call, params: { name: firstKey } }, { authorization: 'Bearer not-a-key-0123456789abcdef' });
  await rig.post({ ...call, method: evil });
  await rig.call({ path: '/mcp', method: 'DELETE', headers: { 'mcp-session-id': 'x\u0085y' } });
  await rig.server.drain();
  const lines = readFileSync(audit, 'utf8').split('\n').slice(0, -1);
  expect(lines.map((line) => Object.keys(JSON.parse(line) as object)[0])).toEqual(lines.map(() => 'time'));
  expect(JSON.parse(lines[0] ?? '').tool).toBe(evil);
  for (const text of [lines.join(''), rig.log.join('').replaceAll('\n', '')]) {
    expect(text).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/);
    expect(text).not.toContain('not-a-key');
    expect(text).not.toContain(secondKey);
  }
});

test('a certificate that is replaced: open streams live, new handshakes see it; a bad pair changes nothing', async () => {
  const backend = createFakeBackend();
  const rig = await start({ tls: true, backends: [backend] });
  const fingerprint = (): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connectTls({ port: portOf(rig.url), host: '127.0.0.1', rejectUnauthorized: false }, () => {
        resolve(socket.getPeerCertificate().fingerprint256);
        socket.destroy();
      });
      socket.on('error', reject);
    });
  const session = await rig.initialize();
  const stream = await openStream({
    url: rig.url,
    headers: { authorization: `Bearer ${firstKey}`, 'mcp-session-id': session, accept: 'text/event-stream' },
    ...(rig.ca === undefined ? {} : { ca: rig.ca }),
  });
  cleanUps.push(() => stream.close());
  const before = await fingerprint();
  const next = await issueSelfSigned({ names: ['localhost', '127.0.0.1'], validDays: 10 });
  writeFileSync(join(rig.folder, 'server.crt'), next.certificatePem);
  await rig.server.reload();
  expect(rig.log.join('')).toMatch(/config\.refused.*does not belong to/);
  expect(await fingerprint()).toBe(before);
  writeFileSync(join(rig.folder, 'server.key'), next.keyPem);
  await rig.server.reload();
  await waitUntil(async () => (await fingerprint()) !== before, 5_000, 'the new certificate');
  backend.listChanged('tools');
  await waitUntil(() => stream.received().includes('tools/list_changed'), 5_000, 'an event on the old stream');
});

test('a certificate whose names cannot be accepted hosts is refused as a whole, and the next good one is taken', async () => {
  const rig = await start({ tls: true });
  const fingerprint = (): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connectTls({ port: portOf(rig.url), host: '127.0.0.1', rejectUnauthorized: false }, () => {
        resolve(socket.getPeerCertificate().fingerprint256);
        socket.destroy();
      });
      socket.on('error', reject);
    });
  const before = await fingerprint();
  const keys = forge.pki.rsa.generateKeyPair(2_048);
  const odd = forge.pki.createCertificate();
  odd.publicKey = keys.publicKey;
  odd.validity.notAfter = new Date(Date.now() + 86_400_000);
  odd.setExtensions([{ name: 'subjectAltName', altNames: [{ type: 2, value: 'bad..name' }] }]);
  odd.sign(keys.privateKey, forge.md.sha256.create());
  writeFileSync(join(rig.folder, 'server.crt'), forge.pki.certificateToPem(odd));
  writeFileSync(join(rig.folder, 'server.key'), forge.pki.privateKeyToPem(keys.privateKey));
  for (let look = 0; look < 2; look++) {
    await rig.server.reload();
    expect(await fingerprint()).toBe(before);
  }
  expect(rig.log.join('').match(/config\.refused/g)?.length).toBeGreaterThanOrEqual(2);
  expect((await rig.post(ping)).status).toBe(200);
  const next = await issueSelfSigned({ names: ['localhost', '127.0.0.1'], validDays: 10 });
  writeFileSync(join(rig.folder, 'server.crt'), next.certificatePem);
  writeFileSync(join(rig.folder, 'server.key'), next.keyPem);
  await rig.server.reload();
  await waitUntil(async () => (await fingerprint()) !== before, 5_000, 'the new certificate');
});
