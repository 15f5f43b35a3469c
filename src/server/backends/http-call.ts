import type { BackendCall, CancelCall, RpcError, RpcId } from '../types.ts';
import { startExchange, type Exchange, type ExchangeEnd, type HttpTarget } from './http-exchange.ts';
import type { HttpRefusal } from './http-failure.ts';
import { findResponseSpan } from './response-span.ts';
import { readRpcMessage } from './rpc-message.ts';
import type { ServerMessage } from './server-messages.ts';

export type CallEnd =
  | { readonly kind: 'result'; readonly json: string }
  | { readonly kind: 'error'; readonly error: RpcError }
  | { readonly kind: 'refused'; readonly refusal: HttpRefusal }
  | { readonly kind: 'failed'; readonly sent: boolean; readonly stale: boolean; readonly reason: string }
  /** An answer began, or was read in full, without the response in it. */
  | { readonly kind: 'lost'; readonly reason: string }
  | { readonly kind: 'too-large' };

export interface HttpCallEvents {
  onServerMessage(message: ServerMessage): void;
  /** Once. */
  onEnd(end: CallEnd): void;
}

/** One JSON-RPC request over HTTP, with all the answers that it takes: JSON, a stream, a stream that was taken up again. */
export class HttpCall {
  readonly id: number;
  readonly call: BackendCall;
  readonly progressToken: RpcId | undefined;
  /** Rounds of input_required already answered for this call. */
  readonly rounds: number;
  body: string;
  /** What stands for the call now: the same one under another id, or how to cancel it elsewhere. */
  next: HttpCall | CancelCall | null = null;
  timer: NodeJS.Timeout | null = null;
  /** It was repeated on a fresh connection. */
  repeated = false;
  #exchange: Exchange | null = null;
  #resumeTimer: NodeJS.Timeout | null = null;
  #resumptions = 0;
  #over = false;

  constructor(
    id: number,
    call: BackendCall,
    parts: { progressToken: RpcId | undefined; body: string; rounds: number },
  ) {
    this.id = id;
    this.call = call;
    this.progressToken = parts.progressToken;
    this.body = parts.body;
    this.rounds = parts.rounds;
  }

  get started(): boolean {
    return this.#exchange !== null;
  }

  /** `resumable`: a stream that ends early may be asked for again (MCP 2025-11-25, resumability). */
  start(
    target: HttpTarget,
    headers: Readonly<Record<string, string>>,
    events: HttpCallEvents,
    options: { readonly resumable: boolean; readonly onHead?: (sessionId: string | null) => void },
  ): void {
    const finish = (end: CallEnd): void => {
      if (this.#over) return;
      this.#over = true;
      if (this.#resumeTimer !== null) clearTimeout(this.#resumeTimer);
      this.#exchange?.release();
      events.onEnd(end);
    };
    const onEnd = (end: ExchangeEnd): void => {
      if (end.kind !== 'complete' && end.kind !== 'cut') {
        finish(
          this.#resumptions > 0
            ? { kind: 'lost', reason: 'its answer broke off and could not be taken up again' }
            : end,
        );
        return;
      }
      const { lastEventId } = end;
      if (!options.resumable || lastEventId === null || this.#resumptions >= maxResumptions) {
        const reason = end.kind === 'cut' ? end.reason : 'it ended its answer without a response';
        finish({ kind: 'lost', reason });
        return;
      }
      this.#resumptions++;
      this.#resumeTimer = setTimeout(
        () => {
          const request = {
            method: 'GET' as const,
            headers: { ...headers, accept: 'text/event-stream', 'last-event-id': lastEventId },
            body: null,
          };
          this.#exchange = startExchange(target, request, {
            onMessage: (text) => this.#read(text, events, finish),
            onEnd,
          });
        },
        Math.min(end.retryMs ?? 1_000, 30_000),
      );
      this.#resumeTimer.unref();
    };
    this.#over = false;
    const request = {
      method: 'POST' as const,
      headers: { ...headers, accept: 'application/json, text/event-stream' },
      body: this.body,
    };
    this.#exchange = startExchange(target, request, {
      onHead: (answer) => {
        const given = answer.headers['mcp-session-id'];
        options.onHead?.(typeof given === 'string' ? given : null);
      },
      onMessage: (text) => this.#read(text, events, finish),
      onEnd,
    });
  }

  /** Closes the connection under it; nothing is told any more. */
  abort(): void {
    this.#over = true;
    if (this.timer !== null) clearTimeout(this.timer);
    if (this.#resumeTimer !== null) clearTimeout(this.#resumeTimer);
    this.#exchange?.abort();
  }

  #read(text: string, events: HttpCallEvents, finish: (end: CallEnd) => void): void {
    const span = findResponseSpan(text);
    if (span !== null && span.id === this.id) {
      finish({ kind: 'result', json: text.slice(span.start, span.end) });
      return;
    }
    let parsed: unknown;
    try {
      parsed = JSON.parse(text);
    } catch {
      finish({ kind: 'lost', reason: 'it answered with text that is not valid JSON' });
      return;
    }
    for (const one of Array.isArray(parsed) ? (parsed as unknown[]) : [parsed]) {
      const message = readRpcMessage(one);
      if (message.kind === 'request' || message.kind === 'notification') {
        if (!this.#over) events.onServerMessage(message);
      } else if (message.kind === 'result' && message.id === this.id) {
        finish({ kind: 'result', json: message.resultJson });
      } else if (message.kind === 'error' && message.id === this.id) {
        finish(
          message.error === null
            ? { kind: 'lost', reason: 'it answered with neither a result nor an error' }
            : { kind: 'error', error: message.error },
        );
      } else {
        // The stream belongs to this request alone, so an error without an id is its error.
        const error = readErrorBody(one);
        if (error !== null) finish({ kind: 'error', error });
      }
    }
  }
}

const maxResumptions = 8;

/** The JSON-RPC error of a body, whatever id it has; null when it is none. */
function readErrorBody(body: unknown): RpcError | null {
  if (typeof body !== 'object' || body === null) return null;
  const { error } = body as { error?: unknown };
  if (typeof error !== 'object' || error === null) return null;
  const { code, message, data } = error as Record<string, unknown>;
  if (typeof code !== 'number' || typeof message !== 'string') return null;
  return data === undefined ? { code, message } : { code, message, data };
}

/** The JSON-RPC error in the body of a refusal, or null. */
export function errorOfRefusal(refusal: HttpRefusal): RpcError | null {
  try {
    return readErrorBody(JSON.parse(refusal.text));
  } catch {
    return null;
  }
}
