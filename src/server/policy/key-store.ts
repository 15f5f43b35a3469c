import { createHmac, randomBytes } from 'node:crypto';
import { UserError } from '../../deployment/errors.ts';

/**
 * The file of API keys, `keys.json`: what is in it and how it changes. Pure:
 * text in, text out. It holds salted hashes only; a key is shown once, when
 * it is made.
 *
 * Why a plain HMAC and no slow password hash: a key is 32 random bytes, so
 * there is nothing to guess that a slow hash would protect, and the server
 * pays for it on the way of a request. Why one salt for the file: a presented
 * key is then found by one hash and one Map look-up, however many keys there are.
 */

export interface KeyRecord {
  /** Short and not secret: for logs, `keys revoke`, sessions. */
  readonly id: string;
  readonly label: string;
  /** HMAC-SHA-256 of the key text with the salt of the file, base64url. */
  readonly hash: string;
  readonly createdAt: string;
  readonly expiresAt?: string;
  readonly revokedAt?: string;
  /** Id of the key that this one replaces. */
  readonly rotatedFrom?: string;
}

export interface KeyStore {
  readonly version: 1;
  /** 32 random bytes, base64. */
  readonly salt: string;
  readonly keys: readonly KeyRecord[];
}

/** `rotating`: a newer key of the same label exists and this one still works until `expiresAt`. */
export type KeyState = 'active' | 'rotating' | 'expired' | 'revoked';

export interface KeyListEntry {
  readonly id: string;
  readonly label: string;
  readonly createdAt: string;
  readonly expiresAt?: string;
  readonly revokedAt?: string;
  readonly state: KeyState;
  readonly ageDays: number;
}

const DAY_MS = 86_400_000;
const LONGEST_OVERLAP_SECONDS = 365 * 86_400;
const LABEL = /^[A-Za-z0-9._@-](?:[A-Za-z0-9 ._@-]{0,62}[A-Za-z0-9._@-])?$/;
const KEY_ID = /^k-[0-9a-f]{8}$/;
const ISO_TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:\d{2})$/;

/**
 * Adds a key to the store (`storeText` null: a new store). `key` is the only copy of it in clear.
 * @throws UserError for a bad label, a label in use, an expiry in the past, or a broken store.
 */
export function createKeyIn(
  storeText: string | null,
  spec: { readonly label: string; readonly now: string; readonly expiresAt?: string },
): { storeText: string; key: string; record: KeyRecord } {
  const store = storeText === null ? emptyStore() : parseKeyStore(storeText);
  const nowMs = readTime(spec.now, 'now');
  checkLabel(spec.label);
  const holder = store.keys.find((record) => record.label === spec.label && isAccepted(record, nowMs));
  if (holder !== undefined) {
    throw new UserError(`There is already a key with the label "${spec.label}"`, {
      why: `Key ${holder.id} has it since ${holder.createdAt} and still works.`,
      next: `Take another label, or replace the key with: mcp-deploy keys rotate ${quoteForShell(spec.label)}`,
    });
  }
  const expiresAt = spec.expiresAt === undefined ? undefined : readTime(spec.expiresAt, 'expiry');
  if (expiresAt !== undefined && expiresAt <= nowMs) {
    throw new UserError(`The expiry ${spec.expiresAt} is not in the future`, {
      why: `It is ${spec.now} now, so the key would never work.`,
      next: 'Give a later time, for example 2030-01-31T00:00:00Z, or none.',
    });
  }
  const { key, record } = makeKey(store, {
    label: spec.label,
    createdAt: toIso(nowMs),
    ...(expiresAt === undefined ? {} : { expiresAt: toIso(expiresAt) }),
  });
  return { storeText: formatKeyStore({ ...store, keys: [...store.keys, record] }), key, record };
}

/**
 * Replaces the key of a label. The old one keeps working until `oldExpiresAt` (now + overlap, or its own
 * expiry when that comes first); the new one lives as long as the old one was made to live.
 * @throws UserError when no key of that label works, or for an overlap outside 0 s to a year.
 */
