import {
  METHOD_NOT_FOUND,
  UPSTREAM_BAD_ANSWER,
  UPSTREAM_BUSY,
  UPSTREAM_ENDED,
  UPSTREAM_OPEN,
  UPSTREAM_TIMEOUT,
  UPSTREAM_UNAVAILABLE,
} from '../backends/backend-errors.ts';
import { saysError } from '../backends/says-error.ts';
import { inertHeaders, send, sendProblem } from '../http/answers.ts';
import type { Exchange } from '../http/exchange.ts';
import type { RpcError } from '../types.ts';
import { Call, type AnswerMember, type CallHost } from './call.ts';
import { forwardedMethods } from './methods.ts';
import { rpcCodes } from './rpc-text.ts';

/** What a caller without JSON-RPC may ask for. */
export type PlainMethod = 'tools/call' | 'tools/list';

/**
 * A call that came as plain HTTP. Everything behind it is as for a call of the protocol; its answer is the result itself,
 * or problem details (RFC 9457) with the status that tells why.
 */
export class ToolCall extends Call {
  readonly #host: CallHost;
  /** Why a rule said no, or which person would have to be asked; null when nobody said no. */
  #whyNot: string | null = null;

  constructor(host: CallHost, exchange: Exchange, method: PlainMethod, params: Record<string, unknown>) {
    const rule = forwardedMethods.get(method);
    if (rule === undefined) throw new Error(`${method} is not forwarded`);
    // Nobody can be asked anything on the way: like a client that offers nothing.
    super(host, exchange, exchange.requestId, method, params, rule, 'legacy', null, {});
    this.#host = host;
  }

  override noteRefusal(why: string): void {
    this.#whyNot = why;
    super.noteRefusal(why);
  }

  override deliver(member: AnswerMember, text: string): void {
    const { exchange, method } = this;
    if (exchange === null) return;
    if (member === 'result' && this.#whyNot !== null) {
      const detail = `The tool ${String(this.params?.['name'])} was not run: ${this.#whyNot}.`;
      sendProblem(exchange.res, 403, 'Forbidden', detail, exchange.extraHeaders);
      exchange.answered();
      return;
    }
    if (member === 'result') {
      exchange.complete(text, method === 'tools/call' && saysError(text) ? 422 : 200);
      return;
    }
    const error = JSON.parse(text) as RpcError;
    const name = String(this.params?.['name']);
    const status = statusOf(error, method === 'tools/list' || this.#host.isKnownTool(name));
    const { title } = statuses[status];
    const { message: detail, code, data } = error;
    const body = JSON.stringify({ type: 'about:blank', title, status, detail, code, data });
    const waitSeconds = (data as { retryAfterSeconds?: unknown } | undefined)?.retryAfterSeconds;
    const told = exchange.extraHeaders.includes('Retry-After');
    const retry =
      typeof waitSeconds === 'number' && !told ? ['Retry-After', String(Math.max(1, Math.ceil(waitSeconds)))] : [];
    send(exchange.res, status, 'application/problem+json', body, [...inertHeaders, ...retry, ...exchange.extraHeaders]);
    exchange.answered();
  }
}

const statuses = {
  400: { title: 'Bad Request' },
  404: { title: 'Not Found' },
  500: { title: 'Internal Server Error' },
  502: { title: 'Bad Gateway' },
  503: { title: 'Service Unavailable' },
  504: { title: 'Gateway Timeout' },
} as const;

/** A tool that is hidden from the caller gets what one that does not exist gets. */
function statusOf({ code, message }: RpcError, isKnown: boolean): keyof typeof statuses {
  switch (code) {
    case rpcCodes.invalidParams:
      return isKnown && !message.startsWith('Unknown tool') ? 400 : 404;
    case METHOD_NOT_FOUND:
      return 404;
    case UPSTREAM_UNAVAILABLE:
    case UPSTREAM_BUSY:
    case UPSTREAM_OPEN:
      return 503;
    case UPSTREAM_TIMEOUT:
      return 504;
    case UPSTREAM_ENDED:
    case UPSTREAM_BAD_ANSWER:
      return 502;
    default:
      return 500;
  }
}
