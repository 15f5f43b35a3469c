import { createHash } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { createTarDecoder, type ParsedTarEntry } from 'modern-tar';
import {
  bounds,
  damaged,
  manifestName,
  parseManifest,
  type BackupFile,
  type BackupManifest,
} from '../../backup/backup-manifest.ts';
import { EnvironmentError, ExplainedError, UserError } from '../../deployment/errors.ts';
import { explainFileError } from '../file-errors.ts';

/** What opens an encrypted backup: a passphrase, or the text of a file with identities of age. */
export type Key = { readonly passphrase: string } | { readonly identities: string };

/** Takes in one file of the archive; its bytes are proven only when all of the archive has been read. */
export type TakeFile = (file: BackupFile, content: AsyncIterable<Uint8Array>) => Promise<void>;

/**
 * Reads a backup from its first byte to its last and holds each entry against the manifest: order, kind, size, hash,
 * nothing missing and nothing beside. Without `takeFile` it is a proof that changes nothing.
 * @throws EnvironmentError for what is damaged, cut, of a later format or made to hurt; UserError for a wrong key
 */
export async function readArchive(file: string, key: Key | null, takeFile?: TakeFile): Promise<BackupManifest> {
  const isEncrypted = (await readBackupKind(file)) === 'encrypted';
  const source = createReadStream(file);
  try {
    const raw = Readable.toWeb(source) as ReadableStream<Uint8Array>;
    const bytes = isEncrypted ? await decrypt(raw, file, key) : raw;
    return await readEntries(bytes.pipeThrough(new DecompressionStream('gzip')), takeFile);
  } catch (error) {
    throw error instanceof ExplainedError ? error : damaged(whyUnreadable(error));
  } finally {
    source.destroy();
  }
}

/**
 * What a file is by its first bytes, whatever it is called.
 * @throws EnvironmentError (exit 3) for a file that is no backup
 */
export async function readBackupKind(file: string): Promise<'encrypted' | 'clear'> {
  const start = Buffer.alloc(ageMagic.length);
  try {
    const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      if (!(await handle.stat()).isFile()) throw noBackup(file, 'It is no plain file.');
      await handle.read(start, 0, start.length, 0);
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw error instanceof ExplainedError ? error : explainFileError(error, 'read', file);
  }
  if (start.equals(ageMagic)) return 'encrypted';
  if (start[0] === 0x1f && start[1] === 0x8b) return 'clear';
  throw noBackup(file, 'It is neither encrypted by age nor packed by gzip, or its first bytes are damaged.');
}

/** https://age-encryption.org/v1: the first line of every file. */
const ageMagic = Buffer.from('age-encryption.org/v1\n');

function noBackup(file: string, why: string): EnvironmentError {
  return new EnvironmentError(`${file} is no backup of mcp-deploy; nothing was changed.`, {
    why,
    next: 'mcp-deploy backup list        shows what there is',
  });
}

async function decrypt(
  raw: ReadableStream<Uint8Array>,
  file: string,
  key: Key | null,
): Promise<ReadableStream<Uint8Array>> {
  if (key === null) {
    throw new UserError(`${file} is encrypted.`, {
      next: 'Give --identity FILE, --passphrase-file FILE or --passphrase-env NAME.',
    });
  }
  const { Decrypter } = await import('age-encryption');
  const decrypter = new Decrypter();
  try {
    if ('passphrase' in key) decrypter.addPassphrase(key.passphrase);
    else for (const identity of identitiesIn(key.identities)) decrypter.addIdentity(identity);
    return await decrypter.decrypt(raw);
  } catch (error) {
    if (error instanceof ExplainedError) throw error;
    const isKey = /identit|passphrase|recipient|no matching/i.test(String(error));
    if (!isKey) throw damaged(`Its encryption cannot be read: ${String(error)}`);
    throw new UserError(`${file} does not open with this ${'passphrase' in key ? 'passphrase' : 'identity'}.`, {
      why: 'It was encrypted for another one, or its first bytes are damaged.',
      next: 'Try the one that was in use when the backup was made.',
      exitCode: 3,
    });
  }
}

function identitiesIn(text: string): readonly string[] {
  const found = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => /^AGE-SECRET-KEY-/i.test(line));
  if (found.length > 0) return found;
  throw new UserError('The identity file holds no identity of age.', {
    why: 'It is a line that begins with AGE-SECRET-KEY-.',
    next: 'mcp-deploy backup key --out FILE makes one for future backups.',
  });
}

/** Bytes that the headers, the padding and the end of the archive may add for each file. */
const overheadBytes = 8_192;

async function readEntries(bytes: ReadableStream<Uint8Array>, takeFile: TakeFile | undefined): Promise<BackupManifest> {
  // Until the manifest has been read, nothing larger is believed: a few bytes of gzip can stand for gigabytes.
  const budget = { left: bounds.manifestBytes + overheadBytes };
  const entries = bytes.pipeThrough(withinBudget(budget)).pipeThrough(createTarDecoder({ strict: true }));
  const reader = entries.getReader();
  const next = async (): Promise<ParsedTarEntry | null> => (await reader.read()).value ?? null;

  const first = await next();
  if (first?.header.name !== manifestName || first.header.type !== 'file') {
    throw damaged('It does not begin with a manifest: it is no backup of mcp-deploy.');
  }
  const manifest = parseManifest(await readText(first.body));
  budget.left += manifest.files.reduce((sum, { size }) => sum + size + overheadBytes, overheadBytes);

  for (const file of manifest.files) {
    const entry = await next();
    if (entry === null) throw damaged(`It ends before ${file.path}: it was cut off.`);
    refuseUnlike(entry, file);
    const hash = createHash('sha256');
    const hashed = passThrough(entry.body, (chunk) => void hash.update(chunk));
    if (takeFile === undefined) for await (const _ of hashed);
    else await takeFile(file, hashed);
    if (hash.digest('hex') !== file.sha256) throw damaged(`${file.path} is not what was backed up.`);
  }
  const beyond = await next();
  if (beyond !== null)
    throw damaged(`It holds ${JSON.stringify(beyond.header.name)}, of which its manifest knows nothing.`);
  return manifest;
}

/** Links, devices and folders have no place in a backup, whatever they are called. */
function refuseUnlike({ header }: ParsedTarEntry, file: BackupFile): void {
  if (header.type !== 'file') {
    throw damaged(`${JSON.stringify(header.name)} is a ${header.type ?? 'thing of an unknown kind'}, not a file.`);
  }
  if (header.name !== file.path) {
    throw damaged(`It holds ${JSON.stringify(header.name)} where its manifest says ${JSON.stringify(file.path)}.`);
  }
  if (header.size !== file.size)
    throw damaged(`${file.path} has ${header.size} bytes; its manifest says ${file.size}.`);
}

async function readText(body: ReadableStream<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

async function* passThrough(
  body: ReadableStream<Uint8Array>,
  look: (chunk: Uint8Array) => void,
): AsyncIterable<Uint8Array> {
  for await (const chunk of body) {
    look(chunk);
    yield chunk;
  }
}

function withinBudget(budget: { left: number }): TransformStream<Uint8Array, Uint8Array> {
  return new TransformStream({
    transform(chunk, controller) {
      budget.left -= chunk.length;
      if (budget.left < 0) controller.error(damaged('It unpacks to more than its manifest says.'));
      else controller.enqueue(chunk);
    },
  });
}

function whyUnreadable(error: unknown): string {
  const said = error instanceof Error ? error.message : String(error);
  return `It cannot be unpacked: ${said}.`;
}
