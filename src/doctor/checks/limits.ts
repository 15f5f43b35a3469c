import type { Answer, LimitsSeen, Observations } from '../observations.ts';
import { retryAfterSeconds } from '../retry-after.ts';
import type { Verdict } from '../types.ts';
import {
  answerEvidence,
  beforeMcp,
  checksOf,
  fail,
  isHtml,
  notApplicable,
  notSeen,
  notTried,
  pass,
  unknown,
} from './endpoint-check.ts';

const afterConnect = [...beforeMcp, 'key/bearer', 'protocol/legacy', 'protocol/modern'];

export const limitsChecks = checksOf('limits', [
  {
    code: 'limits/answers-429',
    title: 'too many calls are answered with 429',
    label: '429 after a burst',
    hop: 'server',
    severity: 'warning',
    needs: ['limits', 'host'],
    after: afterConnect,
    explanation:
      'Tool calls must be limited (specification, tools, security considerations). Calls of a tool that does not exist ' +
      'are sent until the first 429, at most 200, on our own deployments whose limits let calls in again within 10 s, or with --limits. A limit that is declared and ' +
      'not kept is an error; none at all is a warning; one that lies above what is sent is not judged.',
    judge: (seen) =>
      withLimits(seen, ({ sent, refusal, declared, usualStatus, durationMs }) => {
        if (refusal !== null) return pass(`429 within ${sent} calls`);
        if (usualStatus === 503) {
          return fail({
            title: 'too many calls are answered with 503',
            cause: 'the limit of the proxy answers 503, which clients take for an outage (nginx: limit_req_status)',
            evidence: [{ source: `${sent} calls`, observed: 'mostly 503', expected: '429' }],
            severity: 'error',
            hop: 'proxy',
            fix: { summary: 'Let the limit answer with 429; in nginx: limit_req_status 429;', commands: [] },
          });
        }
        const beyond = beyondReach(seen, sent, durationMs);
        if (beyond !== null) return beyond;
        if (declared !== null && declared.quota > sent) {
          return unknown(`the declared limit of ${declared.quota} is above the ${sent} calls that are sent`);
        }
        return fail({
          title:
            declared === null
              ? `no limit in ${sent} calls`
              : `the declared limit of ${declared.quota} calls is not kept`,
          cause: declared === null ? 'tool calls are not limited, or far above what one client needs' : 'undetermined',
          severity: declared === null ? 'warning' : 'error',
          evidence: [
            {
              source: `${sent} calls in ${(durationMs / 1000).toFixed(1)} s`,
              observed: `${usualStatus} for all of them`,
              expected: declared === null ? '429 at some point' : `429 after ${declared.quota}`,
            },
          ],
          fix: seen.target.own
            ? { summary: 'Set limits.perKey in mcp-deploy.yaml.', commands: ['mcp-deploy apply'] }
            : { summary: 'Limit calls per key, in the server or in the proxy.', commands: [] },
        });
      }),
  },
  {
    code: 'limits/retry-after',
    title: 'a 429 says when to come back',
    label: 'Retry-After',
    hop: 'server',
    severity: 'error',
    needs: ['limits'],
    after: [...afterConnect, 'limits/answers-429'],
    explanation:
      'Clients that are told nothing try again at once, all of them, and keep the limit exhausted. Retry-After (RFC 9110, ' +
      '10.2.3) in seconds or as a date stops that.',
    judge: (seen) =>
      withRefusal(seen, (refusal) => {
        const value = refusal.headers['retry-after'];
        const seconds = value === undefined ? null : retryAfterSeconds(value, refusal.receivedAt);
        if (seconds !== null && seconds > 0) return pass(`Retry-After ${value?.slice(0, 30)}`);
        return fail({
          title: value === undefined ? 'the 429 has no Retry-After' : 'the Retry-After of the 429 is not in the future',
          cause: isHtml(refusal) ? 'the limit of the proxy answers with its own page' : 'the limiter leaves it out',
          evidence: [
            {
              source: '429 answer',
              observed: value === undefined ? 'no Retry-After' : `Retry-After: ${value}`,
              expected: 'Retry-After: SECONDS, at least 1',
            },
          ],
          fix: { summary: 'Send Retry-After with every 429; in nginx: add_header Retry-After 5 always;', commands: [] },
        });
      }),
  },
  {
    code: 'limits/recovers',
    title: 'calls pass again once the time of Retry-After is over',
    label: 'recovery',
    hop: 'server',
    severity: 'warning',
    needs: ['limits'],
    after: [...afterConnect, 'limits/answers-429', 'limits/retry-after'],
    explanation:
      'A client waits as long as Retry-After says and calls again. Is it refused then, it waits once more, and so on: the ' +
      'time is told too short, or refused calls count as well. After the burst one call is sent when the time is over, and ' +
      'one more when that is refused. Longer than 10 s is not waited for.',
    judge: (seen) =>
      withRefusal(seen, (_, { recovery }) => {
        if (recovery === null) return unknown('no call was sent afterwards');
        if (typeof recovery === 'string') return notTried(recovery);
        const { answer, waitedMs } = recovery;
        if (answer.kind === 'failed') return unknown(answer.failure.message);
        const waited = `after ${(waitedMs / 1_000).toFixed(1)} s`;
        if (answer.status !== 429 && answer.status < 500) return pass(waited);
        return fail({
          title: 'calls are still refused when the time of Retry-After is over',
          cause:
            answer.status === 429
              ? 'the limiter promises a shorter time than it keeps, or counts the calls that it refused'
              : 'the server fails once the limit was reached',
          evidence: [answerEvidence(waited, answer, 'an answer of the tool')],
          fix: {
            summary: 'Let Retry-After name the moment when a call passes, and let refused calls not count.',
            commands: [],
          },
        });
      }),
  },
  {
    code: 'limits/other-key',
    title: 'the limit of one key leaves other keys alone',
    label: 'other keys',
    hop: 'server',
    severity: 'warning',
    needs: ['limits'],
    after: [...afterConnect, 'limits/answers-429'],
    explanation:
      'With one count for everybody, or for an address behind which many sit, one busy program shuts out all others. Right ' +
      'behind the first 429 one call is sent with another key (--other-key-file); it must pass.',
    judge: (seen) =>
      withRefusal(seen, (_, { otherKey }) => {
        if (!seen.target.keyGiven) return notApplicable('no key was given');
        if (otherKey === null) return notApplicable('no other key is known (--other-key-file FILE)');
        if (otherKey.kind === 'failed') return unknown(otherKey.failure.message);
        if (otherKey.status === 401 || otherKey.status === 403) return unknown('the other key is not accepted');
        if (otherKey.status !== 429) return pass();
        return fail({
          title: 'the limit of one key shuts out the others',
          cause: seen.target.own
            ? 'limits.perAddress or limits.global is reached before limits.perKey'
            : 'calls are counted by address, or all together, and not by key',
          evidence: [answerEvidence('with another key, right behind the first 429', otherKey, 'an answer of the tool')],
          fix: seen.target.own
            ? {
                summary: 'Set limits.perAddress and limits.global above limits.perKey in mcp-deploy.yaml.',
                commands: ['mcp-deploy apply'],
              }
            : { summary: 'Count calls by key; in nginx: limit_req_zone $http_authorization …;', commands: [] },
        });
      }),
  },
  {
    code: 'limits/headers',
    title: 'the limit is told in RateLimit headers',
    label: 'RateLimit headers',
    hop: 'server',
    severity: 'warning',
    needs: ['limits'],
    after: [...afterConnect, 'limits/answers-429'],
    explanation:
      'RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers) let clients slow down before the limit. Our ' +
      'own server sends them; a proxy in front must let them through. Elsewhere they are not asked for.',
    judge: (seen) =>
      withRefusal(seen, (refusal) => {
        if (!seen.target.own) return notApplicable('a draft that only our own server has to follow');
        const missing = ['ratelimit', 'ratelimit-policy'].filter((name) => refusal.headers[name] === undefined);
        if (missing.length === 0) return pass();
        return fail({
          title: 'the 429 has no RateLimit headers',
          cause: 'a proxy answers with its own limit, or takes the headers off',
          hop: 'proxy',
          evidence: [answerEvidence('beyond the limit', refusal, missing.join(' and '))],
          fix: {
            summary: 'Let the proxy pass these headers on, or set its own limit above that of the server.',
            commands: [],
          },
        });
      }),
  },
]);

type Refusal = Extract<Answer, { kind: 'answered' }>;

function withLimits(seen: Observations, judge: (limits: LimitsSeen) => Verdict): Verdict {
  if (seen.target.limitsNotTried !== null) return notTried(seen.target.limitsNotTried);
  return seen.limits.status === 'ok' ? judge(seen.limits) : notSeen(seen.limits);
}

/** Our own deployment says what it allows, so that a generous limit is not taken for none. */
function beyondReach({ host }: Observations, sent: number, durationMs: number): Verdict | null {
  if (host.status !== 'ok' || host.callLimit === null) return null;
  if (host.callLimit === 'off') return notApplicable('limits.perKey is off in mcp-deploy.yaml');
  const { atOnce, perSecond } = host.callLimit;
  const allowed = Math.floor(atOnce + (perSecond * durationMs) / 1_000);
  return allowed < sent ? null : unknown(`limits.perKey allows more than the ${sent} calls that are sent`);
}

function withRefusal(seen: Observations, judge: (refusal: Refusal, limits: LimitsSeen) => Verdict): Verdict {
  return withLimits(seen, (limits) =>
    limits.refusal?.kind === 'answered'
      ? judge(limits.refusal, limits)
      : notApplicable('nothing was answered with 429'),
  );
}
