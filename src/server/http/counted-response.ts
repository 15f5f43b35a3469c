import { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { UnreadBytes } from './unread-bytes.ts';

/** The response class of what node:http reads: what is written counts in `unread`. */
export function countedResponse(unread: UnreadBytes): typeof ServerResponse {
  class CountedResponse extends ServerResponse {
    restBytes = 0;
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
      super.end(chunk as string, encoding as BufferEncoding, done as () => void);
      unread.wrote(sizeOf(chunk));
      return this;
    }
  }
  // The library's type has a parameter of its own that no class can be given.
  return CountedResponse as unknown as typeof ServerResponse;
}

interface SocketWithMessage extends Socket {
  _httpMessage?: ServerResponse | null;
}

function sizeOf(chunk: unknown): number {
  if (typeof chunk === 'string') return chunk.length;
  return chunk instanceof Uint8Array ? chunk.length : 0;
}
