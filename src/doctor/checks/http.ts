import type { Answer } from '../observations.ts';
import {
  answerEvidence,
  beforeHttp,
  checksOf,
  fail,
  isHtml,
  mainAnswer,
  notSeen,
  pass,
  unknown,
} from './endpoint-check.ts';
import { isSuccess, restartFix, withAnswer, type Answered } from './with-answer.ts';

export const httpChecks = checksOf('http', [
  {
    code: 'http/answers',
    title: 'the server answers HTTP requests',
    label: 'answers',
    hop: 'server',
    severity: 'error',
    needs: ['answers'],
    after: beforeHttp,
    explanation:
      'Behind the connection an HTTP server must answer a POST within seconds. When it takes the connection and stays ' +
      'silent, the process hangs, or a proxy waits for a server that does.',
    judge: (seen) => {
      if (seen.answers.status !== 'ok') return notSeen(seen.answers);
      const answer = mainAnswer(seen);
      if (answer === null) return unknown('nothing was asked');
      if (answer.kind === 'answered') return pass();
      const silent = answer.failure.kind === 'timed-out';
      return fail({
        title: silent
          ? 'the server takes the connection and does not answer'
          : 'the server cuts the connection without an answer',
        cause: silent
          ? 'the server process hangs, or a proxy waits for one that does'
          : answer.failure.kind === 'reset'
            ? 'the server process dies on a request, or a proxy gives up on it'
            : 'what listens there does not speak HTTP',
        evidence: [{ source: answer.to, observed: answer.failure.message, expected: 'an HTTP answer' }],
        fix: restartFix(seen, 'Look at the last words of the server, then restart it.'),
      });
    },
  },
  {
    code: 'http/no-redirect',
    title: 'the endpoint does not redirect',
    label: 'no redirect',
    hop: 'proxy',
    severity: 'error',
    needs: ['answers'],
    after: [...beforeHttp, 'http/answers'],
    explanation:
      'A 301 or 302 turns a POST into a GET without its body, and MCP clients refuse to follow any redirect to another ' +
      'origin. So the URL that clients are given must be the one that answers: https:// rather than http://, with or ' +
      'without the slash at the end as the server wants it.',
    judge: (seen) =>
      withAnswer(seen, (answer) => {
        if (answer.status < 300 || answer.status > 399) return pass();
        const target = redirectTarget(answer, seen.target.url);
        return fail({
          title: `the endpoint redirects to ${target?.href ?? 'nowhere'}`,
          cause: redirectCause(target, new URL(seen.target.url)),
          evidence: [answerEvidence('', answer, 'an answer from the MCP server')],
          fix:
            target !== null && isOnlySpelling(target, new URL(seen.target.url))
              ? {
                  summary: 'Give clients the URL that it redirects to.',
                  commands: [`mcp-deploy doctor ${target.href}`],
                }
              : { summary: 'Take the MCP path out of the rule that redirects.', commands: [] },
        });
      }),
  },
  {
    code: 'http/json-not-html',
    title: 'the endpoint answers with JSON, not with a page',
    label: 'JSON',
    hop: 'proxy',
    severity: 'error',
    needs: ['answers'],
    after: [...beforeHttp, 'http/answers', 'http/no-redirect'],
    explanation:
      'HTML in place of JSON means that something else answers: the login page of an access product in front, a web ' +
      'application that takes every path, or the start page of a proxy. Clients then say "unexpected token <" or ' +
      '"unexpected content type".',
    judge: (seen) =>
      withAnswer(seen, (main) => {
        const { answers } = seen;
        const keyless = answers.status === 'ok' ? answers.noKey : main;
        // An error page is judged by its status; a page in place of an answer is the matter here.
        const page = [main, keyless].find((answer): answer is Answered => isPage(answer));
        if (page === undefined) return pass();
        const login = /log.?in|sign.?in|password|sso|saml/i.test(page.bodyStart);
        return fail({
          title: login
            ? 'a login page answers in place of the MCP server'
            : 'an HTML page answers in place of the MCP server',
          cause: login
            ? 'an access product in front wants a person to sign in'
            : 'a web application or a proxy answers this path itself',
          evidence: [
            answerEvidence(page === main ? '' : 'without a key', page, 'application/json or text/event-stream'),
          ],
          fix: {
            summary: login
              ? 'Let the MCP path past the sign-in (the server checks keys itself), or give clients what the sign-in wants.'
              : 'Pass the MCP path on to the server, before any rule that serves pages.',
            commands: [],
          },
        });
      }),
  },
  {
    code: 'http/host-allowed',
    title: 'the server accepts this host name',
    label: 'host accepted',
    hop: 'server',
    severity: 'error',
    needs: ['answers'],
    after: [...beforeHttp, 'http/answers', 'http/no-redirect', 'http/json-not-html'],
    explanation:
      'Against DNS rebinding, MCP servers accept only Host names they know, and answer others with 421 or 403. Health ' +
      'checks often pass, since they ask by address. A proxy that rewrites Host, or a new public name that the server ' +
      'was not told, is the cause.',
    judge: (seen) =>
      withAnswer(seen, (answer) => {
        const named = answer.status === 403 && /\b(?:host|origin)\b/i.test(answer.bodyStart);
        if (answer.status !== 421 && !named) return pass();
        return fail({
          title: `the server refuses the host name ${seen.target.host}`,
          cause: 'the name is not on its list of allowed hosts, or a proxy sends another name in Host',
          evidence: [answerEvidence('', answer, 'anything but 421 or 403 for the host')],
          fix: seen.target.own
            ? {
                summary: `Add ${seen.target.host} to server.allowedHosts in mcp-deploy.yaml.`,
                commands: ['mcp-deploy apply'],
              }
            : {
                summary: `Let the proxy pass the name on (nginx: proxy_set_header Host $host;) and the server allow ${seen.target.host}.`,
                commands: [],
              },
        });
      }),
  },
]);

function isPage(answer: Answer): boolean {
  return answer.kind === 'answered' && isHtml(answer) && isSuccess(answer);
}

function redirectTarget(answer: Answered, from: string): URL | null {
  const location = answer.headers['location'];
  return location !== undefined && URL.canParse(location, from) ? new URL(location, from) : null;
}

/** The same server, only written differently: another scheme, or a slash more or less. */
function isOnlySpelling(to: URL, from: URL): boolean {
  const bare = (url: URL): string => url.pathname.replace(/\/$/, '');
  return to.hostname === from.hostname && bare(to) === bare(from) && to.href !== from.href;
}

function redirectCause(to: URL | null, from: URL): string {
  if (to === null) return 'undetermined';
  if (/log.?in|sign.?in|sso|saml|oauth|auth/i.test(to.href))
    return 'an access product in front wants a person to sign in';
  if (!isOnlySpelling(to, from)) return 'a rule of the proxy or of the server sends this path elsewhere';
  return to.protocol === from.protocol
    ? 'the server wants the path with the slash at its end written differently'
    : 'the server wants https://';
}
