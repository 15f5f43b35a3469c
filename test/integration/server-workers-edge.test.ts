import { readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { issueSelfSigned } from '../../src/pki/issue-certificate.ts';
import { openStream } from '../helpers/http-call.ts';
import { buildServerBundle } from '../helpers/server-bundle.ts';
import { modernRequest } from '../helpers/server-rig.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { openWorkersHouse, postMessage, sessionsOfAll, toolCall, type WorkersHouse } from '../helpers/workers-house.ts';

let bundle = '';
let house: WorkersHouse;
beforeAll(async () => {
  bundle = await buildServerBundle();
});
beforeEach(() => {
  house = openWorkersHouse(bundle);
});
afterEach(() => house.close());

const echo = (message: string, id = 1): object => toolCall('echo', { message }, id);

test('a modern call that asks is gone on with over any connection, at whichever worker it waits', async () => {
  const { url } = await house.serve(3, {}, true);
  const may = { elicitation: {} };
  const owners = new Set<string>();
  await waitUntil(
    async () => {
      const first = modernRequest(1, 'tools/call', { name: 'ask', arguments: {} }, may);
      const asked = JSON.parse((await postMessage(url, first.message, { headers: first.headers })).body) as {
        result: { resultType: string; requestState: string; inputRequests: Record<string, unknown> };
      };
      const { resultType, requestState, inputRequests } = asked.result;
      expect(resultType).toBe('input_required');
      const [question = ''] = Object.keys(inputRequests);
      const inputResponses = { [question]: { action: 'accept', content: { name: requestState } } };
      const again = modernRequest(2, 'tools/call', { name: 'ask', arguments: {}, requestState, inputResponses }, may);
      const answer = await postMessage(url, again.message, { headers: again.headers });
      expect(answer.status, answer.body).toBe(200);
      expect(answer.body).toContain(`hello ${requestState}`);
      owners.add(/w\d-/.exec(requestState)?.[0] ?? '');
      return owners.size === 3;
    },
    20_000,
    'a call parked at each worker',
  );
}, 40_000);

test('both halves of HTTP+SSE meet, whichever workers their connections go to', async () => {
  const { url } = await house.serve(2, { server: { legacySse: { sse: '/sse', messages: '/messages' } } });
  const { origin } = new URL(url);
  const streams = await Promise.all(
    Array.from({ length: 4 }, () => openStream({ url: `${origin}/sse`, headers: { accept: 'text/event-stream' } })),
  );
  const pathOf = (stream: (typeof streams)[number]): string =>
    /event: endpoint\ndata: (\S+)\n\n/.exec(stream.received())?.[1] ?? '';
  await waitUntil(() => streams.every((stream) => pathOf(stream) !== ''), 10_000, 'the endpoint events');
  expect(new Set(streams.map((stream) => /w\d-/.exec(pathOf(stream))?.[0])).size).toBe(2);
  const params = { protocolVersion: '2024-11-05', capabilities: {}, clientInfo: { name: 't', version: '1' } };
  for (const [number, stream] of streams.entries()) {
    const messages = origin + pathOf(stream);
    const opened = await postMessage(messages, { jsonrpc: '2.0', id: 'i', method: 'initialize', params });
    expect(opened.status).toBe(202);
    const posts = Array.from({ length: 4 }, (_, at) => postMessage(messages, echo(`stream ${number} call ${at}`, at)));
    for (const answer of await Promise.all(posts)) expect(answer.status).toBe(202);
  }
  for (const [number, stream] of streams.entries()) {
    const seen = (): string[] => stream.received().match(/stream \d call \d/g) ?? [];
    await waitUntil(() => new Set(seen()).size === 4, 10_000, 'the answers');
    expect(seen().filter((text) => !text.startsWith(`stream ${number} `))).toEqual([]);
    stream.close();
  }
}, 40_000);

describe('sessions are found at their worker', () => {
  test('over TLS, and a TLS session of one worker is resumed at another', async () => {
    const issued = await issueSelfSigned({ names: ['localhost', '127.0.0.1'], validDays: 10 });
    const [certificate, key] = [join(house.folder, 'tls.crt'), join(house.folder, 'tls.key')];
    writeFileSync(certificate, issued.certificatePem);
    writeFileSync(key, issued.keyPem, { mode: 0o600 });
    const { url } = await house.serve(2, { tls: { source: 'files', certificate, key } });
    expect(url).toMatch(/^https:/);
    const ca = issued.certificatePem;
    for (const session of await sessionsOfAll(url, 2, { ca })) {
      for (let time = 0; time < 4; time++) {
        const answer = await postMessage(url, echo(`time ${time}`), { session, ca });
        expect(answer.body).toContain(`time ${time}`);
      }
    }
    const dial = (session?: Buffer): Promise<{ reused: boolean; session: Buffer }> =>
      new Promise((resolve, reject) => {
        const { port } = new URL(url);
        const given = session === undefined ? {} : { session };
        const socket = connectTls({ host: '127.0.0.1', port: Number(port), ca, servername: 'localhost', ...given });
        const settle = (latest: Buffer): void => {
          resolve({ reused: socket.isSessionReused(), session: latest });
          socket.destroy();
        };
        if (session === undefined) socket.once('session', settle);
        else socket.once('secureConnect', () => settle(session));
        socket.on('error', reject).resume();
      });
    const { session } = await dial();
    const again = await Promise.all(Array.from({ length: 4 }, () => dial(session)));
    expect(again.map(({ reused }) => reused)).toEqual([true, true, true, true]);
  }, 40_000);

  test('over a Unix socket beside a TCP port', async () => {
    const socketPath = join(house.folder, 'mcp.sock');
    const { url } = await house.serve(2, { server: { listen: ['127.0.0.1:0', `unix:${socketPath}`] } });
    const overTcp = await sessionsOfAll(url, 2);
    const overUnix = await sessionsOfAll(url, 2, { socketPath });
    for (const session of [...overTcp, ...overUnix]) {
      for (const way of [{ session }, { session, socketPath }]) {
        for (let time = 0; time < 3; time++) expect((await postMessage(url, echo('both'), way)).body).toContain('both');
      }
    }
  }, 40_000);

  test('behind a proxy that speaks the PROXY protocol, and the audit knows the client also of calls passed on', async () => {
    const audit = join(house.folder, 'audit.jsonl');
    const { url } = await house.serve(2, {
      server: { proxyProtocol: 'optional', trustedProxies: ['loopback'] },
      logs: { audit },
    });
    const sessions = await sessionsOfAll(url, 2);
    let sent = 0;
    for (let client = 1; client <= 4; client++) {
      for (const session of sessions) {
        const answer = await behindProxy(url, `203.0.113.${client}`, session, echo(`from ${client}`));
        expect(answer).toContain(`from ${client}`);
        sent++;
      }
    }
    const calls = (): string[] =>
      readFileSync(audit, 'utf8')
        .split('\n')
        .filter((line) => line.includes('"method":"tools/call"'));
    await waitUntil(() => calls().length === sent, 10_000, 'the audit lines');
    const addresses = calls().map((line) => (JSON.parse(line) as { address: string }).address);
    expect(addresses.toSorted()).toEqual([1, 1, 2, 2, 3, 3, 4, 4].map((client) => `203.0.113.${client}`));
  }, 40_000);
});

/** A request on a connection of its own, as HAProxy sends it for a client. */
function behindProxy(url: string, client: string, session: string, message: object): Promise<string> {
  const { port, host } = new URL(url);
  const body = JSON.stringify(message);
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: Number(port) });
    let received = '';
    socket.on('data', (chunk: Buffer) => (received += chunk.toString()));
    socket.on('error', reject);
    socket.on('close', () => resolve(received));
    socket.write(`PROXY TCP4 ${client} 127.0.0.1 50000 ${port}\r\n`);
    socket.write(
      [
        'POST /mcp HTTP/1.1',
        `host: ${host}`,
        'content-type: application/json',
        'accept: application/json',
        `mcp-session-id: ${session}`,
        `content-length: ${Buffer.byteLength(body)}`,
        'connection: close',
        '',
        body,
      ].join('\r\n'),
    );
  });
}
