import { evidenceOf, fixOf } from './checks/proxy.ts';
import type { EndpointCheck } from './checks/endpoint-check.ts';
import type { Observations } from './observations.ts';
import { suspectsFor } from './proxy-config/suspects.ts';
import type { FailVerdict, ProbeId } from './types.ts';

/** Looks that are taken both ways; a check of anything else has no counterpart at the server. */
const comparable: ReadonlySet<ProbeId> = new Set([
  'answers',
  'well-known',
  'health',
  'modern',
  'legacy',
  'session',
  'session-use',
  'stream',
  'idle',
  'sizes',
  'errors',
  'guards',
  'cors',
  'direct',
]);

/**
 * Says which hop a failure belongs to, by judging the same look at the server
 * itself: right there, the proxy is to blame; wrong there, the server. Then
 * the configuration of the proxy, when it is known, says which line it is.
 */
export function blameHop(check: EndpointCheck, verdict: FailVerdict, seen: Observations): FailVerdict {
  const compared = compare(check, verdict, seen);
  const hop = compared.hop ?? check.hop;
  // The server alone is to blame: no line of the proxy explains it.
  if (hop === 'server' && compared !== verdict) return compared;
  const [suspect] = check.needs.includes('proxy-config') ? [] : suspectsFor(check.code, seen);
  if (suspect === undefined) return compared;
  return {
    ...compared,
    hop: hop === 'tls' ? hop : 'proxy',
    cause: suspect.cause,
    evidence: [...compared.evidence, evidenceOf(suspect)],
    fix: fixOf(suspect),
  };
}

function compare(check: EndpointCheck, verdict: FailVerdict, seen: Observations): FailVerdict {
  const { direct } = seen;
  if (direct.status === 'failed' && isGateway(check.code)) {
    const evidence = { source: 'the server itself', observed: direct.reason, expected: 'an answer' };
    return {
      ...verdict,
      hop: 'server',
      cause: 'the server behind the proxy does not answer either',
      evidence: [...verdict.evidence, evidence],
      fix: { ...verdict.fix, summary: 'Start the server; the proxy only says that it is not there.' },
    };
  }
  if (direct.status !== 'ok' || !check.needs.some((need) => need !== 'direct' && comparable.has(need))) return verdict;
  if (!check.needs.every((need) => comparable.has(need) || need === 'host')) return verdict;
  const { url, way } = direct;
  const directly = check.judge({
    ...seen,
    ...way,
    direct: { status: 'skipped', reason: 'this is the server itself' },
    target: { ...seen.target, url, encrypted: new URL(url).protocol === 'https:' },
  });
  if (directly.outcome === 'pass' || directly.outcome === 'not-applicable') {
    return {
      ...verdict,
      hop: 'proxy',
      severity: verdict.severity ?? check.severity,
      cause:
        proxyCauses[check.code] ??
        'the server answers right when it is asked directly: what stands in front changes it',
      evidence: [
        ...verdict.evidence,
        {
          source: `directly at ${url}`,
          observed: directly.outcome === 'pass' ? (directly.detail ?? check.title) : directly.reason,
          expected: 'the same through the proxy',
        },
      ],
    };
  }
  if (directly.outcome !== 'fail') return verdict;
  return {
    ...verdict,
    hop: 'server',
    evidence: [
      ...verdict.evidence,
      {
        source: `directly at ${url}`,
        observed: directly.evidence[0]?.observed ?? directly.title,
        expected: directly.evidence[0]?.expected ?? check.title,
      },
    ],
  };
}

/** Findings that a proxy makes when the server behind it is not there. */
function isGateway(code: string): boolean {
  return code === 'http/no-server-error' || code === 'http/answers' || code === 'http/json-not-html';
}

/** What a proxy does when the server is right by itself. */
const proxyCauses: Readonly<Record<string, string>> = {
  'http/no-redirect': 'a rule of the proxy redirects the path; the server answers it',
  'http/json-not-html': 'the proxy answers this path itself; the server was not asked',
  'http/host-allowed': 'the proxy sends another Host than it was asked for',
  'http/endpoint-found': 'the proxy asks the server for another path',
  'http/no-server-error': 'the proxy does not reach the server: it passes requests to another address or port',
  'http/answers': 'the proxy takes the request and gives no answer, while the server answers',
  'http/well-knowns-json': 'a rule of the proxy answers these paths with pages',
  'http/errors-json': 'the proxy replaces the errors of the server by its own pages',
  'http/origin-refused': 'the proxy takes Origin off, so the guard of the server never sees it',
  'http/host-refused': 'the proxy replaces Host, so the guard of the server never sees it',
  'http/keep-alive': 'the proxy closes the connection; the server keeps it',
  'key/none-refused': 'the proxy gives requests a key that have none',
  'key/wrong-refused': 'the proxy replaces the key of the request by its own',
  'key/bearer': 'the proxy takes the Authorization header off, or puts another in its place',
  'key/scheme-case': 'a rule of the proxy compares the word Bearer letter by letter',
  'key/x-api-key': 'the proxy takes the x-api-key header off',
  'key/challenge': 'the proxy changes or takes off WWW-Authenticate',
  'session/kept': 'the proxy spreads requests over several servers, or takes Mcp-Session-Id off',
  'protocol/unknown-session': 'the proxy replaces the 404 of the server by another answer',
  'stream/first-event': 'the proxy buffers the stream: directly it opens at once',
  'stream/compressed': 'the proxy compresses the stream and so holds events back',
  'stream/idle': 'the proxy cuts a stream that the server keeps open',
  'sizes/body': 'the proxy limits the size of requests below that of the server',
  'sizes/header': 'the proxy limits the length of headers below that of the server',
  'cors/single-origin': 'the proxy adds the header beside that of the server',
  'cors/preflight': 'the proxy answers the preflight itself, with a shorter list',
  'cors/methods': 'the proxy answers the preflight itself, with fewer methods',
  'cors/exposed': 'the proxy replaces Access-Control-Expose-Headers of the server',
  'health/up': 'the proxy does not pass the health path on',
};
