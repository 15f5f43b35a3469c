import type { Writable } from 'node:stream';

/** Writes lines to a child. All lines of one turn of the event loop go out in one write. */
export interface LineWriter {
  write(line: string): void;
  /** More should wait: the child does not take it, or much waits for this turn to end already. */
  readonly full: boolean;
  /** When the child stopped taking more (epoch ms), or 0 while it takes. */
  readonly blockedSince: number;
  /** Nothing is written any more, and it counts as full. */
  hold(): void;
  /** Nothing is written any more, and nothing is called back. */
  close(): void;
}

const maxOutgoingCharacters = 1_048_576;

/** `onDrain` is called when it is not full any more, `onFailed` when it has closed its input. */
export function createLineWriter(input: Writable, onDrain: () => void, onFailed: (error: Error) => void): LineWriter {
  let outgoing = '';
  let planned = false;
  let closed = false;
  let held = false;
  let blockedSince = 0;

  function flush(): void {
    planned = false;
    if (outgoing === '' || held || closed || !input.writable) return;
    const text = outgoing;
    outgoing = '';
    if (!input.write(text)) blockedSince = Date.now();
    else if (text.length > maxOutgoingCharacters) onDrain();
  }

  input.on('drain', () => {
    blockedSince = 0;
    flush();
    if (!held) onDrain();
  });
  input.on('error', (error) => {
    held = true;
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
    get full() {
      return held || blockedSince !== 0 || outgoing.length > maxOutgoingCharacters;
    },
    get blockedSince() {
      return blockedSince;
    },
    hold() {
      held = true;
    },
    close() {
      closed = true;
      outgoing = '';
    },
  };
}
