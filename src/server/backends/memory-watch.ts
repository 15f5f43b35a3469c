import type { StdioInstance } from './stdio-instance.ts';

export interface MemoryWatchOptions {
  readonly limitBytes: number;
  /** Time between two looks. */
  readonly everyMs: number;
  /** The children that are to be looked at now. */
  readonly children: () => Iterable<StdioInstance>;
  /** A child and what it has started hold more than they may. */
  readonly onOver: (child: StdioInstance, bytes: number) => void;
}

/**
 * Looks every few seconds at the resident memory of children, everything that they have started included (Linux).
 * Pages that several processes of a tree share count once for each of them.
 */
export function watchMemory({ limitBytes, everyMs, children, onOver }: MemoryWatchOptions): { close(): void } {
  let closed = false;
  let timer: NodeJS.Timeout;
  async function look(): Promise<void> {
    await Promise.all(
      Array.from(children(), async (child) => {
        const bytes = await child.readMemoryBytes();
        if (!closed && bytes > limitBytes) onOver(child, bytes);
      }),
    );
    if (!closed) lookLater();
  }
  function lookLater(): void {
    timer = setTimeout(() => void look(), everyMs);
    timer.unref();
  }
  lookLater();
  return {
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}

const pollMs = 50;

/** Resolves when nothing is in flight at a child any more; calls that are never answered run out of time. */
export function untilIdle(child: { readonly connection: { readonly inFlight: number } | null }): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if ((child.connection?.inFlight ?? 0) === 0) resolve();
      else setTimeout(look, pollMs).unref();
    };
    look();
  });
}
