import type { Socket } from 'node:net';
import type { WorkerSlot } from './worker-slot.ts';

/** Connections that may wait for a worker while none is ready. */
const mostWaiting = 1_024;
/** All workers together. */
const mostConnections = 50_000;

/** Gives connections to workers. */
export interface HandOut {
  /** @param pages number of the listener for pages alone; null for the endpoint's own */
  give(socket: Socket, unix: boolean, pages: number | null): void;
  /** A worker is ready: what waited goes out. */
  release(): void;
  /** Ends what still waits. */
  close(): void;
}

/**
 * Each new connection goes to the worker that has the fewest, so that long-lived streams spread out too; among equals
 * they take turns. While no worker is ready, for instance while the only one starts again, connections wait.
 */
export function createHandOut(slots: readonly WorkerSlot[]): HandOut {
  const waiting: { readonly socket: Socket; readonly unix: boolean; readonly pages: number | null }[] = [];
  let turn = 0;

  function choose(): WorkerSlot | null {
    let best: WorkerSlot | null = null;
    for (let step = 0; step < slots.length; step++) {
      const slot = slots[(turn + step) % slots.length];
      if (slot === undefined || (slot.state !== 'ready' && slot.state !== 'leaving')) continue;
      if (best === null || isBetter(slot, best)) best = slot;
    }
    turn++;
    return best;
  }

  function give(socket: Socket, unix: boolean, pages: number | null): void {
    const slot = choose();
    if (slot === null) {
      if (waiting.length >= mostWaiting) socket.destroy();
      else waiting.push({ socket, unix, pages });
      return;
    }
    if (slot.connections >= mostConnections / slots.length) {
      socket.destroy();
      return;
    }
    slot.connections++;
    slot.handOver({ kind: 'connection', unix, pages }, socket, () => give(socket, unix, pages));
  }

  return {
    give(socket, unix, pages) {
      socket.on('error', () => {});
      give(socket, unix, pages);
    },
    release() {
      for (const { socket, unix, pages } of waiting.splice(0)) give(socket, unix, pages);
    },
    close() {
      for (const { socket } of waiting.splice(0)) socket.destroy();
    },
  };
}

/** One that leaves answers only that it does; one that hangs answers nothing. */
function isBetter(slot: WorkerSlot, than: WorkerSlot): boolean {
  if (slot.isLate !== than.isLate) return than.isLate;
  if (slot.state !== than.state) return slot.state === 'ready';
  return slot.connections < than.connections;
}
