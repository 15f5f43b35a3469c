import { EnvironmentError } from '../../deployment/errors.ts';
import { printableText } from './printable-text.ts';

/** A problem document of an ACME server (RFC 8555, 6.7; RFC 7807). */
export interface AcmeProblem {
  /** Without `urn:ietf:params:acme:error:`. */
  readonly type: string;
  readonly detail: string;
  readonly subproblems: readonly { readonly detail: string; readonly name: string | null }[];
}

/** What a CA refused, with its own words; the type decides what there is to do. */
export class AcmeRefusal extends Error {
  readonly problem: AcmeProblem;
  readonly status: number;
  readonly retryAfterSeconds: number | null;

  constructor(problem: AcmeProblem, status: number, retryAfterSeconds: number | null) {
    super(problem.detail);
    this.problem = problem;
    this.status = status;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** Reads a problem document; what is none becomes one of type `unknown` with the status. Control characters are removed. */
export function parseAcmeProblem(body: unknown, status: number): AcmeProblem {
  const { type, detail, subproblems } = (typeof body === 'object' && body !== null ? body : {}) as Record<
    string,
    unknown
  >;
  return {
    type: typeof type === 'string' ? type.replace(/^urn:ietf:params:acme:error:/, '') : 'unknown',
    detail: typeof detail === 'string' ? printableText(detail) : `It answered ${status}.`,
    subproblems: Array.isArray(subproblems) ? subproblems.slice(0, 20).map(parseSubproblem) : [],
  };
}

function parseSubproblem(value: unknown): AcmeProblem['subproblems'][number] {
  const { detail, identifier } = (value ?? {}) as { detail?: unknown; identifier?: { value?: unknown } };
  const name = identifier?.value;
  return {
    detail: typeof detail === 'string' ? printableText(detail) : 'no detail',
    name: typeof name === 'string' ? printableText(name) : null,
  };
}

/** Seconds until a Retry-After header (a number or a date) allows another try; null when it says nothing. */
export function parseRetryAfter(header: string | undefined, now: Date): number | null {
  if (header === undefined) return null;
  if (/^\s*\d{1,9}\s*$/.test(header)) return Number(header);
  const at = Date.parse(header);
  return Number.isNaN(at) ? null : Math.max(0, Math.ceil((at - now.getTime()) / 1_000));
}

/** A refusal in plain words: what was asked for, what the CA said, what to do. */
export function explainRefusal(refusal: AcmeRefusal, what: string, directoryUrl: string): EnvironmentError {
  const { problem } = refusal;
  const host = new URL(directoryUrl).host;
  const excerpt = problem.subproblems.map(({ name, detail }) => (name === null ? detail : `${name}: ${detail}`));
  return new EnvironmentError(what, {
    why: `${host} says (${problem.type}): ${problem.detail}`,
    next: whatToDo(refusal),
    excerpt,
    cause: refusal,
  });
}

function whatToDo({ problem, status, retryAfterSeconds }: AcmeRefusal): string {
  if (problem.type === 'rateLimited' || status === 429) {
    const when =
      retryAfterSeconds === null ? 'Wait (the CA does not say how long)' : `Wait ${duration(retryAfterSeconds)}`;
    return `${when}, then run the command again. Try things out with --dry-run, which uses the staging directory.`;
  }
  switch (problem.type) {
    case 'externalAccountRequired':
      return 'Get a key identifier and an HMAC key from the authority, and set tls.eab (keyId, keyFile).';
    case 'unauthorized':
      return 'See that the name leads to this machine and that nothing else answers the challenge; then run the command again.';
    case 'connection':
      return 'See that the port is open to the internet (firewall, router, security group); then run the command again.';
    case 'dns':
      return 'See that the name has A or AAAA records that lead here: dig NAME; then run the command again.';
    case 'caa':
      return 'Allow this authority in the CAA record of the name: dig CAA NAME.';
    case 'rejectedIdentifier':
      return 'Choose a name that this authority signs for: a public DNS name that you control.';
    case 'userActionRequired':
      return 'The terms of the authority changed: read them where it says, then run the command again.';
    case 'malformed':
    case 'badSignatureAlgorithm':
    case 'badCSR':
      return 'See what the authority says above; another one can be named with tls.directory.';
    case 'serverInternal':
      return 'The authority has a problem of its own: run the command again later.';
    default:
      return 'Mend what it says, then run the command again.';
  }
}

function duration(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.ceil(seconds / 60)} minutes`;
  return `${Math.ceil(seconds / 3_600)} hours`;
}
