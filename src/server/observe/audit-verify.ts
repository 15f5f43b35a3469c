import { computeHash, splitSealedLine, type ChainPosition } from './audit-chain.ts';
import { auditKeyId, type FormerAuditKey } from './audit-keys.ts';

/** What can be wrong with a line, or with what should stand before it. */
export type AuditBreakKind = 'changed' | 'missing' | 'repeated' | 'unchained' | 'cut' | 'wrong-key';

export interface AuditBreak {
  readonly kind: AuditBreakKind;
  readonly file: string;
  /** From 1; the line that shows it. */
  readonly line: number;
  readonly what: string;
}

export interface AuditVerdict {
  readonly lines: number;
  readonly breaks: number;
  /** The first ones, in order. */
  readonly firstBreaks: readonly AuditBreak[];
  /** Lines without a hash before the first that has one: written before the file was chained. */
  readonly unprotected: number;
  /** Pieces that a kill or a full disk left. */
  readonly torn: number;
  /** Lines that the writers themselves said they lost. */
  readonly lost: number;
  /** Chains whose first lines stand in no file that was given. */
  readonly beginningsElsewhere: number;
  /** Where each chain ends: the last ones that were written to. */
  readonly heads: readonly (ChainPosition & { readonly chain: string })[];
}

/** Servers that share a file notice another key within moments; one that had to be started anew may take this long. */
const keyOverlapMs = 600_000;
const mostBreaks = 20;
const mostChains = 50_000;
/** Lines that other processes may write between a chain's look at the end of the file and its first line. */
const rememberedEnds = 8_192;

interface VerifyingKey {
  readonly key: Buffer;
  readonly id: string;
  /** Epoch ms; null for the present one. */
  readonly replacedAtMs: number | null;
  /** Time of the newest line that it was seen to seal, in epoch ms. */
  newestMs: number;
}

/** A chain as far as it was read; of which key it is, when that is known. */
type KnownChain = ChainPosition & { readonly line: number; readonly key: VerifyingKey | null };

interface Sealed {
  readonly timeMs: number;
  readonly keyId: string | null;
  readonly chain: string;
  readonly seq: number;
  readonly afterBytes: number | null;
  readonly afterHash: string | null;
  readonly lost: number;
}

/** Judges audit lines one after the other, in bounded memory: files in the order in which they were written. */
export class AuditVerifier {
  /** The present one, then those before it, the last first; empty when lines are sealed without. */
  readonly #keys: readonly VerifyingKey[];
  readonly #expected: Set<string>;
  readonly #chains = new Map<string, KnownChain>();
  readonly #firstBreaks: AuditBreak[] = [];
  /** Ends of lines in this file, and the hash that each carries: the newest of them, in two generations. */
  #ends = new Map<number, string | null>();
  #olderEnds = new Map<number, string | null>();
  #oldestEnd = 0;
  #file = '';
  #line = 0;
  #lines = 0;
  #breaks = 0;
  #unprotected = 0;
  #torn = 0;
  #lost = 0;
  #beginningsElsewhere = 0;

