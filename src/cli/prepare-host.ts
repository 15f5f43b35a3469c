import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { EnvironmentError } from '../deployment/errors.ts';
import type { SshHost } from '../deployment/ssh-host.ts';
import { packFiles, runOverSsh, type RemoteRun } from '../host/ssh.ts';
import { quoteShell } from '../render/quote/shell.ts';
import type { CommandContext } from './context.ts';

export interface RemotePlace {
  /** Where this mcp-deploy lies there. */
  readonly folder: string;
  readonly node: string;
  readonly needsSudo: boolean;
}

/** What a built mcp-deploy is made of: everything else is bundled into it. */
const parts = ['bin', 'dist', 'templates', 'schema', 'package.json'];

/**
 * Looks whether a host can carry a deployment, and copies this mcp-deploy there, once for each build: both ends are the same version.
 * Nothing else is changed.
 *
 * @throws EnvironmentError (exit 3) for a host that cannot be reached, or has no Node.js or no way to become root
 */
export async function prepareHost(host: SshHost, context: CommandContext): Promise<RemotePlace> {
  const { root, version } = context.package;
  const build = await hashOf(root);
  const look = `d="$HOME/.cache/mcp-deploy/${build}"
printf 'folder %s\\n' "$d"
printf 'uid %s\\n' "$(id -u)"
printf 'node %s\\n' "$(command -v node)"
printf 'version %s\\n' "$(node --version 2>/dev/null)"
printf 'sudo %s\\n' "$(sudo -n true 2>/dev/null && echo yes)"
printf 'there %s\\n' "$([ -f "$d/package.json" ] && echo yes)"`;
  const looked = await runOverSsh(host, inShell(look), sshOptions(context));
  if (looked.exitCode !== 0) throw unreachable(host, looked);
  const facts = new Map(looked.stdout.split('\n').map((line) => split(line)));
  const [major = 0, minor = 0] = (facts.get('version') ?? '').replace(/^v/, '').split('.').map(Number);
  if (!(major > 20 || (major === 20 && minor >= 19))) {
    const found = facts.get('version') === '' ? 'There is none' : `It is ${facts.get('version') ?? 'not known'}`;
    throw new EnvironmentError(`${host.text} needs Node.js 20.19 or newer.`, {
      why: `${found}. Nothing was changed there.`,
      next: `Install it on ${host.text}, for example: apt-get install nodejs`,
    });
  }
  const needsSudo = facts.get('uid') !== '0';
  if (needsSudo && facts.get('sudo') !== 'yes') {
    throw new EnvironmentError(`${host.text} does not let this user become root without a password.`, {
      why: 'A service of a host is written below /etc, /opt and /var. Nothing was changed there.',
      next: `Try it: ssh ${sshWords(host)} sudo -n true`,
    });
  }
  const folder = facts.get('folder') ?? '';
  const isThere = facts.get('there') === 'yes';
  context.output.progress(
    `    mcp-deploy ${version}, build ${build.slice(0, 8)}: ${isThere ? 'is there' : 'is copied there'}${needsSudo ? '; every step with sudo' : ''}`,
  );
  if (!isThere) await copyTo(host, folder, root, context);
  return { folder, node: facts.get('node') ?? 'node', needsSudo };
}

async function copyTo(host: SshHost, folder: string, root: string, context: CommandContext): Promise<void> {
  const unpack = `set -e
umask 022
d=${quoteShell(folder, 'the home folder')}
rm -rf "$d.partial"
mkdir -p "$d.partial"
tar -xzf - -C "$d.partial"
mv "$d.partial" "$d"`;
  const unpacked = await runOverSsh(host, inShell(unpack), { ...sshOptions(context), input: packFiles(root, parts) });
  if (unpacked.exitCode === 0) return;
  throw new EnvironmentError(`mcp-deploy could not be copied to ${host.text}.`, {
    why: 'It is needed there; nothing else was changed.',
    next: `Look for room: ssh ${sshWords(host)} df -h`,
    excerpt: unpacked.lastWords.slice(-5),
  });
}

async function hashOf(root: string): Promise<string> {
  const hash = createHash('sha256');
  for (const part of parts) {
    const path = join(root, part);
    const names = (await stat(path)).isDirectory() ? (await readdir(path, { recursive: true })).sort() : [''];
    for (const name of names) {
      const file = join(path, name);
      if ((await stat(file)).isFile()) hash.update(`${part}/${name}\0`).update(await readFile(file));
    }
  }
  return hash.digest('hex').slice(0, 16);
}

/** Login shells differ; this one is the same everywhere. */
export function inShell(script: string): string {
  return `sh -c ${quoteShell(script, 'a script')}`;
}

export function sshOptions({ interactive, signal }: CommandContext): { interactive: boolean; signal: AbortSignal } {
  return { interactive, signal };
}

function sshWords({ destination, port }: SshHost): string {
  return port === null ? destination : `-p ${port} ${destination}`;
}

function split(line: string): readonly [string, string] {
  const at = line.indexOf(' ');
  return at === -1 ? [line, ''] : [line.slice(0, at), line.slice(at + 1).trim()];
}

function unreachable(host: SshHost, { lastWords }: RemoteRun): EnvironmentError {
  return new EnvironmentError(`${host.text} cannot be reached over SSH.`, {
    why: 'Nothing was changed there.',
    next: `Try it: ssh ${sshWords(host)} true`,
    excerpt: lastWords.slice(-5),
  });
}
