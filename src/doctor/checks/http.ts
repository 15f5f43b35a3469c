import type { Answer, Observations } from '../observations.ts';
import type { Verdict } from '../types.ts';
import {
  answerEvidence,
  beforeHttp,
  checksOf,
  fail,
  isHtml,
  isJsonRpc,
  mainAnswer,
  notSeen,
  pass,
  unknown,
} from './endpoint-check.ts';
import { whoAnswers, type Stranger } from './who-answers.ts';
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
      if (answer.kind === 'answered') return wantsTls(answer) ? wrongScheme(seen, answer) : pass();
      if (answer.head !== undefined && answer.head !== null) return unfinished(seen, answer, answer.head);
      const silent = answer.failure.kind === 'timed-out';
      return fail({
        title: silent
          ? 'the server takes the connection and does not answer'
          : 'the server cuts the connection without an answer',
        cause: silent
          ? 'the server process hangs, or a proxy waits for one that does'
          : answer.failure.kind === 'reset'
            ? `the server process dies on a request, or a proxy gives up on it${seen.target.encrypted ? '' : '; or the port wants https://'}`
            : 'what listens there does not speak HTTP',
        evidence: [{ source: answer.to, observed: answer.failure.message, expected: 'an HTTP answer' }],
        fix: restartFix(seen, 'Look at the last words of the server, then restart it.'),
      });
    },
  },
  {
    code: 'http/not-challenged',
    title: 'no bot protection stands in front of the endpoint',
    label: 'no bot check',
    hop: 'proxy',
    severity: 'error',
    needs: ['answers'],
    after: [...beforeHttp, 'http/answers'],
    explanation:
      'A protection against bots asks the browser of a person to prove itself, with a page or a script. An MCP client is a ' +
      'program and cannot; it sees 403, 405 or 503 with HTML. It often comes and goes with the address of the client. The ' +
      'protection is told by its own headers and pages.',
    judge: (seen) =>
      withAnswer(seen, () => {
        const found = strangerOf(seen, 'challenge');
        if (found === null) return pass();
        return fail({
          title: `the bot protection of ${found.name} answers in place of the MCP server`,
          cause: `${found.name} takes MCP clients for bots`,
          evidence: [answerEvidence('', found.answer, 'an answer from the MCP server')],
          fix: {
            summary: `Exempt the MCP path from the bot protection of ${found.name} (a rule that skips it); the server checks keys itself.`,
            commands: [],
          },
        });
      }),
  },
  {
    code: 'http/not-parked',
    title: 'the name leads to a server, not to a parking page',
    label: 'not parked',
    hop: 'dns',
    severity: 'error',
    needs: ['answers'],
    after: [...beforeHttp, 'http/answers', 'http/not-challenged'],
    explanation:
      'A domain that has expired, or was never pointed at a server, is answered by the page of its registrar or of a dealer, ' +
      'often with a good certificate. The address of the name is wrong then, not the server.',
    judge: (seen) =>
      withAnswer(seen, () => {
        const found = strangerOf(seen, 'parking');
        if (found === null) return pass();
        return fail({
          title: `a parking page answers for ${seen.target.host}`,
          cause: 'the domain has expired, or its name still points to the registrar',
          evidence: [answerEvidence(`(${found.name})`, found.answer, 'an answer from the MCP server')],
          fix: {
            summary: `Renew the domain, and point ${seen.target.host} to the address of the server.`,
            commands: [],
          },
        });
      }),
  },
  {
    code: 'http/no-redirect',
    title: 'the endpoint does not redirect',
    label: 'no redirect',
    hop: 'proxy',
    severity: 'error',
    needs: ['answers'],
    after: [...beforeHttp, 'http/answers', 'http/not-challenged', 'http/not-parked'],
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
          cause: namedSignIn(answer) ?? redirectCause(target, new URL(seen.target.url)),
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
    after: [...beforeHttp, 'http/answers', 'http/not-challenged', 'http/not-parked', 'http/no-redirect'],
    explanation:
      'HTML in place of JSON means that something else answers: the login page of an access product in front, a web ' +
      'application that takes every path, or the start page of a proxy. Clients then say "unexpected token <" or ' +
      '"unexpected content type". They say the latter too when the answer is JSON and its Content-Type says something ' +
      'else: it has to be application/json or text/event-stream (transport, sending messages).',
    judge: (seen) =>
      withAnswer(seen, (main) => {
        const { answers } = seen;
        const keyless = answers.status === 'ok' ? answers.noKey : main;
        if (isSuccess(main) && isMislabelled(main)) return mislabelled(main);
        // An error page is judged by its status; a page in place of an answer is the matter here.
        const page = [main, keyless].find((answer): answer is Answered => isPage(answer));
        if (page === undefined) return pass();
        const stranger = whoAnswers(page);
        const login = stranger?.kind === 'sign-in' || /log.?in|sign.?in|password|sso|saml/i.test(page.bodyStart);
        return fail({
          title: login
            ? 'a login page answers in place of the MCP server'
            : 'an HTML page answers in place of the MCP server',
          cause: login
            ? (namedSignIn(page) ?? 'an access product in front wants a person to sign in')
            : stranger?.kind === 'default page'
              ? `the start page of ${stranger.name} answers: no site for this name and path is set up there`
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

/** JSON-RPC under a Content-Type for which no client reads it. */
function isMislabelled(answer: Answered): boolean {
  return !/[/+]json\b|text\/event-stream/.test(answer.headers['content-type'] ?? '') && isJsonRpc(answer);
}

function mislabelled(answer: Answered): Verdict {
  const type = answer.headers['content-type'];
  return fail({
    title:
      type === undefined ? 'the JSON of the server has no Content-Type' : `the JSON of the server says it is ${type}`,
    cause: 'the server, or a proxy in front of it, sets a Content-Type that is not that of the answer',
    hop: 'server',
    evidence: [answerEvidence('', answer, 'application/json or text/event-stream')],
    fix: { summary: 'Answer with Content-Type: application/json.', commands: [] },
  });
}

/** What nginx, Apache, and Go programs as Caddy say to HTTP without TLS on a port that has TLS. */
function wantsTls({ status, bodyStart }: Answered): boolean {
  return (
    status === 400 &&
    /plain HTTP request was sent to HTTPS port|speaking plain HTTP to an SSL-enabled|Client sent an HTTP request to an HTTPS/i.test(
      bodyStart,
    )
  );
}

function wrongScheme({ target }: Observations, answer: Answered): Verdict {
  const url = target.url.replace(/^http:/, 'https:');
  return fail({
    title: 'the port speaks HTTPS, and the URL says http://',
    cause: 'the URL has the wrong scheme, or a proxy passes requests on without TLS',
    hop: target.encrypted ? 'proxy' : 'client',
    evidence: [answerEvidence('', answer, 'an answer from the MCP server')],
    fix: target.encrypted
      ? { summary: 'Let the proxy reach the server by https:// (nginx: proxy_pass https://).', commands: [] }
      : { summary: 'Write https:// in the URL.', commands: [`mcp-deploy doctor ${url}`] },
  });
}

/** The head of an answer came, and its end never did. */
function unfinished(
  seen: Observations,
  { to, failure }: Extract<Answer, { kind: 'failed' }>,
  { status, contentType }: { readonly status: number; readonly contentType: string },
): Verdict {
  const stream = contentType.includes('text/event-stream');
  const silent = failure.kind === 'timed-out';
  const type = contentType.split(';')[0];
  return fail({
    title: silent
      ? stream
        ? 'the server opens an event stream and sends no message on it'
        : 'the server begins an answer and does not end it'
      : 'the server cuts the connection in the middle of an answer',
    cause: silent
      ? 'the program behind the endpoint never answers, or a proxy on the way holds the answer back'
      : 'the server process dies while it answers, or a proxy gives up on it',
    evidence: [
      {
        source: to,
        observed: `${status}, ${type === '' ? 'no content type' : type}, then ${failure.message}`,
        expected: 'a whole answer',
      },
    ],
    fix: restartFix(
      seen,
      silent
        ? 'Ask the server itself, past the proxy (--upstream URL): when it answers there, switch buffering off in the proxy; when not, look at the log of the server and restart it.'
        : 'Look at the last words of the server, then restart it.',
    ),
  });
}

type Found = Stranger & { readonly answer: Answered };

/** Judged with and without the key: what stands in front may let one of them through. */
function strangerOf(seen: Observations, kind: Stranger['kind']): Found | null {
  const keyless = seen.answers.status === 'ok' ? seen.answers.noKey : null;
  for (const answer of [mainAnswer(seen), keyless]) {
    if (answer?.kind !== 'answered') continue;
    const stranger = whoAnswers(answer);
    if (stranger?.kind === kind) return { ...stranger, answer };
  }
  return null;
}

function namedSignIn(answer: Answered): string | null {
  const stranger = whoAnswers(answer);
  return stranger?.kind === 'sign-in' ? `${stranger.name} in front wants a person to sign in` : null;
}

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
