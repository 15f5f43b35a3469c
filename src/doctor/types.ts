/**
 * Doctor in one line: probes (I/O, at most once each) give observations;
 * checks (pure) judge them; the report shows findings, root cause first.
 */

/** The places on the way from a client to a tool, in the order a request meets them. */
export const hops = ['client', 'host', 'dns', 'tcp', 'tls', 'proxy', 'server'] as const;
export type Hop = (typeof hops)[number];

export interface DoctorTarget {
  readonly url: string;
  /** True when this is the deployment of this folder, so files and processes may be looked at and limits tried. */
  readonly own: boolean;
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
  | { readonly outcome: 'pass'; readonly detail?: string }
  | { readonly outcome: 'not-applicable'; readonly reason: string }
  | { readonly outcome: 'unknown'; readonly reason: string }
  | {
      readonly outcome: 'fail';
      readonly title: string;
      /** One sentence, or the word "undetermined". */
      readonly cause: string;
      readonly evidence: readonly Evidence[];
      readonly fix: Fix;
      readonly severity?: Severity;
    };

export interface Check<Observations> {
  /** Permanent: `category/name`, e.g. `tls/name-mismatch`. Documented in docs/findings.md. */
  readonly code: string;
  /** The healthy fact: reads right behind a tick and behind a cross. */
  readonly title: string;
  readonly category: string;
  readonly hop: Hop;
  readonly severity: Severity;
  /** Codes whose failure explains this one: then it is listed as following, not judged. */
  readonly after: readonly string[];
  /** For `explain`: what it means and why it matters, a paragraph. */
  readonly explanation: string;
  readonly judge: (observations: Observations) => Verdict;
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

/** `doctor --json`, and the source of every other format. */
export interface DoctorReport {
  readonly ok: boolean;
  readonly target: string;
  /** Code of the first broken thing on the path, or null. */
  readonly rootCause: string | null;
  readonly findings: readonly Finding[];
  readonly passed: readonly {
    readonly code: string;
    readonly title: string;
    readonly category: string;
    readonly detail?: string;
  }[];
  readonly notChecked: readonly { readonly code: string; readonly reason: string }[];
  readonly durationMs: number;
}
