import type { Answer, Observations } from '../observations.ts';
import type { Evidence } from '../types.ts';
import { answerEvidence, beforeMcp, checksOf, describeAnswer, fail, notSeen, pass } from './endpoint-check.ts';

/** Header and body disagree, or a header is missing (revision 2026-07-28, transports). */
const headerMismatch = -32020;

export const headerChecks = checksOf('protocol', [
  {
    code: 'protocol/headers-kept',
    title: 'the headers of the protocol arrive',
    label: 'headers kept',
    hop: 'proxy',
    severity: 'error',
    needs: ['answers', 'session', 'session-use', 'direct'],
    after: [...beforeMcp, 'key/bearer'],
    explanation:
      'MCP-Protocol-Version, Mcp-Method, Mcp-Name and Mcp-Session-Id must reach the server, and Mcp-Session-Id the ' +
      'client. A proxy with a list of allowed headers takes them off: clients then lose their session, or are taken for ' +
      'older ones. It is seen from what the server says of a request that was complete, and from what it accepts ' +
      'although it must refuse it.',
    judge: (seen) => {
      if (seen.answers.status !== 'ok') return notSeen(seen.answers);
      const lost = [
        ...missingModern(seen),
        ...missingSession(seen),
        ...missingRequestSession(seen),
        ...missingRevision(seen),
      ];
      if (lost.length === 0) return pass();
      const names = [...new Set(lost.map(({ header }) => header))];
      return fail({
        title: `${names.join(' and ')} ${names.length === 1 ? 'gets' : 'get'} lost on the way`,
        cause: 'a proxy passes on only headers that it knows',
        evidence: lost.map(({ evidence }) => evidence),
        fix: {
          summary: `Let the proxy pass on ${names.join(', ')}, in both directions.`,
          commands: [],
        },
      });
    },
  },
]);

interface Lost {
  readonly header: string;
  readonly evidence: Evidence;
}

function missingModern({ answers }: Observations): readonly Lost[] {
  const discovered = answers.status === 'ok' ? answers.discovered : null;
  if (discovered?.kind !== 'answered' || errorCode(discovered) !== headerMismatch) return [];
  const header = /mcp-(?:protocol-version|method|name)/i.exec(discovered.bodyStart)?.[0] ?? 'a header';
  return [{ header, evidence: answerEvidence(`with ${header}`, discovered, 'a result: the header was sent') }];
}

/** Our own server always gives a session; any other only when it does so directly. */
function missingSession({ sessionUse, target, direct }: Observations): readonly Lost[] {
  if (sessionUse.status !== 'ok' || sessionUse.opened || !sessionUse.initialized) return [];
  const directly = direct.status === 'ok' && direct.way.sessionUse.status === 'ok' && direct.way.sessionUse.opened;
  const ours = target.own && direct.status !== 'ok';
  if (!directly && !ours) return [];
  const source = 'answer to initialize';
  const evidence = { source, observed: 'no Mcp-Session-Id', expected: 'Mcp-Session-Id, as the server sends it' };
  return [{ header: 'Mcp-Session-Id', evidence }];
}

/** A session that was never given out has to be answered with 404; where it is not, the server did not see its id. */
function missingRequestSession({ session, target, direct, legacy }: Observations): readonly Lost[] {
  if (legacy.status === 'ok' && !legacy.session) return [];
  if (session.status !== 'ok' || !isSuccess(session.answer)) return [];
  const directly = direct.status === 'ok' && direct.way.session.status === 'ok' ? direct.way.session.answer : null;
  const knownDirectly = directly?.kind === 'answered' && directly.status === 404;
  if (!knownDirectly && !(target.own && directly === null)) return [];
  const evidence = answerEvidence('with a session id that was never given out', session.answer, '404');
  return [{ header: 'Mcp-Session-Id', evidence }];
}

/** A revision that never was has to be refused with 400; where it is not, the server did not see it. */
function missingRevision({ sessionUse, target, direct }: Observations): readonly Lost[] {
  const answer = sessionUse.status === 'ok' ? sessionUse.badRevision : null;
  if (answer === null || !isSuccess(answer)) return [];
  const directly =
    direct.status === 'ok' && direct.way.sessionUse.status === 'ok' ? direct.way.sessionUse.badRevision : null;
  const refusedDirectly = directly?.kind === 'answered' && directly.status === 400;
  if (!refusedDirectly && !(target.own && directly === null)) return [];
  return [
    {
      header: 'MCP-Protocol-Version',
      evidence: {
        source: 'POST tools/list with MCP-Protocol-Version: 1999-01-01',
        observed: describeAnswer(answer),
        expected: refusedDirectly ? `${describeAnswer(directly)}, as the server says directly` : '400',
      },
    },
  ];
}

function isSuccess(answer: Answer): boolean {
  return answer.kind === 'answered' && answer.status >= 200 && answer.status < 300;
}

function errorCode({ json }: Extract<Answer, { kind: 'answered' }>): unknown {
  return (json as { error?: { code?: unknown } } | null | undefined)?.error?.code;
}
