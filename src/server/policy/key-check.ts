import { randomBytes } from 'node:crypto';
import { readFileSync, stat, type BigIntStats } from 'node:fs';
import { EnvironmentError, ExplainedError, UserError } from '../../deployment/errors.ts';
import type { Log } from '../observe/log.ts';
import type { ExtraKey } from '../startup-checks.ts';
import type { KeyDecision } from '../types.ts';
import { compileAccess, type Access } from './access.ts';
import { createGuessBackoff } from './guess-backoff.ts';
import { hashKey, parseKeyStore, rotationDueDays, saltsOf, type KeyStore } from './key-store.ts';
import type { LimitSharing } from './limit-sharing.ts';
import { parsePresentedKey } from './presented-key.ts';

/** A revoked key must be refused within a second; four looks a second cost nothing measurable. */
const POLL_MS = 250;
/** Header texts remembered per header; more are simply hashed again. */
const MOST_REMEMBERED = 4_096;
/** Keys whose age is told, the oldest first. */
const MOST_AGES = 100;
/** Keys of a secret store are asked for again this often: it may have rotated them. */
const REREAD_MS = 300_000;
const DAY_MS = 86_400_000;

export interface KeyCheck {
  /** Decides about one request. `authorization` and `xApiKey` as node:http gives them; `address` after trusted proxies. */
  check(authorization: string | undefined, xApiKey: string | undefined, address: string): KeyDecision;
  /** Called once for each key that stops being accepted: revoked, removed from the file, or expired. */
  onRevoked(listener: (keyId: string) => void): void;
  /** Reads the file now. False when it cannot be used and the keys in memory stay. */
  reload(): boolean;
  /** Some keys see less than others. */
  callersDiffer(): boolean;
  /** Labels and ages of the keys that work, oldest first, at most 100. */
  ages(): readonly { readonly label: string; readonly seconds: number }[];
  /**
   * Reads keys from other places, or the same ones again, and changes nothing yet.
   * @returns puts them in force: those that are not among them are told to `onRevoked`
   * @throws UserError or EnvironmentError as `createKeyCheck` does.
   */
  prepare(sources: KeySources): () => void;
  /** Ends the watching. */
  close(): void;
}

/** Where keys come from. */
export interface KeySources {
  readonly storeFile: string | null;
  readonly extraKeys: readonly ExtraKey[];
  /** Reads anew the keys that are kept elsewhere: at each reload and every `rereadMs`. They stand beside `extraKeys`. */
  readonly readKeys?: (() => Promise<readonly ExtraKey[]>) | undefined;
}

interface Entry {
  readonly accepted: KeyDecision & { allowed: true; access: Access | null };
  readonly expiresAtMs: number;
  readonly revoked: boolean;
  /** Epoch ms; NaN when it is not known. */
  readonly createdAtMs: number;
}

interface Keys {
  /** Each that a key may be hashed with; bounded by the format of the file. */
  readonly salts: readonly string[];
  readonly byHash: ReadonlyMap<string, Entry>;
}

/**
 * The key check of the server. Keys come from a key file, watched and read again when it changes, and from the
 * outside (`extraKeys`, of an environment variable or a file with one key). A file that is half-written, broken or
 * gone leaves the keys in memory as they are.
 * @throws UserError or EnvironmentError when the file cannot be read the first time, or an extra key cannot be sent in a header.
 */
