import { randomBytes } from 'node:crypto';
import { UserError } from '../../deployment/errors.ts';
import { mostScopeEntries, tierSyntax, toolPatternSyntax, upstreamNameSyntax } from './access.ts';
import {
  formatKeyStore,
  hashKey,
  isoTimePattern,
  keyIdPattern,
  keyLabelPattern,
  mostSalts,
  parseKeyStore,
  saltsOf,
  type KeyRecord,
  type KeyStore,
} from './key-file-format.ts';

export { hashKey, parseKeyStore, saltsOf, type KeyRecord, type KeyStore };

/**
 * How the file of API keys changes. Pure: text in, text out. A key in clear is shown once, when it is made.
 */

/** `rotating`: a newer key of the same label exists and this one still works until `expiresAt`. */
type KeyState = 'active' | 'rotating' | 'expired' | 'revoked';

export interface KeyListEntry {
  readonly id: string;
  readonly label: string;
  readonly createdAt: string;
  readonly expiresAt?: string;
  readonly revokedAt?: string;
  readonly state: KeyState;
  readonly ageDays: number;
  /** It works, nothing replaces it yet, and it is older than 90 days. */
  readonly rotationDue: boolean;
  readonly tools?: readonly string[];
  readonly upstreams?: readonly string[];
  readonly tier?: string;
  /** Its hash has a salt that was replaced since; rotating it ends that. */
  readonly olderSalt?: true;
}

/** What a key may reach and how it is limited, beside its label. */
export type KeyPowers = Pick<KeyRecord, 'tools' | 'upstreams' | 'tier'>;

/** Practice of the field: keys are replaced every 90 days. */
export const rotationDueDays = 90;

const DAY_MS = 86_400_000;
const LONGEST_OVERLAP_SECONDS = 365 * 86_400;

/**
 * Adds a key to the store (`storeText` null: a new store). `key` is the only copy of it in clear.
 * `newSalt` hashes it, and every key after it, with a fresh salt.
 * @throws UserError for a bad label, a label in use, an expiry in the past, too many salts, or a broken store.
 */
export function createKeyIn(
  storeText: string | null,
  spec: {
    readonly label: string;
    readonly now: string;
    readonly expiresAt?: string;
    readonly newSalt?: boolean;
  } & KeyPowers,
): { storeText: string; key: string; record: KeyRecord } {
  const store = storeText === null ? emptyStore() : parseKeyStore(storeText);
  const nowMs = readTime(spec.now, 'now');
  checkLabel(spec.label);
  checkPowers(spec);
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
  const kept = forgetEnded(store, nowMs);
  const salted = spec.newSalt === true ? replaceSalt(kept, nowMs) : kept;
  const { key, record } = makeKey(salted, {
    label: spec.label,
    createdAt: toIso(nowMs),
    ...(expiresAt === undefined ? {} : { expiresAt: toIso(expiresAt) }),
    ...powersOf(spec),
  });
  return { storeText: formatKeyStore({ ...salted, keys: [...salted.keys, record] }), key, record };
}

/**
 * Replaces the key of a label. The old one keeps working until `oldExpiresAt` (now + overlap, or its own
 * expiry when that comes first); the new one lives as long as the old one was made to live and reaches what it reached.
 * `newSalt` hashes the new one, and every key after it, with a fresh salt.
 * @throws UserError when no key of that label works, for an overlap outside 0 s to a year, or too many salts.
 */
