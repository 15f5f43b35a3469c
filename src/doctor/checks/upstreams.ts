import { tellingWords } from '../../deployment/telling-words.ts';
import type { Answer } from '../observations.ts';
import type { Verdict } from '../types.ts';
import { beforeHttp, checksOf, fail, notApplicable, notSeen, pass, unknown } from './endpoint-check.ts';

export const upstreamChecks = checksOf('health', [
  {
    code: 'health/upstreams',
    title: 'the programs behind the server are up and stay up',
    label: 'upstreams',
    hop: 'server',
    severity: 'warning',
    needs: ['health'],
    after: [...beforeHttp, 'http/answers', 'health/ready'],
    explanation:
      'Where several programs stand behind one server, those that run hide the one that does not: its tools are gone from ' +
      'the list and nothing else shows. A program that ends again and again serves between two ends and loses the calls ' +
      'under way each time. /status says how each of them is, since when, and how often it was started again.',
    judge: (seen) => {
      if (!seen.target.own) return notApplicable('the paths of health answers are known on our own server only');
      if (seen.health.status !== 'ok') return notSeen(seen.health);
      const direct = seen.direct.status === 'ok' ? seen.direct.way.health : seen.health;
      const programs =
        programsOf(seen.health.programs) ?? (direct.status === 'ok' ? programsOf(direct.programs) : null);
      return programs === null ? unknown('/status was not answered') : judgePrograms(programs, seen.target.at);
    },
  },
]);

interface Programs {
  readonly uptimeSeconds: number;
  readonly upstreams: readonly {
    readonly name: string;
    readonly state: string;
    readonly since: string;
    readonly restarts: number;
    readonly reason: string | null;
    readonly lastWords: readonly string[];
  }[];
}

/** Fewer may be a change of its settings, or one bad day. */
const manyRestarts = 3;
/** On average since the server runs: a program that lasts longer is none that ends again and again. */
const shortLifeSeconds = 1_800;

function judgePrograms({ upstreams, uptimeSeconds }: Programs, at: string): Verdict {
  const down = upstreams.find(({ state }) => state === 'down' || state === 'broken');
  const looping = upstreams.find(
    ({ restarts, since }) =>
      restarts >= manyRestarts &&
      uptimeSeconds / restarts < shortLifeSeconds &&
      Date.parse(at) - Date.parse(since) < shortLifeSeconds * 1_000,
  );
  const which = down ?? looping;
  if (which === undefined) {
    const { length } = upstreams;
    return pass(length === 0 ? undefined : `${length} up`);
  }
  const { name, state, since, restarts, reason, lastWords } = which;
  const again = `${restarts} ${restarts === 1 ? 'restart' : 'restarts'} in ${spanOf(uptimeSeconds)}`;
  return fail({
    title: which === down ? `upstream "${name}" is ${state}` : `upstream "${name}" ends again and again`,
    cause: reason ?? `the program has ended ${restarts} times by itself; the log of the server has its last words`,
    evidence: [
      { source: 'GET /status', observed: `${state} since ${since}, ${again}`, expected: 'up, and no restarts' },
      ...tellingWords(lastWords, 1).map((words) => ({
        source: `last words of "${name}"`,
        observed: words.slice(0, 300),
        expected: 'a program that goes on',
      })),
    ],
    fix: {
      summary: 'Mend the program; the log of the server has what it wrote before it ended.',
      commands: ['mcp-deploy logs', 'mcp-deploy restart'],
    },
  });
}

function spanOf(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7_200 ? `${Math.round(seconds / 60)} minutes` : `${Math.round(seconds / 3_600)} hours`;
}

/** /status of our own server; null when something else came. */
function programsOf(answer: Answer): Programs | null {
  if (answer.kind !== 'answered' || answer.status !== 200) return null;
  const { upstreams, uptimeSeconds } = (answer.json ?? {}) as { upstreams?: unknown; uptimeSeconds?: unknown };
  if (!Array.isArray(upstreams) || typeof uptimeSeconds !== 'number') return null;
  return {
    uptimeSeconds,
    upstreams: (upstreams as readonly Record<string, unknown>[]).map((each) => ({
      name: String(each['name']),
      state: String(each['state']),
      since: String(each['since']),
      restarts: Number(each['restarts'] ?? 0),
      reason: typeof each['reason'] === 'string' ? each['reason'] : null,
      lastWords: Array.isArray(each['lastWords']) ? each['lastWords'].map(String) : [],
    })),
  };
}
