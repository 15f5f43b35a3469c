import type { Socket } from 'node:net';
import type { WorkerSlot } from './worker-slot.ts';

/** Connections that may wait for a worker while none is ready. */
const mostWaiting = 1_024;
/** All workers together. */
const mostConnections = 50_000;

/** Gives connections to workers. */
export interface HandOut {
  give(socket: Socket, unix: boolean): void;
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
  const waiting: { readonly socket: Socket; readonly unix: boolean }[] = [];
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

  function give(socket: Socket, unix: boolean): void {
    const slot = choose();
    if (slot === null) {
      if (waiting.length >= mostWaiting) socket.destroy();
      else waiting.push({ socket, unix });
      return;
    }
    if (slot.connections >= mostConnections / slots.length) {
      socket.destroy();
      return;
    }
    slot.connections++;
    slot.send({ kind: 'connection', unix }, socket, (error) => {
      if (error !== null) socket.destroy();
    });
  }

  return {
    give(socket, unix) {
      socket.on('error', () => {});
      give(socket, unix);
    },
    release() {
      for (const { socket, unix } of waiting.splice(0)) give(socket, unix);
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
