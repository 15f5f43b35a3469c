import type { Measures } from './describe-measures.ts';

/**
 * Doctor in one line: probes (I/O, at most once each) give observations;
 * checks (pure) judge them; the report shows findings, root cause first.
 */

/** The places on the way from a client to a tool, in the order a request meets them. */
export const hops = ['client', 'host', 'dns', 'tcp', 'tls', 'proxy', 'server'] as const;
export type Hop = (typeof hops)[number];

/** Files and state of this folder's own deployment, for the checks that look at the host. Paths are absolute. */
export interface OwnFacts {
  readonly stateDir: string;
  readonly caFile: string | null;
  readonly caKeyFile: string | null;
  readonly certificateFile: string | null;
  readonly keyFile: string | null;
  /** Salted hashes of the API keys. */
  readonly keyStoreFile: string | null;
  /** The first API key in clear, for its owner. */
  readonly apiKeyFile: string | null;
  readonly logFile: string | null;
  readonly serverRunning: boolean;
  /** False when the deployment lets everyone in. */
  readonly keysRequired: boolean;
  /** A browser origin that the deployment lets in; null when there is none. */
  readonly pageOrigin?: string | null;
  /** What is needed to look at the machine around the files; null or left out: it is not looked at. */
  readonly machine?: MachineAccess | null;
}

export interface MachineAccess {
  /** mcp-deploy.yaml, absolute. */
  readonly deploymentFile: string;
  /** Of the server process; null when it does not run. */
  readonly pid: number | null;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Runs a program that changes nothing, without a shell; exitCode null when it was too slow or is not there. */
  readonly run: (
    argv: readonly string[],
    timeoutMs: number,
  ) => Promise<{ readonly exitCode: number | null; readonly output: string }>;
}

export interface Evidence {
  /** Where it was seen: a probe and its object, e.g. "tls handshake with localhost:8443". */
  readonly source: string;
  readonly observed: string;
  readonly expected: string;
}

export interface Fix {
  readonly summary: string;
  readonly commands: readonly string[];
  readonly diff?: string;
}

export type Severity = 'error' | 'warning';

/** What a judge says. A probe that failed or did not run makes its checks `unknown`, never `pass`. */
export type Verdict =
  /** `detail` is what stands behind the tick, a few words: "19 days left". */
  | { readonly outcome: 'pass'; readonly detail?: string }
  | { readonly outcome: 'not-applicable'; readonly reason: string }
  /** Left alone on purpose, and the reason says how to allow it. */
  | { readonly outcome: 'not-tried'; readonly reason: string }
  | { readonly outcome: 'unknown'; readonly reason: string }
  /** Explained by the failure of another check in a way that `after` cannot say, since it does not always hold. */
  | { readonly outcome: 'follows'; readonly from: string }
  | FailVerdict;

export interface FailVerdict {
  readonly outcome: 'fail';
  /** What is wrong, in the words of this case. */
  readonly title: string;
  /** One sentence, or the word "undetermined". */
  readonly cause: string;
  readonly evidence: readonly Evidence[];
  readonly fix: Fix;
  /** Where they differ from those of the check. */
  readonly severity?: Severity;
  readonly hop?: Hop;
}

/** The looks that can be left out when no check asks for them. Name, TCP and TLS lie on the way to all others. */
export type ProbeId =
  | 'name'
  | 'tcp'
  | 'tls'
  | 'answers'
  | 'well-known'
  | 'health'
  | 'metrics'
  | 'modern'
  | 'legacy'
  | 'session'
  | 'session-use'
  | 'stream'
  | 'idle'
  | 'sizes'
  | 'errors'
  | 'guards'
  | 'cors'
  | 'direct'
  | 'proxy-config'
  | 'limits'
  | 'host'
  | 'machine'
  | 'audit';

/** The first part of every code, in the order of the report. */
export const categories = [
  'host',
  'name',
  'tcp',
  'tls',
  'http',
  'key',
  'session',
  'protocol',
  'tools',
  'stream',
  'sizes',
  'cors',
  'proxy',
  'limits',
  'health',
] as const;
export type Category = (typeof categories)[number];

export interface Check<Observations> {
  /** Permanent: `category/name`, e.g. `tls/name-mismatch`. Documented in docs/findings.md. */
  readonly code: string;
  /** The healthy fact: reads right behind a tick and behind a cross. */
  readonly title: string;
  /** The same in two or three words, for the one-line-per-category report. */
  readonly label: string;
  readonly category: Category;
  readonly hop: Hop;
  readonly severity: Severity;
  /** What is judged. */
  readonly needs: readonly ProbeId[];
  /** Codes whose failure explains this one: then it is listed as following, not judged. They stand before it in the catalogue. */
  readonly after: readonly string[];
  /** For `explain`: what it means and why it matters, a paragraph. */
  readonly explanation: string;
  readonly judge: (observations: Observations) => Verdict;
}

export interface PassedCheck {
  readonly code: string;
  readonly title: string;
  readonly category: Category;
  readonly detail?: string;
}

/**
 * Why a check has no verdict: another finding explains it, it does not apply
 * to this target, it was not tried without leave, it was left out on request,
 * or it could not be told.
 */
export interface NotChecked {
  readonly code: string;
  readonly kind: 'follows' | 'not-applicable' | 'not-tried' | 'left-out' | 'unknown';
  readonly reason: string;
}

/** One hop of the way in the order of a request, as the report shows it. */
export interface PathHop {
  readonly hop: Hop;
  /** What is known of it: "nginx/1.22.1". */
  readonly label: string;
  readonly state: 'ok' | 'warning' | 'error' | 'unknown';
}

export interface Finding {
  readonly code: string;
  readonly severity: Severity;
  readonly hop: Hop;
  readonly title: string;
  /** One sentence, or the word "undetermined". */
  readonly cause: string;
  readonly evidence: readonly Evidence[];
  readonly fix: Fix;
}

/** The source of every format. report/report-schema.ts has the part that `doctor --json` publishes. */
export interface DoctorReport {
  /** No error was found, and every check whose failure would be one could be judged. */
  readonly ok: boolean;
  readonly target: string;
  /** Code of the first broken thing on the path, or null. */
  readonly rootCause: string | null;
  readonly path: readonly PathHop[];
  readonly findings: readonly Finding[];
  readonly passed: readonly PassedCheck[];
  readonly notChecked: readonly NotChecked[];
  readonly durationMs: number;
  /** For the plots of the formats that have any. */
  readonly measures: Measures;
  /** With a baseline: findings that it accepts. They are in no other list. */
  readonly accepted?: readonly AcceptedFinding[];
  /** With a baseline: entries that are over, or fit nothing any more. They fail the run. */
  readonly baselineProblems?: readonly string[];
  /** With --fix: what was done, and what came of it. */
  readonly fix?: FixOutcome;
}

export interface FixOutcome {
  /** Titles of the steps that were carried out. */
  readonly done: readonly string[];
  /** Codes of findings that are in order now. */
  readonly healed: readonly string[];
  /** Codes of findings that are still there. */
  readonly left: readonly string[];
}

export interface AcceptedFinding {
  readonly finding: Finding;
  readonly reason: string;
  /** YYYY-MM-DD: the last day. */
  readonly expires: string;
}
