import { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { UnreadBytes } from './unread-bytes.ts';

/**
 * The response class of listeners: what is written counts in `unread`, and an answer that is given as a whole leaves
 * as one piece.
 *
 * node:http hands the socket an answer in two pieces, the head with the body and an empty one for the end, which go out
 * by a gathering write. One piece takes the plain way: 8 % less CPU for a small answer (bench/profile.md). `_send` is
 * where node:http hands pieces over; should it ever have another name, answers go out as node:http wants.
 */
export function countedResponse(unread: UnreadBytes): typeof ServerResponse {
  class CountedResponse extends ServerResponse {
    restBytes = 0;
    /** The answer is being given as a whole. */
    #isWhole = false;
    /** Its body, until the ending comes that the head goes out with. */
    #body: string | null = null;

    constructor(req: IncomingMessage, options?: object) {
      // node:http passes options that its types do not know.
      super(...([req, options] as unknown as [IncomingMessage]));
      // Set while another answer is on its way on this connection.
      if ((req.socket as SocketWithMessage)._httpMessage != null) unread.queue(this, req.socket);
    }

    /** A long body is handed over as the client takes it: this much is still to come. */
    holdRest(bytes: number): void {
      if (this.restBytes === 0 && bytes > 0) unread.queue(this, this.req.socket);
      const isMore = bytes > this.restBytes;
      this.restBytes = bytes;
      if (isMore) unread.wrote(bytes);
    }

    override write(chunk: unknown, encoding?: unknown, done?: unknown): boolean {
      unread.wrote(sizeOf(chunk));
      return super.write(chunk, encoding as BufferEncoding, done as () => void);
    }

    override end(chunk?: unknown, encoding?: unknown, done?: unknown): this {
      this.#isWhole = typeof chunk === 'string' && encoding === undefined;
      super.end(chunk as string, encoding as BufferEncoding, done as () => void);
      // Nothing must ever wait for an ending that does not come.
      const held = this.#body;
      if (held !== null) {
        this.#body = null;
        outgoing._send.call(this, held, 'utf8');
      }
      unread.wrote(sizeOf(chunk));
      return this;
    }

    /**
     * Called twice by `end` of Node.js 20: with the body, and with an empty text whose `done` ends the response. Later ones
     * give the body that `done` themselves, and then there is nothing to put together.
     */
    _send(piece: unknown, encoding: string, done?: (() => void) | null, bytes?: number): boolean {
      if (this.#isWhole && typeof piece === 'string' && !this.chunkedEncoding) {
        if (this.#body === null && piece !== '' && endsApart && !(this as unknown as Outgoing)._headerSent) {
          this.#body = piece;
          return true;
        }
        if (this.#body !== null) {
          const whole = this.#body + piece;
          this.#body = null;
          return outgoing._send.call(this, whole, 'utf8', done);
        }
      }
      return outgoing._send.call(this, piece, encoding, done, bytes);
    }
  }
  // The library's type has a parameter of its own that no class can be given.
  return CountedResponse as unknown as typeof ServerResponse;
}

/** Node.js 20 hands over body and ending apart; later ones (24.21 was looked at) do not, and are left alone. */
const endsApart = process.versions.node.startsWith('20.');

/** What of node:http's own its types do not have. */
interface Outgoing {
  readonly _headerSent: boolean;
  _send(piece: unknown, encoding: string, done?: (() => void) | null, bytes?: number): boolean;
}

const outgoing = ServerResponse.prototype as unknown as Outgoing;

interface SocketWithMessage extends Socket {
  _httpMessage?: ServerResponse | null;
}

function sizeOf(chunk: unknown): number {
  if (typeof chunk === 'string') return chunk.length;
  return chunk instanceof Uint8Array ? chunk.length : 0;
}
