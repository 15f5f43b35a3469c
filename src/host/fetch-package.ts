import { createHash } from 'node:crypto';
import { copyFile, lstat, mkdir, readFile, readdir, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { Processes } from '../apply/ports.ts';
import { EnvironmentError, ExplainedError, UserError } from '../deployment/errors.ts';
import { compareVersions, isVersion } from '../plan/compare-versions.ts';
import { explainFileError, hasCode } from './file-errors.ts';
import { unpackPackage } from './unpack-package.ts';

/** Where another mcp-deploy comes from. */
export type PackageSource =
  | { readonly kind: 'registry'; readonly version: string }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'folder'; readonly path: string };

/** What has to be in a package so that it can plan and serve. */
const needed = ['package.json', 'bin/mcp-deploy.js', 'dist/cli/main.js', 'dist/server/serve.js'];
const taken = ['package.json', 'bin', 'dist', 'templates', 'schema', 'CHANGELOG.md', 'README.md', 'LICENSE'];
const npmMs = 120_000;
const tryMs = 30_000;
const leastFreeBytes = 64 * 1024 * 1024;
const mostTarballBytes = 50_000_000;

/**
 * Puts a package of mcp-deploy into a folder that is there and empty, and sees that it is whole and starts. The network is
 * needed for a version only; no script of the package runs while it is fetched.
 *
 * @param integrity what the tarball must be, as npm writes it: `sha512-…`
 * @returns the version that it is
 * @throws UserError for a wrong source; EnvironmentError (exit 3) for what cannot be had, is damaged or does not run here
 */
export async function fetchPackage(
  source: PackageSource,
  { folder, integrity, processes }: { folder: string; integrity: string | null; processes: Pick<Processes, 'run'> },
): Promise<string> {
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize < leastFreeBytes) {
    throw new EnvironmentError('The disk is almost full; nothing was changed.', {
      why: `${Math.floor((bavail * bsize) / 1_048_576)} MB are free below ${folder}; a package needs ${leastFreeBytes / 1_048_576} MB.`,
      next: `Make room, then run the command again: df -h ${folder}`,
    });
  }
  if (source.kind === 'folder') await copyPackage(source.path, folder);
  else {
    const packed = source.kind === 'file' ? null : await packFromRegistry(source.version, folder, processes);
    const file = source.kind === 'file' ? source.path : (packed?.file ?? '');
    const tarball = await readTarball(file);
    for (const expected of [integrity, packed?.integrity ?? null]) {
      if (expected !== null) refuseOther(tarball, expected, file);
    }
    await unpackPackage(tarball, file, folder);
  }
  return judgePackage(folder, source.kind === 'registry' ? `mcp-deploy@${source.version}` : source.path, processes);
}

/** The newest version that the registry of npm has. @throws EnvironmentError (exit 3) */
export async function readNewestVersion(processes: Pick<Processes, 'run'>): Promise<string> {
  const ran = await processes.run(['npm', 'view', 'mcp-deploy', 'version', '--json'], npmMs);
  const version = /"([^"]+)"/.exec(ran.output)?.[1] ?? '';
  if (ran.exitCode === 0 && isVersion(version)) return version;
  throw npmFailed('The registry of npm does not say which version is the newest.', ran);
}

async function packFromRegistry(
  version: string,
  folder: string,
  processes: Pick<Processes, 'run'>,
): Promise<{ readonly file: string; readonly integrity: string | null }> {
  const spec = `mcp-deploy@${version}`;
  // Beside what is unpacked: it goes with the folder's parent.
  const into = `${folder}.npm`;
  await mkdir(into, { mode: 0o700 });
  const ran = await processes.run(
    ['npm', 'pack', spec, '--json', '--ignore-scripts', '--pack-destination', into],
    npmMs,
  );
  const name = (await readdir(into)).find((each) => each.endsWith('.tgz'));
  if (ran.exitCode !== 0 || name === undefined) throw npmFailed(`npm does not give ${spec}; nothing was changed.`, ran);
  return { file: join(into, name), integrity: /"integrity": *"([^"]+)"/.exec(ran.output)?.[1] ?? null };
}

function npmFailed(what: string, ran: Awaited<ReturnType<Processes['run']>>): EnvironmentError {
  const isMissing = ran.exitCode === null && ran.lastWords.some((line) => line.includes('ENOENT'));
  return new EnvironmentError(what, {
    why: isMissing ? 'There is no npm on the PATH.' : 'npm could not do it; its last words are below.',
    next: 'Fetch the package elsewhere, bring it here, then: mcp-deploy upgrade --to ./mcp-deploy-VERSION.tgz',
    excerpt: isMissing ? [] : ran.lastWords,
  });
}

