import { beforeMcp, checksOf, fail, notApplicable, notSeen, pass, unknown } from './endpoint-check.ts';

/** A head or first byte later than this was held back by something: on the way it takes one round trip. */
const lateMs = 1_500;

export const streamChecks = checksOf('stream', [
  {
    code: 'stream/first-event',
    title: 'a stream opens at once',
    label: 'opens at once',
    hop: 'proxy',
    severity: 'error',
    needs: ['stream', 'modern', 'legacy'],
    after: [...beforeMcp, 'key/bearer', 'protocol/legacy', 'protocol/modern'],
    explanation:
      'Clients open a long stream when they connect (GET in the legacy era, subscriptions/listen in the modern one), and ' +
      'progress arrives on streams. A proxy that buffers keeps even the head of such an answer until there is enough, or ' +
      'until the end: the client hangs at "processing". Our own server writes a comment line at once, so there the first ' +
      'byte is timed as well.',
    judge: ({ stream, modern, legacy, target }) => {
      if (stream.status === 'skipped') {
        const connected = modern.status === 'ok' || legacy.status === 'ok';
        return connected ? notApplicable(stream.reason) : unknown(stream.reason);
      }
      if (stream.status === 'failed') return notSeen(stream);
      if (stream.opened === null) return notApplicable('the server offers no such stream');
      const { headersMs, firstByteMs, watchedMs } = stream.opened;
      const what = stream.kind === 'get' ? 'GET stream' : 'subscriptions/listen';
      const byteMissing = target.own && firstByteMs === null;
      if (headersMs !== null && headersMs < lateMs && !byteMissing && (firstByteMs ?? 0) < lateMs) {
        return pass(`opens in ${Math.max(1, Math.round(firstByteMs ?? headersMs))} ms`);
      }
      return fail({
        title: 'a stream is held back',
        cause: 'a proxy on the way buffers answers, or the server sends the head with the first event only',
        evidence: [
          {
            source: what,
            observed:
              headersMs === null
                ? `no head in ${Math.round(watchedMs)} ms`
                : firstByteMs === null
                  ? `head after ${Math.round(headersMs)} ms, no byte in ${Math.round(watchedMs)} ms`
                  : `head after ${Math.round(headersMs)} ms, first byte after ${Math.round(firstByteMs)} ms`,
            expected: `within ${lateMs} ms`,
          },
        ],
        fix: {
          summary:
            'Switch buffering off for the MCP path (nginx: proxy_buffering off; Caddy: leave text/event-stream out of encode).',
          commands: [],
        },
      });
    },
  },
  {
    code: 'stream/compressed',
    title: 'a stream that may be compressed opens at once too',
    label: 'not held back by compression',
    hop: 'proxy',
    severity: 'error',
    needs: ['stream'],
    after: [...beforeMcp, 'key/bearer', 'protocol/legacy', 'protocol/modern', 'stream/first-event'],
    explanation:
      'fetch, in Node and in browsers, says of its own accord that answers may be compressed. A proxy or a middleware that ' +
      'compresses event streams holds events back until there is enough of them, so the stream opens late or in lumps: ' +
      'only for clients that say so, which is why curl works. The stream is opened once more with Accept-Encoding and ' +
      'timed. A compressed stream that is not late is no finding.',
    judge: ({ stream }) => {
      if (stream.status === 'skipped') return notApplicable(stream.reason);
      if (stream.status === 'failed') return notSeen(stream);
      const again = stream.compressed;
      if (again === undefined || again === null) return notApplicable('the stream was not opened a second time');
      if (again.headersMs !== null && again.headersMs < lateMs) return pass(again.encoding ?? undefined);
      return fail({
        title: 'a stream is held back when it may be compressed',
        cause: 'a proxy or a middleware compresses event streams',
        evidence: [
          {
            source: 'stream with Accept-Encoding: gzip',
            observed:
              again.headersMs === null
                ? `no head in ${Math.round(again.watchedMs)} ms`
                : `head after ${Math.round(again.headersMs)} ms${again.encoding === null ? '' : `, Content-Encoding: ${again.encoding}`}`,
            expected: 'at once, as without Accept-Encoding',
          },
        ],
        fix: {
          summary: 'Leave text/event-stream out of compression (Caddy: encode with a match for other types).',
          commands: [],
        },
      });
    },
  },
  {
    code: 'stream/idle',
    title: 'a silent stream stays open',
    label: 'idle',
    hop: 'proxy',
    severity: 'error',
    needs: ['idle'],
    after: [...beforeMcp, 'key/bearer', 'protocol/legacy', 'protocol/modern', 'stream/first-event'],
    explanation:
      'Between two calls a stream is silent for long. With --deep one is watched for 90 seconds: many proxies cut after ' +
      '60 (nginx proxy_read_timeout, HAProxy timeout server and client). Our own server writes a comment line every 15 ' +
      'seconds, which keeps it open where the proxy waits for longer than that.',
    judge: ({ idle }) => {
      if (idle.status === 'skipped') return notApplicable(idle.reason);
      if (idle.status === 'failed') return notSeen(idle);
      const { endedAfterMs, watchedMs, longestSilenceMs } = idle;
      if (endedAfterMs === null) return pass(`open for ${seconds(watchedMs)}`);
      return fail({
        title: `a stream is cut after ${seconds(endedAfterMs)}`,
        cause: 'a proxy on the way, or the server, ends streams on which nothing happens',
        evidence: [
          {
            source: 'idle stream',
            observed: `cut after ${seconds(endedAfterMs)}, after ${seconds(longestSilenceMs)} of silence`,
            expected: 'open, with a comment line now and then',
          },
        ],
        fix: {
          summary:
            'Raise the time-out of the proxy for the MCP path (nginx: proxy_read_timeout 1h; HAProxy: timeout client, ' +
            'timeout server), or let the server write keep-alive comments more often.',
          commands: [],
        },
      });
    },
  },
]);

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(ms < 10_000 ? 1 : 0)} s`;
}
