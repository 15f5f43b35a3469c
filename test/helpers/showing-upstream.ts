import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';

/** A server that shows what reached it, so that a proxy can be judged request by request. */
export interface ShowingUpstream {
  readonly seen: { method: string; url: string; headers: IncomingMessage['headers']; body: string }[];
  /** Open event streams. */
  readonly streams: Set<ServerResponse>;
  close(): Promise<void>;
}

/** Longer than the length from which proxies compress. */
export const firstEvent = `data: ${'first '.repeat(400)}\n\n`;

/** Listens on a loopback port or a Unix socket, with TLS when there is a pair. */
export async function startShowingUpstream(
  at: string | number,
  pair: { readonly cert: string; readonly key: string } | null,
): Promise<ShowingUpstream> {
  const seen: ShowingUpstream['seen'] = [];
  const streams = new Set<ServerResponse>();
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      seen.push({ method, url, headers, body: Buffer.concat(chunks).toString() });
      // The proxy must not send this header twice.
      response.setHeader('x-content-type-options', 'nosniff');
      // Two policies would both count, and the page for people is told of by its own.
      if (url === '/') response.setHeader('content-security-policy', "default-src 'none'; script-src 'sha256-x'");
      if (headers.accept === 'text/event-stream') {
        response.writeHead(200, { 'content-type': 'text/event-stream' }).write(firstEvent);
        streams.add(response);
        response.on('close', () => streams.delete(response));
        return;
      }
      const status = Number(headers['x-answer'] ?? 200);
      response.writeHead(status, {
        'content-type': 'application/json',
        ...(status === 503 ? { 'retry-after': '30' } : {}),
      });
      response.end(status === 200 ? '{}' : '{"own":"error"}');
    });
  };
  const server = pair === null ? createServer(answer) : createTlsServer(pair, answer);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    if (typeof at === 'string') server.listen(at, resolve);
    else server.listen(at, '127.0.0.1', resolve);
  });
  return {
    seen,
    streams,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
