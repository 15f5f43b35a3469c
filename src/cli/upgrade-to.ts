import { mkdir } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { isAbsolute, join, resolve } from 'node:path';
import { EnvironmentError, UserError } from '../deployment/errors.ts';
import { fetchPackage, type PackageSource } from '../host/fetch-package.ts';
import { handOver } from '../host/hand-over.ts';
import { explainFileError } from '../host/file-errors.ts';
import { isVersion } from '../plan/compare-versions.ts';
import type { CommandContext } from './context.ts';
import { textFlag, type FlagValues } from './flag-values.ts';

/**
 * Brings another package of mcp-deploy into the state folder and lets that one plan and apply. It stays there when it is what runs
 * afterwards: timers and later commands may be of it; in any other case nothing of it is left.
 */
export async function upgradeTo(context: CommandContext, to: string, options: FlagValues): Promise<number> {
  const { files } = context.ports;
  const packages = join(context.stateDir, 'packages');
  const source = await readSource(context, to);
  const integrity = textFlag(options, 'integrity') ?? null;
  if (integrity !== null && source.kind === 'folder') {
    throw new UserError('--integrity is for a tarball, and this is a folder.', { next: `npm pack ${to}` });
  }
  await removeAbandoned(context, packages);
  const aside = join(packages, `.fetch-${context.ports.processes.self.pid}`);
  const fetched = join(aside, 'package');
  let place: string | null = null;
  let exitCode = 3;
  try {
    await mkdir(fetched, { recursive: true, mode: 0o755 }).catch((error: unknown) => {
      throw explainFileError(error, 'make', fetched);
    });
    const version = await fetchPackage(source, { folder: fetched, integrity, processes: context.ports.processes });
    context.signal.throwIfAborted();
    const target = join(packages, `${version}-${await contentHash(context, fetched)}`);
    if ((await files.stat(target)) === null) {
      await files.rename(fetched, target);
      place = target;
    }
    await files.removeTree(aside);
    context.output.progress(`  ${context.output.err.dim('·')} mcp-deploy ${version}, from ${to}`);
    ({ exitCode } = await handOver(
      [process.execPath, join(target, 'bin/mcp-deploy.js'), ...wordsFor(context, options)],
      context.world.cwd,
      context.signal,
    ));
    return exitCode;
  } finally {
    await files.removeTree(aside);
    const isShown = options['dryRun'] === true || options['check'] === true;
    // Exit 5 is what that package has to go on with.
    if (place !== null && (isShown || (exitCode !== 0 && exitCode !== 5))) await files.removeTree(place);
    await files.removeEmptyDirectory(packages);
  }
}

/** A path, or a version of the registry: what can be both is a path only when it is written as one. */
async function readSource({ world, ports }: CommandContext, to: string): Promise<PackageSource> {
  if (isVersion(to) || /^[a-z][a-z0-9-]{0,40}$/.test(to)) return { kind: 'registry', version: to };
  const isPath = isAbsolute(to) || to.startsWith('.') || to.endsWith('.tgz') || to.includes('/');
  if (to.trim() === '' || !isPath) {
    throw new UserError(`--to ${JSON.stringify(to)} is no version, no .tgz file and no folder.`, {
      next: 'mcp-deploy upgrade --to 1.4.0        or: --to ./mcp-deploy-1.4.0.tgz',
    });
  }
  const path = resolve(world.cwd, to);
  const found = await ports.files.stat(path);
  if (found === null)
    throw new UserError(`${path} is not there.`, { next: 'mcp-deploy upgrade --to VERSION|FILE.tgz|FOLDER' });
  return { kind: found.kind === 'directory' ? 'folder' : 'file', path };
}

/** So that two builds of one version lie beside each other. */
async function contentHash({ ports }: CommandContext, folder: string): Promise<string> {
  const hash = createHash('sha256');
  for (const name of ['dist/server/serve.js', 'dist/cli/main.js', 'package.json']) {
    const bytes = await ports.files.read(join(folder, name));
    if (bytes === null)
      throw new EnvironmentError(`${join(folder, name)} is gone.`, { next: 'Run the command again.' });
    hash.update(bytes);
  }
  return hash.digest('hex').slice(0, 8);
}

/** What a command that was killed has left. */
async function removeAbandoned({ ports }: CommandContext, packages: string): Promise<void> {
  for (const name of await ports.files.list(packages)) {
    const pid = /^\.fetch-(\d+)$/.exec(name)?.[1];
    if (pid !== undefined && (await ports.processes.identity(Number(pid))) === null) {
      await ports.files.removeTree(join(packages, name));
    }
  }
}

function wordsFor({ output, yes, deploymentFile, lockWaitMs }: CommandContext, options: FlagValues): readonly string[] {
  return [
    'upgrade',
    '--file',
    deploymentFile,
    ...(options['check'] === true ? ['--check'] : []),
    ...(options['dryRun'] === true ? ['--dry-run'] : []),
    ...(options['allowDowngrade'] === true ? ['--allow-downgrade'] : []),
    ...(lockWaitMs > 0 ? ['--wait', String(lockWaitMs / 1_000)] : []),
    ...(output.json ? ['--json'] : []),
    ...(output.quiet ? ['--quiet'] : []),
    ...(output.verbose ? ['--verbose'] : []),
    ...(yes ? ['--yes'] : []),
  ];
}
