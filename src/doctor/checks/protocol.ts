import type { ClientObserved, ClientStuck, Observations } from '../observations.ts';
import {
  answerEvidence,
  beforeMcp,
  checksOf,
  fail,
  follows,
  notApplicable,
  notSeen,
  pass,
  unknown,
} from './endpoint-check.ts';

const afterKey = [...beforeMcp, 'key/bearer', 'protocol/headers-kept', 'session/kept', 'session/parallel'];

export const protocolChecks = checksOf('protocol', [
  {
    code: 'protocol/legacy',
    title: 'clients of the legacy era can connect',
    label: 'legacy',
    hop: 'server',
    severity: 'error',
    needs: ['legacy', 'modern'],
    after: afterKey,
    explanation:
      'Most clients in the field still open with initialize (revisions up to 2025-11-25). The official 1.x client must get ' +
      'through its handshake. A foreign server may have left that era on purpose: then this is a warning.',
    judge: (seen) => {
      const { legacy, modern, target } = seen;
      if (legacy.status === 'ok') return pass(`legacy ${legacy.protocolVersion}`);
      if (legacy.status !== 'stuck') return notSeen(legacy);
      if (legacy.stage !== 'connect') return pass();
      if (isLimited(legacy)) return unknown('the server limits requests right now (429)');
      const turnedDown = isModern(modern) && legacy.last?.status !== null && (legacy.last?.status ?? 500) < 500;
      return fail({
        title: 'clients of the legacy era cannot connect',
        cause: turnedDown
          ? 'the server speaks revision 2026-07-28 only'
          : 'the server fails on initialize, the first request of that era',
        severity: turnedDown && !target.own ? 'warning' : 'error',
        evidence: [clientEvidence('1.x', legacy, 'a result of initialize')],
        fix: {
          summary: turnedDown
            ? 'Let the server answer initialize as well; VS Code, Codex and Gemini CLI need it.'
            : 'Look at the log of the server for the initialize request.',
          commands: target.own ? ['mcp-deploy logs'] : [],
        },
      });
    },
  },
  {
    code: 'protocol/modern',
    title: 'clients of the modern era can connect',
    label: 'modern',
    hop: 'server',
    severity: 'error',
    needs: ['modern', 'legacy'],
    after: afterKey,
    explanation:
      'Clients of revision 2026-07-28 open with server/discover and fall back to initialize when the server turns it down ' +
      'as unknown. A server of the legacy era alone is fine for them; a 5xx, HTML or silence in answer to server/discover ' +
      'is not, since they take it for an outage.',
    judge: (seen) => {
      const { modern, legacy, target } = seen;
      if (modern.status === 'ok' && modern.era === 'modern') return pass(`modern ${modern.protocolVersion}`);
      if (modern.status === 'ok' && !target.own) {
        return pass('modern clients fall back');
      }
      if (modern.status === 'ok') {
        return fail({
          title: 'the server speaks the legacy era only',
          cause: 'another server than ours answers, or an old build of it',
          evidence: [
            {
              source: '2.x client',
              observed: `fell back to initialize, revision ${modern.protocolVersion}`,
              expected: 'revision 2026-07-28',
            },
          ],
          fix: { summary: 'Start the server of this version.', commands: ['mcp-deploy restart'] },
        });
      }
      if (modern.status !== 'stuck') return notSeen(modern);
      if (modern.stage !== 'connect') return pass();
      if (isLimited(modern)) return unknown('the server limits requests right now (429)');
      // It had already fallen back: what stopped it is the fault of the other era.
      if (modern.last?.rpcMethod === 'initialize' && legacy.status === 'stuck') return follows('protocol/legacy');
      return fail({
        title: 'clients of the modern era cannot connect',
        cause:
          legacy.status === 'ok'
            ? 'the server speaks the legacy era, but does not turn server/discover down in a way that clients understand'
            : 'undetermined',
        evidence: [clientEvidence('2.x', modern, 'a result of server/discover, or a 4xx that says it is unknown')],
        fix: {
          summary: 'Answer unknown methods with 404 or 400 and a JSON-RPC error, never with 5xx or HTML.',
          commands: target.own ? ['mcp-deploy logs'] : [],
        },
      });
    },
  },
  {
    code: 'protocol/unknown-session',
    title: 'an unknown session is answered with 404',
    label: 'unknown session 404',
    hop: 'server',
    severity: 'error',
    needs: ['session', 'legacy'],
    after: [...afterKey, 'protocol/legacy'],
    explanation:
      'After a restart clients still send their old session id. The server must answer 404 (transport, session ' +
      'management), which makes them open a new one; with 400 or 200 they never recover and have to be restarted by hand.',
    judge: ({ session, legacy }) => {
      if (legacy.status === 'ok' && !legacy.session) return notApplicable('the server keeps no sessions');
      if (legacy.status !== 'ok') return notApplicable('there is no session to lose');
      if (session.status !== 'ok') return notSeen(session);
      const { answer } = session;
      if (answer.kind === 'failed') return unknown(answer.failure.message);
      if (answer.status === 404) return pass();
      if (answer.status === 429) return unknown('the server limits requests right now (429)');
      return fail({
        title: `an unknown session is answered with ${answer.status}`,
        cause: 'the server does not tell an unknown session from another bad request',
        evidence: [answerEvidence('with a session id that was never given out', answer, '404')],
        fix: { summary: 'Answer 404 with a JSON-RPC error (-32001) to a session id that is not known.', commands: [] },
      });
    },
  },
]);

