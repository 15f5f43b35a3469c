import { traceHeadersOf } from '../observe/trace-context.ts';
import type { Era } from '../types.ts';
import type { Log } from './backend-log.ts';
import { startExchange, type Exchange, type ExchangeEnd, type HttpTarget } from './http-exchange.ts';
import { nameHeaders } from './modern-request-headers.ts';
import type { ParamHeaders } from './param-headers.ts';
import { MODERN_VERSION } from './request-text.ts';

/** What the handshake agreed on with one HTTP server, and the requests that belong to no call. */
export class HttpSession {
  era: Era = 'legacy';
  /** Of the handshake; null while it goes on. */
  protocolVersion: string | null = null;
  /** Legacy: one for all clients of the gateway. */
  id: string | null = null;
  paramHeaders: ParamHeaders | null = null;
  readonly #target: HttpTarget;
  readonly #upstream: string;
  readonly #log: Log;

  constructor(target: HttpTarget, upstream: string, log: Log) {
    this.#target = target;
    this.#upstream = upstream;
    this.#log = log;
  }

  /** The headers of a request beside those of HTTP and of the deployment. */
  headersFor(method: string, params: Record<string, unknown> | undefined): Record<string, string> {
    if (this.era === 'legacy' && method !== 'server/discover')
      return method === 'initialize' ? {} : { ...this.#headers(), ...traceHeadersOf(params) };
    return {
      ...traceHeadersOf(params),
      'mcp-protocol-version': MODERN_VERSION,
      ...nameHeaders(method, params),
      ...(method === 'tools/call' ? this.paramHeaders?.headersFor(params) : undefined),
    };
  }

  /** The stream for what belongs to no request (legacy eras). */
  listen(events: { onHead(): void; onMessage(text: string): void; onEnd(end: ExchangeEnd): void }): Exchange {
    const headers = { ...this.#headers(), accept: 'text/event-stream' };
    return startExchange(this.#target, { method: 'GET', headers, body: null }, events);
  }

  /** A message that has no answer. */
  post(body: string, what: string): void {
    const headers = { ...this.#headers(), accept: 'application/json, text/event-stream' };
    startExchange(
      this.#target,
      { method: 'POST', headers, body },
      {
        onMessage() {},
        onEnd: (end) => {
          if (end.kind === 'complete') return;
          const reason = end.kind === 'refused' ? end.refusal.message : 'reason' in end ? end.reason : end.kind;
          this.#log.debug('upstream-message-not-taken', { upstream: this.#upstream, what, reason });
        },
      },
    );
  }

  /** Ends the session at the server (MCP, "Session Management"): it may refuse, which is of no matter. */
  end(timeoutMs: number): Promise<void> {
    const { id } = this;
    if (id === null) return Promise.resolve();
    this.id = null;
    return new Promise((resolve) => {
      const headers = { ...this.#versionHeader(), 'mcp-session-id': id };
      const exchange = startExchange(
        this.#target,
        { method: 'DELETE', headers, body: null },
        { onMessage() {}, onEnd: () => resolve() },
      );
      setTimeout(() => {
        exchange.abort();
        resolve();
      }, timeoutMs).unref();
    });
  }

  #headers(): Record<string, string> {
    return { ...this.#versionHeader(), ...(this.id === null ? {} : { 'mcp-session-id': this.id }) };
  }

  #versionHeader(): Record<string, string> {
    return this.protocolVersion === null ? {} : { 'mcp-protocol-version': this.protocolVersion };
  }
}
