import type { IncomingHttpHeaders } from 'node:http';

/** Where a call stands in a trace (W3C Trace Context), as one program tells the next. */
export interface TraceContext {
  readonly traceparent: string;
  readonly tracestate: string | null;
}

type Params = Record<string, unknown> | undefined;

/** W3C Trace Context, section 3.2: version, trace, parent, flags; later versions may add to it. */
const traceparentForm =
  /^(?:00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}|(?!00|ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[\x21-\x7e]{1,200})?)$/;

/** Section 3.3.1.1: at least 512 characters have to be passed on; nobody may make us carry more. */
const tracestateForm = /^[\x20-\x7e\t]{1,512}$/;

/** The context in `params._meta`, where MCP messages of both eras carry it; null when there is none that is valid. */
export function traceContextOf(params: Params): TraceContext | null {
  const meta = params?.['_meta'];
  if (typeof meta !== 'object' || meta === null) return null;
  const { traceparent, tracestate } = meta as Record<string, unknown>;
  return traceparent === undefined ? null : readContext(traceparent, tracestate);
}

/** The context in the headers of a request; null when there is none that is valid. */
export function traceContextOfHeaders({ traceparent, tracestate }: IncomingHttpHeaders): TraceContext | null {
  return traceparent === undefined ? null : readContext(traceparent, tracestate);
}

/** The same params with this context in their `_meta`; a context that was there is replaced. */
export function withTraceContext(params: Params, { traceparent, tracestate }: TraceContext): Record<string, unknown> {
  const meta = params?.['_meta'];
  const { tracestate: _before, ...kept } =
    typeof meta === 'object' && meta !== null ? (meta as { tracestate?: unknown }) : {};
  return { ...params, _meta: { ...kept, traceparent, ...(tracestate === null ? {} : { tracestate }) } };
}

/** The same params, with the context of the headers when they bring none of their own. */
export function takeTraceContext(params: Params, headers: IncomingHttpHeaders): Params {
  if (headers['traceparent'] === undefined) return params;
  const context = traceContextOf(params) === null ? traceContextOfHeaders(headers) : null;
  return context === null ? params : withTraceContext(params, context);
}

/** The context of a call as headers for an HTTP upstream. */
export function traceHeadersOf(params: Params): Readonly<Record<string, string>> | undefined {
  const context = traceContextOf(params);
  if (context === null) return undefined;
  const { traceparent, tracestate } = context;
  return tracestate === null ? { traceparent } : { traceparent, tracestate };
}

function readContext(traceparent: unknown, tracestate: unknown): TraceContext | null {
  if (typeof traceparent !== 'string' || !traceparentForm.test(traceparent)) return null;
  return {
    traceparent,
    tracestate: typeof tracestate === 'string' && tracestateForm.test(tracestate) ? tracestate : null,
  };
}
