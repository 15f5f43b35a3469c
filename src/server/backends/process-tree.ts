import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';

/** Variable in the environment of every upstream; children inherit it, so that also those that leave the group are found. */
export const MARKER_VARIABLE = 'MCP_DEPLOY_UPSTREAM';

/** One child and everything it has started. */
export interface ProcessTree {
  /** Leader of its own process group. */
  readonly pid: number;
  /** Value of the marker variable, unique to this child. */
  readonly marker: string;
}

/**
 * Sends a signal to the whole process group of a child that has not exited, so
 * that nothing slips through by starting something meanwhile.
 */
export function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(process.platform === 'win32' ? pid : -pid, signal);
  } catch {
    // Nobody is left in it.
  }
}

/**
 * Signals everything of a tree that is still there, in its group or escaped
 * from it, and resolves with how many processes that were. `known` are
 * processes seen in the tree earlier, which may have lost their parent since.
 */
export async function signalTree(
  tree: ProcessTree,
  leads: boolean,
  signal: NodeJS.Signals,
  known: readonly ProcessIdentity[] = [],
): Promise<number> {
  const members = await readTree(tree, leads);
  for (const process of known) {
    if (!members.some((member) => member.pid === process.pid) && isStillThere(process)) members.push(process);
  }
  for (const member of members) {
    try {
      process.kill(member.pid, signal);
    } catch {
      // It has ended meanwhile.
    }
  }
  return members.length;
}

/** A process, told apart from a later one with the same number. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Start time in clock ticks since boot; '' where it cannot be read. */
  readonly startTime: string;
}

/**
 * Everything of a tree that lives now: descendants by the chain of parents and,
 * on Linux, whoever carries the marker (a process that called setsid and lost
 * its parent keeps its environment). `leads`: the child itself has not exited;
 * afterwards its number may be given to a stranger, who must not be taken for it.
 */
export async function readTree(tree: ProcessTree, leads: boolean): Promise<ProcessIdentity[]> {
  const all = await readProcesses();
  const members = new Set<number>();
  const ours = leads || all.every((row) => row.pid !== tree.pid);
  for (const row of all) if (row.marker === tree.marker || (ours && row.group === tree.pid)) members.add(row.pid);
  if (leads) members.add(tree.pid);
  for (let grown = true; grown;) {
    grown = false;
    for (const row of all) {
      if (!members.has(row.pid) && members.has(row.parent)) {
        members.add(row.pid);
        grown = true;
      }
    }
  }
  return all.filter((row) => members.has(row.pid)).map(({ pid, startTime }) => ({ pid, startTime }));
}

/** Resident memory of everything in a tree, in bytes; 0 where it cannot be read (only Linux tells it). */
export async function readTreeMemory(tree: ProcessTree, leads: boolean): Promise<number> {
  if (process.platform !== 'linux') return 0;
  const members = await readTree(tree, leads);
  const sizes = await Promise.all(
    members.map(async ({ pid }) => {
      const status = await readFile(`/proc/${pid}/status`, 'latin1').catch(() => '');
      return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1_024;
    }),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

interface ProcessRow extends ProcessIdentity {
  readonly parent: number;
  readonly group: number;
  /** Value of the marker variable, '' without it. */
  readonly marker: string;
}

let running: Promise<ProcessRow[]> | null = null;
let next: Promise<ProcessRow[]> | null = null;

/**
 * A look at all processes that starts after this call. Many children that end
 * at once share their looks.
 */
function readProcesses(): Promise<ProcessRow[]> {
  if (running === null) {
    running = (process.platform === 'linux' ? readProcFolder() : readPs()).finally(() => {
      running = null;
    });
    return running;
  }
  next ??= running.then(() => {
    next = null;
    return readProcesses();
  });
  return next;
}

/** Few enough to leave threads to others, enough not to wait for each. */
const readsAtOnce = 16;

async function readProcFolder(): Promise<ProcessRow[]> {
  const pids = (await readdir('/proc')).filter((name) => /^[0-9]+$/.test(name) && Number(name) !== process.pid);
  const rows: ProcessRow[] = [];
  for (let at = 0; at < pids.length; at += readsAtOnce) {
    const read = await Promise.all(pids.slice(at, at + readsAtOnce).map(readProcess));
    for (const row of read) if (row !== null) rows.push(row);
  }
  return rows;
}

async function readProcess(pid: string): Promise<ProcessRow | null> {
  const [stat, environ] = await Promise.all([
    readFile(`/proc/${pid}/stat`, 'latin1').catch(() => ''),
    // Processes of other users may not be read, and are none of ours.
    readFile(`/proc/${pid}/environ`, 'latin1').catch(() => ''),
  ]);
  const parsed = parseStat(stat);
  return parsed === null ? null : { pid: Number(pid), ...parsed, marker: markerIn(environ) };
}

function markerIn(environ: string): string {
  const name = `${MARKER_VARIABLE}=`;
  const start = environ.startsWith(name) ? 0 : environ.indexOf(`\0${name}`) + 1;
  if (start === 0 && !environ.startsWith(name)) return '';
  const end = environ.indexOf('\0', start);
  return environ.slice(start + name.length, end === -1 ? environ.length : end);
}

/** Parent, group and start time of a /proc/PID/stat line (proc_pid_stat(5)), or null for a zombie, which is nobody any more. */
function parseStat(text: string): { parent: number; group: number; startTime: string } | null {
  // The name in parentheses may hold spaces and parentheses itself.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  if (text === '' || fields[0] === 'Z' || fields[0] === 'X') return null;
  return { parent: Number(fields[1]), group: Number(fields[2]), startTime: fields[19] ?? '' };
}

function isStillThere(process: ProcessIdentity): boolean {
  if (process.startTime === '') return false;
  try {
    return parseStat(readFileSync(`/proc/${process.pid}/stat`, 'latin1'))?.startTime === process.startTime;
  } catch {
    return false;
  }
}

function readPs(): Promise<ProcessRow[]> {
  return new Promise((resolve) => {
    execFile('ps', ['-A', '-o', 'pid=,ppid=,pgid=,state='], { timeout: 5_000 }, (error, stdout) => {
      if (error !== null) {
        resolve([]);
        return;
      }
      const rows: ProcessRow[] = [];
      for (const line of stdout.split('\n')) {
        const [pid, parent, group, state] = line.trim().split(/\s+/);
        if (pid === undefined || pid === '' || state?.startsWith('Z') === true) continue;
        rows.push({ pid: Number(pid), parent: Number(parent), group: Number(group), startTime: '', marker: '' });
      }
      resolve(rows);
    });
  });
}
