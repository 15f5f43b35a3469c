import { blameHop } from './blame-hop.ts';
import { someClientWorks, type EndpointCheck } from './checks/endpoint-check.ts';
import { describeMeasures } from './describe-measures.ts';
import type { Observations } from './observations.ts';
import {
  hops,
  type DoctorReport,
  type FailVerdict,
  type Finding,
  type Hop,
  type NotChecked,
  type PassedCheck,
  type PathHop,
} from './types.ts';

export interface Judgement {
  readonly observations: Observations;
  /** In the order of the way; a check comes after those that explain its failure. */
  readonly checks: readonly EndpointCheck[];
  /** Codes that the user wants to know of; the others are judged, since they may explain these, and not shown. */
  readonly selected: ReadonlySet<string>;
  readonly durationMs: number;
}

/**
 * Every check once, in order. A check that an earlier failure explains is not
 * judged but said to follow from it. Warnings explain nothing.
 */
export function judgeObservations({ observations, checks, selected, durationMs }: Judgement): DoctorReport {
  const findings: Finding[] = [];
  const passed: PassedCheck[] = [];
  const notChecked: NotChecked[] = [];
  /** Code of a check that is broken, or follows: the root it leads to. */
  const roots = new Map<string, string>();
  let undecided = false;

  for (const check of checks) {
    const { code, title, category } = check;
    const shown = selected.has(code);
    const verdict = judgeOne(check, observations, roots);
    switch (verdict.outcome) {
      case 'pass': {
        const detail = verdict.detail === undefined ? {} : { detail: verdict.detail };
        if (shown) passed.push({ code, title, category, ...detail });
        break;
      }
      case 'fail': {
        const finding = findingOf(check, blameHop(check, verdict, observations));
        if (finding.severity === 'error') roots.set(code, code);
        if (shown) findings.push(finding);
        break;
      }
      case 'follows':
        roots.set(code, verdict.from);
        if (shown) notChecked.push({ code, kind: 'follows', reason: `follows from ${verdict.from}` });
        undecided ||= shown && check.severity === 'error';
        break;
      case 'not-applicable':
      case 'not-tried':
      case 'unknown':
        if (shown) notChecked.push({ code, kind: verdict.outcome, reason: verdict.reason });
        undecided ||= shown && verdict.outcome === 'unknown' && check.severity === 'error';
        break;
    }
    if (!shown) notChecked.push({ code, kind: 'left-out', reason: 'left out on request' });
  }

  const errors = findings.filter(({ severity }) => severity === 'error');
  const report = {
    ok: errors.length === 0 && !undecided,
    target: observations.target.url,
    rootCause: errors[0]?.code ?? null,
    findings: [...errors, ...findings.filter(({ severity }) => severity === 'warning')],
    passed,
    notChecked,
    durationMs: Math.round(durationMs),
    measures: describeMeasures(observations),
  };
  return { ...report, path: describePath(observations, report, checks) };
}

function judgeOne(
  check: EndpointCheck,
  observations: Observations,
  roots: ReadonlyMap<string, string>,
): ReturnType<EndpointCheck['judge']> {
  const verdict = check.judge(observations);
  // What does not apply follows from nothing.
  if (verdict.outcome === 'not-applicable' || verdict.outcome === 'not-tried') return verdict;
  for (const earlier of check.after) {
    const root = roots.get(earlier);
    if (root !== undefined) return { outcome: 'follows', from: root };
  }
  if (verdict.outcome !== 'follows') return verdict;
  const root = roots.get(verdict.from);
  return root === undefined
    ? { outcome: 'unknown', reason: `${verdict.from} could not be judged either` }
    : { outcome: 'follows', from: root };
}

function findingOf(check: EndpointCheck, verdict: FailVerdict): Finding {
  const { title, cause, evidence, fix } = verdict;
  return {
    code: check.code,
    severity: verdict.severity ?? check.severity,
    hop: verdict.hop ?? check.hop,
    title,
    cause,
    evidence,
    fix,
  };
}

/** Programs that call themselves by name in Server and are hardly ever the MCP server itself. */
const proxyNames = /^(nginx|openresty|caddy|apache|traefik|haproxy|envoy|cloudflare|cloudfront|akamai|varnish|istio)/i;

/** The hops from this machine to the server; a proxy only when something speaks for one. */
function describePath(
  observations: Observations,
  report: Pick<DoctorReport, 'findings' | 'passed'>,
  checks: readonly EndpointCheck[],
): readonly PathHop[] {
  const hopByCode = new Map(checks.map((check) => [check.code, check.hop]));
  const proxy = proxyLabel(observations);
  const stateOf = (hop: Hop): PathHop['state'] => {
    const found = report.findings.filter((finding) => finding.hop === hop);
    if (found.some(({ severity }) => severity === 'error')) return 'error';
    if (found.length > 0) return 'warning';
    // What lies behind a broken hop was not seen, unless a client got there all the same.
    const broken = report.findings.some(
      ({ severity, hop: at }) => severity === 'error' && hops.indexOf(at) < hops.indexOf(hop),
    );
    if (broken && (hop === 'proxy' || hop === 'server') && !someClientWorks(observations)) return 'unknown';
    return report.passed.some(({ code }) => hopByCode.get(code) === hop) ? 'ok' : 'unknown';
  };
  return hops.flatMap((hop): readonly PathHop[] => {
    const state = stateOf(hop);
    if (hop === 'proxy') return proxy === null && state !== 'error' ? [] : [{ hop, label: proxy ?? 'proxy', state }];
    if (hop === 'client' && state !== 'error' && state !== 'warning') return [];
    // Open key files or a full disk are no hop that a request passes; a server that does not run is.
    if (hop === 'host' && (state !== 'error' || someClientWorks(observations))) return [];
    if (hop === 'tls' && !observations.target.encrypted) return [];
    return [{ hop, label: labels[hop], state }];
  });
}

const labels: Readonly<Record<Hop, string>> = {
  client: 'client',
  host: 'host',
  dns: 'name',
  tcp: 'tcp',
  tls: 'tls',
  proxy: 'proxy',
  server: 'server',
};

function proxyLabel({ answers }: Observations): string | null {
  if (answers.status !== 'ok') return null;
  for (const answer of [answers.bearer, answers.noKey]) {
    if (answer?.kind !== 'answered') continue;
    const server = answer.headers['server'];
    if (server !== undefined && proxyNames.test(server)) return server.slice(0, 40);
    const via = answer.headers['via'];
    if (via !== undefined) return via.slice(0, 40);
  }
  return null;
}
