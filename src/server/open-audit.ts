import { readFileSync } from 'node:fs';
import { EnvironmentError } from '../deployment/errors.ts';
import type { Deployment } from '../deployment/schema.ts';
import { createAuditWriter, type AuditWriter } from './observe/audit.ts';
import type { Log } from './observe/log.ts';

const dayMs = 86_400_000;
/** Below this a key is a word that can be guessed. */
const leastKeyBytes = 16;

/**
 * Opens the audit file that the settings name; null when there is none.
 * @throws EnvironmentError when the file or the file of its key cannot be used.
 */
export function openAudit(logs: Deployment['logs'], log: Log): AuditWriter | null {
  const { audit, auditRotate: rotate } = logs;
  if (audit === 'off') return null;
  return createAuditWriter({
    file: audit,
    log,
    flushMs: logs.auditFlushMs,
    failure: logs.auditFailure,
    chainKey: logs.auditKeyFile === undefined ? null : readChainKey(logs.auditKeyFile),
    rotate:
      rotate === 'off'
        ? null
        : {
            bytes: rotate.megabytes * 1_048_576,
            ageMs: rotate.days * dayMs,
            keep: rotate.keep === 'all' ? null : rotate.keep,
            gzip: rotate.gzip,
          },
  });
}

/** The secret in a file, without the blanks and line ends around it. @throws EnvironmentError */
export function readChainKey(file: string): Buffer {
  let key: Buffer;
  try {
    key = Buffer.from(readFileSync(file, 'utf8').trim());
  } catch (error) {
    throw new EnvironmentError(`The key of the audit chain, ${file}, cannot be read`, {
      why: `The system says ${(error as NodeJS.ErrnoException).code ?? String(error)}.`,
      next: `Make one: openssl rand -hex 32 > ${file}`,
      cause: error,
    });
  }
  if (key.length >= leastKeyBytes) return key;
  throw new EnvironmentError(`The key of the audit chain, ${file}, is too short`, {
    why: `It has ${key.length} characters; at least ${leastKeyBytes} are needed.`,
    next: `Make one: openssl rand -hex 32 > ${file}`,
  });
}