export function createKeyCheck(
  options: KeySources & {
    readonly rereadMs?: number;
    readonly log: Log;
    /** Epoch ms. */
    readonly now?: () => number;
    /** Other processes that the same clients reach. */
    readonly sharing?: LimitSharing | null;
  },
): KeyCheck {
  const { log } = options;
  let { storeFile, extraKeys, readKeys } = options;
  const now = options.now ?? Date.now;
  extraKeys.forEach(checkExtraKey);
  const backoff = createGuessBackoff(now, options.sharing ?? null);
  const listeners: ((keyId: string) => void)[] = [];
  // Header text -> key, so that a client's next call costs a look-up instead of a hash. The texts are compared by
  // V8's seeded string hash first, so the time says nothing about how much of a wrong key was right.
  const rememberedBearer = new Map<string, Entry>();
  const rememberedPlain = new Map<string, Entry>();

  let storeText = storeFile === null ? null : readFirst(storeFile);
  const salt = randomBytes(32).toString('base64');
  let keys = indexKeys(null, [], salt);
  let store = storeText === null ? null : parseNamed(storeText, storeFile);
  let complaint: string | null = null;
  keys = indexKeys(store, extraKeys, salt);
  let callersDiffer = hasAccess(keys);
  let usable = usableIds(keys, now());

  function forgetHeaders(): void {
    rememberedBearer.clear();
    rememberedPlain.clear();
  }

  function complain(event: string, why: string): false {
    // Once for each thing that is wrong, not four times a second.
    if (complaint !== why)
      log.error(event, { file: storeFile, why, consequence: 'the keys read before stay in force' });
    complaint = why;
    return false;
  }

  /** Keys that are kept elsewhere; what cannot be read leaves those that are known. */
  let rereading = false;
  async function rereadKeys(): Promise<void> {
    if (readKeys === undefined || rereading) return;
    rereading = true;
    try {
      const reading = readKeys;
      const found = await reading();
      found.forEach(checkExtraKey);
      if (closed || readKeys !== reading || JSON.stringify(found) === JSON.stringify(extraKeys)) return;
      extraKeys = found;
      takeKeys();
    } catch (error) {
      const why = error instanceof ExplainedError ? `${error.message}: ${error.why ?? ''}` : String(error);
      log.error('keys.unreadable', { why, consequence: 'the keys read before stay in force' });
    } finally {
      rereading = false;
    }
  }

  function takeKeys(): void {
    keys = indexKeys(store, extraKeys, salt);
    callersDiffer = hasAccess(keys);
    forgetHeaders();
    log.info('keys.reloaded', { file: storeFile, usable: usableIds(keys, now()).size });
    tellGone();
  }

  function reload(): boolean {
    void rereadKeys();
    return reloadFile();
  }

  function reloadFile(): boolean {
    if (storeFile === null) return true;
    let text: string;
    try {
      text = readFileSync(storeFile, 'utf8');
    } catch (error) {
      return complain('keys.unreadable', describeReadError(error));
    }
    if (text === storeText) {
      complaint = null;
      return true;
    }
    try {
      store = parseKeyStore(text);
    } catch (error) {
      return complain('keys.broken', error instanceof ExplainedError ? (error.why ?? error.message) : String(error));
    }
    storeText = text;
    complaint = null;
    takeKeys();
    return true;
  }

  /** Tells the listeners about every key that was accepted at the last look and is not now. */
  function tellGone(): void {
    const before = usable;
    usable = usableIds(keys, now());
    for (const keyId of before) {
      if (usable.has(keyId)) continue;
      log.info('keys.refused-from-now', { keyId });
      for (const listener of listeners) listener(keyId);
    }
  }

  function decide(authorization: string | undefined, xApiKey: string | undefined, address: string): KeyDecision {
    const presented = parsePresentedKey(authorization, xApiKey);
    if (presented.kind === 'missing') return { allowed: false, reason: 'missing', detail: presented.problem };
    if (presented.kind === 'unreadable') return refuseGuess(address, presented.problem);
    const entry = findEntry(keys, presented.key);
    if (entry === undefined) return refuseGuess(address, 'The key is not known here.');
    // Whoever holds a key that once worked is not guessing.
    if (entry.revoked) return { allowed: false, reason: 'revoked', detail: 'The key was revoked.' };
    if (now() >= entry.expiresAtMs) return { allowed: false, reason: 'expired', detail: 'The key has expired.' };
    if (xApiKey === undefined) remember(rememberedBearer, authorization, entry);
    else if (authorization === undefined) remember(rememberedPlain, xApiKey, entry);
    return entry.accepted;
  }

  function refuseGuess(address: string, detail: string): KeyDecision {
    const retryAfterSeconds = backoff.failed(address);
    if (retryAfterSeconds === 0) return { allowed: false, reason: 'invalid', detail };
    return {
      allowed: false,
      reason: 'backed-off',
      retryAfterSeconds,
      detail: `${detail} Too many wrong keys came from this address: wait ${retryAfterSeconds} s.`,
    };
  }

  const watch = (): (() => void) => (storeFile === null ? () => {} : watchFile(storeFile, reloadFile));
  let changed = watch();
  let remindedAtMs = Number.NEGATIVE_INFINITY;
  /** Once a day, in the log that somebody reads. */
  function remind(): void {
    const nowMs = now();
    if (nowMs - remindedAtMs < DAY_MS) return;
    remindedAtMs = nowMs;
    const due = keyAges(keys, nowMs).filter(({ seconds }) => seconds * 1_000 >= rotationDueDays * DAY_MS);
    if (due.length === 0) return;
    log.warn('keys.rotation-due', {
      labels: due.map(({ label }) => label),
      oldestDays: Math.floor((due[0]?.seconds ?? 0) / 86_400),
      next: 'mcp-deploy keys rotate LABEL --overlap 7d',
    });
  }

  remind();
  const timer = setInterval(() => {
    tellGone();
    changed();
    remind();
  }, POLL_MS).unref();

  let closed = false;
  const rereadTimer = setInterval(() => void rereadKeys(), options.rereadMs ?? REREAD_MS).unref();

  return {
    check(authorization, xApiKey, address) {
      let entry: Entry | undefined;
      if (xApiKey === undefined) {
        if (authorization !== undefined) entry = rememberedBearer.get(authorization);
      } else if (authorization === undefined) {
        entry = rememberedPlain.get(xApiKey);
      }
      if (entry !== undefined && now() < entry.expiresAtMs) return entry.accepted;
      return decide(authorization, xApiKey, address);
    },
    onRevoked(listener) {
      listeners.push(listener);
    },
    reload,
    callersDiffer: () => callersDiffer,
    ages: () => keyAges(keys, now()),
    prepare(sources) {
      sources.extraKeys.forEach(checkExtraKey);
      const text = sources.storeFile === null ? null : readFirst(sources.storeFile);
      const nextStore = text === null ? null : parseNamed(text, sources.storeFile);
      return () => {
        const isSame = text === storeText && JSON.stringify(sources.extraKeys) === JSON.stringify(extraKeys);
        ({ storeFile, extraKeys, readKeys } = sources);
        storeText = text;
        store = nextStore;
        complaint = null;
        changed = watch();
        if (!isSame) takeKeys();
      };
    },
    close() {
      closed = true;
      clearInterval(timer);
      clearInterval(rereadTimer);
      forgetHeaders();
    },
  };
}

