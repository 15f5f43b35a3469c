import type { AuditTrail, RefusedRequest } from './audit-trail.ts';

/** Lines about refused requests, a second: of one key, of all who have none, and of all together. */
const mostOfOne = 40;
const mostOfAll = 200;
/** Kinds of refusals that are counted apart; the rest is counted as one. */
const mostKinds = 100;
const strangers = 'strangers';

/** An audit trail whose refusals are bounded. */
export interface BoundedTrail extends AuditTrail {
  /** Writes the last counts. */
  close(): void;
}

interface Unlisted {
  readonly key: string | undefined;
  readonly why: string;
  count: number;
}

/**
 * Lists refusals up to a bound and counts the others: at the end of a second with more, one line for each key and reason
 * says how many there were. A flood must not fill the disk that real calls need; no refusal goes unmentioned.
 */
export function boundRefusals(trail: AuditTrail): BoundedTrail {
  let listed = 0;
  const listedOf = new Map<string, number>();
  const unlisted = new Map<string, Unlisted>();
  let timer: NodeJS.Timeout | null = null;

  function endSecond(): void {
    timer = null;
    listed = 0;
    listedOf.clear();
    for (const { key, why, count } of unlisted.values()) {
      const text = `${why} (${count} more requests within a second)`;
      trail.refused({ requestId: '', why: text, address: '', key: key ?? strangers });
    }
    unlisted.clear();
  }

  function count({ key, why }: RefusedRequest): void {
    const kind = `${key === undefined ? '' : 'key '}${key ?? ''}\n${why}`;
    const known = unlisted.get(kind) ?? unlisted.get('');
    if (known !== undefined) known.count++;
    else if (unlisted.size < mostKinds) unlisted.set(kind, { key, why, count: 1 });
    else unlisted.set('', { key: 'several', why: 'several reasons', count: 1 });
  }

  return {
    ended: (...given) => trail.ended(...given),
    refused(request) {
      timer ??= setTimeout(endSecond, 1_000).unref();
      const who = request.key === undefined ? '' : `key ${request.key}`;
      const own = listedOf.get(who) ?? 0;
      if (own >= mostOfOne || listed >= mostOfAll) {
        count(request);
        return;
      }
      listed++;
      listedOf.set(who, own + 1);
      trail.refused(request);
    },
    close() {
      if (timer !== null) clearTimeout(timer);
      endSecond();
    },
  };
}
