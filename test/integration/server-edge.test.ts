import { readFileSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { afterEach, describe, expect, test } from 'vitest';
import type { DeploymentInput } from '../../src/deployment/schema.ts';
import { deriveTicketKeys } from '../../src/server/http/ticket-keys.ts';
import { echoBackend } from '../helpers/fake-backend.ts';
import { callHttp } from '../helpers/http-call.ts';
import { freePorts, startHaproxy } from '../helpers/proxy-rig.ts';
import { firstKey, startRig, type RigOptions, type ServerRig } from '../helpers/server-rig.ts';
import { testWithTools } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const cleanUps: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
});

async function start(options: RigOptions): Promise<ServerRig & { readonly audited: () => string[] }> {
  const audit = join(tmpdir(), `mcpd-edge-${process.pid}-${Math.random().toString(36).slice(2)}.jsonl`);
  const rig = await startRig({ backends: [echoBackend()], audit, ...options });
  cleanUps.push(() => rig.stop());
  return {
    ...rig,
    /** Addresses that the audit file has calls of. */
    audited: () =>
      readFileSync(audit, 'utf8')
        .split('\n')
        .filter((line) => line.includes('"method":"tools/call"'))
        .map((line) => String((JSON.parse(line) as Record<string, unknown>)['address'])),
  };
}

const body = JSON.stringify({
  jsonrpc: '2.0',
  id: 1,
  method: 'tools/call',
  params: {
    name: 'echo',
    arguments: { message: 'through' },
    _meta: {
      'io.modelcontextprotocol/protocolVersion': '2026-07-28',
      'io.modelcontextprotocol/clientInfo': { name: 'edge', version: '1' },
      'io.modelcontextprotocol/clientCapabilities': {},
    },
  },
});
const headers = {
  authorization: `Bearer ${firstKey}`,
  'content-type': 'application/json',
  accept: 'application/json, text/event-stream',
  'mcp-protocol-version': '2026-07-28',
  'mcp-method': 'tools/call',
  'mcp-name': 'echo',
};
const request = [
  'POST /mcp HTTP/1.1',
  'host: 127.0.0.1',
  ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  `content-length: ${Buffer.byteLength(body)}`,
  'connection: close',
  '',
  body,
].join('\r\n');

/** Sends these pieces one after the other, each in a packet of its own; gives all that comes back. */
async function exchange(socket: Socket, pieces: readonly (string | Buffer)[]): Promise<string> {
  cleanUps.push(() => void socket.destroy());
  socket.setNoDelay(true);
  let received = '';
  socket.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')));
  socket.on('error', () => {});
  const closed = new Promise<void>((resolve) => void socket.once('close', () => resolve()));
  for (const piece of pieces) {
    await new Promise<void>((resolve) => void socket.write(piece, () => resolve()));
    await new Promise((resolve) => void setTimeout(resolve, 5));
  }
  await closed;
  return received;
}

const dial = (rig: ServerRig): Socket => connect({ port: Number(new URL(rig.url).port), host: '127.0.0.1' });

const v1 = 'PROXY TCP4 203.0.113.7 127.0.0.1 50000 443\r\n';
const v2 = Buffer.from('0d0a0d0a000d0a515549540a2111000cc63364097f000001c35001bb', 'hex');
const behindProxy = (more: DeploymentInput['server'] = {}): RigOptions => ({
  server: { proxyProtocol: 'required', trustedProxies: ['loopback'], ...more },
});

describe('the client of a connection is the one that the PROXY header of a trusted proxy names', () => {
  test.each<[string, readonly (string | Buffer)[], string]>([
    ['version 1, in one packet with the request', [v1 + request], '203.0.113.7'],
    ['version 1, in packets of their own', [v1, request], '203.0.113.7'],
    ['version 1, cut anywhere', [v1.slice(0, 3), v1.slice(3, 30), v1.slice(30) + request], '203.0.113.7'],
    ['version 2', [v2, request], '198.51.100.9'],
    ['version 2, cut anywhere', [v2.subarray(0, 5), v2.subarray(5, 20), v2.subarray(20), request], '198.51.100.9'],
    ['the proxy itself', ['PROXY UNKNOWN\r\n', request], '127.0.0.1'],
  ])('%s', async (_title, pieces, address) => {
    const rig = await start(behindProxy());
    expect(await exchange(dial(rig), pieces)).toContain('through');
    await waitUntil(() => rig.audited().length === 1, 5_000, 'the audit line');
    expect(rig.audited()).toEqual([address]);
  });

  test('over TLS, which begins after the header', async () => {
    const rig = await start({ ...behindProxy(), tls: true });
    const socket = dial(rig);
    socket.write(v2);
    const secured = connectTls({ socket, ca: rig.ca, servername: 'localhost' });
    expect(await exchange(secured, [request])).toContain('through');
    await waitUntil(() => rig.audited().length === 1, 5_000, 'the audit line');
    expect(rig.audited()).toEqual(['198.51.100.9']);
  });

  test('and what it says of others counts only if it is a trusted proxy itself', async () => {
    const rig = await start(behindProxy());
    const forged = request.replace('host:', 'x-forwarded-for: 192.0.2.66\r\nhost:');
    expect(await exchange(dial(rig), [v1 + forged])).toContain('through');
    await waitUntil(() => rig.audited().length === 1, 5_000, 'the audit line');
    expect(rig.audited()).toEqual(['203.0.113.7']);
  });
});

