import type { Answer, Observations, SessionUseSeen } from '../observations.ts';
import type { Verdict } from '../types.ts';
import {
  answerEvidence,
  beforeMcp,
  checksOf,
  describeAnswer,
  fail,
  notApplicable,
  notSeen,
  pass,
  unknown,
} from './endpoint-check.ts';

const afterKey = [...beforeMcp, 'key/bearer', 'protocol/headers-kept'];

export const sessionChecks = checksOf('session', [
  {
    code: 'session/kept',
    title: 'a session is known on every connection',
    label: 'kept',
    hop: 'server',
    severity: 'error',
    needs: ['session-use', 'legacy'],
    after: afterKey,
    explanation:
      'A client of the legacy era sends its Mcp-Session-Id over any connection. Behind a load balancer that spreads ' +
      'connections over replicas, each with sessions of its own, some requests find a server that does not know it: calls ' +
      'fail now and then with 404. One session is used over four connections. Replicas need a shared session store, the ' +
      'stateless era, or affinity by the session id (cookies do not help: MCP clients drop them).',
    judge: (seen) =>
      withSession(seen, ({ answers }) => {
        const lost = answers.filter((answer) => isLost(answer));
        if (lost.length === 0 && losesSession(seen.legacy)) return lostByClient();
        if (lost.length === 0) return pass();
        const all = lost.length === answers.length;
        return fail({
          title: all ? 'a session is lost at once' : 'a session is known on some connections only',
          cause: all
            ? 'Mcp-Session-Id does not reach the server that gave it out: something takes the header off, or sends every request elsewhere'
            : 'requests are spread over several servers that do not share their sessions',
          hop: all ? 'server' : 'proxy',
          evidence: [
            {
              source: `POST tools/list over ${answers.length} connections`,
              observed: `${lost.length} of ${answers.length} lost the session: ${describeAnswer(lost[0] as Answer)}`,
              expected: 'the same answer on every connection',
            },
          ],
          fix: all
            ? { summary: 'Pass Mcp-Session-Id on, in both directions.', commands: [] }
            : {
                summary:
                  'Let the replicas share sessions, or send a session to the server that opened it (HAProxy: stick ' +
                  'store-response res.hdr(mcp-session-id), stick match req.hdr(mcp-session-id)).',
                commands: [],
              },
        });
      }),
  },
  {
    code: 'session/key-required',
    title: 'a session id is no key',
    label: 'id is no key',
    hop: 'server',
    severity: 'error',
    needs: ['session-use', 'answers'],
    after: [...afterKey, 'key/none-refused', 'session/kept'],
    explanation:
      'Sessions must not be used for authentication (specification, security best practices). Whoever learns a session ' +
      'id, from a log for example, must still be asked for the key.',
    judge: (seen) =>
      withSession(seen, ({ withoutKey }) => {
        if (withoutKey === null) return notApplicable('no key was given');
        if (seen.answers.status === 'ok' && accepted(seen.answers.noKey)) {
          return notApplicable('the server lets everyone in');
        }
        if (!accepted(withoutKey)) return pass();
        return fail({
          title: 'a session id alone is let in',
          cause: 'the key is looked at when a session begins, and never again',
          evidence: [answerEvidence('with a session id and no key', withoutKey, '401')],
          fix: { summary: 'Let the server check the key of every request.', commands: [] },
        });
      }),
  },
  {
    code: 'session/foreign-key',
    title: 'a session answers only the key that opened it',
    label: 'own key only',
    hop: 'server',
    severity: 'error',
    needs: ['session-use', 'answers'],
    after: [...afterKey, 'key/none-refused', 'key/wrong-refused', 'session/kept', 'session/key-required'],
    explanation:
      'A session belongs to whoever opened it (specification, security best practices: bind session ids to the user). The ' +
      'session is used with a key that was never given out and, where a second key is known (--other-key-file), with that ' +
      'one: both must be refused, or one holder of a key reads what another one does.',
    judge: (seen) =>
      withSession(seen, ({ withoutKey, wrongKey, otherKey }) => {
        if (withoutKey === null || wrongKey === null) return notApplicable('no key was given');
        if (seen.answers.status === 'ok' && accepted(seen.answers.noKey)) {
          return notApplicable('the server lets everyone in');
        }
        const [tried, answer] = accepted(wrongKey)
          ? (['a key that was never given out', wrongKey] as const)
          : (['the key of somebody else', otherKey] as const);
        if (answer === null || !accepted(answer)) return pass(otherKey === null ? undefined : 'two keys kept apart');
        return fail({
          title: `a session answers ${tried}`,
          cause: 'the key of a request is not held against the key that opened the session',
          evidence: [answerEvidence(`in a session of the first key, with ${tried}`, answer, '401, 403 or 404')],
          fix: { summary: 'Let the server remember the key of each session and refuse every other.', commands: [] },
        });
      }),
  },
  {
    code: 'session/parallel',
    title: 'two sessions live side by side',
    label: 'parallel',
    hop: 'server',
    severity: 'error',
    needs: ['session-use'],
    after: [...afterKey, 'session/kept'],
    explanation:
      'Every client has a session of its own, and one client may have several. A bridge around a program that speaks to one ' +
      'client only refuses the second initialize, gives it the session of the first, or ends the first: then the second user ' +
      'of the endpoint cannot connect, or reads the answers of the other.',
    judge: (seen) =>
      withBusy(seen, ({ second }) => {
        if (second === null) return unknown('no second session was tried');
        if (!second.opened) {
          if (second.answer.kind === 'failed') return unknown(second.answer.failure.message);
          if (second.answer.status === 429) return unknown('the server limits requests right now (429)');
        } else if (!second.sameId && !isLost(second.inFirst) && !isLost(second.inSecond)) return pass();
        const [title, observed] = !second.opened
          ? (['a second session is refused', describeAnswer(second.answer)] as const)
          : second.sameId
            ? (['a second client gets the session of the first', 'the same Mcp-Session-Id twice'] as const)
            : ([
                'a second session ends the first',
                describeAnswer(isLost(second.inFirst) ? second.inFirst : second.inSecond),
              ] as const);
        return fail({
          title,
          cause: 'the server keeps one session at a time: a bridge around a program that knows one client only',
          evidence: [
            {
              source: 'POST initialize beside an open session',
              observed,
              expected: 'a session of its own, both alive',
            },
          ],
          fix: {
            summary: 'Put a gateway in front that gives each client its own session: mcp-deploy up -- COMMAND does.',
            commands: [],
          },
        });
      }),
  },
]);

