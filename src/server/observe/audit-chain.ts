import { createHmac, hash, randomBytes } from 'node:crypto';
import { auditKeyId } from './audit-keys.ts';

/** Where a chain stands: the number of its next line, and the hash of its last one. */
export interface ChainPosition {
  readonly seq: number;
  readonly hash: string;
}

/** What stood at the end of the file when a chain began: its size in whole lines, and the hash that its last line carries. */
export interface ChainAnchor {
  readonly bytes: number;
  readonly hash: string | null;
}

/** The lines that one process writes, each carrying a hash over itself and the hash before it. */
export interface AuditChain {
  readonly id: string;
  /** Where the next line goes. May be set back, when the lines sealed last did not reach the file. */
  position: ChainPosition;
  /**
   * The fields of lines as whole lines of the chain.
   * @param anchor asked for the first line of the chain only
   * @param lost lines that were lost since the last one that was written
   */
  seal(fields: readonly string[], lost: number, anchor: () => ChainAnchor): string;
}

/** Characters of a SHA-256 in base64url. */
const hashCharacters = 43;
const sealPattern = /,"(hash|mac)":"([A-Za-z0-9_-]{43})"\}$/;

/**
 * Begins a chain of an own name. A hash costs about a microsecond a line, is computed for a whole batch when it is
 * written, and names the exact line that was changed; one hash for a batch would be four times cheaper and name none.
 * @param key with it hashes are HMACs: who has not the key cannot write a chain anew
 */
export function createAuditChain(key: Buffer | null): AuditChain {
  const id = randomBytes(6).toString('base64url');
  const place = `,"chain":"${id}","seq":`;
  const field = key === null ? ',"hash":"' : ',"mac":"';
  const chain: AuditChain = {
    id,
    position: { seq: 0, hash: '' },
    seal(fields, lost, anchor) {
      let { seq, hash: last } = chain.position;
      let text = '';
      let missing = lost;
      for (const each of fields) {
        let body = each + place + String(seq);
        if (seq === 0) {
          const after = anchor();
          body += `,"after_bytes":${after.bytes},"after_hash":${after.hash === null ? 'null' : `"${after.hash}"`}`;
          if (key !== null) body += `,"mac_key":"${auditKeyId(key)}"`;
        }
        if (missing > 0) body += `,"lost":${missing}`;
        missing = 0;
        // The text that is hashed is one piece of memory afterwards, which a line built of thirty pieces is not: the line
        // is cut from it, so that the batch is put together from few pieces.
        const hashed = last + body;
        const line = last.length;
        last = computeHash(key, '', hashed);
        text += `${hashed.slice(line)}${field}${last}"}\n`;
        seq += 1;
      }
      chain.position = { seq, hash: last };
      return text;
    },
  };
  return chain;
}

/** The hash that a line carries: over the one before it and all of the line that stands before its own. */
export function computeHash(key: Buffer | null, previous: string, body: string): string {
  if (key !== null) return createHmac('sha256', key).update(previous).update(body).digest('base64url');
  return hash('sha256', previous + body, 'base64url');
}

/** A line (without its newline) as what was hashed and the hash that it carries; null when it carries none. */
export function splitSealedLine(line: string): { body: string; hash: string; keyed: boolean } | null {
  const found = sealPattern.exec(line.length > 80 ? line.slice(-80) : line);
  const [whole = '', field, carried = ''] = found ?? [];
  if (carried.length !== hashCharacters) return null;
  return { body: line.slice(0, line.length - whole.length), hash: carried, keyed: field === 'mac' };
}
