import type { Answer, HealthSeen, Observations } from '../observations.ts';
import type { Verdict } from '../types.ts';
import { answerEvidence, beforeHttp, checksOf, fail, notApplicable, notSeen, pass, unknown } from './endpoint-check.ts';

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
]);

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