function withSession({ sessionUse }: Observations, judge: (use: SessionUseSeen) => Verdict): Verdict {
  if (sessionUse.status !== 'ok') return notSeen(sessionUse);
  return sessionUse.opened ? judge(sessionUse) : notApplicable('the server keeps no sessions');
}

/** A server that has one session in all has it already when doctor comes for the second time. */
function withBusy(seen: Observations, judge: (use: SessionUseSeen) => Verdict): Verdict {
  const { sessionUse } = seen;
  if (sessionUse.status !== 'ok' || sessionUse.refusal === null || !saysBusy(sessionUse.refusal)) {
    return withSession(seen, judge);
  }
  return judge({ ...sessionUse, second: { opened: false, answer: sessionUse.refusal } });
}

/** As the SDK 1.x words it, and bridges around one program. */
function saysBusy(answer: Answer): boolean {
  return answer.kind === 'answered' && /already (?:been )?(?:initiali[sz]ed|connected)/i.test(answer.bodyStart);
}

/** A client that was given a session and then told that it is not known: another server than the first answered. */
function losesSession(legacy: Observations['legacy']): boolean {
  return (
    legacy.status === 'stuck' &&
    legacy.last?.status === 404 &&
    /^(?:notifications|tools)\//.test(legacy.last.rpcMethod ?? '')
  );
}

function lostByClient(): Verdict {
  return fail({
    title: 'a session is known on some connections only',
    cause: 'requests are spread over several servers that do not share their sessions',
    hop: 'proxy',
    evidence: [
      {
        source: '1.x client, behind initialize',
        observed: '404: its session is not known',
        expected: 'the session goes on',
      },
    ],
    fix: { summary: 'Let the replicas share sessions, or send a session to the server that opened it.', commands: [] },
  });
}

function isLost(answer: Answer): boolean {
  return answer.kind === 'answered' && (answer.status === 404 || answer.status === 400);
}

function accepted(answer: Answer): boolean {
  if (answer.kind !== 'answered' || answer.status < 200 || answer.status > 299) return false;
  return !(typeof answer.json === 'object' && answer.json !== null && 'error' in answer.json);
}