export function rotateKeyIn(
  storeText: string,
  spec: { readonly label: string; readonly overlapSeconds: number; readonly now: string },
): { storeText: string; key: string; record: KeyRecord; oldExpiresAt: string } {
  const store = parseKeyStore(storeText);
  const nowMs = readTime(spec.now, 'now');
  if (!(spec.overlapSeconds >= 0 && spec.overlapSeconds <= LONGEST_OVERLAP_SECONDS)) {
    throw new UserError(`An overlap of ${spec.overlapSeconds} seconds is not possible`, {
      next: 'Give 0 (the old key stops at once) up to a year.',
    });
  }
  const ofLabel = store.keys.filter((record) => record.label === spec.label);
  const old = ofLabel.findLast((record) => isAccepted(record, nowMs));
  if (old === undefined) {
    throw new UserError(`There is no working key with the label "${spec.label}"`, {
      why:
        ofLabel.length === 0
          ? describeLabels(store, nowMs)
          : 'Its keys are revoked or expired, so there is nothing to replace.',
      next: `Make one with: mcp-deploy keys create ${quoteForShell(spec.label)}`,
    });
  }
  const endMs = nowMs + Math.round(spec.overlapSeconds * 1_000);
  // The newest key of a label is the only one whose expiry no rotation has shortened.
  const lifetimeMs = plannedLifetimeMs(ofLabel.at(-1) ?? old);
  const { key, record } = makeKey(store, {
    label: spec.label,
    createdAt: toIso(nowMs),
    ...(lifetimeMs === null ? {} : { expiresAt: toIso(nowMs + lifetimeMs) }),
    rotatedFrom: old.id,
  });
  let oldExpiresAt = toIso(endMs);
  const keys = store.keys.map((existing) => {
    if (existing.label !== spec.label || !isAccepted(existing, nowMs)) return existing;
    const ended = { ...existing, expiresAt: earlierOf(existing.expiresAt, endMs) };
    if (existing === old) oldExpiresAt = ended.expiresAt;
    return ended;
  });
  return { storeText: formatKeyStore({ ...store, keys: [...keys, record] }), key, record, oldExpiresAt };
}

/**
 * Revokes one key by id, or every key of a label. `revoked` is empty, and the text unchanged, when they
 * were revoked before.
 * @throws UserError when nothing has that id or label.
 */
export function revokeKeyIn(
  storeText: string,
  spec: { readonly labelOrId: string; readonly now: string },
): { storeText: string; revoked: KeyRecord[] } {
  const store = parseKeyStore(storeText);
  const revokedAt = toIso(readTime(spec.now, 'now'));
  const byId = store.keys.filter((record) => record.id === spec.labelOrId);
  const meant = byId.length > 0 ? byId : store.keys.filter((record) => record.label === spec.labelOrId);
  if (meant.length === 0) {
    throw new UserError(`No key has the label or id "${spec.labelOrId}"`, {
      why: describeLabels(store, Date.parse(revokedAt)),
      next: 'See all of them with: mcp-deploy keys list',
    });
  }
  const revoked: KeyRecord[] = [];
  const keys = store.keys.map((record) => {
    if (!meant.includes(record) || record.revokedAt !== undefined) return record;
    const gone = { ...record, revokedAt };
    revoked.push(gone);
    return gone;
  });
  return { storeText: revoked.length === 0 ? storeText : formatKeyStore({ ...store, keys }), revoked };
}

/** What a person may see of each key, oldest first. @throws UserError for a broken store. */
export function listKeysIn(storeText: string, now: string): KeyListEntry[] {
  const store = parseKeyStore(storeText);
  const nowMs = readTime(now, 'now');
  const replaced = new Set(store.keys.map((record) => record.rotatedFrom));
  return store.keys.map(({ id, label, createdAt, expiresAt, revokedAt }) => ({
    id,
    label,
    createdAt,
    ...(expiresAt === undefined ? {} : { expiresAt }),
    ...(revokedAt === undefined ? {} : { revokedAt }),
    state: describeState({ expiresAt, revokedAt }, replaced.has(id), nowMs),
    ageDays: Math.max(0, Math.floor((nowMs - Date.parse(createdAt)) / DAY_MS)),
  }));
}

