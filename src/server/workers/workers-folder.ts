import {
  lstatSync,
  mkdtempSync,
  opendirSync,
  readdirSync,
  readlinkSync,
  rmdirSync,
  unlinkSync,
  type Dir,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A full temp folder must not hold up a start: what is not looked at is for the next start. */
const mostLooks = 20_000;
const mostRemoved = 200;
const namePattern = /^mcp-deploy-workers-(\d{1,10})-(\d{1,10})-[A-Za-z0-9]{6}$/;
/** As long as a server lives, the sockets of its workers are in its folder, or it has just been made. */
const anyName = /^mcp-deploy-workers-[A-Za-z0-9-]{1,40}$/;
const emptyForMs = 3_600_000;
const socketPattern = /^\d{1,4}\.sock$/;

/**
 * Makes the folder of the workers' sockets (0700), and removes those that servers of this user left behind when they were killed.
 * The name tells whose it is by PID namespace and PID: two containers may share a temp folder and have the same PIDs.
 * @throws what `mkdtemp` throws; what cannot be swept stays
 */
export function makeWorkersFolder(parent = tmpdir()): string {
  sweep(parent);
  return mkdtempSync(join(parent, `mcp-deploy-workers-${pidNamespace()}-${process.pid}-`));
}

function sweep(parent: string): void {
  let folder: Dir;
  try {
    folder = opendirSync(parent);
  } catch {
    return;
  }
  const namespace = pidNamespace();
  try {
    let removed = 0;
    for (let looks = 0; looks < mostLooks && removed < mostRemoved; looks += 1) {
      const entry = folder.readSync();
      if (entry === null) break;
      const [, ownNamespace, pid] = namePattern.exec(entry.name) ?? [];
      const path = join(parent, entry.name);
      const isOurs = ownNamespace === namespace && pid !== undefined;
      if (isOurs ? !isAlive(Number(pid)) && removeLeftOver(path) : anyName.test(entry.name) && removeLongEmpty(path))
        removed += 1;
    }
  } catch {
    // Another server sweeps at the same time, or the temp folder went away.
  } finally {
    folder.closeSync();
  }
}

/** Takes nothing away but sockets of workers and the folder itself; anything else in it keeps it. */
function removeLeftOver(path: string): boolean {
  try {
    const stats = lstatSync(path);
    if (!stats.isDirectory() || stats.uid !== process.getuid?.()) return false;
    for (const name of readdirSync(path)) {
      const inside = join(path, name);
      if (!socketPattern.test(name) || !lstatSync(inside).isSocket()) return false;
      unlinkSync(inside);
    }
    rmdirSync(path);
    return true;
  } catch {
    return false;
  }
}

/** Of a server of another container, of which nobody can be asked whether it lives: an empty folder is nobody's. */
function removeLongEmpty(path: string): boolean {
  try {
    const stats = lstatSync(path);
    if (!stats.isDirectory() || stats.uid !== process.getuid?.() || Date.now() - stats.mtimeMs < emptyForMs)
      return false;
    rmdirSync(path);
    return true;
  } catch {
    return false;
  }
}

/** For a worker whose primary is gone: the last of them takes the folder away. Nothing happens while one has its socket in it. */
export function leaveWorkersFolder(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // The next start removes it.
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** The inode of the PID namespace; 0 where there are none. */
function pidNamespace(): string {
  try {
    return /^pid:\[(\d+)\]$/.exec(readlinkSync('/proc/self/ns/pid'))?.[1] ?? '0';
  } catch {
    return '0';
  }
}
