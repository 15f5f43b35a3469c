import type { IncomingHttpHeaders } from 'node:http';
import type { Deployment } from '../../deployment/schema.ts';
import type { Era, RpcId } from '../types.ts';
import type { RefusedRequest } from './audit-trail.ts';
import type { Log } from './log.ts';
import type { TraceContext } from './trace-context.ts';

/** A call that came in. Nothing of its arguments, its result, its session or its key gets into a span. */
export interface ReceivedCall {
  readonly method: string;
  readonly era: Era;
  /** The tool exists, so that spans may be named after it also when it fails. */
  readonly isKnown: boolean;
  readonly id: RpcId;
  readonly requestId: string;
  readonly address: string;
  readonly keyLabel: string;
  /** Reading of performance.now(). */
  readonly startedMs: number;
  readonly params: Record<string, unknown> | undefined;
  readonly headers: IncomingHttpHeaders;
}

/** Where an upstream is. */
export type UpstreamPlace =
  | { readonly name: string; readonly transport: 'pipe' }
  | { readonly name: string; readonly transport: 'tcp'; readonly host: string; readonly port: number };

export interface CallSpan {
  /** What those that work for this call name as their parent. */
  readonly context: TraceContext;
  /** Once. `failure` is a code or a fixed word (`tool_error`, `cancelled`), null when all went well. */
  end(failure: string | null): void;
}

/** The spans of a server, on their way to an OpenTelemetry collector. Nothing here waits for the collector. */
export interface Traces {
  receive(call: ReceivedCall): CallSpan;
  /** A request that was refused before it became a call: a span that ends at once. */
  refuse(request: RefusedRequest): void;
  /** The part of an upstream in a call, whose parent is the context in its `_meta`; null without one. */
  forward(upstream: UpstreamPlace, method: string, params: Record<string, unknown> | undefined): CallSpan | null;
  /** Sends what waits, for two seconds at most. */
  close(): Promise<void>;
}

export interface TracesOptions {
  /** Name of the deployment: that of the service where no other is given. */
  readonly deploymentName: string;
  readonly version: string;
  /** What `${NAME}` in headers is filled from. */
  readonly env: NodeJS.ProcessEnv;
  readonly log: Log;
}

/**
 * Opens the way to the collector that the settings name; null when they name none. The OpenTelemetry packages are
 * loaded here and nowhere else, so that a server without traces does not pay for them.
 * @throws UserError or EnvironmentError for a header or a certificate that cannot be read.
 */
export async function openTraces(
  settings: Deployment['logs']['traces'],
  options: TracesOptions,
): Promise<Traces | null> {
  if (settings === 'off') return null;
  const { createOtlpTraces } = await import('./otlp-traces.ts');
  return createOtlpTraces(settings, options);
}
