import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, expect, test } from 'vitest';
import { askOnce } from '../../src/doctor/probes/ask-once.ts';
import { createFetch } from '../../src/doctor/probes/https-fetch.ts';
import { initializeRequest } from '../../src/doctor/probes/rpc-request.ts';
import type { Answer } from '../../src/doctor/observations.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

test('a body that never ends is waited for no longer than was said, whatever is collected meanwhile', async () => {
  const collecting = setInterval(collectGarbage, 20);
  closers.push(() => clearInterval(collecting));
  const answer = await ask((_, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
  });
  expect(answer).toMatchObject({ kind: 'failed', failure: { kind: 'timed-out' }, head: { status: 200 } });
});

test('of an answer that is cut in its middle the head is kept', async () => {
  const answer = await ask((_, response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': '500' });
    response.write('{"jsonrpc":', () => response.destroy());
  });
  expect(answer).toMatchObject({
    kind: 'failed',
    failure: { kind: 'reset' },
    head: { status: 200, contentType: 'application/json' },
  });
});

async function ask(listener: RequestListener): Promise<Answer> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const signal = new AbortController().signal;
  const http = createFetch({ caPem: null, timeoutMs: 5_000, signal });
  closers.push(() => http.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`;
  return askOnce({ http, url, request: initializeRequest({}), timeoutMs: 400, secret: null }, signal);
}
