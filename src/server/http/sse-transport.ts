import type { HttpRequest, HttpResponse } from './http-message.ts';
import type { ProtocolHost } from '../protocol/protocol-host.ts';
import { renderRpcError, rpcCodes } from '../protocol/rpc-text.ts';
import type { Session } from '../protocol/session.ts';
import type { Caller } from '../types.ts';
import { sendJson, sendUnavailable } from './answers.ts';
import type { EventStream } from './event-stream.ts';

/** Until initialize says another: the transport is that of this revision. */
const firstRevision = '2024-11-05';
/** Part of a path that a proxy took away; nothing that could lead to another host. */
const sanePrefix = /^(?:\/[A-Za-z0-9._~-]+)+$/;

/** One open stream of the old transport, and the session that lives as long as it does. */
export interface SseConnection {
  readonly session: Session;
  readonly stream: EventStream;
}

/**
 * The HTTP+SSE transport of MCP 2024-11-05: a GET opens the session and its only stream, messages are posted to another
 * path, and every answer comes on the stream. Sessions, keys and limits are those of the endpoint.
 */
export class SseTransport {
  readonly #host: ProtocolHost;
  readonly #messagesPath: string;
  readonly #open: Map<string, SseConnection>;

  /** @param open the connections, which outlive this transport when paths change */
  constructor(host: ProtocolHost, messagesPath: string, open: Map<string, SseConnection>) {
    this.#host = host;
    this.#messagesPath = messagesPath;
    this.#open = open;
  }

  /** @param trusted the peer is a trusted proxy: its X-Forwarded-Prefix goes before the path that clients post to */
  connect(req: HttpRequest, res: HttpResponse, caller: Caller, trusted: boolean, extra: readonly string[]): void {
    if (!/text\/event-stream|\*\/\*|text\/\*/i.test(req.headers.accept ?? '*/*')) {
      const error = { code: rpcCodes.badRequest, message: 'A stream needs Accept: text/event-stream.' };
      sendJson(res, 406, renderRpcError(null, error), extra);
      return;
    }
    const release = this.#host.takeStream(caller, res, extra);
    if (release === null) return;
    const session = this.#host.sessions.open(caller.keyId, firstRevision, {});
    if (session === null) {
      release();
      sendUnavailable(res, 'This server has as many open sessions as it may; try again later.', 30, extra);
      return;
    }
    const stream = this.#host.streams.open(res, extra);
    this.#open.set(session.id, { session, stream });
    const given = trusted ? req.headers['x-forwarded-prefix'] : undefined;
    const prefix = typeof given === 'string' && sanePrefix.test(given) ? given : '';
    stream.sendEvent('endpoint', `${prefix}${this.#messagesPath}?sessionId=${session.id}`);
    session.attachStream(stream);
    res.on('close', () => {
      stream.lost();
      this.#open.delete(session.id);
      this.#host.sessions.end(session);
      release();
    });
  }

  /** The connection that a POST belongs to; a foreign key learns nothing but "unknown". */
  find(sessionId: string, caller: Caller): SseConnection | null {
    const connection = this.#open.get(sessionId);
    if (connection === undefined || connection.session.ended) return null;
    return this.#host.sessions.find(sessionId, caller.keyId) === null ? null : connection;
  }
}
