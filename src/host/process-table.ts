import { readFileSync, readdirSync } from 'node:fs';
import { execa, execaSync } from 'execa';
import { hasCode } from './file-errors.ts';

/**
 * Looks at other processes: /proc on Linux, `ps` elsewhere. Read-only. A
 * zombie counts as gone: it has no command line and will never act again.
 */
export interface ProcessTable {
  /** Command line of a live process; null when it is gone. */
  commandLine(pid: number): Promise<CommandLine | null>;
  /** All live processes whose command line passes. */
  find(accept: (line: CommandLine) => boolean): Promise<readonly number[]>;
  /** What no second process ever has: boot and start time beside the pid. Null when it is gone. */
  identity(pid: number): Promise<string | null>;
  /** The same for this process. */
  ownIdentity(): string;
}

/** On Linux the arguments are known one by one; `ps` gives one text. */
export type CommandLine = { readonly args: readonly string[] } | { readonly text: string };

export function createProcessTable(): ProcessTable {
  return process.platform === 'linux' ? linuxTable : psTable;
}

const linuxTable: ProcessTable = {
  commandLine: (pid) => Promise.resolve(readCommandLine(pid)),
  find: (accept) =>
    Promise.resolve(
      readdirSync('/proc')
        .filter((name) => /^\d+$/.test(name))
        .map(Number)
        .filter((pid) => {
          const line = readCommandLine(pid);
          return line !== null && accept(line);
        }),
    ),
  identity: (pid) => Promise.resolve(readLinuxIdentity(pid)),
  ownIdentity: () => readLinuxIdentity(process.pid) ?? `${process.pid}`,
};

function readCommandLine(pid: number): CommandLine | null {
  const bytes = readProc(`/proc/${pid}/cmdline`);
  // Empty for zombies and kernel threads.
  if (bytes === null || bytes === '') return null;
  return { args: bytes.replace(/\0$/, '').split('\0') };
}

let bootId: string | null = null;

function readLinuxIdentity(pid: number): string | null {
  const stat = readProc(`/proc/${pid}/stat`);
  if (stat === null) return null;
  // The second field is the program name in brackets and may hold spaces and brackets itself (proc(5)).
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state, startTime] = [fields[0], fields[19]];
  if (startTime === undefined || state === 'Z' || state === 'X') return null;
  bootId ??= readProc('/proc/sys/kernel/random/boot_id')?.trim() ?? 'unknown boot';
  return `${bootId}/${pid}/${startTime}`;
}

function readProc(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ESRCH', 'EACCES', 'EPERM')) return null;
    throw error;
  }
}

const psTable: ProcessTable = {
  async commandLine(pid) {
    const text = await ps('-ww', '-p', String(pid), '-o', 'stat=,command=');
    const line = text.split('\n')[0] ?? '';
    return parsePsLine(line)?.line ?? null;
  },
  async find(accept) {
    const text = await ps('-axww', '-o', 'pid=,stat=,command=');
    return text.split('\n').flatMap((row) => {
      const match = /^\s*(\d+)\s+(.*)$/.exec(row);
      const parsed = match === null ? null : parsePsLine(match[2] ?? '');
      return match !== null && parsed !== null && accept(parsed.line) ? [Number(match[1])] : [];
    });
  },
  async identity(pid) {
    return parsePsIdentity(pid, await ps('-p', String(pid), '-o', 'stat=,lstart='));
  },
  ownIdentity() {
    const { stdout } = execaSync('ps', ['-p', String(process.pid), '-o', 'stat=,lstart='], psOptions);
    return parsePsIdentity(process.pid, stdout) ?? `${process.pid}`;
  },
};

function parsePsIdentity(pid: number, text: string): string | null {
  const match = /^\s*(\S+)\s+(.+)$/.exec(text.split('\n')[0] ?? '');
  if (match === null || (match[1] ?? '').startsWith('Z')) return null;
  return `${pid}/${(match[2] ?? '').trim()}`;
}

function parsePsLine(row: string): { line: CommandLine } | null {
  const match = /^\s*(\S+)\s+(.*)$/.exec(row);
  if (match === null || (match[1] ?? '').startsWith('Z')) return null;
  return { line: { text: match[2] ?? '' } };
}

/** ps exits with 1 when there is no such process; the output is then empty. The C locale keeps lstart comparable. */
const psOptions = { reject: false, env: { LC_ALL: 'C', TZ: 'UTC' } } as const;

async function ps(...args: readonly string[]): Promise<string> {
  const { stdout } = await execa('ps', args, psOptions);
  return stdout;
}
