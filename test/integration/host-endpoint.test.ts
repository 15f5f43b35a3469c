import type { RequestListener } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { createClock } from '../../src/host/clock.ts';
import { createEndpoint } from '../../src/host/endpoint.ts';
import { createIssuer } from '../../src/host/issuer.ts';

const endpoint = createEndpoint();
const open: Server[] = [];
let ca = { certificatePem: '', keyPem: '' };
let leaf = { certificatePem: '', keyPem: '' };

beforeAll(async () => {
  const issuer = createIssuer(createClock());
  ca = await issuer.privateCa({ commonName: 'test', names: ['localhost'] });
  leaf = await issuer.certificate({
    caCertificatePem: ca.certificatePem,
    caKeyPem: ca.keyPem,
    names: ['localhost'],
    validDays: 7,
  });
});

afterEach(() => {
  for (const server of open.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer({ cert: leaf.certificatePem, key: leaf.keyPem }, listener);
  open.push(server);
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return `https://localhost:${(server.address() as AddressInfo).port}/readyz`;
}

test.each([200, 503])('gives status %i and body of an answer that our CA vouches for', async (status) => {
  const url = await serve((_request, response) => response.writeHead(status).end('{"status":"x"}'));
  expect(await endpoint.ready(url, ca.certificatePem)).toEqual({ status, body: '{"status":"x"}' });
});

test('an answer with a certificate that the CA does not vouch for is no answer', async () => {
  const url = await serve((_request, response) => response.end());
  const other = await createIssuer(createClock()).privateCa({ commonName: 'other', names: ['localhost'] });
  expect(await endpoint.ready(url, other.certificatePem)).toBe(null);
});

test('without a CA of ours every certificate will do: it is the user’s, for another name than this address', async () => {
  const url = await serve((_request, response) => response.end('up'));
  expect(await endpoint.ready(url.replace('localhost', '127.0.0.1'), null)).toEqual({ status: 200, body: 'up' });
});

test('nothing listens: null', async () => {
  const url = await serve(() => {});
  await new Promise((resolve) => open.splice(0)[0]?.close(resolve));
  expect(await endpoint.ready(url, ca.certificatePem)).toBe(null);
});

test.each<[string, RequestListener]>([
  ['never answers', () => {}],
  [
    'drips without an end',
    (_request, response) => {
      const drip = setInterval(() => response.write('x'), 100);
      response.on('close', () => clearInterval(drip));
    },
  ],
])('a server that %s is given up after two seconds', async (_what, listener) => {
  const url = await serve(listener);
  const startedAt = performance.now();
  expect(await endpoint.ready(url, ca.certificatePem)).toBe(null);
  expect(performance.now() - startedAt).toBeGreaterThanOrEqual(1_900);
});

test('a server that cuts the answer off gave none', async () => {
  const url = await serve((_request, response) => {
    response.writeHead(200, { 'content-length': '100' });
    response.write('half');
    setTimeout(() => response.destroy(), 20);
  });
  expect(await endpoint.ready(url, ca.certificatePem)).toBe(null);
});