function remember(headers: Map<string, Entry>, text: string | undefined, entry: Entry): void {
  if (text === undefined) return;
  if (headers.size >= MOST_REMEMBERED) headers.clear();
  headers.set(text, entry);
}

/** Hashes with every salt, also when an early one was right: the time would tell how old a key is. */
function findEntry({ salts, byHash }: Keys, key: string): Entry | undefined {
  let found: Entry | undefined;
  for (const salt of salts) found = byHash.get(hashKey(salt, key)) ?? found;
  return found;
}

/** @param ownSalt for keys without a file, the same at every reading */
function indexKeys(store: KeyStore | null, extraKeys: readonly ExtraKey[], ownSalt: string): Keys {
  const salts = store === null ? [ownSalt] : saltsOf(store);
  const records = store?.keys ?? [];
  const inFile = new Set(records.map(({ hash }) => hash));
  const byHash = new Map<string, Entry>();
  const labels = new Map<string, number>();
  for (const { label, key, scope, tier, expiresAt } of extraKeys) {
    const count = (labels.get(label) ?? 0) + 1;
    labels.set(label, count);
    // The file wins: a key that it revokes is refused, wherever else it is named.
    if (salts.some((salt) => inFile.has(hashKey(salt, key)))) continue;
    const keyId = count === 1 ? `extra:${label}` : `extra:${label}#${count}`;
    const accepted = Object.freeze({
      allowed: true as const,
      keyId,
      label,
      tier: tier ?? null,
      access: compileAccess(scope ?? {}),
    });
    byHash.set(hashKey(salts[0] ?? ownSalt, key), {
      accepted,
      expiresAtMs: expiresAt == null ? Number.POSITIVE_INFINITY : Date.parse(expiresAt),
      revoked: false,
      createdAtMs: Number.NaN,
    });
  }
  for (const record of records) {
    byHash.set(record.hash, {
      accepted: Object.freeze({
        allowed: true as const,
        keyId: record.id,
        label: record.label,
        tier: record.tier ?? null,
        access: compileAccess(record),
      }),
      expiresAtMs: record.expiresAt === undefined ? Number.POSITIVE_INFINITY : Date.parse(record.expiresAt),
      revoked: record.revokedAt !== undefined,
      createdAtMs: Date.parse(record.createdAt),
    });
  }
  return { salts, byHash };
}