  /** @param expected hashes that must occur: kept from an earlier look */
  constructor(options: {
    readonly key: Buffer | null;
    readonly former?: readonly FormerAuditKey[];
    readonly expected?: readonly string[];
  }) {
    const { key, former = [] } = options;
    // A rotation that was cut off may have left the present key among those before it.
    const before = key === null ? [] : former.filter((each) => !each.key.equals(key)).toReversed();
    this.#keys = [...(key === null ? [] : [{ key, replacedAtMs: null }]), ...before].map((each) => ({
      key: each.key,
      id: auditKeyId(each.key),
      replacedAtMs: each.replacedAtMs,
      newestMs: Number.NEGATIVE_INFINITY,
    }));
    this.#expected = new Set(options.expected);
  }

  startFile(file: string): void {
    this.#file = file;
    this.#line = 0;
    this.#ends = new Map([[0, null]]);
    this.#olderEnds = new Map();
    this.#oldestEnd = 0;
  }

  /** @param start, end place of the line in its file, in bytes, its newline included */
  takeLine(text: string, start: number, end: number): void {
    this.#line += 1;
    if (text === '') return;
    this.#lines += 1;
    const split = splitSealedLine(text);
    const sealed = split === null ? null : readSealed(text);
    if (split === null || sealed === null) {
      this.#takeUnsealed(text);
      this.#noteEnd(end, null);
      return;
    }
    const { hash } = split;
    let key: VerifyingKey | null = null;
    if (split.keyed !== this.#keys.length > 0) {
      this.#break(
        'wrong-key',
        split.keyed ? 'the line is sealed with a key: give it with --key-file' : 'the line is sealed without the key',
      );
    } else {
      key = this.#judge(sealed, split.body, hash, start);
    }
    const { chain, seq } = sealed;
    const known = this.#chains.get(chain);
    if (known === undefined || seq >= known.seq) {
      this.#chains.set(chain, { seq: seq + 1, hash, line: this.#lines, key });
      if (this.#chains.size > mostChains) this.#chains.delete(this.#chains.keys().next().value ?? '');
    }
    this.#lost += sealed.lost;
    this.#expected.delete(hash);
    this.#noteEnd(end, hash);
  }

  finish(): AuditVerdict {
    for (const hash of this.#expected) {
      this.#break('cut', `no line carries the hash ${hash}: lines at the end, or whole files, are gone`);
    }
    this.#expected.clear();
    return {
      lines: this.#lines,
      breaks: this.#breaks,
      firstBreaks: this.#firstBreaks,
      unprotected: this.#unprotected,
      torn: this.#torn,
      lost: this.#lost,
      beginningsElsewhere: this.#beginningsElsewhere,
      heads: [...this.#chains]
        .toSorted(([, a], [, b]) => a.line - b.line)
        .slice(-20)
        .map(([chain, { seq, hash }]) => ({ chain, seq: seq - 1, hash })),
    };
  }

  /** Gives the key of the line's chain as far as it is known. */
  #judge(sealed: Sealed, body: string, hash: string, start: number): VerifyingKey | null {
    const { chain, seq, afterBytes, afterHash } = sealed;
    const known = this.#chains.get(chain);
    if (known === undefined && seq > 0) {
      this.#beginningsElsewhere += 1;
      return null;
    }
    const expected = known?.seq ?? 0;
    const key = known?.key ?? null;
    if (seq > expected) {
      const lines = seq - expected === 1 ? `line ${expected} is` : `lines ${expected} to ${seq - 1} are`;
      this.#break('missing', `${lines} missing before line ${seq} of chain ${chain}`);
      return key;
    }
    if (seq < expected) {
      this.#break('repeated', `line ${seq} of chain ${chain} stands behind line ${expected - 1}: repeated or moved`);
      return key;
    }
    const before = known?.hash ?? '';
    if (this.#keys.length === 0) {
      if (computeHash(null, before, body) !== hash) this.#breakChanged(chain, seq);
      else if (seq === 0 && afterBytes !== null) this.#judgeAnchor(chain, afterBytes, afterHash, start);
      return null;
    }
    const named = sealed.keyId === null ? null : this.#keys.find(({ id }) => id === sealed.keyId);
    if (named === undefined) {
      this.#break('wrong-key', `chain ${chain} is sealed with the key ${sealed.keyId}, which is not among those given`);
      return null;
    }
    const tried = key !== null ? [key] : named !== null ? [named] : this.#keys;
    const found = tried.find((each) => computeHash(each.key, before, body) === hash);
    if (found === undefined) {
      this.#breakChanged(chain, seq);
      return key ?? named;
    }
    if (this.#isLate(found)) {
      const at = new Date(found.replacedAtMs ?? 0).toISOString();
      this.#break('wrong-key', `line ${seq} of chain ${chain} is sealed with a key that was replaced at ${at}`);
    } else if (seq === 0 && afterBytes !== null) this.#judgeAnchor(chain, afterBytes, afterHash, start);
    found.newestMs = Math.max(found.newestMs, sealed.timeMs);
    return found;
  }

  /** Whoever has a key that was replaced must not go on writing lines: the times in those of later keys tell how late it is. */
  #isLate(key: VerifyingKey): boolean {
    const { replacedAtMs } = key;
    if (replacedAtMs === null) return false;
    const later = this.#keys.slice(0, this.#keys.indexOf(key));
    return later.some(({ newestMs }) => newestMs > replacedAtMs + keyOverlapMs);
  }

  #breakChanged(chain: string, seq: number): void {
    this.#break('changed', `line ${seq} of chain ${chain} is not as it was written, or the line before it is not`);
  }

  /** A chain says where the file ended when it began; what was cut off before that, or put in, is seen here. */
  #judgeAnchor(chain: string, bytes: number, hash: string | null, start: number): void {
    if (bytes < this.#oldestEnd) return;
    const ends = this.#ends.has(bytes) ? this.#ends : this.#olderEnds;
    if (ends.has(bytes) && ends.get(bytes) === hash) return;
    const size = bytes > start ? `only ${start} bytes stand before it now` : 'what stands there now is something else';
    this.#break('cut', `chain ${chain} began behind ${bytes} bytes of other lines; ${size}`);
  }

  #takeUnsealed(text: string): void {
    // Behind a kill or a full disk; a line that was made unreadable by hand is missed by its chain.
    if (!text.endsWith('}')) this.#torn += 1;
    else if (this.#chains.size === 0) this.#unprotected += 1;
    else this.#break('unchained', 'the line belongs to no chain');
  }

  #noteEnd(end: number, hash: string | null): void {
    this.#ends.set(end, hash);
    if (this.#ends.size < rememberedEnds) return;
    this.#olderEnds = this.#ends;
    this.#ends = new Map();
    this.#oldestEnd = this.#olderEnds.keys().next().value ?? 0;
  }

  #break(kind: AuditBreakKind, what: string): void {
    this.#breaks += 1;
    if (this.#firstBreaks.length < mostBreaks)
      this.#firstBreaks.push({ kind, file: this.#file, line: this.#line, what });
  }
}

function readSealed(text: string): Sealed | null {
  let line: Record<string, unknown>;
  try {
    line = JSON.parse(text) as Record<string, unknown>;
  } catch {
    return null;
  }
  const { chain, seq, after_bytes: bytes, after_hash: hash, lost, mac_key: keyId, time } = line;
  if (typeof chain !== 'string' || typeof seq !== 'number' || !Number.isSafeInteger(seq) || seq < 0) return null;
  return {
    chain: chain.slice(0, 64),
    seq,
    timeMs: Date.parse(String(time)) || Number.NEGATIVE_INFINITY,
    keyId: typeof keyId === 'string' ? keyId.slice(0, 64) : null,
    afterBytes: typeof bytes === 'number' ? bytes : null,
    afterHash: typeof hash === 'string' ? hash : null,
    lost: typeof lost === 'number' ? lost : 0,
  };
}
