import type { HttpResponse } from './http-message.ts';
import type { OpenStreams } from './event-stream.ts';

/** The longest that a timer of Node can wait. */
const longestMs = 2 ** 31 - 1;

/** Ends an event stream when the token that it was opened with does: its client comes again with another, or gets 401. */
export function cutAtExpiry(streams: OpenStreams, res: HttpResponse, expiresAtMs: number): void {
  let timer = wait();
  function wait(): NodeJS.Timeout {
    const leftMs = Math.max(0, expiresAtMs - Date.now());
    return setTimeout(
      () => {
        if (Date.now() < expiresAtMs) timer = wait();
        else streams.endOn(res);
      },
      Math.min(leftMs, longestMs),
    ).unref();
  }
  res.once('close', () => clearTimeout(timer));
}