describe('a connection is closed without an answer when', () => {
  test.each<[string, RigOptions, string]>([
    ['no header comes where one must', behindProxy(), request],
    ['its header is broken', behindProxy(), `PROXY TCP9 x\r\n${request}`],
    ['its peer is no trusted proxy', behindProxy({ trustedProxies: ['203.0.113.0/24'] }), v1 + request],
    [
      'its peer is no trusted proxy, also where the header may be left out',
      behindProxy({ proxyProtocol: 'optional', trustedProxies: ['203.0.113.0/24'] }),
      v1 + request,
    ],
  ])('%s', async (_title, options, bytes) => {
    const rig = await start(options);
    expect(await exchange(dial(rig), [bytes])).toBe('');
    expect(rig.log.filter((line) => line.includes('proxy-protocol.refused'))).toHaveLength(1);
  });
});

test('where the header may be left out, a direct connection is its own client', async () => {
  const rig = await start(behindProxy({ proxyProtocol: 'optional' }));
  expect(await exchange(dial(rig), [request])).toContain('through');
  await waitUntil(() => rig.audited().length === 1, 5_000, 'the audit line');
  expect(rig.audited()).toEqual(['127.0.0.1']);
});

testWithTools(['haproxy'], 'HAProxy in TCP mode hands the address of its client on', async () => {
  const rig = await start({ ...behindProxy(), tls: true });
  const [port = 0] = await freePorts(1);
  const file = join(rig.folder, 'haproxy.cfg');
  writeFileSync(
    file,
    [
      'global\n  maxconn 100',
      'defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1m\n  timeout server 1m',
      `frontend in\n  bind 127.0.0.1:${port}\n  default_backend mcp`,
      `backend mcp\n  server one 127.0.0.1:${new URL(rig.url).port} send-proxy-v2`,
      '',
    ].join('\n'),
  );
  const proxy = await startHaproxy(file, [port]);
  cleanUps.push(() => proxy.stop());
  const url = `https://localhost:${port}/mcp`;
  const answer = await callHttp({ url, method: 'POST', headers, body, ca: rig.ca ?? '', connectTo: '127.0.0.1' });
  expect(answer.body).toContain('through');
  await waitUntil(() => rig.audited().length === 1, 5_000, 'the audit line');
  expect(rig.audited()).toEqual(['127.0.0.1']);
});

describe('TLS', () => {
  async function shake(rig: ServerRig, options: ConnectionOptions = {}): Promise<TLSSocket> {
    const socket = connectTls({
      port: Number(new URL(rig.url).port),
      host: '127.0.0.1',
      ca: rig.ca,
      servername: 'localhost',
      ...options,
    });
    cleanUps.push(() => void socket.destroy());
    await new Promise<void>((resolve, reject) => {
      socket.once('secureConnect', resolve);
      socket.once('error', reject);
    });
    return socket;
  }

  test('the modern profile speaks 1.3 alone, the intermediate one 1.2 too, and neither anything older', async () => {
    const [modern, intermediate] = [
      await start({ tls: true, server: { tlsProfile: 'modern' } }),
      await start({ tls: true }),
    ];
    expect((await shake(modern)).getProtocol()).toBe('TLSv1.3');
    await expect(shake(modern, { maxVersion: 'TLSv1.2' })).rejects.toThrow(/alert protocol version/i);
    expect((await shake(intermediate, { maxVersion: 'TLSv1.2' })).getProtocol()).toBe('TLSv1.2');
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
    await expect(shake(intermediate, old)).rejects.toThrow(/protocol version/i);
  });

  test('a session is resumed on the same server and not on one with another secret', async () => {
    const [one, other] = [await start({ tls: true }), await start({ tls: true })];
    const first = await shake(one, { maxVersion: 'TLSv1.2' });
    const session = first.getSession();
    if (session === undefined) throw new Error('no session');
    expect((await shake(one, { maxVersion: 'TLSv1.2', session })).isSessionReused()).toBe(true);
    expect((await shake(other, { maxVersion: 'TLSv1.2', session, ca: other.ca })).isSessionReused()).toBe(false);
  });

  test('the keys of tickets change every twelve hours and are the same for who has the secret', () => {
    const [secret, hour] = [Buffer.alloc(32, 7), 3_600_000];
    const keys = [0, 11.9, 12, 24].map((hours) => deriveTicketKeys(secret, hours * hour).toString('hex'));
    expect(keys[0]).toHaveLength(96);
    expect(keys[1]).toBe(keys[0]);
    expect(new Set(keys).size).toBe(3);
    expect(deriveTicketKeys(Buffer.alloc(32, 8), 0).toString('hex')).not.toBe(keys[0]);
  });
});
