import type { Answer, HealthSeen, Observations } from '../observations.ts';
import type { Verdict } from '../types.ts';
import {
  answerEvidence,
  beforeHttp,
  checksOf,
  fail,
  isHtml,
  notApplicable,
  notSeen,
  pass,
  unknown,
} from './endpoint-check.ts';

export const healthChecks = checksOf('health', [
  {
    code: 'health/up',
    title: 'the health path answers',
    label: 'up',
    hop: 'server',
    severity: 'error',
    needs: ['health'],
    after: [...beforeHttp, 'http/answers'],
    explanation:
      '/health is what load balancers and monitors ask, without a key. If it does not answer with 200 they take a working ' +
      'server out of service.',
    judge: (seen) =>
      withHealth(seen, ({ health }) => {
        if (health.kind === 'failed') return unknown(health.failure.message);
        if (health.status === 200) return pass();
        return fail({
          title: `/health answers with ${health.status}`,
          cause:
            health.status === 404 ? 'a proxy does not pass the path on, or another server answers' : 'undetermined',
          evidence: [answerEvidence('', health, '200')],
          fix: { summary: 'Look at the log of the server.', commands: ['mcp-deploy logs'] },
        });
      }),
  },
  {
    code: 'health/ready',
    title: 'the server is ready to serve',
    label: 'ready',
    hop: 'server',
    severity: 'error',
    needs: ['health'],
    after: [...beforeHttp, 'http/answers'],
    explanation:
      '/readyz answers 503 while the server drains or the only program behind it is down, and says which one and why. A ' +
      'proxy or service manager then keeps calls away.',
    judge: (seen) =>
      withHealth(seen, ({ ready }) => {
        if (ready.kind === 'failed') return unknown(ready.failure.message);
        if (ready.status === 200) return pass();
        return fail({
          title: 'the server is not ready',
          cause: reasonOf(ready) ?? 'undetermined',
          evidence: [answerEvidence('', ready, '200')],
          fix: {
            summary: 'Mend the program behind the server; the log has its last words.',
            commands: ['mcp-deploy logs', 'mcp-deploy restart'],
          },
        });
      }),
  },
  {
    code: 'health/metrics-private',
    title: 'metrics are not for everyone',
    label: 'metrics private',
    hop: 'server',
    severity: 'warning',
    needs: ['metrics'],
    after: [...beforeHttp, 'http/answers'],
    explanation:
      'Metrics tell names of tools and upstreams, how much is called and when, and versions with known holes. Asked without ' +
      'a key under the name that clients use, /metrics must not answer with them. Under localhost it may: that is how a ' +
      'scraper on the machine reads them.',
    judge: (seen) => {
      const { metrics, target } = seen;
      if (metrics.status !== 'ok') return notSeen(metrics);
      if (target.loopback) return notApplicable('asked from the machine itself');
      const { open } = metrics;
      if (open.kind === 'failed') return unknown(open.failure.message);
      if (open.status !== 200 || !isExposition(open)) return pass();
      return fail({
        title: 'everyone can read the metrics',
        cause: seen.target.own
          ? 'server.metricsFrom lets every network in, or a proxy passes the path on as its own'
          : 'the path is served, or passed on, without a check of who asks',
        evidence: [answerEvidence('without a key', open, '401, 403 or 404')],
        fix: target.own
          ? {
              summary:
                'Leave /metrics out of what the proxy passes on, and name the networks that may read in server.metricsFrom.',
              commands: ['mcp-deploy apply'],
            }
          : {
              summary: 'Serve /metrics on an address of its own, or close it to all but the scraper.',
              commands: [],
              diff: metricsDiff,
            },
      });
    },
  },
  {
    code: 'health/metrics',
    title: 'the metrics can be scraped',
    label: 'metrics',
    hop: 'server',
    severity: 'warning',
    needs: ['metrics'],
    after: [...beforeHttp, 'http/answers'],
    explanation:
      '/metrics of our own server, asked with the key: an answer in the text format of Prometheus that holds the counts of ' +
      'requests. Without it alerts and dashboards stay silent, which looks like health.',
    judge: ({ metrics, target }) => {
      if (!target.own) return notApplicable('the metrics of a server that is not ours are not known');
      if (metrics.status !== 'ok') return notSeen(metrics);
      const answer = metrics.withKey ?? metrics.open;
      if (answer.kind === 'failed') return unknown(answer.failure.message);
      if (answer.status === 404 && answer.json !== undefined) return notApplicable('server.metrics is false');
      if (metrics.withKey === null && answer.status === 403)
        return notApplicable('they need a key, and none was given');
      if (answer.status === 200 && isExposition(answer)) return pass();
      return fail({
        title: 'the metrics cannot be scraped',
        cause: 'a proxy answers /metrics itself, or another server does',
        evidence: [answerEvidence('with the key', answer, '200 in the text format of Prometheus')],
        fix: {
          summary: 'Scrape the server itself, past the proxy: server.metricsListen.',
          commands: ['mcp-deploy apply'],
        },
      });
    },
  },
]);

/** The text format has comment lines of its own before each family of samples. */
function isExposition(answer: Answer): boolean {
  return answer.kind === 'answered' && !isHtml(answer) && /^# (?:HELP|TYPE) [A-Za-z_:]/m.test(answer.bodyStart);
}

const metricsDiff = `+location = /metrics {
+    allow 127.0.0.1;
+    deny all;
+}`;

function withHealth({ health, target }: Observations, judge: (health: HealthSeen) => Verdict): Verdict {
  if (!target.own) return notApplicable('the paths of health answers are known on our own server only');
  return health.status === 'ok' ? judge(health) : notSeen(health);
}

/** The first upstream of /readyz that is not up, with its reason. */
function reasonOf(ready: Answer): string | null {
  if (ready.kind !== 'answered') return null;
  const upstreams = (ready.json as { upstreams?: unknown } | null | undefined)?.upstreams;
  if (!Array.isArray(upstreams)) return null;
  for (const each of upstreams as readonly { name?: unknown; state?: unknown; reason?: unknown }[]) {
    if (typeof each.name !== 'string' || each.state === 'up') continue;
    const reason = typeof each.reason === 'string' ? `: ${each.reason}` : '';
    return `upstream "${each.name}" is ${typeof each.state === 'string' ? each.state : 'not up'}${reason}`;
  }
  return null;
}
