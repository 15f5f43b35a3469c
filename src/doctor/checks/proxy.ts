import { suspectsFor } from '../proxy-config/suspects.ts';
import type { Suspect } from '../proxy-config/suspect.ts';
import type { ClientObserved, Observations } from '../observations.ts';
import type { Fix, Verdict } from '../types.ts';
import { beforeMcp, checksOf, fail, notApplicable, notSeen, pass, type EndpointCheck } from './endpoint-check.ts';

/** What stands in front of the server, compared with the server itself or read from its configuration. */
export const proxyChecks = checksOf('proxy', [
  {
    code: 'proxy/same-server',
    title: 'the proxy leads to the server that was named',
    label: 'same server',
    hop: 'proxy',
    severity: 'error',
    needs: ['modern', 'legacy', 'direct'],
    after: [...beforeMcp, 'key/bearer', 'protocol/legacy', 'protocol/modern'],
    explanation:
      'Asked through the proxy and directly, the same server must answer: the same name, the same version. Otherwise the ' +
      'proxy passes the path to another server, to an old copy of it that still runs, or --upstream names another one.',
    judge: ({ modern, legacy, direct }) => {
      if (direct.status === 'skipped') return notApplicable(direct.reason);
      if (direct.status === 'failed') return notSeen(direct);
      const here = serverOf(modern) ?? serverOf(legacy);
      const there = serverOf(direct.way.modern) ?? serverOf(direct.way.legacy);
      if (here === null || there === null) return notApplicable('no client could connect both ways');
      if (here === there) return pass(here.slice(0, 40));
      return fail({
        title: `${here} answers through the proxy, ${there} directly`,
        cause: 'the proxy passes the path to another server, or to an old copy of it',
        evidence: [{ source: 'server that answers through the proxy', observed: here, expected: there }],
        fix: { summary: `Let the proxy pass the path to ${direct.url}.`, commands: [] },
      });
    },
  },
  fromConfig({
    code: 'proxy/read-timeout',
    title: 'the proxy waits for slow calls',
    label: 'time-outs',
    explanation:
      'A tool may work for minutes before it says anything. A proxy that waits for 60 seconds (the default of nginx) ' +
      'answers 504 in its place, while the call goes on at the server. Streams are kept open by the comment lines that ' +
      'our server sends every 15 seconds; others may be silent for longer. Five minutes or more are in order.',
  }),
  fromConfig({
    code: 'proxy/http-version',
    title: 'the proxy asks the server in HTTP/1.1',
    label: 'HTTP/1.1',
    explanation:
      'nginx before 1.29.7 asks servers in HTTP/1.0 unless proxy_http_version says 1.1: every call costs a new ' +
      'connection, and answers whose length is not known beforehand end by closing it.',
  }),
  fromConfig({
    code: 'proxy/limit-status',
    title: 'the limit of the proxy answers 429',
    label: 'limit answers 429',
    explanation:
      'A rate limit in nginx answers 503 unless limit_req_status says 429, and HAProxy 403 unless deny_status does. ' +
      'Clients take a 503 for an outage and a 403 for a wrong key, and do not slow down.',
  }),
  fromConfig({
    code: 'proxy/lost-headers',
    title: 'added headers reach every location',
    label: 'added headers',
    explanation:
      'In nginx one add_header in a location drops every add_header of the blocks around it, security headers such as ' +
      'Strict-Transport-Security among them, without a word.',
  }),
]);

function fromConfig(
  words: Pick<EndpointCheck, 'code' | 'title' | 'label' | 'explanation'>,
): Omit<EndpointCheck, 'category'> {
  return {
    ...words,
    explanation: `${words.explanation} It is read from the configuration (--proxy-config).`,
    hop: 'proxy',
    severity: 'warning',
    needs: ['proxy-config'],
    after: [],
    judge: (seen) => judgeConfig(words.code, words.title, seen),
  };
}

function judgeConfig(code: string, title: string, seen: Observations): Verdict {
  const { proxyConfig } = seen;
  if (proxyConfig.status === 'skipped') return notApplicable(proxyConfig.reason);
  if (proxyConfig.status === 'failed') return notSeen(proxyConfig);
  const [first, ...more] = suspectsFor(code, seen);
  if (first === undefined) return pass();
  return fail({
    title: `not so: ${title}`,
    cause: first.cause,
    evidence: [first, ...more].map(evidenceOf),
    fix: fixOf(first),
  });
}

/** Where it stands, as a line of evidence. */
export function evidenceOf({ file, line, observed, expected }: Suspect) {
  return { source: `${file}:${line}`, observed, expected };
}

/** What changes there. */
export function fixOf({ summary, commands, diff }: Suspect): Fix {
  return { summary, commands, ...(diff === undefined ? {} : { diff }) };
}

function serverOf(look: ClientObserved): string | null {
  return look.status === 'ok' ? `${look.server.name} ${look.server.version}` : null;
}
