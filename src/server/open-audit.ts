import { readFileSync } from 'node:fs';
import { EnvironmentError } from '../deployment/errors.ts';
import type { Deployment } from '../deployment/schema.ts';
import { createAuditWriter, type AuditWriter } from './observe/audit.ts';
import type { Log } from './observe/log.ts';
import { watchFile } from './watch-file.ts';

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
  const { auditKeyFile } = logs;
  const key = auditKeyFile === undefined ? null : readChainKey(auditKeyFile);
  const writer = createAuditWriter({
    file: audit,
    log,
    flushMs: logs.auditFlushMs,
    failure: logs.auditFailure,
    chainKey: key,
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
  return auditKeyFile === undefined || key === null ? writer : followKey(writer, auditKeyFile, key, log);
}

/** A key that was replaced in its file seals from then on; what cannot be read or is too short is said, and the former one stays. */
function followKey(writer: AuditWriter, file: string, first: Buffer, log: Log): AuditWriter {
  let current = first;
  const endWatch = watchFile(file, () => {
    try {
      const next = readChainKey(file);
      if (next.equals(current)) return;
      current = next;
      void writer.useKey(next);
    } catch (error) {
      log.error('audit.key-refused', { file, error, consequence: 'lines are sealed with the former key' });
    }
  });
  const close = writer.close.bind(writer);
  writer.close = () => {
    endWatch();
    return close();
  };
  return writer;
}

/** The secret in a file, without the blanks and line ends around it. @throws EnvironmentError */
export function readChainKey(file: string): Buffer {
  let key: Buffer;
  try {
    key = Buffer.from(readFileSync(file, 'utf8').trim());
  } catch (error) {
    throw new EnvironmentError(`The key of the audit chain, ${file}, cannot be read`, {
      why: `The system says ${(error as NodeJS.ErrnoException).code ?? String(error)}.`,
      next: `Make one: (umask 077; openssl rand -hex 32 > ${file})`,
      cause: error,
    });
  }
  if (key.length >= leastKeyBytes) return key;
  throw new EnvironmentError(`The key of the audit chain, ${file}, is too short`, {
    why: `It has ${key.length} characters; at least ${leastKeyBytes} are needed.`,
    next: `Make one: (umask 077; openssl rand -hex 32 > ${file})`,
  });
}