async function readTarball(file: string): Promise<Buffer> {
  try {
    const { size } = await stat(file);
    if (size <= mostTarballBytes) return await readFile(file);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) {
      throw new UserError(`${file} is not there.`, { next: 'mcp-deploy upgrade --to VERSION|FILE.tgz|FOLDER' });
    }
    throw explainFileError(error, 'read', file);
  }
  throw new UserError(`${file} is too large to be a package of mcp-deploy.`, {
    next: 'mcp-deploy upgrade --to VERSION|FILE.tgz|FOLDER',
  });
}

function refuseOther(tarball: Buffer, expected: string, file: string): void {
  const [algorithm = '', wanted = ''] = expected.split('-', 2).length === 2 ? expected.split(/-(.*)/s) : [];
  if (!/^sha(?:256|384|512)$/.test(algorithm)) {
    throw new UserError(`--integrity ${expected} is not what npm writes.`, { next: 'Give it as: sha512-…' });
  }
  if (createHash(algorithm).update(tarball).digest('base64') === wanted) return;
  throw new EnvironmentError(`${file} is not the package that was asked for; nothing was changed.`, {
    why: `Its ${algorithm} is another one than ${wanted.slice(0, 12)}….`,
    next: 'Get it anew: npm pack mcp-deploy@VERSION',
  });
}

/** Plain files alone; what a folder of somebody has beside the package stays there. */
async function copyPackage(from: string, folder: string): Promise<void> {
  try {
    for (const name of taken) await copyTree(join(from, name), join(folder, name));
  } catch (error) {
    throw error instanceof ExplainedError ? error : explainFileError(error, 'copy', from);
  }
}

async function copyTree(from: string, to: string): Promise<void> {
  const found = await lstat(from).catch(() => null);
  if (found === null) return;
  if (found.isFile()) return copyFile(from, to);
  if (!found.isDirectory()) {
    throw new EnvironmentError(`${from} is a link or a device; nothing was changed.`, {
      why: 'A package of mcp-deploy has plain files alone.',
      next: 'Make one there: npm pack        then: mcp-deploy upgrade --to FILE.tgz',
    });
  }
  await mkdir(to, { mode: 0o755 });
  for (const name of await readdir(from)) await copyTree(join(from, name), join(to, name));
}

/** Whole, for this Node, and its command line starts and can take over. */
async function judgePackage(folder: string, from: string, processes: Pick<Processes, 'run'>): Promise<string> {
  for (const name of needed) {
    if ((await lstat(join(folder, name)).catch(() => null))?.isFile() === true) continue;
    throw new EnvironmentError(`${from} is no package of mcp-deploy; nothing was changed.`, {
      why: `There is no ${name} in it.`,
      next: name.startsWith('dist')
        ? 'Build it first: npm run build'
        : 'mcp-deploy upgrade --to VERSION|FILE.tgz|FOLDER',
    });
  }
  const { name, version, node } = readAbout(await readFile(join(folder, 'package.json'), 'utf8'));
  if (name !== 'mcp-deploy' || !isVersion(version)) {
    throw new EnvironmentError(`${from} is no package of mcp-deploy; nothing was changed.`, {
      why: `Its package.json says ${JSON.stringify(name)}, version ${JSON.stringify(version)}.`,
      next: 'mcp-deploy upgrade --to VERSION|FILE.tgz|FOLDER',
    });
  }
  const least = /^>=(\d+)(?:\.(\d+))?(?:\.(\d+))?$/.exec(node)?.slice(1, 4);
  const wanted = least?.map((part) => part ?? '0').join('.') ?? null;
  if (wanted !== null && (compareVersions(process.versions.node, wanted) ?? 0) < 0) {
    throw new EnvironmentError(`mcp-deploy ${version} needs Node.js ${wanted} or newer; nothing was changed.`, {
      why: `This is ${process.versions.node}.`,
      next: 'Install a newer Node.js, then run the command again.',
    });
  }
  const ran = await processes.run([process.execPath, join(folder, 'bin/mcp-deploy.js'), 'upgrade', '--help'], tryMs);
  if (ran.exitCode === 0) return version;
  throw new EnvironmentError(`mcp-deploy ${version} does not start here; nothing was changed.`, {
    why: 'Its own `mcp-deploy upgrade --help` failed; its last words are below.',
    next: 'Get it anew: npm pack mcp-deploy@VERSION',
    excerpt: ran.lastWords,
  });
}

function readAbout(text: string): { readonly name: string; readonly version: string; readonly node: string } {
  let about: unknown = null;
  try {
    about = JSON.parse(text);
  } catch {
    // No package.json of anybody's.
  }
  const { name, version, engines } = (about ?? {}) as {
    name?: unknown;
    version?: unknown;
    engines?: { node?: unknown };
  };
  const words = (value: unknown): string => (typeof value === 'string' ? value : '');
  return { name: words(name), version: words(version), node: words(engines?.node) };
}
