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

/** @param upstreamOf name of the backend that a call went to, as far as it is known */
export function createAuditTrail(
  writer: Pick<AuditWriter, 'write'>,
  upstreamOf: (call: AuditedCall) => string | null,
): AuditTrail {
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
        error: why,
      });
    },
  };
}

function toolOf(method: string, params: Record<string, unknown> | undefined): string | null {
  if (method !== 'tools/call') return null;
  const name = params?.['name'];
  return typeof name === 'string' ? name : null;
}
