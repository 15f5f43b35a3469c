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
 * Sends a signal to the whole process group of a child. A group that is gone
 * is no failure.
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
  signal: NodeJS.Signals,
  known: readonly ProcessIdentity[] = [],
): Promise<number> {
  const members = await readTree(tree);
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
 * its parent keeps its environment).
 */
export async function readTree(tree: ProcessTree): Promise<ProcessIdentity[]> {
  const all = process.platform === 'linux' ? await readProcFolder(tree.marker) : await readPs();
  const members = new Set<number>([tree.pid]);
  for (const row of all) if (row.marked || row.group === tree.pid) members.add(row.pid);
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

interface ProcessRow extends ProcessIdentity {
  readonly parent: number;
  readonly group: number;
  readonly marked: boolean;
}

async function readProcFolder(marker: string): Promise<ProcessRow[]> {
  const needle = `${MARKER_VARIABLE}=${marker}\0`;
  const rows: ProcessRow[] = [];
  for (const name of await readdir('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    try {
      const stat = parseStat(await readFile(`/proc/${name}/stat`, 'latin1'));
      if (stat === null) continue;
      // Processes of other users may not be read, and are none of ours.
      const environ = await readFile(`/proc/${name}/environ`, 'latin1').catch(() => '');
      const marked = environ.startsWith(needle) || environ.includes(`\0${needle}`);
      rows.push({ pid, ...stat, marked });
    } catch {
      // It ended between the two looks.
    }
  }
  return rows;
}

/** Parent, group and start time of a /proc/PID/stat line (proc_pid_stat(5)), or null for a zombie, which is nobody any more. */
function parseStat(text: string): { parent: number; group: number; startTime: string } | null {
  // The name in parentheses may hold spaces and parentheses itself.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  if (fields[0] === 'Z' || fields[0] === 'X') return null;
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
        rows.push({ pid: Number(pid), parent: Number(parent), group: Number(group), startTime: '', marked: false });
      }
      resolve(rows);
    });
  });
}