export function rotateKeyIn(
  storeText: string,
  spec: {
    readonly label: string;
    readonly overlapSeconds: number;
    readonly now: string;
    readonly newSalt?: boolean;
  },
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
  const kept = forgetEnded(store, nowMs);
  const salted = spec.newSalt === true ? replaceSalt(kept, nowMs) : kept;
  const { key, record } = makeKey(salted, {
    label: spec.label,
    createdAt: toIso(nowMs),
    ...(lifetimeMs === null ? {} : { expiresAt: toIso(nowMs + lifetimeMs) }),
    rotatedFrom: old.id,
    ...powersOf(old),
  });
  let oldExpiresAt = toIso(endMs);
  const keys = salted.keys.map((existing) => {
    if (existing.label !== spec.label || !isAccepted(existing, nowMs)) return existing;
    const ended = { ...existing, expiresAt: earlierOf(existing.expiresAt, endMs) };
    if (existing.id === old.id) oldExpiresAt = ended.expiresAt;
    return ended;
  });
  return { storeText: formatKeyStore({ ...salted, keys: [...keys, record] }), key, record, oldExpiresAt };
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
  const keys = forgetEnded(store, Date.parse(revokedAt)).keys.map((record) => {
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
  return store.keys.map((record) => {
    const { id, label, createdAt, expiresAt, revokedAt } = record;
    const state = describeState({ expiresAt, revokedAt }, replaced.has(id), nowMs);
    const ageDays = Math.max(0, Math.floor((nowMs - Date.parse(createdAt)) / DAY_MS));
    return {
      id,
      label,
      createdAt,
      ...(expiresAt === undefined ? {} : { expiresAt }),
      ...(revokedAt === undefined ? {} : { revokedAt }),
      state,
      ageDays,
      rotationDue: state === 'active' && ageDays >= rotationDueDays,
      ...powersOf(record),
      ...(record.salt === undefined ? {} : { olderSalt: true }),
    };
  });
}

function emptyStore(): KeyStore {
  return { salt: newSalt(), keys: [] };
}

function newSalt(): string {
  return randomBytes(32).toString('base64');
}

/** Without the keys of older salts that were over before this change: each would keep its salt in the file for ever. */
function forgetEnded(store: KeyStore, nowMs: number): KeyStore {
  return { ...store, keys: store.keys.filter((record) => record.salt === undefined || isAccepted(record, nowMs)) };
}

/** A fresh salt for the keys to come. Those that work keep theirs, and those that are over are forgotten with it. */
function replaceSalt(store: KeyStore, nowMs: number): KeyStore {
  const keys = store.keys
    .filter((record) => isAccepted(record, nowMs))
    .map(({ id, label, hash, salt, ...rest }) => ({ id, label, hash, salt: salt ?? store.salt, ...rest }));
  const replaced = { salt: newSalt(), keys };
  if (saltsOf(replaced).length <= mostSalts) return replaced;
  const oldest = keys.find((record) => record.salt !== store.salt)?.label ?? '';
  throw new UserError(`The keys have ${mostSalts} different salts already`, {
    why: 'A key that is not known yet is hashed once for each of them; no key was changed.',
    next: `Replace the keys of the oldest first: mcp-deploy keys rotate ${quoteForShell(oldest)}`,
  });
}

function makeKey(store: KeyStore, about: Omit<KeyRecord, 'id' | 'hash'>): { key: string; record: KeyRecord } {
  let id: string;
  do id = `k-${randomBytes(4).toString('hex')}`;
  while (store.keys.some((record) => record.id === id));
  const key = `mcpd_${randomBytes(32).toString('base64url')}`;
  const { label, ...times } = about;
  return { key, record: { id, label, hash: hashKey(store.salt, key), ...times } };
}

function checkLabel(label: string): void {
  if (keyIdPattern.test(label)) {
    throw new UserError(`"${label}" cannot be a label`, {
      why: 'It has the form of a key id, so that revoking it would be ambiguous.',
      next: 'Take a name that says who uses the key, for example: laptop',
    });
  }
  if (keyLabelPattern.test(label)) return;
  throw new UserError(`${JSON.stringify(label.slice(0, 80))} cannot be a label`, {
    why: 'A label has 1 to 64 of a-z, A-Z, 0-9, space and . _ @ -, with no space at either end and no - in front.',
    next: 'Take a name that says who uses the key, for example: laptop',
  });
}

function powersOf({ tools, upstreams, tier }: KeyPowers): KeyPowers {
  return {
    ...(tools === undefined ? {} : { tools }),
    ...(upstreams === undefined ? {} : { upstreams }),
    ...(tier === undefined ? {} : { tier }),
  };
}

function checkPowers({ tools, upstreams, tier }: KeyPowers): void {
  const refuse = (what: string, why: string, next: string): never => {
    throw new UserError(what, { why, next });
  };
  for (const [list, name] of [
    [tools, 'tools'],
    [upstreams, 'upstreams'],
  ] as const) {
    if (list?.length === 0 || (list?.length ?? 0) > mostScopeEntries) {
      refuse(
        `The list of ${name} is empty or too long`,
        `It holds 1 to ${mostScopeEntries}.`,
        `Leave it out for all ${name}.`,
      );
    }
  }
  for (const pattern of tools ?? []) {
    if (!toolPatternSyntax.test(pattern)) {
      refuse(
        `${JSON.stringify(pattern.slice(0, 80))} is no pattern of tools`,
        'A pattern is the name of a tool, in which * stands for any characters.',
        "Write it like: --tools 'search*,echo'",
      );
    }
  }
  for (const upstream of upstreams ?? []) {
    if (!upstreamNameSyntax.test(upstream)) {
      refuse(
        `${JSON.stringify(upstream.slice(0, 80))} is no name of an upstream`,
        'Names of upstreams have a-z, 0-9 and -.',
        'Write it like: --upstreams main',
      );
    }
  }
  if (tier !== undefined && !tierSyntax.test(tier)) {
    refuse(
      `${JSON.stringify(tier.slice(0, 80))} is no name of a tier`,
      'Names of tiers have 1 to 40 of a-z, 0-9 and -.',
      'Write it like: --tier gold',
    );
  }
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
  const ms = isoTimePattern.test(text) ? Date.parse(text) : Number.NaN;
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
