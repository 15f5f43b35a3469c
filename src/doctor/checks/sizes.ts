import type { Answer, Observations, SizesSeen } from '../observations.ts';
import type { Verdict } from '../types.ts';
import {
  answerEvidence,
  beforeMcp,
  checksOf,
  fail,
  isLimited,
  limitedNow,
  notSeen,
  pass,
  unknown,
} from './endpoint-check.ts';

const afterKey = [...beforeMcp, 'key/bearer', 'protocol/headers-kept'];

export const sizesChecks = checksOf('sizes', [
  {
    code: 'sizes/body',
    title: 'a request with a picture in it gets through',
    label: 'large body',
    hop: 'proxy',
    severity: 'error',
    needs: ['sizes', 'direct'],
    after: afterKey,
    explanation:
      'Tool calls carry images and files. nginx refuses bodies above 1 MB with an HTML page unless it is told otherwise ' +
      '(client_max_body_size), and clients cannot read the page. One harmless request of 1.2 MB is sent. A server that ' +
      'refuses it itself, with 413 and JSON, has said so in a way that clients understand.',
    judge: (seen) =>
      withSizes(seen, ({ body, bodyBytes }) => {
        if (!isRefusedSize(body)) return muteReason(body) ?? pass(megabytes(bodyBytes));
        if (saidByServer(body, seen)) return pass('refused in JSON');
        return fail({
          title: `requests of ${megabytes(bodyBytes)} are refused`,
          cause: isExpressPage(body)
            ? 'the body parser of the server (Express) takes 100 KB unless it is told otherwise'
            : 'a limit for the size of requests stands below what MCP clients send',
          ...(isExpressPage(body) ? { hop: 'server' as const } : {}),
          severity: severityOf(seen),
          evidence: [answerEvidence(`of ${megabytes(bodyBytes)}`, body, 'the answer to a small request')],
          fix: {
            summary: isExpressPage(body)
              ? "Raise the limit of the server: express.json({ limit: '10mb' })."
              : 'Raise the limit for the MCP path (nginx: client_max_body_size 10m; Caddy: request_body max_size).',
            commands: [],
          },
        });
      }),
  },
  {
    code: 'sizes/header',
    title: 'a request with a long header gets through',
    label: 'long header',
    hop: 'proxy',
    severity: 'error',
    needs: ['sizes', 'direct'],
    after: afterKey,
    explanation:
      'Tokens of identity providers make headers of several kilobytes. A request with a header of 6,000 characters is ' +
      'sent; every common server and proxy takes 8 KB unless a smaller limit was set.',
    judge: (seen) =>
      withSizes(seen, ({ header, headerBytes }) => {
        if (!isRefusedHeader(header)) return muteReason(header) ?? pass();
        return fail({
          title: `a header of ${headerBytes} characters is refused`,
          cause: 'a limit for the length of headers stands below that of a long token',
          severity: severityOf(seen),
          evidence: [answerEvidence(`with a header of ${headerBytes}`, header, 'the answer without it')],
          fix: {
            summary: 'Raise the limit (nginx: large_client_header_buffers 4 16k; HAProxy: tune.bufsize 32768).',
            commands: [],
          },
        });
      }),
  },
]);

function withSizes({ sizes }: Observations, judge: (sizes: SizesSeen) => Verdict): Verdict {
  return sizes.status === 'ok' ? judge(sizes) : notSeen(sizes);
}

/** An answer from which the size cannot be told. */
function muteReason(answer: Answer): Verdict | null {
  if (answer.kind === 'failed') return unknown(answer.failure.message);
  return isLimited(answer) ? unknown(limitedNow) : null;
}

/** Of somebody else's server, and with nothing to compare it with, it may be meant so. */
function severityOf({ target, direct }: Observations): 'error' | 'warning' {
  return target.own || direct.status === 'ok' ? 'error' : 'warning';
}

/** 413, or what programs that cut a body short make of it: Caddy 502, others 400 or a reset. 429 is about something else. */
function isRefusedSize(answer: Answer): boolean {
  if (answer.kind === 'failed') return answer.failure.kind === 'reset';
  return answer.status >= 400 && answer.status !== 429;
}

/** A refusal in JSON is the server's own, unless the server takes it when it is asked directly. */
function saidByServer(answer: Answer, { direct }: Observations): boolean {
  const directly = direct.status === 'ok' && direct.way.sizes.status === 'ok' ? direct.way.sizes.body : null;
  if (directly !== null && !isRefusedSize(directly)) return false;
  return answer.kind === 'answered' && typeof answer.json === 'object' && answer.json !== null;
}

/** 431, or what programs that do not know it say: nginx 400 (and 494 in its log), HAProxy 400. */
function isRefusedHeader(answer: Answer): boolean {
  if (answer.kind === 'failed') return answer.failure.kind === 'reset';
  if (answer.status === 431 || answer.status === 494) return true;
  return (answer.status === 400 || answer.status === 413) && typeof answer.json !== 'object';
}

function megabytes(bytes: number): string {
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}

/** The page that Express makes of an error that nobody caught: the stack, in a page without style. */
function isExpressPage(answer: Answer): boolean {
  return answer.kind === 'answered' && /<title>Error<\/title>[\s\S]*<pre>/.test(answer.bodyStart);
}
