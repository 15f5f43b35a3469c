import type { HealthAnswer } from '../observe/health.ts';
import { mergeMetrics } from '../observe/merge-metrics.ts';
import { mergePages } from './merge-pages.ts';
import type { PageName } from './siblings.ts';
import type { WorkerSlot } from './worker-slot.ts';

/** Asks all workers for a page and puts the answers together. */
export interface PageGathering {
  /** Calls back within a second, whoever does not answer. */
  gather(page: PageName, done: (answer: HealthAnswer) => void): void;
  reported(slot: WorkerSlot, askId: number, answer: HealthAnswer): void;
  /** Nobody waits for this worker any more, and its counters are kept. */
  ended(slot: WorkerSlot): void;
}

interface Asking {
  readonly page: PageName;
  readonly missing: Set<WorkerSlot>;
  readonly answers: Map<WorkerSlot, HealthAnswer>;
  readonly timer: NodeJS.Timeout;
  readonly done: (answer: HealthAnswer) => void;
}

/** A worker that is busier than this is told as not answering. */
const answerWithinMs = 1_000;

export function createPageGathering(slots: readonly WorkerSlot[]): PageGathering {
  const open = new Map<number, Asking>();
  let nextId = 1;
  let endedMetrics = '';

  function finish(askId: number): void {
    const asking = open.get(askId);
    if (asking === undefined) return;
    clearTimeout(asking.timer);
    open.delete(askId);
    const workers = slots.map((slot) => ({
      slot: slot.number,
      pid: slot.pid,
      restarts: slot.restarts,
      answer: asking.answers.get(slot) ?? null,
      lastMetrics: slot.lastMetrics,
    }));
    asking.done(mergePages(asking.page, workers, endedMetrics));
  }

  return {
    gather(page, done) {
      const askId = nextId++;
      const running = slots.filter(({ state }) => state === 'ready' || state === 'leaving');
      const timer = setTimeout(() => finish(askId), answerWithinMs);
      open.set(askId, { page, missing: new Set(running), answers: new Map(), timer, done });
      for (const slot of running) slot.send({ kind: 'report', askId, page });
      if (running.length === 0) finish(askId);
    },
    reported(slot, askId, answer) {
      const asking = open.get(askId);
      if (asking === undefined) return;
      if (asking.page === 'metrics') slot.lastMetrics = answer.body;
      asking.answers.set(slot, answer);
      asking.missing.delete(slot);
      if (asking.missing.size === 0) finish(askId);
    },
    ended(slot) {
      // What it counted since it was last asked is lost; what was told once never goes back.
      if (slot.lastMetrics !== '') {
        endedMetrics = mergeMetrics([endedMetrics, slot.lastMetrics].map((text) => ({ text, live: false })));
      }
      slot.lastMetrics = '';
      for (const [askId, asking] of open) {
        // Its counters are among those of the ended now, and count once.
        asking.answers.delete(slot);
        asking.missing.delete(slot);
        if (asking.missing.size === 0) finish(askId);
      }
    },
  };
}
