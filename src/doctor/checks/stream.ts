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
]);
