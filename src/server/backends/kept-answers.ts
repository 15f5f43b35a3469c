/** An answer that is kept. */
export interface KeptAnswer {
  /** JSON text of the result. */
  readonly json: string;
  /** On the clock of `performance.now()`. */
  readonly keptAt: number;
  /** It says itself how long it may be used: that is to be told anew. */
  readonly saysTtl: boolean;
}

interface Entry extends KeptAnswer {
  readonly bytes: number;
  readonly until: number;
  readonly owner: Set<string>;
}

/** The answers of one upstream among all that are kept. */
export interface AnswerShelf {
  get(key: string): KeptAnswer | null;
  put(key: string, json: string, ttlMs: number, saysTtl: boolean): void;
  clear(): void;
}

/** Kept with each answer beside its text. */
const overheadBytes = 300;
/** One answer may take this much of all. */
const largestShare = 0.25;

/** Answers of all upstreams, within a number of bytes and of entries: those that were not used for longest go. */
export class KeptAnswers {
  readonly #maxBytes: number;
  readonly #maxEntries: number;
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;
  #shelves = 0;

  constructor(maxBytes: number, maxEntries: number) {
    this.#maxBytes = maxBytes;
    this.#maxEntries = maxEntries;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return this.#entries.size;
  }

  shelf(): AnswerShelf {
    const prefix = `${++this.#shelves}:`;
    const owner = new Set<string>();
    return {
      get: (key) => this.#get(prefix + key),
      put: (key, json, ttlMs, saysTtl) => this.#put(prefix + key, json, ttlMs, saysTtl, owner),
      clear: () => {
        for (const key of owner) this.#remove(key);
      },
    };
  }

  #get(key: string): KeptAnswer | null {
    const entry = this.#entries.get(key);
    if (entry === undefined) return null;
    if (entry.until <= performance.now()) {
      this.#remove(key);
      return null;
    }
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry;
  }

  #put(key: string, json: string, ttlMs: number, saysTtl: boolean, owner: Set<string>): void {
    const text = Buffer.from(json, 'utf8');
    const bytes = text.length + overheadBytes;
    if (bytes > this.#maxBytes * largestShare) return;
    this.#remove(key);
    const keptAt = performance.now();
    // A copy: the text may be a part of a much longer one, which would be kept with it.
    this.#entries.set(key, { json: text.toString('utf8'), keptAt, saysTtl, bytes, until: keptAt + ttlMs, owner });
    owner.add(key);
    this.#bytes += bytes;
    while (this.#bytes > this.#maxBytes || this.#entries.size > this.#maxEntries) {
      const oldest = this.#entries.keys().next();
      if (oldest.done === true) return;
      this.#remove(oldest.value);
    }
  }

  #remove(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    entry.owner.delete(key);
    this.#bytes -= entry.bytes;
  }
}
