import type { Writable } from 'node:stream';

/** Writes lines to a child. All lines of one turn of the event loop go out in one write. */
export interface LineWriter {
  write(line: string): void;
  /** When the child stopped taking more (epoch ms), or 0 while it takes. */
  readonly blockedSince: number;
  /** Nothing is written any more. */
  close(): void;
}

/** `onDrain` is called when the child reads again, `onFailed` when it has closed its input. */
export function createLineWriter(input: Writable, onDrain: () => void, onFailed: (error: Error) => void): LineWriter {
  let outgoing = '';
  let planned = false;
  let closed = false;
  let blockedSince = 0;

  function flush(): void {
    planned = false;
    if (outgoing === '' || closed || !input.writable) return;
    const text = outgoing;
    outgoing = '';
    if (!input.write(text)) blockedSince = Date.now();
  }

  input.on('drain', () => {
    blockedSince = 0;
    flush();
    onDrain();
  });
  input.on('error', (error) => {
    if (!closed) onFailed(error);
  });

  return {
    write(line) {
      if (closed) return;
      outgoing += line;
      if (planned || blockedSince !== 0) return;
      planned = true;
      setImmediate(flush);
    },
    get blockedSince() {
      return blockedSince;
    },
    close() {
      closed = true;
      outgoing = '';
    },
  };
}
