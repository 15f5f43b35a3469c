import { Agent, request, type IncomingMessage } from 'node:http';
import type { Readable, Writable } from 'node:stream';
import { sendJson, sendUnavailable } from '../http/answers.ts';
import type { HttpRequest, HttpResponse } from '../http/http-message.ts';
import { QuickRequest } from '../http/quick/quick-request.ts';
import { workerHeaders } from '../http/peer-address.ts';
import { renderRpcError, rpcCodes } from '../protocol/rpc-text.ts';
import type { PassedOn } from './siblings.ts';

/** The way to the other workers of this server. */
export interface WorkerChannel {
  /** @param body the body where it has been read, else null */
  passOn(req: HttpRequest, res: HttpResponse, socketPath: string, given: PassedOn, body: string | null): void;
  /** Calls whose answer is not complete; streams that a client only listens on are not among them. */
  readonly inFlight: number;
  close(): void;
}

/** Of one connection only (RFC 9110 7.6.1), and what node:http answered or sets itself. */
const ofTheConnection: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'upgrade',
  'te',
  'expect',
]);
const idleConnections = 256;

/**
 * Passes requests on over Unix sockets, with connections kept open. The other worker judges them as if they had come to
 * it: the same headers, the client's address beside them. Head and body stream in both directions; a client that goes
 * takes its request with it.
 */
export function createWorkerChannel(): WorkerChannel {
  const agent = new Agent({ keepAlive: true, maxFreeSockets: idleConnections });
  let inFlight = 0;

  return {
    passOn(req, res, socketPath, given, body) {
      const isCall = req.method === 'POST';
      if (isCall) inFlight++;
      const headers = headersFor(req, given, body);
      const inner = request({ agent, socketPath, method: req.method ?? 'GET', path: req.url ?? '/', headers });
      inner.on('response', (answer) => {
        res.writeHead(answer.statusCode ?? 502, answerHead(answer));
        answer.on('error', () => res.destroy());
        // It is one, for all that a pipe needs.
        answer.pipe(res as unknown as Writable);
      });
      inner.on('error', (error: NodeJS.ErrnoException) => refuse(res, error, given.requestId));
      res.on('close', () => {
        if (isCall) inFlight--;
        if (!res.writableFinished) inner.destroy();
      });
      const whole = body ?? (req instanceof QuickRequest ? req.text : null);
      if (whole === null) (req as unknown as Readable).pipe(inner);
      else inner.end(whole);
    },
    get inFlight() {
      return inFlight;
    },
    close() {
      agent.destroy();
    },
  };
}

/** As they came, without what concerns the client's connection, and without what only a worker may say. */
function headersFor(req: HttpRequest, { peer, requestId }: PassedOn, body: string | null): string[] {
  const headers: string[] = [];
  const { rawHeaders } = req;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? '';
    const lower = name.toLowerCase();
    if (ofTheConnection.has(lower) || lower.startsWith('x-mcp-worker-')) continue;
    if (body !== null && (lower === 'content-length' || lower === 'transfer-encoding')) continue;
    headers.push(name, rawHeaders[at + 1] ?? '');
  }
  if (body !== null) headers.push('Content-Length', String(Buffer.byteLength(body)));
  headers.push(workerHeaders.peer, peer ?? '', workerHeaders.requestId, requestId);
  return headers;
}

function answerHead({ rawHeaders, headers }: IncomingMessage): string[] {
  const head: string[] = [];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? '';
    const lower = name.toLowerCase();
    if (ofTheConnection.has(lower) || lower === 'transfer-encoding') continue;
    head.push(name, rawHeaders[at + 1] ?? '');
  }
  // The other worker will read no more of this request, so neither may we.
  if (headers.connection === 'close') head.push('Connection', 'close');
  return head;
}

/** The other worker cannot be reached, or ended in the middle. */
function refuse(res: HttpResponse, error: NodeJS.ErrnoException, requestId: string): void {
  const extra = ['X-Request-Id', requestId];
  if (res.headersSent) {
    if (!res.writableEnded) res.destroy();
  } else if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') {
    // What it knew is gone with it.
    const message = 'The session is not known here: initialize again.';
    sendJson(res, 404, renderRpcError(null, { code: rpcCodes.unknownSession, message }), extra);
  } else {
    sendUnavailable(res, 'The part of this server that handled the call has ended; try again.', 1, extra);
  }
}
