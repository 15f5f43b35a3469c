import { createServer, type AddressInfo } from 'node:net';
import { describe, expect, test } from 'vitest';
import { issueCertificate, issueSelfSigned } from '../fixtures/mcp-servers/certificates.ts';
import { faults as endpointFaults } from './endpoint-faults.ts';
import { afterwards, ca, diagnose, inShort, key, serve } from './laboratory.ts';
import { securityFaults } from './security-faults.ts';

const faults = [...endpointFaults, ...securityFaults];

describe('a fault is named first, with its hop', () => {
  test.each(faults.map((each) => [`${each.fault} -> ${each.code}`, each] as const))(
    '%s',
    async (_, { code, hop, severity = 'error', server, doctor, url = same }) => {
      const report = await diagnose(url((await serve(server)).url), doctor);
      expect(report.findings[0], inShort(report)).toMatchObject({ code, hop, severity });
      expect(report.rootCause).toBe(severity === 'error' ? code : null);
    },
  );
});

describe('its healthy twin is left in peace', () => {
  test.each(faults.map((each) => [`${each.code}: ${each.twin.fact}`, each] as const))(
    '%s',
    async (_, { twin: { server, doctor, url = same } }) => {
      const report = await diagnose(url((await serve(server)).url), doctor);
      expect(report.findings, inShort(report)).toEqual([]);
      expect(report.ok, inShort(report)).toBe(true);
    },
  );
});

test('nothing listens on the port -> tcp/reachable', async () => {
  const server = await serve();
  await server.close();
  const report = await diagnose(server.url);
  expect(report).toMatchObject({ rootCause: 'tcp/reachable', findings: [{ hop: 'tcp' }] });
  expect(report.notChecked).toContainEqual({
    code: 'tls/handshake',
    kind: 'follows',
    reason: 'follows from tcp/reachable',
  });
});

test('a port that accepts and stays silent -> tls/handshake', async () => {
  const silent = createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const sockets: { destroy(): void }[] = [];
  silent.on('connection', (socket) => sockets.push(socket));
  afterwards(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => silent.close(resolve));
  });
  const { port } = silent.address() as AddressInfo;
  const report = await diagnose(`https://localhost:${port}/mcp`, { patience: { tlsMs: 500 } });
  expect(report).toMatchObject({
    rootCause: 'tls/handshake',
    findings: [{ title: 'the TLS handshake gets no answer' }],
  });
});

test('TLS 1.1 is still spoken -> tls/versions', async () => {
  const server = await serve({ oldTls: true });
  const report = await diagnose(server.url);
  expect(report.findings, inShort(report)).toMatchObject([{ code: 'tls/versions', hop: 'tls', severity: 'warning' }]);
});

test('of an expired certificate on a server that lets everyone in, the certificate is the root cause', async () => {
  const server = await serve({ key: null, certificate: issueCertificate(ca, ['localhost'], { from: -90, to: -1 }) });
  expect(await diagnose(server.url)).toMatchObject({ rootCause: 'tls/not-expired', findings: [{}] });
});

test('the key never leaves before the certificate is trusted', async () => {
  const server = await serve({ certificate: issueSelfSigned(['localhost']) });
  await diagnose(server.url);
  expect(server.requests).toEqual([]);
});

test('a server that repeats the key gets it into no report', async () => {
  const server = await serve({
    intercept: (request, response) => {
      response.writeHead(500, { 'content-type': 'text/plain', server: `x ${request.headers.authorization ?? ''}` });
      response.end(`you sent ${request.headers.authorization ?? ''} and ${String(request.headers['x-api-key'] ?? '')}`);
      return true;
    },
  });
  const report = await diagnose(server.url);
  expect(report.rootCause).toBe('http/no-server-error');
  expect(JSON.stringify(report)).not.toContain(key);
});

test('no more than 200 calls are sent to look for a limit', async () => {
  const server = await serve({ limit: null });
  let calls = 0;
  const counting = await serve({
    limit: null,
    intercept: (_, __, body) => {
      if (body.includes('no-such-tool')) calls += 1;
      return false;
    },
  });
  await diagnose(server.url, { limits: false });
  await diagnose(counting.url);
  // Two of the 200 are kept for what comes after a 429.
  expect(calls).toBe(198);
  expect(server.requests.length).toBeLessThan(60);
});

test('limits are not tried on a server of somebody else without leave', async () => {
  const report = await diagnose((await serve()).url, { limits: false });
  expect(report.notChecked).toContainEqual(
    expect.objectContaining({
      code: 'limits/answers-429',
      kind: 'not-tried',
      reason: expect.stringContaining('--limits'),
    }),
  );
});

test('what was left out is not looked at', async () => {
  const server = await serve();
  const report = await diagnose(server.url, { only: ['tls'] });
  expect(report.passed.every(({ category }) => category === 'tls')).toBe(true);
  expect(server.requests.filter(({ method }) => method !== 'POST')).toEqual([]);
  await expect(diagnose(server.url, { skip: ['tsl'] })).rejects.toMatchObject({ why: 'Did you mean tls?' });
});

test.each(['stream/first-event', 'limits/answers-429', 'limits', 'stream'])(
  '%s alone is judged, and not taken for well',
  async (only) => {
    const report = await diagnose((await serve()).url, { only: [only] });
    expect(report.passed.some(({ code }) => code.startsWith(only))).toBe(true);
  },
);

test('what a stream says is in the report with its time, also without --deep', async () => {
  const server = await serve({
    intercept: (request, response) => {
      if (request.method !== 'GET' || request.url !== '/mcp') return false;
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      let left = 4;
      const say = (): void => {
        response.write(': here\n\n');
        left -= 1;
        if (left > 0) setTimeout(say, 20);
      };
      say();
      return true;
    },
  });
  const report = await diagnose(server.url, { only: ['stream'], patience: { streamWatchMs: 800 } });
  const { firstByteMs, heardAtMs = [] } = report.measures.streams[0] ?? {};
  // Two may come as one.
  expect(heardAtMs.length).toBeGreaterThan(1);
  expect([firstByteMs ?? 0, ...heardAtMs]).toEqual([firstByteMs ?? 0, ...heardAtMs].toSorted((a, b) => a - b));
});

test('an interrupt ends the look at once', async () => {
  const server = await serve({ intercept: () => true });
  const abort = new AbortController();
  const look = diagnose(server.url, {
    signal: abort.signal,
    onProgress: (text) => text.includes('asking') && abort.abort(new Error('interrupted')),
  });
  await expect(look).rejects.toThrow('interrupted');
});

function same(url: string): string {
  return url;
}
