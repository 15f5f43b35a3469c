import type { Answer, CorsSeen, Observations } from '../observations.ts';
import type { Verdict } from '../types.ts';
import { beforeMcp, checksOf, describeAnswer, fail, notApplicable, notSeen, pass, unknown } from './endpoint-check.ts';

const afterKey = [...beforeMcp, 'key/bearer', 'protocol/headers-kept'];

/** What a page sends in both eras; the key goes as Authorization. */
const neededHeaders = [
  'authorization',
  'content-type',
  'mcp-method',
  'mcp-name',
  'mcp-protocol-version',
  'mcp-session-id',
];

export const corsChecks = checksOf('cors', [
  {
    code: 'cors/single-origin',
    title: 'pages are let in by one program only',
    label: 'one origin',
    hop: 'proxy',
    severity: 'error',
    needs: ['cors'],
    after: afterKey,
    explanation:
      'When the server and the proxy both add Access-Control-Allow-Origin, the answer has it twice and browsers refuse it, ' +
      'although each of them alone is right.',
    judge: (seen) =>
      withCors(seen, (cors) => {
        const doubled = [cors.actual, cors.preflight].find((answer) => (allowedOrigin(answer) ?? '').includes(','));
        if (doubled === undefined) return pass();
        return fail({
          title: 'Access-Control-Allow-Origin comes twice',
          cause: 'both the server and a proxy in front of it add it',
          evidence: [
            {
              source: `${doubled.to} from a page of ${cors.origin}`,
              observed: `Access-Control-Allow-Origin: ${allowedOrigin(doubled) ?? ''}`,
              expected: 'one value',
            },
          ],
          fix: {
            summary: 'Let the proxy add no CORS headers (or hide those of the server: proxy_hide_header).',
            commands: [],
          },
        });
      }),
  },
  {
    code: 'cors/preflight',
    title: 'a browser lets pages send what clients send',
    label: 'preflight',
    hop: 'server',
    severity: 'warning',
    needs: ['cors'],
    after: [...afterKey, 'cors/single-origin'],
    explanation:
      'Before a page calls, its browser asks with OPTIONS which headers it may send. Without Authorization, ' +
      'Mcp-Session-Id, MCP-Protocol-Version, Mcp-Method and Mcp-Name in the answer the first or the second call fails ' +
      'with "failed to fetch". Where the deployment promises pages of an origin that they may call, this is an error.',
    judge: (seen) =>
      withCors(seen, (cors) => {
        const missing = missingIn(cors);
        if (missing === null) return pass();
        return fail({
          title: missing.title,
          cause: 'the list of what pages may send is not complete, or the preflight is answered before it is looked at',
          severity: cors.promised ? 'error' : 'warning',
          evidence: [
            { source: `OPTIONS from a page of ${cors.origin}`, observed: missing.observed, expected: missing.expected },
          ],
          fix: { summary: `Allow pages to send ${neededHeaders.join(', ')}.`, commands: [] },
        });
      }),
  },
  {
    code: 'cors/methods',
    title: 'a browser lets pages end their sessions',
    label: 'methods',
    hop: 'server',
    severity: 'warning',
    needs: ['cors', 'session-use'],
    after: [...afterKey, 'cors/single-origin', 'cors/preflight'],
    explanation:
      'GET and POST need no leave, every other method does (Fetch, CORS protocol). Without DELETE in ' +
      'Access-Control-Allow-Methods a page of the legacy era cannot end its session: its browser says "Method DELETE is ' +
      'not allowed", and the session stays until it runs out.',
    judge: (seen) =>
      withCors(seen, ({ preflightDelete, origin, promised }) => {
        if (seen.sessionUse.status === 'ok' && !seen.sessionUse.opened) {
          return notApplicable('the server keeps no sessions');
        }
        if (preflightDelete.kind === 'failed') return unknown(preflightDelete.failure.message);
        const methods = listOf(headerOf(preflightDelete, 'access-control-allow-methods'));
        const answered = preflightDelete.status >= 200 && preflightDelete.status < 300;
        if (answered && (methods.includes('delete') || methods.includes('*'))) return pass();
        return fail({
          title: 'pages may not send DELETE',
          cause: answered
            ? 'Access-Control-Allow-Methods does not name it'
            : `the preflight of a DELETE is answered with ${preflightDelete.status}`,
          severity: promised ? 'error' : 'warning',
          evidence: [
            {
              source: `OPTIONS before a DELETE from a page of ${origin}`,
              observed: answered
                ? `Access-Control-Allow-Methods: ${methods.join(', ').toUpperCase() || '(none)'}`
                : describeAnswer(preflightDelete),
              expected: 'DELETE among them',
            },
          ],
          fix: { summary: 'Send Access-Control-Allow-Methods: GET, POST, DELETE, OPTIONS.', commands: [] },
        });
      }),
  },
  {
    code: 'cors/exposed',
    title: 'a page may read its session id',
    label: 'session id exposed',
    hop: 'server',
    severity: 'warning',
    needs: ['cors', 'session-use'],
    after: [...afterKey, 'cors/single-origin', 'cors/preflight'],
    explanation:
      'A page sees only those headers of an answer that Access-Control-Expose-Headers names. Without Mcp-Session-Id there ' +
      'its initialize works and every call after it is answered with 400.',
    judge: (seen) =>
      withCors(seen, ({ actual, origin, promised }) => {
        if (seen.sessionUse.status === 'ok' && !seen.sessionUse.opened) {
          return notApplicable('the server keeps no sessions');
        }
        const exposed = listOf(headerOf(actual, 'access-control-expose-headers'));
        if (exposed.includes('mcp-session-id') || exposed.includes('*')) return pass();
        return fail({
          title: 'pages cannot read Mcp-Session-Id',
          cause: 'Access-Control-Expose-Headers does not name it',
          severity: promised ? 'error' : 'warning',
          evidence: [
            {
              source: `${actual.to} from a page of ${origin}`,
              observed: `Access-Control-Expose-Headers: ${exposed.join(', ') || '(none)'}`,
              expected: 'Mcp-Session-Id among them',
            },
          ],
          fix: { summary: 'Send Access-Control-Expose-Headers: Mcp-Session-Id.', commands: [] },
        });
      }),
  },
]);

