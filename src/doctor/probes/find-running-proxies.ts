import { readdir, readFile, readlink } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { ProxyConfigSeen } from '../observations.ts';

/** A proxy that runs on this machine, and what its command line says of its configuration. */
export type RunningProxy =
  | {
      readonly program: 'nginx';
      /** Prints the configuration that this nginx has, once it is run. */
      readonly dumpArgv: readonly string[];
      /** The main file; null: the one that was compiled in. */
      readonly file: string | null;
    }
  | {
      readonly program: 'haproxy';
      /** Files and folders, in the order in which they are read. */
      readonly files: readonly string[];
    }
  | {
      readonly program: 'caddy';
      /** null: only the admin API knows. */
      readonly file: string | null;
      /** host:port of its admin API where its environment says so. */
      readonly admin: string | null;
    };

/** nginx, HAProxy and Caddy among the processes of this machine (Linux), each configuration once. */
export async function findRunningProxies(): Promise<readonly RunningProxy[]> {
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(pids.map(readProcess));
  const proxies = found.filter((each) => each !== null);
  return [...new Map(proxies.map((each) => [JSON.stringify(each), each])).values()];
}

async function readProcess(pid: string): Promise<RunningProxy | null> {
  const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  const argv = line.split('\0').filter((word) => word !== '');
  const linked = (name: string): Promise<string | null> => readlink(`/proc/${pid}/${name}`).catch(() => null);
  // nginx replaces its command line by a title of one word.
  if (line.startsWith('nginx: master process ')) {
    return describeNginx(line.split('\0')[0]?.split(' ').slice(3) ?? [], await linked('exe'), await linked('cwd'));
  }
  const program = argv[0]?.split('/').at(-1);
  if (program !== 'haproxy' && program !== 'caddy') return null;
  const cwd = (await linked('cwd')) ?? '/';
  if (program === 'haproxy') return describeHaproxy(argv, cwd);
  const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
  return describeCaddy(argv, cwd, /(?:^|\0)CADDY_ADMIN=([^\0]+)/.exec(environment)?.[1] ?? null);
}

function describeNginx(words: readonly string[], exe: string | null, cwd: string | null): RunningProxy {
  const valueOf = (flag: string): string | null =>
    words.includes(flag) ? (words[words.indexOf(flag) + 1] ?? null) : null;
  const prefix = valueOf('-p');
  const file = valueOf('-c');
  const base = prefix === null ? null : resolve(cwd ?? '/', prefix);
  return {
    program: 'nginx',
    dumpArgv: [
      // An upgraded program is gone from where the process was started.
      exe?.replace(/ \(deleted\)$/, '') ?? words[0] ?? 'nginx',
      '-T',
      '-q',
      ...(base === null ? [] : ['-p', base]),
      ...(file === null ? [] : ['-c', file]),
    ],
    file: file === null ? null : resolve(base ?? '/etc/nginx', file),
  };
}

function describeHaproxy(argv: readonly string[], cwd: string): RunningProxy {
  const at = argv.indexOf('-C');
  const base = at === -1 ? cwd : resolve(cwd, argv[at + 1] ?? '');
  const files: string[] = [];
  let takes = false;
  for (const word of argv.slice(1)) {
    if (word === '-f' || word === '--') takes = true;
    else if (word.startsWith('-')) takes = false;
    else if (takes) files.push(resolve(base, word));
  }
  return { program: 'haproxy', files };
}

function describeCaddy(argv: readonly string[], cwd: string, admin: string | null): RunningProxy | null {
  if (argv[1] !== 'run') return null;
  const at = argv.findIndex((word) => /^(?:-c|--?config)(?:=|$)/.test(word));
  const word = argv[at] ?? '';
  const named = at === -1 ? null : word.includes('=') ? word.slice(word.indexOf('=') + 1) : (argv[at + 1] ?? null);
  // What was changed through the API is loaded again, whatever the file says.
  const resumed = argv.some((each) => /^--?resume$/.test(each));
  const file = resumed ? null : named === null ? resolve(cwd, 'Caddyfile') : resolve(cwd, named);
  return { program: 'caddy', file, admin };
}

/** What a folder of HAProxy stands for, and every other path for itself. */
export async function haproxyFiles(paths: readonly string[]): Promise<readonly string[]> {
  const all = await Promise.all(
    paths.map(async (path) => {
      const names = await readdir(path).catch(() => null);
      if (names === null) return [path];
      return names
        .filter((name) => name.endsWith('.cfg') && !name.startsWith('.'))
        .toSorted()
        .map((name) => resolve(path, name));
    }),
  );
  return all.flat();
}

/** The folder from which a program resolves what a file includes. */
export function includeFolder(program: ProxyConfigSeen['program'], main: string, file: string): string {
  return dirname(resolve(program === 'nginx' ? main : file));
}