function hasAccess(keys: Keys): boolean {
  for (const { accepted } of keys.byHash.values()) if (accepted.access !== null) return true;
  return false;
}

function keyAges({ byHash }: Keys, nowMs: number): { label: string; seconds: number }[] {
  const oldest = new Map<string, number>();
  for (const { accepted, createdAtMs, revoked, expiresAtMs } of byHash.values()) {
    if (revoked || nowMs >= expiresAtMs || Number.isNaN(createdAtMs)) continue;
    // Of the keys of a label the newest counts: after a rotation the old one is on its way out.
    const seconds = Math.max(0, Math.round((nowMs - createdAtMs) / 1_000));
    oldest.set(accepted.label, Math.min(seconds, oldest.get(accepted.label) ?? seconds));
  }
  return Array.from(oldest, ([label, seconds]) => ({ label, seconds }))
    .toSorted((a, b) => b.seconds - a.seconds)
    .slice(0, MOST_AGES);
}

function usableIds(keys: Keys, nowMs: number): ReadonlySet<string> {
  const ids = new Set<string>();
  for (const entry of keys.byHash.values()) {
    if (!entry.revoked && nowMs < entry.expiresAtMs) ids.add(entry.accepted.keyId);
  }
  return ids;
}

function checkExtraKey({ label, key }: ExtraKey): void {
  const presented = parsePresentedKey(undefined, key);
  if (presented.kind === 'key') return;
  throw new UserError(`The key "${label}" can never be presented`, {
    why: presented.problem.replace('x-api-key', 'the configuration'),
    next: 'Give the key alone, without quotes, spaces or line breaks.',
  });
}

function readFirst(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new EnvironmentError(`The key file ${file} cannot be read`, {
      why: describeReadError(error),
      next: 'Make one with: mcp-deploy keys create LABEL',
      cause: error,
    });
  }
}

function parseNamed(text: string, file: string | null): KeyStore {
  try {
    return parseKeyStore(text);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`The key file ${file} cannot be used`, {
      ...(error.why === undefined ? {} : { why: error.why }),
      ...(error.next === undefined ? {} : { next: error.next }),
      cause: error,
    });
  }
}

function describeReadError(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOENT') return 'It does not exist.';
  if (code === 'EACCES' || code === 'EPERM') return 'This user may not read it.';
  return `Reading it failed with ${code ?? String(error)}.`;
}

/**
 * A look at a file that calls `changed` when it is another one than at the look before, and the first time. By stat
 * and not by inotify, which loses track when the file is replaced by a rename or lies on a network mount.
 */
function watchFile(file: string, changed: () => void): () => void {
  let seen: string | null = null;
  let looking = false;
  return () => {
    if (looking) return;
    looking = true;
    stat(file, { bigint: true }, (error, stats) => {
      looking = false;
      const found = error === null ? describeVersion(stats) : (error.code ?? 'unreadable');
      // A file as young as this may change again within the same time stamp, so it is read once more.
      const young = error === null && Date.now() - Number(stats.mtimeMs) < 2 * POLL_MS;
      if (found === seen && !young) return;
      seen = found;
      changed();
    });
  };
}

function describeVersion(stats: BigIntStats): string {
  return `${stats.dev}:${stats.ino}:${stats.size}:${stats.mtimeNs}:${stats.ctimeNs}`;
}
