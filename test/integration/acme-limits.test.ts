import { createServer, type Server } from 'node:https';
import { afterEach, expect, test } from 'vitest';
import { explainRefusal, AcmeRefusal, parseRetryAfter } from '../../src/host/acme/acme-failure.ts';
import { createAcmeTransport } from '../../src/host/acme/acme-transport.ts';
import { readRenewalWindow, renewalIdOf } from '../../src/host/acme/renewal-info.ts';
import { issueCertificate } from '../../src/pki/issue-certificate.ts';
import { issuePrivateCa } from '../../src/pki/issue-private-ca.ts';

/** What pebble does not do: limits, renewal information, a server in trouble. */
const ca = await issuePrivateCa({ commonName: 'limits', names: ['localhost', '127.0.0.1'] });
const pair = await issueCertificate({ ca, names: ['localhost', '127.0.0.1'], validDays: 10 });
let server: Server | null = null;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

async function serve(answer: (url: string) => { status: number; headers?: Record<string, string>; body: unknown }) {
  const asked: string[] = [];
  const made = createServer({ cert: pair.certificatePem, key: pair.keyPem }, (request, response) => {
    asked.push(request.url ?? '');
    const { status, headers, body } = answer(request.url ?? '');
    response.writeHead(status, { 'content-type': 'application/problem+json', ...headers }).end(JSON.stringify(body));
  });
  server = made;
  await new Promise<void>((resolve) => made.listen(0, '127.0.0.1', resolve));
  const url = `https://127.0.0.1:${(made.address() as { port: number }).port}`;
  const options = {
    directoryUrl: url,
    caPem: ca.certificatePem,
    userAgent: 'test',
    signal: new AbortController().signal,
  };
  return { url, asked, transport: createAcmeTransport({ ...options, requestTimeoutMs: 2_000 }) };
}

test('a limit is not waited for in silence: it is said how long to wait, at once', async () => {
  const body = {
    type: 'urn:ietf:params:acme:error:rateLimited',
    detail: 'too many certificates\u0007for example.com',
  };
  const { url, asked, transport } = await serve(() => ({ status: 429, headers: { 'retry-after': '5400' }, body }));
  const error: unknown = await transport.request(`${url}/order`, 'post', {}).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(AcmeRefusal);
  expect(asked).toEqual(['/order']);
  const said = explainRefusal(error as AcmeRefusal, 'No order.', url);
  expect(said.next).toContain('Wait 90 minutes');
  expect(said.why).toContain('(rateLimited): too many certificates for example.com');
});

test('a server in trouble is asked three times; what is no problem document is said with its status', async () => {
  let calls = 0;
  const { url, transport } = await serve(() => ({ status: ++calls < 3 ? 503 : 200, body: { calls } }));
  expect((await transport.request(url, 'get')).data).toEqual({ calls: 3 });
  calls = -10;
  await expect(transport.request(url, 'get')).rejects.toThrow('It answered 503.');
});

test('Retry-After is a number of seconds or a date', () => {
  const now = new Date('2026-01-01T00:00:00Z');
  expect(parseRetryAfter('120', now)).toBe(120);
  expect(parseRetryAfter('Thu, 01 Jan 2026 00:01:00 GMT', now)).toBe(60);
  expect(parseRetryAfter('soon', now)).toBe(null);
});

test('the window of renewal is read under the name that RFC 9773 gives the certificate; odd answers are none', async () => {
  const id = renewalIdOf(pair.certificatePem);
  expect(id).toMatch(/^[\w-]+\.[\w-]+$/);
  const window = { start: '2026-02-01T00:00:00Z', end: '2026-02-02T00:00:00Z' };
  let odd = false;
  const { url, asked, transport } = await serve((path) => ({
    status: 200,
    headers: { 'content-type': 'application/json' },
    body:
      path === '/dir'
        ? { renewalInfo: `${url}/ari` }
        : odd
          ? { suggestedWindow: { start: 'x' } }
          : { suggestedWindow: window },
  }));
  const read = () => readRenewalWindow(pair.certificatePem, `${url}/dir`, (at) => transport.request(at, 'get'));
  expect((await read())?.end.toISOString()).toBe('2026-02-02T00:00:00.000Z');
  expect(asked).toContain(`/ari/${id}`);
  odd = true;
  expect(await read()).toBe(null);
});
