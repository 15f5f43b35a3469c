import type { HttpRequest, HttpResponse } from '../http/http-message.ts';
import type { Registry } from '../backends/registry.ts';
import type { LimitRefusal, RequestCost } from '../call-limits.ts';
import type { OpenStreams } from '../http/event-stream.ts';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { Caller, Era, RpcId } from '../types.ts';
import type { CallHost } from './call.ts';
import type { HandshakeGate } from './handshake.ts';
import type { ListenStreams } from './listen-streams.ts';
import type { ParameterHeaders } from './parameter-headers.ts';
import type { ParkedCalls } from './parked-calls.ts';
import type { SessionStore } from './session-store.ts';

/** What the limits ask of a request. */
export interface ChargedRequest {
  readonly caller: Caller;
  readonly requestId: string;
  readonly bytesIn: number;
  readonly req: Pick<HttpRequest, 'headers'>;
}

/** What both eras work with. */
export interface ProtocolHost {
  readonly registry: Registry;
  readonly gate: HandshakeGate;
  readonly sessions: SessionStore;
  readonly parked: ParkedCalls;
  readonly listeners: ListenStreams;
  readonly parameterHeaders: Pick<ParameterHeaders, 'judge'>;
  readonly streams: OpenStreams;
  readonly calls: CallHost;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly version: string;
  /** WWW-Authenticate of a 403 that asks for a token with more scopes. */
  challengeFor(scope: string, description: string): string;
  /** As many calls are in flight as this server takes. */
  isFull(): boolean;
  /** Audit lines cannot be written, and calls without them are not wanted. */
  isAuditBlocked(): boolean;
  /** One step of the limits for a request: null when it may go on. A refusal is counted and audited. */
  charge(
    request: ChargedRequest,
    cost: RequestCost,
    era: Era | null,
    id: RpcId | null,
    method: string | null,
    params: Record<string, unknown> | undefined,
  ): LimitRefusal | null;
  /** Head lines about limits for the request that was charged last, flat; mostly empty. */
  limitHeaders(): readonly string[];
  /** Audits a request that was refused for another reason than a limit. */
  refused(request: ChargedRequest, why: string): void;
  /** Takes one of the caller's open streams and gives the way to return it; null when there is none left. */
  openStream(caller: Caller): (() => void) | null;
  /** Takes one of the caller's open streams and gives the way to return it; null when there is none left: 429 is sent. */
  takeStream(caller: Caller, res: HttpResponse, extraHeaders: readonly string[]): (() => void) | null;
}
