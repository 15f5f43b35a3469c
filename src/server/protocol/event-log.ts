/** One event that may be asked for again with Last-Event-ID. */
interface StoredEvent {
  readonly stream: number;
  readonly sequence: number;
  readonly json: string;
}

const maxEvents = 256;
const maxChars = 1_048_576;

/** What all sessions together may hold. */
export interface EventBudget {
  charsLeft: number;
}

export function createEventBudget(totalChars: number): EventBudget {
  return { charsLeft: totalChars };
}

/**
 * The last events of one session, so that a client that lost its connection can resume. Bounded by
 * count and size, and by a budget that all sessions share; the oldest go first.
 */
export class EventLog {
  readonly #budget: EventBudget;
  #events: StoredEvent[] = [];
  #chars = 0;
  #nextSequence = 1;

  constructor(budget: EventBudget) {
    this.#budget = budget;
  }

  /** Keeps the event and gives its id, `STREAM-SEQUENCE`. An empty `json` is only an id to resume from. */
  add(stream: number, json: string): string {
    const sequence = this.#nextSequence++;
    if (json.length <= maxChars && json !== '') {
      this.#events.push({ stream, sequence, json });
      this.#chars += json.length;
      this.#budget.charsLeft -= json.length;
      while (this.#events.length > maxEvents || this.#chars > maxChars || this.#budget.charsLeft < 0) {
        if (!this.#dropOldest()) break;
      }
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
    this.#budget.charsLeft += this.#chars;
    this.#chars = 0;
    this.#events = [];
  }

  #dropOldest(): boolean {
    const oldest = this.#events.shift();
    if (oldest === undefined) return false;
    this.#chars -= oldest.json.length;
    this.#budget.charsLeft += oldest.json.length;
    return true;
  }
}

/** Reads `STREAM-SEQUENCE`; null for anything else. */
export function parseEventId(text: string): { readonly stream: number; readonly sequence: number } | null {
  const found = /^(\d{1,9})-(\d{1,15})$/.exec(text);
  return found === null ? null : { stream: Number(found[1]), sequence: Number(found[2]) };
}
