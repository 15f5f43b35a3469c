import type { Answer, NotSeen, Observations } from '../observations.ts';
import type { Category, Check, Evidence, FailVerdict, Verdict } from '../types.ts';

/** A check of the way from a client to a tool call. */
export type EndpointCheck = Check<Observations>;

/** Gives every check of a file its category, which is the first part of its code. */
export function checksOf(
  category: Category,
  checks: readonly Omit<EndpointCheck, 'category'>[],
): readonly EndpointCheck[] {
  return checks.map((check) => ({ ...check, category }));
}

export function pass(detail?: string): Verdict {
  return detail === undefined ? { outcome: 'pass' } : { outcome: 'pass', detail };
}

export function notApplicable(reason: string): Verdict {
  return { outcome: 'not-applicable', reason };
}

export function notTried(reason: string): Verdict {
  return { outcome: 'not-tried', reason };
}

export function unknown(reason: string): Verdict {
  return { outcome: 'unknown', reason };
}

export function follows(from: string): Verdict {
  return { outcome: 'follows', from };
}

export function fail(verdict: Omit<FailVerdict, 'outcome'>): Verdict {
  return { outcome: 'fail', ...verdict };
}

/** A look that did not come about never gives a tick. */
export function notSeen(look: NotSeen): Verdict {
  return unknown(look.reason);
}

/** An answer as a line of evidence. */
export function describeAnswer(answer: Answer): string {
  if (answer.kind === 'failed') return answer.failure.message;
  const type = answer.headers['content-type']?.split(';')[0] ?? 'no content type';
  const location = answer.headers['location'] === undefined ? '' : ` to ${answer.headers['location']}`;
  const body = answer.bodyStart.replaceAll(/\s+/g, ' ').trim().slice(0, 120);
  return `${answer.status}${location}, ${type}${body === '' ? '' : `: ${body}`}`;
}

/** Evidence from one exchange; `source` says how it was asked. */
export function answerEvidence(source: string, answer: Answer, expected: string): Evidence {
  return { source: `${answer.to} ${source}`, observed: describeAnswer(answer), expected };
}

/** The answer that a client with all it was given would get. */
export function mainAnswer(observations: Observations): Answer | null {
  const { answers } = observations;
  return answers.status === 'ok' ? (answers.bearer ?? answers.noKey) : null;
}

export function isHtml(answer: Answer): boolean {
  return answer.kind === 'answered' && (answer.headers['content-type'] ?? '').includes('text/html');
}

/** What was answered says nothing but that there were too many requests. */
export function isLimited(answer: Answer): boolean {
  return answer.kind === 'answered' && answer.status === 429;
}

export const limitedNow = 'the server limits requests right now (429)';

/** Whether the body is, or begins like, a JSON-RPC message. */
export function isJsonRpc(answer: Answer): boolean {
  if (answer.kind === 'failed') return false;
  const { json, bodyStart } = answer;
  const first: unknown = Array.isArray(json) ? json[0] : json;
  return (typeof first === 'object' && first !== null && 'jsonrpc' in first) || /"jsonrpc"\s*:/.test(bodyStart);
}

/** A client of either era got through, whatever a single request was answered. */
export function someClientWorks({ modern, legacy }: Observations): boolean {
  return modern.status === 'ok' || legacy.status === 'ok';
}

/** Nothing can be sent while one of these is broken. */
export const beforeHttp: readonly string[] = [
  'tcp/reachable',
  'tls/handshake',
  'tls/alpn',
  'tls/chain-complete',
  'tls/trusted',
  'tls/name',
  'tls/not-expired',
  'tls/not-yet-valid',
  'key/well-formed',
];

/** No MCP message gets an MCP answer while one of these is broken. */
export const beforeMcp: readonly string[] = [
  ...beforeHttp,
  'http/answers',
  'health/ready',
  'http/not-challenged',
  'http/not-parked',
  'http/no-redirect',
  'http/json-not-html',
  'http/host-allowed',
  'http/endpoint-found',
  'http/no-server-error',
];