/**
 * Reads a key file strictly. An unknown field is refused, not skipped: it may be a restriction of a newer
 * version, and ignoring a restriction would let a key do more than its owner allowed. No part of the file
 * is quoted in a message.
 * @throws UserError with what is wrong and what to do.
 */
export function parseKeyStore(text: string): KeyStore {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw broken(text.trim() === '' ? 'It is empty.' : 'It is not complete JSON, as after an interrupted write.');
  }
  if (!isObject(value)) throw broken('It does not hold a JSON object.');
  if (value['version'] !== 1) {
    throw broken(
      `Its version is ${describeScalar(value['version'])}; this mcp-deploy reads version 1.`,
      'Use the mcp-deploy that wrote it, or restore the file from a backup.',
    );
  }
  refuseUnknownFields(value, ['version', 'salt', 'keys'], 'The file');
  const { salt, keys } = value;
  if (typeof salt !== 'string' || Buffer.from(salt, 'base64').toString('base64') !== salt || salt.length !== 44) {
    throw broken('Its salt is not 32 bytes in base64.');
  }
  if (!Array.isArray(keys)) throw broken('Its "keys" is not a list.');
  const records = keys.map(parseRecord);
  refuseTwice(
    records.map((record) => record.id),
    'id',
  );
  refuseTwice(
    records.map((record) => record.hash),
    'hash',
  );
  return { version: 1, salt, keys: records };
}

/** The hash under which a key stands in the store: HMAC-SHA-256 with the salt, base64url. */
export function hashKey(salt: string, key: string): string {
  return createHmac('sha256', Buffer.from(salt, 'base64')).update(key, 'utf8').digest('base64url');
}

function emptyStore(): KeyStore {
  return { version: 1, salt: randomBytes(32).toString('base64'), keys: [] };
}

function makeKey(store: KeyStore, about: Omit<KeyRecord, 'id' | 'hash'>): { key: string; record: KeyRecord } {
  let id: string;
  do id = `k-${randomBytes(4).toString('hex')}`;
  while (store.keys.some((record) => record.id === id));
  const key = `mcpd_${randomBytes(32).toString('base64url')}`;
  const { label, ...times } = about;
  return { key, record: { id, label, hash: hashKey(store.salt, key), ...times } };
}

function formatKeyStore(store: KeyStore): string {
  return `${JSON.stringify(store, null, 2)}\n`;
}

function checkLabel(label: string): void {
  if (KEY_ID.test(label)) {
    throw new UserError(`"${label}" cannot be a label`, {
      why: 'It has the form of a key id, so that revoking it would be ambiguous.',
      next: 'Take a name that says who uses the key, for example: laptop',
    });
  }
  if (LABEL.test(label)) return;
  throw new UserError(`${JSON.stringify(label.slice(0, 80))} cannot be a label`, {
    why: 'A label has 1 to 64 of a-z, A-Z, 0-9, space and . _ @ -, with no space at either end.',
    next: 'Take a name that says who uses the key, for example: laptop',
  });
}

function isAccepted(record: KeyRecord, nowMs: number): boolean {
  return record.revokedAt === undefined && !isPast(record.expiresAt, nowMs);
}

function isPast(time: string | undefined, nowMs: number): boolean {
  return time !== undefined && Date.parse(time) <= nowMs;
}

function describeState(
  times: { readonly expiresAt: string | undefined; readonly revokedAt: string | undefined },
  replaced: boolean,
  nowMs: number,
): KeyState {
  if (times.revokedAt !== undefined) return 'revoked';
  if (isPast(times.expiresAt, nowMs)) return 'expired';
  return replaced ? 'rotating' : 'active';
}

