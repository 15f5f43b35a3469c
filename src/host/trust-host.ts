import { existsSync, readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { execa } from 'execa';
import { EnvironmentError } from '../deployment/errors.ts';
import type { TrustCommand, TrustFacts } from '../pki/trust-stores.ts';

const anchorFolders = [
  '/usr/local/share/ca-certificates',
  '/etc/pki/ca-trust/source/anchors',
  '/etc/pki/trust/anchors',
  '/etc/ca-certificates/trust-source/anchors',
];
const programs = ['update-ca-certificates', 'update-ca-trust', 'trust', 'certutil', 'keytool'];
/** update-ca-certificates with Java hooks takes seconds; more means that something waits. */
const commandMs = 60_000;

/** What trust stores this machine has. Read-only. */
export function readTrustFacts(options: {
  readonly root: string;
  readonly env: NodeJS.ProcessEnv;
  readonly nssDatabases: readonly string[];
  readonly javaKeystore: string | null;
}): TrustFacts {
  const { platform } = process;
  const searchPath = [...(options.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'].filter(
    (each) => each !== '',
  );
  return {
    platform: platform === 'linux' || platform === 'darwin' || platform === 'win32' ? platform : 'other',
    folders: new Set(anchorFolders.filter((folder) => existsSync(join(options.root, folder)))),
    programs: new Set(programs.filter((name) => searchPath.some((folder) => existsSync(join(folder, name))))),
    nssDatabases: [
      ...options.nssDatabases,
      ...(options.root === '' ? usualNssDatabases(options.env['HOME'] ?? homedir()) : []),
    ],
    javaKeystore: options.javaKeystore ?? (options.root === '' ? usualJavaKeystore(options.env) : null),
    root: options.root,
  };
}

/** Runs one command of a trust store. @throws EnvironmentError with its last words when it fails. */
export async function runTrustCommand(command: TrustCommand, env: NodeJS.ProcessEnv): Promise<string> {
  const [program = '', ...args] = command.argv;
  const path = [env['PATH'] ?? '', '/usr/sbin', '/sbin'].filter((each) => each !== '').join(delimiter);
  const run = await execa(program, args, {
    env: { ...env, ...command.env, PATH: path },
    extendEnv: false,
    reject: false,
    stdin: 'ignore',
    timeout: commandMs,
    maxBuffer: 1_048_576,
  });
  if (run.exitCode === 0) return run.stdout;
  const words = `${run.stderr}\n${run.stdout}`.split('\n').filter((line) => line.trim() !== '');
  throw new EnvironmentError(`${program} failed.`, {
    why: run.timedOut ? 'It gave no answer for a minute.' : (run.originalMessage ?? `It ended with ${run.exitCode}.`),
    excerpt: words.slice(-5),
    next: `Try it by hand: ${command.argv.join(' ')}`,
  });
}

function usualNssDatabases(home: string): readonly string[] {
  const profiles = join(home, '.mozilla/firefox');
  const firefox = existsSync(profiles) ? readdirSync(profiles).map((name) => join(profiles, name)) : [];
  return [join(home, '.pki/nssdb'), ...firefox].filter((folder) => existsSync(join(folder, 'cert9.db')));
}

/** Debian's Java reads the system's store through a hook of its package; every other one has a file of its own. */
function usualJavaKeystore(env: NodeJS.ProcessEnv): string | null {
  const home = env['JAVA_HOME'];
  if (home === undefined || home === '') return null;
  const path = join(home, 'lib/security/cacerts');
  return existsSync(path) ? path : null;
}
