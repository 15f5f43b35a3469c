import { createReadStream, createWriteStream } from 'node:fs';
import {
  closeSync,
  existsSync,
  fstatSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import { rename, rm, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { EnvironmentError } from '../../deployment/errors.ts';
import { splitSealedLine, type ChainAnchor } from './audit-chain.ts';

const NEWLINE = 0x0a;
/** The longest line is some kilobytes. */
const tailBytes = 64 * 1_024;
/** A lock this old belongs to a process that was killed while it rotated, which takes no time. */
const staleLockMs = 10_000;
/** Another process may still write its last lines into a file that was just rotated away. */
const quietMs = 10_000;

export interface OpenFile {
  readonly descriptor: number;
  /** The file ends in a torn line, of a kill or a full disk; the next line must not be glued to it. */
  readonly endedMidLine: boolean;
  /** False for a device or a pipe: nothing to rotate, nothing to look at again. */
  readonly isRegular: boolean;
  readonly inode: number;
  readonly device: number;
  /** Time of its first line, or of its making; milliseconds since 1970. */
  readonly startedAtMs: number;
}

/** @throws EnvironmentError when the file cannot be opened. */
export function openForAppending(file: string, kind: 'audit' | 'log' = 'audit'): OpenFile {
  try {
    const descriptor = openSync(file, 'a+', kind === 'log' ? 0o600 : 0o640);
    const found = fstatSync(descriptor);
    return {
      descriptor,
      endedMidLine: found.size > 0 && readAt(descriptor, found.size - 1, 1)[0] !== NEWLINE,
      isRegular: found.isFile(),
      inode: found.ino,
      device: found.dev,
      startedAtMs: (found.isFile() ? timeOf(readAt(descriptor, 0, 64).toString('latin1')) : null) ?? Date.now(),
    };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    throw new EnvironmentError(`The ${kind} file ${file} cannot be written`, {
      why: code === 'ENOENT' ? 'Its folder does not exist.' : `The system says ${code ?? String(error)}.`,
      next: 'Make its folder writable for the user of the server, or choose another file.',
      cause: error,
    });
  }
}

/** The end of the file as a chain that begins there notes it. */
export function readAnchor({ descriptor, isRegular }: OpenFile): ChainAnchor {
  if (!isRegular) return { bytes: 0, hash: null };
  const { size } = fstatSync(descriptor);
  const start = Math.max(0, size - tailBytes);
  const tail = readAt(descriptor, start, size - start);
  const end = tail.lastIndexOf(NEWLINE);
  if (end === -1) return { bytes: start, hash: null };
  const line = tail.subarray(tail.lastIndexOf(NEWLINE, end - 1) + 1, end).toString('utf8');
  return { bytes: start + end + 1, hash: splitSealedLine(line)?.hash ?? null };
}

export interface RotatedFiles {
  /** How many are kept; null keeps all. */
  readonly keep: number | null;
  readonly gzip: boolean;
}

/**
 * Moves the file away under a name with the time in it. Several processes may try at once: one of them holds the lock,
 * and whoever comes later finds that the name stands for another file already.
 * @returns whether it was moved by this call
 * @throws what the system says
 */
export function rotateAway(file: string, opened: OpenFile, nowMs: number): boolean {
  const lock = `${file}.lock`;
  if (!takeLock(lock, nowMs)) return false;
  try {
    const found = statSync(file, { throwIfNoEntry: false });
    if (found === undefined || found.ino !== opened.inode || found.dev !== opened.device) return false;
    const stamp = new Date(nowMs).toISOString().replace(/[-:.]/g, '');
    let target = `${file}.${stamp}`;
    for (let count = 1; existsSync(target) || existsSync(`${target}.gz`); count += 1) {
      target = `${file}.${stamp}-${String(count).padStart(3, '0')}`;
    }
    renameSync(file, target);
    return true;
  } finally {
    unlinkSync(lock);
  }
}

function takeLock(lock: string, nowMs: number): boolean {
  try {
    closeSync(openSync(lock, 'wx', 0o640));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    const held = statSync(lock, { throwIfNoEntry: false });
    if (held !== undefined && nowMs - held.mtimeMs > staleLockMs) unlinkSync(lock);
    return false;
  }
}

/** Files that were rotated away from this one, oldest first. One that is compressed at this moment is named once. */
export function listRotated(file: string): readonly string[] {
  const folder = dirname(file);
  const start = `${basename(file)}.`;
  const names = new Set(readdirSync(folder).filter((name) => name.startsWith(start)));
  return [...names]
    .filter((name) => /^\d{8}T\d{9}Z(?:-\d{3})?(?:\.gz)?$/.test(name.slice(start.length)))
    .filter((name) => !(name.endsWith('.gz') && names.has(name.slice(0, -3))))
    .toSorted((a, b) => (withoutGz(a) < withoutGz(b) ? -1 : 1))
    .map((name) => join(folder, name));
}

function withoutGz(name: string): string {
  return name.endsWith('.gz') ? name.slice(0, -3) : name;
}

/** Removes what is more than `keep`, and compresses what nobody writes into any more. @throws what the system says */
export async function tidyRotated(file: string, { keep, gzip }: RotatedFiles): Promise<void> {
  const rotated = listRotated(file);
  const surplus = keep === null ? 0 : Math.max(0, rotated.length - keep);
  // Two rotations in quick succession, or two processes, may be at the same one.
  for (const old of rotated.slice(0, surplus)) await rm(old, { force: true });
  if (!gzip) return;
  for (const old of rotated.slice(surplus, -1)) {
    if (old.endsWith('.gz') || Date.now() - (await stat(old)).mtimeMs < quietMs) continue;
    await compress(old);
  }
}

async function compress(file: string): Promise<void> {
  const half = `${file}.gz.part`;
  await pipeline(createReadStream(file), createGzip(), createWriteStream(half, { flags: 'w', mode: 0o640 }));
  await rename(half, `${file}.gz`);
  await unlink(file);
}

function readAt(descriptor: number, position: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  return bytes.subarray(0, readSync(descriptor, bytes, 0, length, position));
}

/** The time that a line begins with; null when it begins with none. */
export function timeOf(line: string): number | null {
  const found = /^\{"time":"([^"]{20,32})"/.exec(line)?.[1];
  const milliseconds = found === undefined ? Number.NaN : Date.parse(found);
  return Number.isNaN(milliseconds) ? null : milliseconds;
}
