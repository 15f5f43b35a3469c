import { readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { join } from 'node:path';

/** An open event stream of the legacy era: says how many bytes came and whether it still stands. */
export async function openEventStream(folder: string, port: number | undefined) {
  const key = (await readFile(join(folder, '.mcp-deploy/keys/default.key'), 'utf8')).trim();
  const ca = await readFile(join(folder, '.mcp-deploy/pki/ca.crt'), 'utf8');
  // The name of the site: Caddy answers 200 and nothing for every other one.
  const host = `localhost:${port}`;
  const headers = { host, authorization: `Bearer ${key}`, accept: 'application/json, text/event-stream' };
  const send = (method: string, more: Record<string, string>, body?: unknown) =>
    new Promise<IncomingMessage>((resolve, reject) => {
      const call = request(
        {
          host: '127.0.0.1',
          port,
          path: '/mcp',
          servername: 'localhost',
          ca,
          method,
          agent: false,
          headers: { ...headers, ...more },
        },
        resolve,
      );
      call.on('error', reject);
      call.end(body === undefined ? undefined : JSON.stringify(body));
    });
  const params = { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'test', version: '1' } };
  const hello = await send(
    'POST',
    { 'content-type': 'application/json' },
    { jsonrpc: '2.0', id: 1, method: 'initialize', params },
  );
  hello.resume();
  const session = String(hello.headers['mcp-session-id']);
  const stream = await send('GET', { 'mcp-session-id': session });
  let bytes = 0;
  let ended = false;
  stream.on('data', (chunk: Buffer) => (bytes += chunk.length));
  stream.on('close', () => (ended = true));
  return { status: stream.statusCode, bytes: () => bytes, ended: () => ended, close: () => stream.destroy() };
}
