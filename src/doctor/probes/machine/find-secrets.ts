import { readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { clients } from '../../../clients/index.ts';
import type { SecretSeen } from '../../machine-observations.ts';
import type { MachineAccess, OwnFacts } from '../../types.ts';
import { filesIn, modeOf, namesIn, textOf } from './read-own-files.ts';

const privateKeyPattern = /-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----|\bAGE-SECRET-KEY-1/;
/** Shorter ones could stand anywhere by chance. */
const leastKeyLength = 16;
const gitTimeoutMs = 3_000;

/**
 * Secrets where others get to see them: in mcp-deploy.yaml, in files that git keeps, in files of environment that
 * everyone on the machine may read, in the arguments of a running process. What was found is said, never shown.
 */
export async function findSecrets(own: OwnFacts, machine: MachineAccess): Promise<readonly SecretSeen[]> {
  const keys = await readKeys(own);
  const baseDir = dirname(machine.deploymentFile);
  const settings = secretsIn(machine.deploymentFile, await textOf(machine.deploymentFile), keys);
  const environment = (
    await Promise.all((await environmentFiles(baseDir)).map((path) => secretsInEnvironment(path, keys)))
  ).flat();
  const ofClients = (
    await Promise.all(
      clients
        .flatMap(({ files }) => (files.project === null ? [] : [join(baseDir, files.project)]))
        .map(async (path) => {
          const text = await textOf(path);
          return text !== null && keys.some((key) => text.includes(key)) ? [path] : [];
        }),
    )
  ).flat();
  const secretFiles = [own.caKeyFile, own.keyFile, own.apiKeyFile].filter((path) => path !== null);
  const candidates = new Set([
    ...secretFiles,
    ...ofClients,
    ...environment.map(({ path }) => path),
    ...(settings.length > 0 ? [machine.deploymentFile] : []),
  ]);
  const tracked = await trackedByGit([...candidates], baseDir, machine);
  return [
    ...settings.map((found): SecretSeen => ({ ...found, where: 'settings' })),
    ...tracked.map((path): SecretSeen => ({
      where: 'git',
      what: path.endsWith('.key') && path !== own.apiKeyFile ? 'a private key' : 'an API key of this deployment',
      place: path,
      path,
    })),
    ...environment
      .filter(({ mode }) => (mode & 0o004) !== 0)
      .map((found): SecretSeen => ({ ...found, where: 'environment file' })),
    ...(await secretsInArguments(keys)),
  ];
}

/** The keys of this deployment that lie on this machine in clear. */
async function readKeys({ apiKeyFile, keyStoreFile }: OwnFacts): Promise<readonly string[]> {
  const folder = apiKeyFile ?? keyStoreFile;
  if (folder === null) return [];
  const files = await filesIn(dirname(folder), (name) => name.endsWith('.key'));
  const texts = await Promise.all(files.map((file) => textOf(file)));
  return texts.flatMap((text) => {
    const key = text?.trim() ?? '';
    return key.length >= leastKeyLength && !/\s/.test(key) ? [key] : [];
  });
}

type Found = Omit<SecretSeen, 'where'> & { readonly path: string };

function secretsIn(path: string, text: string | null, keys: readonly string[]): readonly Found[] {
  return (text ?? '').split('\n').flatMap((line, index): readonly Found[] => {
    const at = { place: `${path}:${index + 1}`, path };
    if (line.trimStart().startsWith('#')) return [];
    if (privateKeyPattern.test(line)) return [{ ...at, what: 'a private key' }];
    if (keys.some((key) => line.includes(key))) return [{ ...at, what: 'an API key of this deployment' }];
    return holdsSecret(line) ? [{ ...at, what: 'a secret in clear' }] : [];
  });
}

/** `GITHUB_TOKEN: ghp_…`, `Authorization: Bearer …`; a reference like ${NAME} is as it should be. */
function holdsSecret(line: string): boolean {
  const found =
    /(?:^|[\s{,'"_-])(?:api[_-]?key|token|secret|password|passwd|authorization)['"]?\s*[:=]\s*['"]?(?:bearer\s+)?([^\s'"#,}]+)/i.exec(
      line,
    );
  const value = found?.[1] ?? '';
  if (value.length < leastKeyLength || /^(?:\$|\/|\.{1,2}\/|https?:|age1)/.test(value) || value.includes('${'))
    return false;
  return /[0-9]/.test(value) && /[A-Za-z]/.test(value) && /^[A-Za-z0-9_.+/=~-]+$/.test(value);
}

/** Files of environment beside mcp-deploy.yaml; examples hold none of their own. */
async function environmentFiles(baseDir: string): Promise<readonly string[]> {
  const names = await namesIn(baseDir);
  return names
    .filter((name) => /^\.env(?:\..+)?$|\.env$/.test(name) && !/example|sample|template|dist/.test(name))
    .map((name) => join(baseDir, name));
}

async function secretsInEnvironment(path: string, keys: readonly string[]) {
  const [first] = secretsIn(path, await textOf(path), keys);
  const mode = await modeOf(path);
  return first === undefined || mode === null ? [] : [{ ...first, mode: mode & 0o7777 }];
}

async function trackedByGit(
  paths: readonly string[],
  baseDir: string,
  machine: MachineAccess,
): Promise<readonly string[]> {
  const inside = paths.map((path) => relative(baseDir, path)).filter((path) => !path.startsWith('..'));
  if (inside.length === 0) return [];
  // A repository may name a program that git starts to look for changes; this look starts none.
  const argv = ['git', '-c', 'core.fsmonitor=false', '-C', baseDir, 'ls-files', '-z', '--', ...inside];
  const { exitCode, output } = await machine.run(argv, gitTimeoutMs);
  if (exitCode !== 0) return [];
  return output
    .split('\0')
    .map((name) => name.trim())
    .filter((name) => name !== '')
    .map((name) => resolve(baseDir, name));
}

/** Everyone on a machine may read the arguments of every process (proc(5)); elsewhere than on Linux this is not told. */
async function secretsInArguments(keys: readonly string[]): Promise<readonly SecretSeen[]> {
  if (keys.length === 0 || process.platform !== 'linux') return [];
  return (await namesIn('/proc'))
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid): readonly SecretSeen[] => {
      const line = readProc(`/proc/${pid}/cmdline`);
      if (!keys.some((key) => line.includes(key))) return [];
      const program = readProc(`/proc/${pid}/comm`).trim();
      const place = `${program} (pid ${pid})`;
      return [{ where: 'arguments', what: 'an API key of this deployment', place, path: null }];
    });
}

function readProc(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // it ended while we looked
    return '';
  }
}
