import type { Accepts } from './exchange.ts';

/** What the client takes. Streams only when it says so: a plain `*` comes from programs that expect one JSON answer. */
export function parseAccept(accept: string | undefined): Accepts | null {
  if (accept === 'application/json, text/event-stream') return 'both';
  if (accept === undefined) return 'json';
  const lower = accept.toLowerCase();
  const json = lower.includes('application/json') || lower.includes('*/*') || lower.includes('application/*');
  const stream = lower.includes('text/event-stream');
  if (stream) return json ? 'both' : 'stream';
  return json ? 'json' : null;
}
