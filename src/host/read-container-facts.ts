import { realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { hasImage } from '../apply/act-containers.ts';
import { listServices, readStackFolder } from '../apply/act-stack.ts';
import { listContainers } from '../apply/containers.ts';
import { readFileFact } from '../apply/commit.ts';
import { sha256Of } from '../apply/pre-images.ts';
import type { ApplyPorts, FileSystem } from '../apply/ports.ts';
import type { ContainerFacts, EngineFact } from '../plan/container-facts.ts';

export interface ReadContainerOptions {
  /** Whether services of a stack are looked at, and not containers. */
  readonly isStack: boolean;
  /** Name of the Compose project or the stack. */
  readonly project: string;
  /** Images that may be wanted. */
  readonly images: readonly string[];
  /** All images of this name are looked for too. */
  readonly repository?: string;
  /** Files that containers are given. */
  readonly secrets: readonly string[];
  /** Folder in which the numbered folders of copies are. */
  readonly copies: string;
  /** Ports that are to be published. */
  readonly ports: readonly number[];
  /** Files whose text is compared. */
  readonly watched: readonly string[];
}

const lookTimeoutMs = 30_000;

/** Looks at the container engine. Changes nothing; an engine that is not there is a fact like any other. */
export async function readContainerFacts(
  options: ReadContainerOptions,
  ports: Pick<ApplyPorts, 'files' | 'processes'>,
): Promise<ContainerFacts> {
  const { files } = ports;
  const engine = await readEngine(ports);
  const isReady = engine.state === 'ready';
  const images: string[] = [];
  for (const image of isReady ? new Set(options.images) : []) if (await hasImage(image, ports)) images.push(image);
  if (isReady && options.repository !== undefined) images.push(...(await listTags(options.repository, ports)));
  const list = options.isStack ? listServices : listContainers;
  const containers = isReady ? ((await list(options.project, ports)) ?? []) : [];
  const folders = containers.flatMap(({ folder }) => folder ?? []);
  if (options.isStack && containers.length > 0) folders.push((await readStackFolder(options.project, ports)) ?? '');
  const othersFolder = await findOthersFolder(folders, dirname(options.copies));
  return {
    engine,
    compose: isReady ? await readCompose(ports) : null,
    buildx: isReady && (await ports.processes.run(['docker', 'buildx', 'version'], lookTimeoutMs)).exitCode === 0,
    images,
    containers,
    ...(othersFolder === null ? {} : { othersFolder }),
    secretSources: await readHashes(files, options.secrets),
    secretCopies: await readCopies(files, options.copies),
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
  };
}

/** Of a folder that is gone, or was moved, nobody takes care any more: what is left of it belongs to whoever has its name. */
async function findOthersFolder(folders: readonly string[], own: string): Promise<string | null> {
  const real = (path: string): Promise<string | null> => realpath(path).catch(() => null);
  for (const folder of new Set(folders.filter(Boolean))) {
    const there = folder === own ? null : await real(folder);
    if (there !== null && there !== (await real(own))) return dirname(dirname(folder));
  }
  return null;
}

async function readEngine({ processes }: Pick<ApplyPorts, 'processes'>): Promise<EngineFact> {
  const format = '{{.ServerVersion}} {{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}';
  const ran = await processes.run(['docker', 'info', '--format', format], lookTimeoutMs);
  const said = ran.lastWords.join(' ');
  if (ran.exitCode === null || /ENOENT/.test(said)) {
    return /ENOENT/.test(said) ? { state: 'absent' } : { state: 'silent', words: said };
  }
  if (/permission denied/i.test(said) && ran.exitCode !== 0) return { state: 'denied' };
  const [version = '', node = '', manages = ''] = ran.output.trim().split(' ');
  // Older clients end with 0 and complain when nobody answers.
  if (ran.exitCode !== 0 || !/^\d/.test(version)) return { state: 'silent', words: said };
  return { state: 'ready', version, swarm: node !== 'active' ? 'off' : manages === 'true' ? 'manager' : 'worker' };
}

async function listTags(repository: string, { processes }: Pick<ApplyPorts, 'processes'>): Promise<readonly string[]> {
  const argv = ['docker', 'images', '--format', '{{.Repository}}:{{.Tag}}', repository];
  const { exitCode, output } = await processes.run(argv, lookTimeoutMs);
  return exitCode === 0 ? output.split('\n').filter((line) => line.startsWith(`${repository}:`)) : [];
}

/** The plugin first: the program of that name is the older one where both are. */
async function readCompose({ processes }: Pick<ApplyPorts, 'processes'>): Promise<ContainerFacts['compose']> {
  for (const argv of [['docker', 'compose'], ['docker-compose']]) {
    const { exitCode, output } = await processes.run([...argv, 'version', '--short'], lookTimeoutMs);
    const major = /^v?(\d+)\./.exec(output.trim())?.[1];
    if (exitCode === 0 && major !== undefined) return { argv, major: major === '1' ? 1 : 2 };
  }
  return null;
}

async function readHashes(files: FileSystem, paths: readonly string[]): Promise<Readonly<Record<string, string>>> {
  const hashes: Record<string, string> = {};
  for (const path of paths) {
    // Also behind links, such as those of certbot.
    const bytes = await files.read(path);
    if (bytes !== null) hashes[path] = sha256Of(bytes);
  }
  return hashes;
}

async function readCopies(files: FileSystem, folder: string): Promise<ContainerFacts['secretCopies']> {
  const copies: Record<number, Record<string, string>> = {};
  for (const number of (await files.list(folder)).filter((name) => /^[1-9]\d*$/.test(name))) {
    const hashes: Record<string, string> = {};
    for (const name of await files.list(join(folder, number))) {
      const fact = await readFileFact(files, join(folder, number, name));
      if (fact !== null) hashes[name] = fact.sha256;
    }
    copies[Number(number)] = hashes;
  }
  return copies;
}