export const toolsChecks = checksOf('tools', [
  {
    code: 'tools/list',
    title: 'the tools are listed',
    label: 'tools listed',
    hop: 'server',
    severity: 'error',
    needs: ['modern', 'legacy'],
    after: [...afterKey, 'protocol/legacy', 'protocol/modern'],
    explanation:
      'A real client of each era asks for tools/list, all pages. Without an answer a client shows no tools at all.',
    judge: (seen) => {
      const stuck = stuckAt(seen, 'list');
      if (stuck !== undefined) {
        if (isLimited(stuck)) return unknown('the server limits requests right now (429)');
        return fail({
          title: 'the tools cannot be listed',
          cause: 'the server fails on tools/list, or a program behind it does',
          evidence: [clientEvidence('MCP', stuck, 'a list of tools')],
          fix: { summary: 'Look at the log of the server.', commands: seen.target.own ? ['mcp-deploy logs'] : [] },
        });
      }
      const look = [seen.modern, seen.legacy].find((each) => each.status === 'ok');
      if (look === undefined)
        return unknown(seen.modern.status === 'skipped' ? seen.modern.reason : 'no client could connect');
      if (look.toolCount === null) return notApplicable('the server declares no tools');
      return pass(look.toolCount === 1 ? '1 tool' : `${look.toolCount} tools`);
    },
  },
  {
    code: 'tools/call',
    title: 'a tool call is answered',
    label: 'call',
    hop: 'server',
    severity: 'error',
    needs: ['modern', 'legacy'],
    after: [...afterKey, 'protocol/legacy', 'protocol/modern', 'tools/list'],
    explanation:
      'One tool is called that cannot do harm: echo with one text, else a tool that is annotated as read-only and needs ' +
      'no arguments, else none. It shows that the program behind the endpoint works, not only the endpoint.',
    judge: (seen) => {
      const stuck = stuckAt(seen, 'call');
      if (stuck !== undefined) {
        if (isLimited(stuck)) return unknown('the server limits requests right now (429)');
        return fail({
          title: `the tool "${stuck.tool ?? 'unknown'}" cannot be called`,
          cause: 'the program behind the endpoint fails, or takes too long',
          evidence: [clientEvidence('MCP', stuck, 'a result')],
          fix: { summary: 'Look at the log of the server.', commands: seen.target.own ? ['mcp-deploy logs'] : [] },
        });
      }
      const { modern } = seen;
      if (modern.status !== 'ok')
        return modern.status === 'stuck'
          ? unknown('the client that was to call a tool could not connect')
          : notSeen(modern);
      const { called } = modern;
      if (called === null) return notApplicable('no tool is known to be safe to call');
      if (!called.isError) return pass(`${called.tool} ${Math.max(1, Math.round(called.durationMs))} ms`);
      return fail({
        title: `the tool "${called.tool}" answers with an error`,
        cause: 'undetermined',
        severity: 'warning',
        evidence: [{ source: `tools/call ${called.tool}`, observed: 'a result with isError', expected: 'a result' }],
        fix: { summary: 'Call the tool by hand and read its message.', commands: [] },
      });
    },
  },
]);

function isModern(look: ClientObserved): boolean {
  return look.status === 'ok' && look.era === 'modern';
}

function stuckAt({ modern, legacy }: Observations, stage: ClientStuck['stage']): ClientStuck | undefined {
  return [modern, legacy].find((look) => look.status === 'stuck' && look.stage === stage) as ClientStuck | undefined;
}

function isLimited(look: ClientStuck): boolean {
  return look.last?.status === 429;
}

function clientEvidence(client: string, look: ClientStuck, expected: string) {
  const { last } = look;
  const message = look.message.replace(/^Streamable HTTP error: (?:Error POSTing to endpoint: )?/, '').slice(0, 160);
  return {
    source: `${client} client, ${last?.rpcMethod ?? look.stage}`,
    observed:
      last === null || last.status === null
        ? (last?.failure?.message ?? message)
        : `answered ${last.status}, ${last.contentType ?? 'no content type'}: ${message}`,
    expected,
  };
}
