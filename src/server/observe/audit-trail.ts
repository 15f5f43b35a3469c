import type { IncomingHttpHeaders } from 'node:http';
import type { Caller, Era, RpcId } from '../types.ts';
import type { AuditWriter } from './audit.ts';

/** What the audit line of a call is made of. */
export interface AuditedCall {
  readonly id: RpcId;
  readonly method: string;
  readonly params: Record<string, unknown> | undefined;
  readonly caller: Caller;
  readonly era: Era;
  readonly sessionId: string | null;
  readonly requestId: string;
  readonly bytesIn: number;
}

/** A request that no backend saw. What is not known of it is left out. */
export interface RefusedRequest {
  readonly requestId: string;
  readonly why: string;
  readonly address: string;
  readonly key?: string;
  readonly id?: RpcId;
  readonly method?: string;
  readonly params?: Record<string, unknown> | undefined;
  readonly era?: Era;
  readonly session?: string | null;
  readonly bytesIn?: number;
  readonly seconds?: number;
  /** Of the request, for the trace that it belongs to. */
  readonly headers?: IncomingHttpHeaders;
  /** It was a call already, and calls have a span of their own. */
  readonly hasSpan?: boolean;
}

/** One line for every call that does something, and for every request that was refused. */
export interface AuditTrail {
  /** `error` null when the call went well. */
  ended(
    call: AuditedCall,
    status: 'ok' | 'error' | 'cancelled',
    seconds: number,
    resultText: string,
    error: string | null,
  ): void;
  refused(request: RefusedRequest): void;
}

/** Methods that do something or give something out; lists and handshakes are not audited. */
const auditedMethods: ReadonlySet<string> = new Set(['tools/call', 'resources/read', 'prompts/get']);

/** Refusals of callers that nobody knows, a second; a flood of wrong keys must not fill the disk that real calls need. */
const mostStrangersPerSecond = 50;

/** @param upstreamOf name of the backend that a call went to, as far as it is known */
export function createAuditTrail(
  writer: Pick<AuditWriter, 'write'>,
  upstreamOf: (call: AuditedCall) => string | null,
): AuditTrail {
  const strangers = new StrangerLines();
  return {
    ended(call, status, seconds, resultText, error) {
      if (!auditedMethods.has(call.method)) return;
      writer.write({
        request: call.requestId,
        id: call.id,
        method: call.method,
        status,
        tool: toolOf(call.method, call.params),
        durationSeconds: seconds,
        key: call.caller.label,
        address: call.caller.address,
        era: call.era,
        session: call.sessionId,
        upstream: upstreamOf(call),
        bytesIn: call.bytesIn,
        bytesOut: Buffer.byteLength(resultText),
        error,
      });
    },
    refused({ requestId, why, address, key, id, method, params, era, session, bytesIn, seconds }) {
      const unlisted = key === undefined ? strangers.note() : 0;
      if (unlisted === null) return;
      writer.write({
        request: requestId,
        id: id ?? null,
        method: method ?? null,
        status: 'refused',
        tool: method === undefined ? null : toolOf(method, params),
        durationSeconds: seconds ?? 0,
        key: key ?? '',
        address,
        era: era ?? null,
        session: session ?? null,
        upstream: null,
        bytesIn: bytesIn ?? 0,
        bytesOut: 0,
        error: unlisted === 0 ? why : `${why} (${unlisted} refusals before this one are counted, not listed)`,
      });
    },
  };
}

/** Counts what is not listed, so that the next line that is can say it. */
class StrangerLines {
  #secondStartedMs = 0;
  #lines = 0;
  #unlisted = 0;

  /** How many were left out before this one, or null when this one is left out too. */
  note(): number | null {
    const now = performance.now();
    if (now - this.#secondStartedMs >= 1_000) {
      this.#secondStartedMs = now;
      this.#lines = 0;
    }
    if (this.#lines >= mostStrangersPerSecond) {
      this.#unlisted += 1;
      return null;
    }
    this.#lines += 1;
    const unlisted = this.#unlisted;
    this.#unlisted = 0;
    return unlisted;
  }
}

function toolOf(method: string, params: Record<string, unknown> | undefined): string | null {
  if (method !== 'tools/call') return null;
  const name = params?.['name'];
  return typeof name === 'string' ? name : null;
}
