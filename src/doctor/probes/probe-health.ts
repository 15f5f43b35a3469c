import type { HealthSeen, Observed } from '../observations.ts';
import { askOnce } from './ask-once.ts';
import type { EndpointLook } from './probe-answers.ts';

/** /health, /readyz and /status of our own server; the paths mean nothing elsewhere. With the key, so that reasons are told. */
export async function probeHealth(look: EndpointLook, signal: AbortSignal): Promise<Observed<HealthSeen>> {
  const { origin } = new URL(look.url);
  const get = (path: string) =>
    askOnce(
      {
        http: look.http,
        url: `${origin}${path}`,
        request: {
          method: 'GET',
          headers: look.key === null ? {} : { authorization: `Bearer ${look.key}` },
        },
        timeoutMs: look.timeoutMs,
        secret: look.key,
      },
      signal,
    );
  const [health, ready, programs] = await Promise.all([get('/health'), get('/readyz'), get('/status')]);
  return { status: 'ok', health, ready, programs };
}
