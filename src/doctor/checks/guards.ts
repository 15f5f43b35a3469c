import type { Answer, Observations } from '../observations.ts';
import type { Verdict } from '../types.ts';
import {
  answerEvidence,
  beforeMcp,
  checksOf,
  fail,
  isHtml,
  notApplicable,
  notSeen,
  pass,
  unknown,
} from './endpoint-check.ts';
import { withAnswer } from './with-answer.ts';

const afterKey = [...beforeMcp, 'key/bearer', 'protocol/headers-kept'];
/** Between two machines that keep time; more makes fresh certificates and tokens look invalid. */
const mostSkewSeconds = 60;

/** How requests are treated that no MCP client sends, and how answers are sent. */
export const guardChecks = checksOf('http', [
  {
    code: 'http/errors-json',
    title: 'a wrong request is told so in JSON',
    label: 'errors in JSON',
    hop: 'server',
    severity: 'warning',
    needs: ['errors', 'session'],
    after: afterKey,
    explanation:
      'Clients print the body of an error, or parse it. A page of HTML in its place (a proxy that intercepts errors, a ' +
      'framework with its own error page) hides what the server said, and the status may be another one too. On our own ' +
      'deployment this is an error.',
    judge: (seen) => {
      if (seen.errors.status !== 'ok') return notSeen(seen.errors);
      const asked = [seen.errors.malformed, ...(seen.session.status === 'ok' ? [seen.session.answer] : [])];
      const page = asked.find((answer) => isHtml(answer));
      if (page === undefined) return pass();
      return fail({
        title: 'an error is answered with an HTML page',
        cause: 'a proxy replaces the errors of the server by its own pages, or the server has such pages',
        severity: seen.target.own ? 'error' : 'warning',
        evidence: [answerEvidence('that is wrong', page, 'an error in JSON')],
        fix: {
          summary: 'Let the errors of the server through (nginx: proxy_intercept_errors off; no error_page for them).',
          commands: [],
        },
      });
    },
  },
  {
    code: 'http/origin-refused',
    title: 'pages of strangers are refused',
    label: 'foreign pages refused',
    hop: 'server',
    severity: 'warning',
    needs: ['guards'],
    after: afterKey,
    explanation:
      'A server must validate the Origin header and answer 403 to one that it does not know (transport, security ' +
      'warning): otherwise any page that a user opens can call the tools of a server that the browser can reach. On our ' +
      'own deployment this is an error. Access-Control-Allow-Origin: * says that every page may call, on purpose.',
    judge: (seen) => {
      if (seen.guards.status !== 'ok') return notSeen(seen.guards);
      const { foreignOrigin: answer } = seen.guards;
      if (answer.kind === 'answered' && answer.headers['access-control-allow-origin'] === '*') {
        return pass('open to every page');
      }
      return judgeGuard(seen, answer, 'from a page of https://doctor.mcp-deploy.invalid', {
        title: 'a page of a stranger may call',
        cause: 'the server does not look at Origin, or a proxy takes the header off',
        summary: 'Answer 403 to an Origin that is not expected.',
      });
    },
  },
  {
    code: 'http/host-refused',
    title: 'a foreign Host name is refused',
    label: 'foreign Host refused',
    hop: 'server',
    severity: 'warning',
    needs: ['guards'],
    after: afterKey,
    explanation:
      'A server on this machine that answers to any Host name can be reached by a page of a stranger whose name was ' +
      'pointed to 127.0.0.1 (DNS rebinding). It is judged where that attack works: plain HTTP on loopback. On our own ' +
      'deployment it is an error.',
    judge: (seen) => {
      if (seen.guards.status !== 'ok') return notSeen(seen.guards);
      const { foreignHost: answer } = seen.guards;
      if (answer === null) return notApplicable('DNS rebinding does not reach TLS or other machines');
      return judgeGuard(seen, answer, 'with Host: doctor.mcp-deploy.invalid', {
        title: 'any Host name is answered',
        cause: 'the server does not look at Host, or a proxy replaces it',
        summary: 'Answer 403 or 421 to a Host name that is not one of the server.',
      });
    },
  },
  {
    code: 'http/keep-alive',
    title: 'connections are kept',
    label: 'keep-alive',
    hop: 'proxy',
    severity: 'warning',
    needs: ['answers'],
    after: afterKey,
    explanation:
      'An answer with Connection: close costs every call a new connection and TLS handshake: with HAProxy option ' +
      'httpclose or nginx keepalive_timeout 0 a call takes several times as long.',
    judge: (seen) =>
      withAnswer(seen, (answer) => {
        if (!/\bclose\b/i.test(answer.headers['connection'] ?? '')) return pass();
        return fail({
          title: 'the connection is closed after every answer',
          cause: 'keep-alive is switched off on the way',
          evidence: [answerEvidence('', answer, 'no Connection: close')],
          fix: {
            summary: 'Keep connections (HAProxy: no option httpclose; nginx: keepalive_timeout 65s).',
            commands: [],
          },
        });
      }),
  },
  {
    code: 'http/clock',
    title: 'both clocks agree',
    label: 'clock',
    hop: 'host',
    severity: 'warning',
    needs: ['answers'],
    after: afterKey,
    explanation:
      'The Date of an answer is compared with the clock of this machine. A clock that is wrong makes certificates and ' +
      'tokens look expired or not yet valid, and times in logs tell a wrong story.',
    judge: (seen) =>
      withAnswer(seen, (answer) => {
        const date = Date.parse(answer.headers['date'] ?? '');
        if (Number.isNaN(date)) return notApplicable('the answer has no Date');
        const seconds = Math.round((date - Date.parse(answer.receivedAt)) / 1_000);
        if (Math.abs(seconds) <= mostSkewSeconds) return pass();
        return fail({
          title: `the clock of the server is ${describeSkew(seconds)}`,
          cause: 'the clock of the server or that of this machine is wrong',
          evidence: [
            {
              source: 'Date of the answer',
              observed: answer.headers['date'] ?? '',
              expected: `within ${mostSkewSeconds} s of ${answer.receivedAt}`,
            },
          ],
          fix: { summary: 'Let both machines take the time from the network.', commands: ['timedatectl status'] },
        });
      }),
  },
]);

function judgeGuard(
  seen: Observations,
  answer: Answer,
  source: string,
  words: { readonly title: string; readonly cause: string; readonly summary: string },
): Verdict {
  if (answer.kind === 'failed') return unknown(answer.failure.message);
  if (answer.status === 429) return unknown('the server limits requests right now (429)');
  if (answer.status >= 300) return pass();
  return fail({
    title: words.title,
    cause: words.cause,
    severity: seen.target.own ? 'error' : 'warning',
    evidence: [answerEvidence(source, answer, '403')],
    fix: { summary: words.summary, commands: [] },
  });
}

function describeSkew(seconds: number): string {
  const amount = Math.abs(seconds);
  const text = amount >= 7_200 ? `${Math.round(amount / 3_600)} hours` : `${Math.round(amount / 60) || 1} minutes`;
  return `${text} ${seconds > 0 ? 'ahead' : 'behind'}`;
}
