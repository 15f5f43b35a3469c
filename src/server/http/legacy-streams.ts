import type { HttpRequest, HttpResponse } from './http-message.ts';
import { parseEventId } from '../protocol/event-log.ts';
import type { ProtocolHost } from '../protocol/protocol-host.ts';
import { isModernRevision } from '../protocol/revisions.ts';
import { renderRpcError, rpcCodes } from '../protocol/rpc-text.ts';
import type { Session } from '../protocol/session.ts';
import type { Caller } from '../types.ts';
import { sendEmpty, sendJson } from './answers.ts';

/**
 * GET of the legacy era: the session's stream for what belongs to no call, or, with Last-Event-ID, the stream that
 * was lost, from where it was lost. Sessionless and modern requests have no such stream: 405.
 */
export function answerSessionStream(
  host: ProtocolHost,
  req: HttpRequest,
  res: HttpResponse,
  caller: Caller,
  extra: readonly string[],
): void {
  withSession(host, req, res, caller, extra, (session) => openSessionStream(host, req, res, caller, extra, session));
}

function openSessionStream(
  host: ProtocolHost,
  req: HttpRequest,
  res: HttpResponse,
  caller: Caller,
  extra: readonly string[],
  session: Session,
): void {
  if (!/text\/event-stream|\*\/\*|text\/\*/i.test(req.headers.accept ?? '*/*')) {
    sendJson(res, 406, rpcRefusal('A stream needs Accept: text/event-stream.'), extra);
    return;
  }
  const release = host.takeStream(caller, res, extra);
  if (release === null) return;
  const stream = host.streams.open(res, ['Mcp-Session-Id', session.id, ...extra]);
  const resumed = parseEventId(String(req.headers['last-event-id'] ?? ''));
  let onClose = (): void => session.detachStream(stream);
  if (resumed === null || resumed.stream === 0) {
    session.attachStream(stream);
    if (resumed !== null) session.replayStandalone(stream, resumed.sequence);
  } else if (session.resumeAnswer(resumed.stream, resumed.sequence, stream)) {
    onClose = () => session.answerLost(resumed.stream, stream);
  } else {
    stream.end();
  }
  res.on('close', () => {
    stream.lost();
    onClose();
    release();
  });
}

/** DELETE of the legacy era: the client is done with its session. */
export function answerSessionDelete(
  host: ProtocolHost,
  req: HttpRequest,
  res: HttpResponse,
  caller: Caller,
  extra: readonly string[],
): void {
  withSession(host, req, res, caller, extra, (session) => {
    host.sessions.end(session);
    sendEmpty(res, 204, extra);
  });
}

/** Calls `use` with the session that the request names, or refuses it. */
function withSession(
  host: ProtocolHost,
  req: HttpRequest,
  res: HttpResponse,
  caller: Caller,
  extra: readonly string[],
  use: (session: Session) => void,
): void {
  const named = req.headers['mcp-session-id'];
  const version = req.headers['mcp-protocol-version'];
  if (named === undefined || (version !== undefined && isModernRevision(String(version)))) {
    sendJson(res, 405, rpcRefusal(`${req.method} needs a session: this endpoint is called with POST.`), [
      'Allow',
      'POST',
      ...extra,
    ]);
    return;
  }
  const session = host.sessions.find(String(named), caller.keyId);
  if (session !== null) {
    use(session);
    return;
  }
  const refuseUnknown = (): void => {
    host.refused(
      { caller, requestId: requestIdIn(extra), bytesIn: 0, req },
      host.sessions.describeMissing(String(named)),
    );
    const message = 'The session is not known here: initialize again.';
    sendJson(res, 404, renderRpcError(null, { code: rpcCodes.unknownSession, message }), extra);
  };
  const isAsked = host.sessions.recall(String(named), caller.keyId, (recalled) => {
    if (res.destroyed) return;
    if (recalled === null) refuseUnknown();
    else use(recalled);
  });
  if (!isAsked) refuseUnknown();
}

function requestIdIn(extra: readonly string[]): string {
  return extra[extra.indexOf('X-Request-Id') + 1] ?? '';
}

function rpcRefusal(message: string): string {
  return renderRpcError(null, { code: rpcCodes.badRequest, message });
}
