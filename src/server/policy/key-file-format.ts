import { createHmac } from 'node:crypto';
import { UserError } from '../../deployment/errors.ts';
import { mostScopeEntries, tierSyntax, toolPatternSyntax, upstreamNameSyntax } from './access.ts';

/**
 * What is in the file of API keys, `keys.json`: salted hashes only. Why a plain HMAC and no slow password hash: a key
 * is 32 random bytes, so there is nothing to guess that a slow hash would protect, and the server pays for it on the
 * way of a request. Why a salt for the file and not for each key: a presented key is then found by one hash and one Map
 * look-up, however many keys there are.
 *
 * The salt can be replaced. Nobody has the keys in clear to hash them anew, so those that exist keep theirs in an own
 * `salt` until they are rotated or end. Such a file is version 2: an mcp-deploy that knows one salt for all refuses it by its
 * version. Without the last of them the file is version 1 again, as if it had never been otherwise.
 */

/** Salts that one file may have: a key that is not remembered is hashed with each. */
export const mostSalts = 8;

export interface KeyRecord {
  /** Short and not secret: for logs, `keys revoke`, sessions. */
  readonly id: string;
  readonly label: string;
  /** HMAC-SHA-256 of the key text with its salt, base64url. */
  readonly hash: string;
  /** The salt of its hash, when that of the file has been replaced since. */
  readonly salt?: string;
  readonly createdAt: string;
  readonly expiresAt?: string;
  readonly revokedAt?: string;
  /** Id of the key that this one replaces. */
  readonly rotatedFrom?: string;
  /** Patterns of the tools that it may see and call; every tool when absent. */
  readonly tools?: readonly string[];
  /** Names of the upstreams that it may reach; every one when absent. */
  readonly upstreams?: readonly string[];
  /** What limits are chosen by. */
  readonly tier?: string;
}

export interface KeyStore {
  /** 32 random bytes, base64: of new keys, and of those without their own. */
  readonly salt: string;
  readonly keys: readonly KeyRecord[];
}

/** 1 to 64 of letters, digits, space and . _ @ -, with no space at either end and no - in front (it would read as a flag). */
export const keyLabelPattern = /^[A-Za-z0-9._@](?:[A-Za-z0-9 ._@-]{0,62}[A-Za-z0-9._@-])?$/;
export const keyIdPattern = /^k-[0-9a-f]{8}$/;
/** RFC 3339 with seconds optional. */
export const isoTimePattern = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:\d{2})$/;

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
  const { version } = value;
  if (version !== 1 && version !== 2) {
    throw broken(
      `Its version is ${describeScalar(version)}; this mcp-deploy reads versions 1 and 2.`,
      'Use the mcp-deploy that wrote it, or restore the file from a backup.',
    );
  }
  refuseUnknownFields(value, ['version', 'salt', 'keys'], 'The file');
  const { salt, keys } = value;
  if (!isSalt(salt)) throw broken('Its salt is not 32 bytes in base64.');
  if (!Array.isArray(keys)) throw broken('Its "keys" is not a list.');
  const fields = version === 1 ? recordFields : [...recordFields, 'salt'];
  const records = keys.map((record, index) => parseRecord(record, index, fields));
  refuseTwice(
    records.map((record) => record.id),
    'id',
  );
  refuseTwice(
    records.map((record) => record.hash),
    'hash',
  );
  const store = { salt, keys: records };
  if (saltsOf(store).length > mostSalts) throw broken(`Its keys have more than ${mostSalts} different salts.`);
  return store;
}

/** The text of a key file: two spaces, a newline at the end, so that a change shows as few lines. */
export function formatKeyStore({ salt, keys }: KeyStore): string {
  const version = keys.some((record) => record.salt !== undefined) ? 2 : 1;
  return `${JSON.stringify({ version, salt, keys }, null, 2)}\n`;
}

/** Every salt that a key of the store may be hashed with, each once, that of the file first. */
export function saltsOf({ salt, keys }: KeyStore): string[] {
  return [...new Set([salt, ...keys.map((record) => record.salt ?? salt)])];
}

/** The hash under which a key stands in the store: HMAC-SHA-256 with the salt, base64url. */
export function hashKey(salt: string, key: string): string {
  return createHmac('sha256', Buffer.from(salt, 'base64')).update(key, 'utf8').digest('base64url');
}

function parseRecord(value: unknown, index: number, fields: readonly string[]): KeyRecord {
  const name = `Key ${index + 1}`;
  if (!isObject(value)) throw broken(`${name} is not an object.`);
  refuseUnknownFields(value, fields, name);
  const { id, label, hash, salt, createdAt, expiresAt, revokedAt, rotatedFrom, tools, upstreams, tier } = value;
  if (typeof id !== 'string' || !keyIdPattern.test(id)) throw broken(`${name} has no valid id.`);
  if (typeof label !== 'string' || !keyLabelPattern.test(label)) throw broken(`${name} has no valid label.`);
  if (typeof hash !== 'string' || !/^[A-Za-z0-9_-]{43}$/.test(hash)) throw broken(`${name} has no valid hash.`);
  if (salt !== undefined && !isSalt(salt)) throw broken(`${name} has no valid salt.`);
  if (rotatedFrom !== undefined && (typeof rotatedFrom !== 'string' || !keyIdPattern.test(rotatedFrom))) {
    throw broken(`${name} has no valid rotatedFrom.`);
  }
  if (!isTime(createdAt)) throw broken(`${name} has no valid createdAt.`);
  if (expiresAt !== undefined && !isTime(expiresAt)) throw broken(`${name} has no valid expiresAt.`);
  if (revokedAt !== undefined && !isTime(revokedAt)) throw broken(`${name} has no valid revokedAt.`);
  if (tools !== undefined && !isListOf(tools, toolPatternSyntax)) throw broken(`${name} has no valid tools.`);
  if (upstreams !== undefined && !isListOf(upstreams, upstreamNameSyntax)) {
    throw broken(`${name} has no valid upstreams.`);
  }
  if (tier !== undefined && (typeof tier !== 'string' || !tierSyntax.test(tier))) {
    throw broken(`${name} has no valid tier.`);
  }
  return {
    id,
    label,
    hash,
    ...(salt === undefined ? {} : { salt }),
    createdAt,
    ...(expiresAt === undefined ? {} : { expiresAt }),
    ...(revokedAt === undefined ? {} : { revokedAt }),
    ...(rotatedFrom === undefined ? {} : { rotatedFrom }),
    ...(tools === undefined ? {} : { tools }),
    ...(upstreams === undefined ? {} : { upstreams }),
    ...(tier === undefined ? {} : { tier }),
  };
}

const recordFields = [
  'id',
  'label',
  'hash',
  'createdAt',
  'expiresAt',
  'revokedAt',
  'rotatedFrom',
  'tools',
  'upstreams',
  'tier',
];

function isListOf(value: unknown, syntax: RegExp): value is string[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > mostScopeEntries) return false;
  return value.every((entry) => typeof entry === 'string' && syntax.test(entry));
}

function isSalt(value: unknown): value is string {
  return typeof value === 'string' && value.length === 44 && Buffer.from(value, 'base64').toString('base64') === value;
}

function isTime(value: unknown): value is string {
  return typeof value === 'string' && isoTimePattern.test(value) && !Number.isNaN(Date.parse(value));
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
