import type { Answer } from '../observations.ts';
import type { Hop } from '../types.ts';
import {
  answerEvidence,
  beforeHttp,
  checksOf,
  describeAnswer,
  fail,
  isHtml,
  isJsonRpc,
  notSeen,
  pass,
  someClientWorks,
} from './endpoint-check.ts';
import { isSuccess, restartFix, withAnswer, type Answered } from './with-answer.ts';

export const httpEndpointChecks = checksOf('http', [
  {
    code: 'http/endpoint-found',
    title: 'the path of the URL is an MCP endpoint',
    label: 'endpoint found',
    hop: 'server',
    severity: 'error',
    needs: ['answers', 'modern', 'legacy'],
    after: [...beforeHttp, 'http/answers', 'health/ready', 'http/no-redirect', 'http/json-not-html'],
    explanation:
      'The MCP endpoint is one path of a server, usually /mcp. Elsewhere a POST is answered with 404 or 405, and clients ' +
      'take that for an old server or give up; or another application answers, with something that is not JSON-RPC.',
    judge: (seen) =>
      withAnswer(seen, (answer) => {
        const cause = isJsonRpc(answer) || someClientWorks(seen) ? null : whyNoEndpoint(answer);
        if (cause === null) return pass();
        const { pathname } = new URL(seen.target.url);
        return fail({
          title: `there is no MCP endpoint at ${pathname}`,
          cause,
          hop: isHtml(answer) ? 'proxy' : 'server',
          evidence: [answerEvidence('', answer, 'a JSON-RPC answer')],
          fix: {
            summary: 'Use the path that the server listens on.',
            commands: pathname === '/mcp' ? [] : [`mcp-deploy doctor ${new URL('/mcp', seen.target.url).href}`],
          },
        });
      }),
  },
  {
    code: 'http/no-server-error',
    title: 'the server does not fail on a request',
    label: 'no 5xx',
    hop: 'server',
    severity: 'error',
    needs: ['answers', 'modern', 'legacy'],
    after: [...beforeHttp, 'http/answers', 'health/ready', 'http/no-redirect', 'http/json-not-html'],
    explanation:
      'A 502, 503 or 504 comes from a proxy that cannot reach the server behind it, or from a server that is draining or ' +
      'has lost its upstream; a 500 is a fault of the server itself. Clients take a 5xx for an outage, never for an old ' +
      'server.',
    judge: (seen) =>
      withAnswer(seen, (answer) => {
        if (answer.status < 500 || someClientWorks(seen)) return pass();
        const gateway = answer.status >= 502 && answer.status <= 504;
        return fail({
          title: `the server answers with ${answer.status}`,
          cause: gateway
            ? 'the proxy cannot reach the server behind it, or the server says that it cannot serve now'
            : 'the server itself fails on the request',
          hop: gateway ? hopOfGateway(answer) : 'server',
          evidence: [answerEvidence('', answer, 'a JSON-RPC answer')],
          fix: restartFix(
            seen,
            gateway
              ? 'Start the server behind the proxy; check the address and port that the proxy uses.'
              : 'Look at the log of the server.',
          ),
        });
      }),
  },
  {
    code: 'http/well-knowns-json',
    title: 'the OAuth well-known paths answer with JSON or 404',
    label: 'well-knowns',
    hop: 'proxy',
    severity: 'error',
    needs: ['well-known'],
    after: [
      ...beforeHttp,
      'http/answers',
      'http/no-redirect',
      'http/json-not-html',
      'http/endpoint-found',
      'http/no-server-error',
    ],
    explanation:
      'Clients look for /.well-known/oauth-protected-resource and its relatives even when they have a key. A page (200 ' +
      'with HTML), a redirect to one or a 5xx there breaks their parser or makes them start an OAuth flow that cannot ' +
      'end; a plain 404 is right for a server without OAuth.',
    judge: ({ wellKnown }) => {
      if (wellKnown.status !== 'ok') return notSeen(wellKnown);
      const bad = wellKnown.answers.filter(({ answer }) => breaksDiscovery(answer));
      if (bad.length === 0) return pass();
      return fail({
        title: `${bad[0]?.path ?? 'a well-known path'} does not answer with JSON or 404`,
        cause: 'the path falls into a web application or into a rule of the proxy',
        evidence: bad.map(({ path, answer }) => ({
          source: `GET ${path}`,
          observed: describeAnswer(answer),
          expected: 'JSON, or 404',
        })),
        fix: {
          summary:
            'Pass these paths on to the MCP server, or answer 404 with a JSON body before any rule that serves pages.',
          commands: [],
        },
      });
    },
  },
]);

/** Statuses that have a check of their own, whoever answers with them. */
const judgedElsewhere: ReadonlySet<number> = new Set([401, 403, 421, 429]);

function whyNoEndpoint(answer: Answered): string | null {
  const { status, bodyStart } = answer;
  if (status === 404 || status === 405 || status === 410) {
    return 'the path of the URL is wrong, or the proxy does not pass this path on';
  }
  if (isSuccess(answer)) {
    return bodyStart.trim() === ''
      ? 'something answers there without a word: another application, or a rule of the proxy'
      : 'another application answers there: what it says is not JSON-RPC';
  }
  const page = status >= 400 && status < 500 && isHtml(answer) && !judgedElsewhere.has(status);
  return page ? 'a proxy or another application answers there, with a page of its own' : null;
}

function breaksDiscovery(answer: Answer): boolean {
  if (answer.kind === 'failed') return false;
  if (answer.status >= 500 || (answer.status >= 300 && answer.status < 400)) return true;
  return isSuccess(answer) && (typeof answer.json !== 'object' || answer.json === null);
}

/** Our own server and many others say 503 in JSON themselves; a page or plain text is the proxy's. */
function hopOfGateway(answer: Answered): Hop {
  return answer.json === undefined ? 'proxy' : 'server';
}