function withCors({ cors }: Observations, judge: (cors: CorsSeen) => Verdict): Verdict {
  if (cors.status !== 'ok') return notSeen(cors);
  const open = [cors.preflight, cors.actual].some((answer) => allowedOrigin(answer) !== undefined);
  return open || cors.promised ? judge(cors) : notApplicable('pages of browsers are not let in');
}

function missingIn({ preflight, origin }: CorsSeen): { title: string; observed: string; expected: string } | null {
  if (preflight.kind === 'failed') {
    return { title: 'the preflight gets no answer', observed: preflight.failure.message, expected: '204' };
  }
  const ok = preflight.status >= 200 && preflight.status < 300;
  const allowed = allowedOrigin(preflight);
  if (!ok || (allowed !== origin && allowed !== '*')) {
    return {
      title: ok ? 'the preflight lets no page in' : `the preflight is answered with ${preflight.status}`,
      observed: `${describeAnswer(preflight)}; Access-Control-Allow-Origin: ${allowed ?? '(none)'}`,
      expected: `204 with Access-Control-Allow-Origin: ${origin}`,
    };
  }
  const sent = listOf(headerOf(preflight, 'access-control-allow-headers'));
  // The star does not stand for Authorization (Fetch, CORS protocol).
  const lacks = neededHeaders.filter(
    (name) => !sent.includes(name) && !(sent.includes('*') && name !== 'authorization'),
  );
  if (lacks.length === 0) return null;
  return {
    title: `pages may not send ${lacks.join(', ')}`,
    observed: `Access-Control-Allow-Headers: ${sent.join(', ') || '(none)'}`,
    expected: `${lacks.join(', ')} among them`,
  };
}

function allowedOrigin(answer: Answer): string | undefined {
  return headerOf(answer, 'access-control-allow-origin');
}

function headerOf(answer: Answer, name: string): string | undefined {
  return answer.kind === 'answered' ? answer.headers[name] : undefined;
}

function listOf(value: string | undefined): readonly string[] {
  return (value ?? '')
    .toLowerCase()
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '');
}
