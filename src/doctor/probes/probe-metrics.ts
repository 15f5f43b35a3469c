import type { MetricsSeen, Observed } from '../observations.ts';
import { askOnce } from './ask-once.ts';
import { keyHeaders } from './look-with-client.ts';
import type { EndpointLook } from './probe-answers.ts';

/** /metrics as a stranger asks for it, and on our own server as its scraper may: with the key. */
export async function probeMetrics(
  look: EndpointLook,
  own: boolean,
  signal: AbortSignal,
): Promise<Observed<MetricsSeen>> {
  const url = new URL('/metrics', look.url).href;
  const get = (headers: Record<string, string>) =>
    askOnce(
      { http: look.http, url, request: { method: 'GET', headers }, timeoutMs: look.timeoutMs, secret: look.key },
      signal,
    );
  const [open, withKey] = await Promise.all([get({}), own && look.key !== null ? get(keyHeaders(look.key)) : null]);
  return { status: 'ok', open, withKey };
}
