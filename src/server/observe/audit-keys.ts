import { createHmac } from 'node:crypto';

/** A key that sealed audit lines until another one took its place. */
export interface FormerAuditKey {
  readonly key: Buffer;
  /** Epoch ms. */
  readonly replacedAtMs: number;
}

/** What is read beside a key file: the keys that were in it before. */
export function formerKeysFile(keyFile: string): string {
  return `${keyFile}.former`;
}

/** Names a key in the first line of a chain without giving anything of it away. */
export function auditKeyId(key: Buffer): string {
  return createHmac('sha256', key).update('mcp-deploy audit key').digest('base64url').slice(0, 12);
}

/** One line for each key, the oldest first: when it was replaced, and the key in base64. Lines that are none are passed over. Pure. */
export function parseFormerKeys(text: string): readonly FormerAuditKey[] {
  return text.split('\n').flatMap((line) => {
    const [at = '', encoded = ''] = line.trim().split(' ');
    const replacedAtMs = Date.parse(at);
    const key = Buffer.from(encoded, 'base64');
    return Number.isNaN(replacedAtMs) || key.length === 0 ? [] : [{ key, replacedAtMs }];
  });
}

/** The same file with one key more; a key that is in it already, from a rotation that was cut off, has its later time. Pure. */
export function addFormerKey(text: string, { key, replacedAtMs }: FormerAuditKey): string {
  const before = parseFormerKeys(text).filter((former) => !former.key.equals(key));
  return [...before, { key, replacedAtMs }]
    .map((each) => `${new Date(each.replacedAtMs).toISOString()} ${each.key.toString('base64')}\n`)
    .join('');
}