function plannedLifetimeMs(record: KeyRecord): number | null {
  return record.expiresAt === undefined ? null : Date.parse(record.expiresAt) - Date.parse(record.createdAt);
}

function earlierOf(expiresAt: string | undefined, endMs: number): string {
  return expiresAt !== undefined && Date.parse(expiresAt) < endMs ? expiresAt : toIso(endMs);
}

function describeLabels(store: KeyStore, nowMs: number): string {
  const labels = [...new Set(store.keys.filter((record) => isAccepted(record, nowMs)).map((record) => record.label))];
  if (labels.length === 0) return 'The store has no working key.';
  const shown = labels.slice(0, 10).map((label) => `"${label}"`);
  return `Working keys: ${shown.join(', ')}${labels.length > 10 ? ` and ${labels.length - 10} more` : ''}.`;
}

function quoteForShell(label: string): string {
  return label.includes(' ') ? `'${label}'` : label;
}

function readTime(text: string, what: string): number {
  const ms = ISO_TIME.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms)) {
    throw new UserError(`${JSON.stringify(text.slice(0, 40))} is not a time (${what})`, {
      next: 'Write it like 2030-01-31T00:00:00Z.',
    });
  }
  return ms;
}

function toIso(ms: number): string {
  return new Date(ms).toISOString();
}

function parseRecord(value: unknown, index: number): KeyRecord {
  const name = `Key ${index + 1}`;
  if (!isObject(value)) throw broken(`${name} is not an object.`);
  refuseUnknownFields(value, ['id', 'label', 'hash', 'createdAt', 'expiresAt', 'revokedAt', 'rotatedFrom'], name);
  const { id, label, hash, createdAt, expiresAt, revokedAt, rotatedFrom } = value;
  if (typeof id !== 'string' || !KEY_ID.test(id)) throw broken(`${name} has no valid id.`);
  if (typeof label !== 'string' || !LABEL.test(label)) throw broken(`${name} has no valid label.`);
  if (typeof hash !== 'string' || !/^[A-Za-z0-9_-]{43}$/.test(hash)) throw broken(`${name} has no valid hash.`);
  if (rotatedFrom !== undefined && (typeof rotatedFrom !== 'string' || !KEY_ID.test(rotatedFrom))) {
    throw broken(`${name} has no valid rotatedFrom.`);
  }
  if (!isTime(createdAt)) throw broken(`${name} has no valid createdAt.`);
  if (expiresAt !== undefined && !isTime(expiresAt)) throw broken(`${name} has no valid expiresAt.`);
  if (revokedAt !== undefined && !isTime(revokedAt)) throw broken(`${name} has no valid revokedAt.`);
  return {
    id,
    label,
    hash,
    createdAt,
    ...(expiresAt === undefined ? {} : { expiresAt }),
    ...(revokedAt === undefined ? {} : { revokedAt }),
    ...(rotatedFrom === undefined ? {} : { rotatedFrom }),
  };
}

function isTime(value: unknown): value is string {
  return typeof value === 'string' && ISO_TIME.test(value) && !Number.isNaN(Date.parse(value));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function refuseUnknownFields(value: Record<string, unknown>, known: readonly string[], name: string): void {
  const unknown = Object.keys(value).find((field) => !known.includes(field));
  if (unknown !== undefined) {
    throw broken(`${name} has a field that this version does not know: ${JSON.stringify(unknown.slice(0, 40))}.`);
  }
}

function refuseTwice(values: readonly string[], what: string): void {
  if (new Set(values).size < values.length) throw broken(`Two keys have the same ${what}.`);
}

function describeScalar(value: unknown): string {
  if (value === undefined) return 'missing';
  return typeof value === 'number' ? String(value) : 'not a number';
}

function broken(why: string, next = 'Restore the file from a backup, or move it away and make new keys.'): UserError {
  return new UserError('The key file cannot be used', { why, next });
}
