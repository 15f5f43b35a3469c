import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { createFetch, type Exchange, type HttpsFetchOptions } from '../../src/doctor/probes/https-fetch.ts';

const closers: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function serve(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

function fetcher(options: Partial<HttpsFetchOptions> = {}) {
  const fetch = createFetch({ caPem: null, timeoutMs: 5_000, ...options });
  closers.push(async () => fetch.close());
  return fetch;
}

test('a body is streamed, chunk by chunk, not collected', async () => {
  let more = (): void => {};
  const url = await serve((_, response) => {
    response.write('first');
    more = () => response.end('second');
  });
  const response = await fetcher()(url);
  const reader = response.body?.getReader();
  expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toBe('first');
  more();
  expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toBe('second');
  expect((await reader?.read())?.done).toBe(true);
});

test('a redirect is handed out, not followed', async () => {
  const url = await serve((_, response) => response.writeHead(302, { location: '/elsewhere' }).end());
  const response = await fetcher()(url);
  expect(response.status).toBe(302);
  expect(response.headers.get('location')).toBe('/elsewhere');
});

test('a server that does not answer is given up after the time-out', async () => {
  const url = await serve(() => {});
  await expect(fetcher({ timeoutMs: 50 })(url)).rejects.toMatchObject({
    message: 'fetch failed',
    cause: { code: 'ETIMEDOUT' },
  });
});

test('the time-out is over once the head is there: a long stream lives', async () => {
  let end = (): void => {};
  const url = await serve((_, response) => {
    response.write('x');
    end = () => response.end();
  });
  const response = await fetcher({ timeoutMs: 100 })(url);
  // The one thing to wait for here is that the time-out has passed.
  await new Promise((resolve) => {
    setTimeout(resolve, 200);
  });
  end();
  expect(await response.text()).toBe('x');
});

test('a body beyond the limit is cut off', async () => {
  const url = await serve((_, response) => {
    response.write('x'.repeat(2_000));
    response.end('x');
  });
  const response = await fetcher({ maxBodyBytes: 1_000 })(url);
  await expect(response.text()).rejects.toMatchObject({ code: 'ERR_RESPONSE_TOO_LARGE' });
});

test('an abort in mid-body ends the connection', async () => {
  let closed: Promise<unknown> = Promise.resolve();
  const url = await serve((request, response) => {
    closed = new Promise((resolve) => request.once('close', resolve));
    response.write('x');
  });
  const abort = new AbortController();
  const response = await fetcher()(url, { signal: abort.signal });
  abort.abort(new Error('enough'));
  await expect(response.text()).rejects.toThrow();
  await closed;
});

test('giving up the body ends the connection', async () => {
  let closed: Promise<unknown> = Promise.resolve();
  const url = await serve((request, response) => {
    closed = new Promise((resolve) => request.once('close', resolve));
    response.write('x');
  });
  const response = await fetcher()(url);
  await response.body?.cancel();
  await closed;
});

test('a connection that breaks in mid-body is an error, not an end', async () => {
  const url = await serve((_, response) => {
    response.writeHead(200, { 'content-length': '10' });
    response.write('half', () => response.destroy());
  });
  const response = await fetcher()(url);
  await expect(response.text()).rejects.toThrow();
});

test('answers without a body are answers', async () => {
  const url = await serve((_, response) => response.writeHead(204).end());
  const response = await fetcher()(url);
  expect([response.status, await response.text()]).toEqual([204, '']);
});

test('every exchange is told, with the JSON-RPC method that was sent', async () => {
  const seen: Exchange[] = [];
  const url = await serve((_, response) => response.writeHead(418, { 'x-a': '1' }).end());
  const fetch = fetcher({ onExchange: (exchange) => seen.push(exchange) });
  await fetch(url, { method: 'POST', body: '{"jsonrpc":"2.0","method":"ping","id":1}' });
  await fetch('http://127.0.0.1:1/').catch(() => {});
  expect(seen).toMatchObject([
    { method: 'POST', rpcMethod: 'ping', answer: { status: 418, headers: { 'x-a': '1' } } },
    { method: 'GET', rpcMethod: null, answer: { error: { code: 'ECONNREFUSED' } } },
  ]);
});
