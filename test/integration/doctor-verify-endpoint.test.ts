import { afterEach, beforeAll, expect, test } from 'vitest';
import { verifyEndpoint } from '../../src/doctor/probes/verify-endpoint.ts';
import { issueCertificate, makeAuthority, type TestCertificate } from '../fixtures/mcp-servers/certificates.ts';
import {
  answerJson,
  startFixtureServer,
  type FixtureOptions,
  type FixtureServer,
} from '../fixtures/mcp-servers/fixture-server.ts';

const key = 'k'.repeat(43);
let ca: TestCertificate;
let certificate: TestCertificate;
const running: FixtureServer[] = [];

beforeAll(() => {
  ca = makeAuthority('Test CA');
  certificate = issueCertificate(ca, ['localhost', '127.0.0.1']);
});

afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.close()));
});

async function start(options: Partial<FixtureOptions> = {}): Promise<FixtureServer> {
  const server = await startFixtureServer({ certificate, key, ...options });
  running.push(server);
  return server;
}

function verify(url: string, overrides: { caPem?: string | null; key?: string | null } = {}) {
  return verifyEndpoint({ url, caPem: ca.certificatePem, key, ...overrides }, new AbortController().signal);
}

test('clients of both eras use a healthy endpoint and one echo is answered', async () => {
  const server = await start();
  expect(await verify(server.url)).toEqual({
    modern: true,
    legacy: true,
    tools: 1,
    called: { tool: 'echo', durationMs: expect.any(Number), isError: false },
  });
});

test('no session is left on the server', async () => {
  const server = await start();
  await verify(server.url);
  expect(server.requests.filter(({ method }) => method === 'DELETE')).toHaveLength(1);
});

test('a server without tools is fine, nothing is called', async () => {
  const server = await start({ noTools: true });
  expect(await verify(server.url)).toEqual({ modern: true, legacy: true, tools: 0, called: null });
});

test('a certificate of another CA is named as the reason', async () => {
  const server = await start();
  const other = makeAuthority('Another CA');
  await expect(verify(server.url, { caPem: other.certificatePem })).rejects.toMatchObject({
    name: 'EnvironmentError',
    why: expect.stringMatching(/^TLS: the certificate is not signed by the CA of this deployment/),
  });
});

test('a certificate for another name is named as the reason', async () => {
  const server = await start({ certificate: issueCertificate(ca, ['elsewhere.example']) });
  await expect(verify(server.url)).rejects.toMatchObject({
    why: 'TLS: the certificate is not for the name localhost',
  });
});

test('an expired certificate is named as the reason', async () => {
  const server = await start({ certificate: issueCertificate(ca, ['localhost'], { from: -9, to: -2 }) });
  await expect(verify(server.url)).rejects.toMatchObject({ why: 'TLS: the certificate has expired' });
});

test('a port on which nothing listens is named as the reason', async () => {
  const server = await start();
  await server.close();
  running.length = 0;
  await expect(verify(server.url)).rejects.toMatchObject({ why: expect.stringContaining('nothing listens on') });
});

test('plain HTTP on the port is named as the reason', async () => {
  const server = await start({ certificate: null });
  await expect(verify(server.url.replace('http:', 'https:'))).rejects.toMatchObject({
    why: expect.stringContaining('does not speak TLS'),
  });
});

test('a refused key is named as the reason', async () => {
  const server = await start();
  await expect(verify(server.url, { key: 'wrong' })).rejects.toMatchObject({ why: 'it refused the key (401)' });
});

test('a missing key is named as the reason', async () => {
  const server = await start();
  await expect(verify(server.url, { key: null })).rejects.toMatchObject({
    why: 'it asks for a key (401) and none was given',
  });
});

test('a server of the legacy era only is named as the reason', async () => {
  const server = await start({ eras: 'legacy' });
  await expect(verify(server.url)).rejects.toThrow(/answers clients of the legacy era only/);
});

test('a server of the modern era only is named as the reason', async () => {
  const server = await start({ eras: 'modern' });
  await expect(verify(server.url)).rejects.toThrow(/a legacy MCP client could not connect/);
});

test('an HTML page is named as the reason', async () => {
  const server = await start({
    intercept: (_, response) => {
      response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Sign in</html>');
      return true;
    },
  });
  await expect(verify(server.url)).rejects.toMatchObject({ why: expect.stringContaining('an HTML page was answered') });
});

test('a failing tool call is named with its tool', async () => {
  const server = await start({
    intercept: (_, response, body) => {
      if (!body.includes('tools/call')) return false;
      answerJson(response, 500, { title: 'broken' });
      return true;
    },
  });
  await expect(verify(server.url)).rejects.toThrow(/could not call the tool "echo"/);
});

test('an interrupt ends it at once', async () => {
  const server = await start({ intercept: () => true });
  const abort = new AbortController();
  const pending = verifyEndpoint({ url: server.url, caPem: ca.certificatePem, key }, abort.signal);
  abort.abort(new Error('interrupted'));
  await expect(pending).rejects.toThrow('interrupted');
});

test('a good-bye that is never answered does not hold it up for long', async () => {
  const server = await start({ intercept: (request) => request.method === 'DELETE' });
  const startedAt = performance.now();
  await verify(server.url);
  // Without a bound of its own the good-bye would wait for the 20 s of a look.
  expect(performance.now() - startedAt).toBeLessThan(15_000);
});
