import type { HttpRequest, HttpResponse } from './http-message.ts';
import { brotliCompress, constants, gzip } from 'node:zlib';
import { send, sendJson } from './answers.ts';

/** Smaller answers fit into a packet or two as they are. */
const leastCharacters = 1_024;
/** Larger ones would hold a thread for long; they are written piece by piece. */
const mostCharacters = 8 * 1_048_576;
/** The threads of libuv are four, and files and names need them too: what comes beyond goes out as it is. */
const mostAtOnce = 2;
/** Its answers depend on what the client takes, whether this one is compressed or not. */
const vary: readonly string[] = ['Vary', 'Accept-Encoding'];

type Coding = 'br' | 'gzip';

/** Sends JSON answers in the coding that the client takes. Event streams never come here. */
export class CompressedAnswers {
  #running = 0;

  send(req: HttpRequest, res: HttpResponse, status: number, body: string, extra: readonly string[]): void {
    const coding =
      body.length < leastCharacters || body.length > mostCharacters || this.#running >= mostAtOnce
        ? null
        : chooseCoding(req.headers['accept-encoding']);
    if (coding === null) {
      sendJson(res, status, body, [...vary, ...extra]);
      return;
    }
    this.#running++;
    compress(coding, body, (error, compressed) => {
      this.#running--;
      if (error !== null) sendJson(res, status, body, [...vary, ...extra]);
      else send(res, status, 'application/json', compressed, ['Content-Encoding', coding, ...vary, ...extra]);
    });
  }
}

/** The cheapest settings: higher ones cost twice the time for a tenth less. */
function compress(coding: Coding, body: string, done: (error: Error | null, compressed: Buffer) => void): void {
  if (coding === 'gzip') gzip(body, { level: 1 }, done);
  else brotliCompress(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } }, done);
}

/** What the client likes best, brotli among equals since it is cheaper here. Null for none. RFC 9110, 12.5.3. */
export function chooseCoding(accepted: string | string[] | undefined): Coding | null {
  if (accepted === undefined) return null;
  const weights = new Map<string, number>();
  for (const part of String(accepted).toLowerCase().split(',', 20)) {
    const [name = '', ...parameters] = part.split(';').map((text) => text.trim());
    const q = parameters.find((text) => text.startsWith('q='));
    const weight = q === undefined ? 1 : Number(q.slice(2));
    weights.set(name, weight >= 0 && weight <= 1 ? weight : 0);
  }
  const weightOf = (name: string): number => weights.get(name) ?? weights.get('*') ?? 0;
  const [br, zip, plain] = [weightOf('br'), weightOf('gzip'), weights.get('identity') ?? 0];
  if (Math.max(br, zip) === 0 || plain > Math.max(br, zip)) return null;
  return br >= zip ? 'br' : 'gzip';
}
