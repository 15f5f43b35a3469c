import { answerLater } from './answer-later.ts';
import type { BackendCall, CancelCall, RpcError } from '../types.ts';
import { INVALID_PARAMS } from './backend-errors.ts';
import { callWith } from './call-with.ts';
import type { Hello } from './handshake.ts';

/**
 * What a call needs so that an upstream of the other era than its caller's understands it: log levels that legacy
 * clients have set travel with every request to a modern upstream, which has no logging/setLevel, and a state that no
 * legacy upstream can have given out never reaches one.
 */
export interface EraBridge {
  /** Passes the call on with `send`, or answers it itself. `hello` is what the upstream said of itself. */
  forward(call: BackendCall, hello: Hello | null, send: (call: BackendCall) => CancelCall): CancelCall;
  endSession(sessionId: string): void;
}

/** The levels of RFC 5424, as MCP names them. */
const levels: ReadonlySet<unknown> = new Set([
  'debug',
  'info',
  'notice',
  'warning',
  'error',
  'critical',
  'alert',
  'emergency',
]);
const logLevelKey = 'io.modelcontextprotocol/logLevel';

export function createEraBridge(): EraBridge {
  const levelOfSession = new Map<string, string>();

  function takeLevel(call: BackendCall): CancelCall {
    const level = call.params?.['level'];
    if (!levels.has(level)) {
      const message = `params.level must be one of ${[...levels].join(', ')}`;
      return answerHere(call, { code: INVALID_PARAMS, message });
    }
    if (call.sessionId !== null) levelOfSession.set(call.sessionId, String(level));
    return answerHere(call, null);
  }

  /** MCP 2026-07-28, logging: every request says the level that it wants, or gets no messages. */
  function withLevel(call: BackendCall): BackendCall {
    if (levelOfSession.size === 0 || call.sessionId === null) return call;
    const level = levelOfSession.get(call.sessionId);
    if (level === undefined) return call;
    const meta = call.params?.['_meta'] as Record<string, unknown> | undefined;
    return callWith(call, { params: { ...call.params, _meta: { ...meta, [logLevelKey]: level } } });
  }

  return {
    forward(call, hello, send) {
      if (hello === null || hello.era === call.era) return send(call);
      if (call.era === 'legacy') {
        if (call.method === 'logging/setLevel' && 'logging' in hello.capabilities) return takeLevel(call);
        return send(withLevel(call));
      }
      if (call.params?.['requestState'] === undefined) return send(call);
      const message = 'requestState is unknown or too old: send the request again without it.';
      return answerHere(call, { code: INVALID_PARAMS, message, data: { reason: 'invalid_request_state' } });
    },
    endSession(sessionId) {
      levelOfSession.delete(sessionId);
    },
  };
}

/** An empty result, or the error. */
function answerHere(call: BackendCall, error: RpcError | null): CancelCall {
  return answerLater(() => {
    if (error === null) call.onResult('{}');
    else call.onError(error);
  });
}
