/** One event that may be asked for again with Last-Event-ID. */
interface StoredEvent {
  readonly stream: number;
  readonly sequence: number;
  readonly json: string;
}

const maxEvents = 256;
const maxChars = 1_048_576;

/** Once what all hold is too much, this share of it is freed, so that it is not looked for again with the next event. */
const freedShare = 1 / 16;

/**
 * What all sessions together may hold. When it is too much, the key that holds the most gives up its oldest events: one
 * that fills the budget takes nothing away from the others.
 */
export class EventBudget {
  readonly #most: number;
  readonly #logsOfKey = new Map<string, Set<EventLog>>();
  #held = 0;

  constructor(mostChars: number) {
    this.#most = mostChars;
  }

  get heldChars(): number {
    return this.#held;
  }

  enter(log: EventLog, keyId: string): void {
    const logs = this.#logsOfKey.get(keyId);
    if (logs === undefined) this.#logsOfKey.set(keyId, new Set([log]));
    else logs.add(log);
  }

  leave(log: EventLog, keyId: string): void {
    const logs = this.#logsOfKey.get(keyId);
    logs?.delete(log);
    if (logs?.size === 0) this.#logsOfKey.delete(keyId);
  }

  /** A log holds `chars` more, or less. */
  changed(chars: number): void {
    this.#held += chars;
    if (chars > 0 && this.#held > this.#most) this.#free(this.#most * (1 - freedShare));
  }

  #free(mostLeft: number): void {
    const heavy = [...this.#logsOfKey.values()].map((logs) => ({ logs: [...logs], chars: sumOf(logs) }));
    while (this.#held > mostLeft) {
      heavy.sort((a, b) => b.chars - a.chars);
      const heaviest = heavy[0];
      if (heaviest === undefined || heaviest.chars === 0) return;
      // Down to the next heaviest, and the largest logs first.
      const target = Math.max(heavy[1]?.chars ?? 0, heaviest.chars - (this.#held - mostLeft));
      heaviest.logs.sort((a, b) => b.chars - a.chars);
      for (const log of heaviest.logs) {
        while (heaviest.chars >= target && log.chars > 0 && this.#held > mostLeft) heaviest.chars -= log.dropOldest();
      }
    }
  }
}

function sumOf(logs: ReadonlySet<EventLog>): number {
  let chars = 0;
  for (const log of logs) chars += log.chars;
  return chars;
}

export function createEventBudget(totalChars: number): EventBudget {
  return new EventBudget(totalChars);
}

/**
 * The last events of one session, so that a client that lost its connection can resume. Bounded by
 * count and size, and by a budget that all sessions share; the oldest go first.
 */
export class EventLog {
  readonly #budget: EventBudget;
  readonly #keyId: string;
  #events: StoredEvent[] = [];
  #chars = 0;
  #nextSequence: number;

  /** @param firstSequence above those of another server that had the session before */
  constructor(budget: EventBudget, keyId = '', firstSequence = 1) {
    this.#budget = budget;
    this.#keyId = keyId;
    this.#nextSequence = firstSequence;
  }

  get chars(): number {
    return this.#chars;
  }

  /** Keeps the event and gives its id, `STREAM-SEQUENCE`. An empty `json` is only an id to resume from. */
  add(stream: number, json: string): string {
    const sequence = this.#nextSequence++;
    if (json.length <= maxChars && json !== '') {
      if (this.#events.length === 0) this.#budget.enter(this, this.#keyId);
      this.#events.push({ stream, sequence, json });
      this.#chars += json.length;
      while (this.#events.length > maxEvents || this.#chars > maxChars) this.dropOldest();
      this.#budget.changed(json.length);
    }
    return `${stream}-${sequence}`;
  }

  /** Calls `visit` for every event of the stream after `sequence` that is still here, oldest first. */
  replay(stream: number, sequence: number, visit: (id: string, json: string) => void): void {
    for (const event of this.#events) {
      if (event.stream === stream && event.sequence > sequence) visit(`${stream}-${event.sequence}`, event.json);
    }
  }

  /** Gives its share of the budget back. */
  clear(): void {
    while (this.#events.length > 0) this.dropOldest();
  }

  /** Gives up one event; tells how many characters it had. */
  dropOldest(): number {
    const oldest = this.#events.shift();
    if (oldest === undefined) return 0;
    this.#chars -= oldest.json.length;
    if (this.#events.length === 0) this.#budget.leave(this, this.#keyId);
    this.#budget.changed(-oldest.json.length);
    return oldest.json.length;
  }
}

/** Reads `STREAM-SEQUENCE`; null for anything else. */
export function parseEventId(text: string): { readonly stream: number; readonly sequence: number } | null {
  const found = /^(\d{1,9})-(\d{1,15})$/.exec(text);
  return found === null ? null : { stream: Number(found[1]), sequence: Number(found[2]) };
}
