import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { homedir, hostname } from 'node:os';
import { basename, delimiter, isAbsolute, join } from 'node:path';
import { listWrittenEntries } from '../../clients/client-settings.ts';
import { clientEntry, clients } from '../../clients/index.ts';
import { findPortHolder } from '../../host/port-holder.ts';
import { settingsPath } from '../client-files.ts';
import type { CommandContext } from '../context.ts';
import { findFreePort } from '../decide-wanted.ts';
import type { ClientServer, WizardFacts } from './facts.ts';
import { filesToLookFor } from './find-servers.ts';

/** Larger files are not what they are called. */
const mostBytes = 1_048_576;
const mostClientServers = 40;

/** Looks at the machine and the folder: files of bounded size, ports, programs on PATH. Starts nothing, changes nothing. */
export async function readWizardFacts(context: CommandContext): Promise<WizardFacts> {
  const { baseDir, world } = context;
  const home = world.env['HOME'] ?? homedir();
  const read = (path: string): Promise<string | null> => readText(context, path);
  const [hostsFile, packageJson, pyproject, requirements, gitConfig] = await Promise.all([
    read('/etc/hosts'),
    read(join(baseDir, 'package.json')),
    read(join(baseDir, 'pyproject.toml')),
    read(join(baseDir, 'requirements.txt')),
    read(join(home, '.gitconfig')),
  ]);
  const remarks: string[] = [];
  const programs = await findPrograms(world.env);
  return {
    platform: process.platform,
    hostName: hostname(),
    hostsFile,
    folderName: basename(baseDir),
    isRoot: process.getuid?.() === 0,
    programs,
    systemdRuns: (await context.ports.files.stat('/run/systemd/system').catch(() => null)) !== null,
    dockerUsable: programs.docker !== null && (await mayUseDocker(world.env)),
    freePort: await findFreePort(remarks),
    portRemark: remarks[0] ?? null,
    httpsHolder: await holderOf(443),
    packageJson,
    pyproject,
    requirements,
    files: await presentFiles(context, filesToLookFor(packageJson, pyproject)),
    clientServers: await readClientServers(context),
    email: /^\s*email\s*=\s*(\S+@\S+)\s*$/m.exec(gitConfig ?? '')?.[1] ?? null,
  };
}

/** Null for what is not there, not a file, too large or closed to us. */
async function readText({ ports }: CommandContext, path: string): Promise<string | null> {
  try {
    const found = await ports.files.stat(path);
    if (found === null || found.kind === 'directory' || found.kind === 'other' || found.size > mostBytes) return null;
    const bytes = await ports.files.read(path);
    return bytes === null || bytes.length > mostBytes ? null : bytes.toString('utf8').replace(/^\uFEFF/, '');
  } catch {
    return null;
  }
}

async function findPrograms(env: NodeJS.ProcessEnv): Promise<WizardFacts['programs']> {
  const folders = [
    ...(env['PATH'] ?? '').split(delimiter).filter(isAbsolute),
    ...(process.platform === 'win32' ? [] : ['/usr/sbin', '/usr/bin', '/sbin', '/bin', '/usr/local/sbin']),
  ].slice(0, 100);
  const find = async (name: string): Promise<string | null> => {
    for (const folder of folders) {
      const path = join(folder, name);
      if (
        await access(path, constants.X_OK).then(
          () => true,
          () => false,
        )
      )
        return path;
    }
    return null;
  };
  const names = ['nginx', 'caddy', 'haproxy', 'docker', 'systemctl', 'launchctl', 'uv', 'python3'] as const;
  const found = await Promise.all(names.map(async (name) => [name, await find(name)] as const));
  return Object.fromEntries(found) as WizardFacts['programs'];
}

async function mayUseDocker(env: NodeJS.ProcessEnv): Promise<boolean> {
  if ((env['DOCKER_HOST'] ?? '') !== '') return true;
  return access('/var/run/docker.sock', constants.W_OK).then(
    () => true,
    () => false,
  );
}

async function holderOf(port: number): Promise<string | null> {
  const { taken, holder } = await findPortHolder(port);
  return taken ? (holder ?? 'a program') : null;
}

async function presentFiles({ ports, baseDir }: CommandContext, paths: readonly string[]): Promise<readonly string[]> {
  const present: string[] = [];
  for (const path of paths) {
    const found = await ports.files.stat(join(baseDir, path)).catch(() => null);
    if (found !== null && found.kind !== 'directory') present.push(path);
  }
  return present;
}

/** What clients start by a command; settings that cannot be read are passed over, `client list` says what is wrong. */
async function readClientServers(context: CommandContext): Promise<readonly ClientServer[]> {
  const found: ClientServer[] = [];
  for (const client of clients) {
    const { format, container } = clientEntry(client.id, {
      name: 'mcp',
      url: 'https://localhost/mcp',
      keyFile: null,
      caFile: null,
      keyVariable: 'MCP_KEY',
    });
    for (const inProject of [true, false]) {
      const path = settingsPath(context, client, inProject);
      const text = path === null ? null : await readText(context, path);
      if (text === null) continue;
      try {
        for (const { name, value, url } of listWrittenEntries(text, format, container)) {
          // What leads to a URL is an endpoint already, or a bridge to one.
          const server = url === null ? commandOf(value) : null;
          if (server !== null) found.push({ client: client.title, name, ...server });
        }
      } catch {
        continue;
      }
    }
  }
  return found.slice(0, mostClientServers);
}

function commandOf(value: unknown): { command: readonly string[]; env: readonly string[] } | null {
  const { command, args, env } = (value ?? {}) as Readonly<Record<string, unknown>>;
  const words = [command, ...(Array.isArray(args) ? (args as unknown[]) : [])];
  if (!words.every((word) => typeof word === 'string' && word.length < 4_096) || command === '') return null;
  const names = typeof env === 'object' && env !== null ? Object.keys(env) : [];
  return {
    command: words as string[],
    env: names.filter((name) => /^[A-Za-z_][A-Za-z0-9_]*$/.test(name)).slice(0, 100),
  };
}
