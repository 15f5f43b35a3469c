import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseDocument } from 'yaml';
import type { ApplyPorts } from '../apply/ports.ts';
import { createPorts } from '../host/ports.ts';
import { stagePorts } from '../host/staged-ports.ts';
import { scopeOf } from '../plan/deployment-paths.ts';
import type { Output } from './output/output.ts';
import { numberFlag } from './flag-values.ts';
import { findStateDir } from './find-state-dir.ts';
import { findPackageFiles, type PackageFiles } from './package-root.ts';
import type { World } from './world.ts';

/** Options that every command takes. */
export interface CommonOptions {
  readonly json?: boolean;
  readonly yes?: boolean;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
  readonly file?: string;
  readonly root?: string;
  readonly wait?: string;
  readonly from?: string;
}

/** What a command gets: its folder, its output, the adapters, and when to stop. */
export interface CommandContext {
  readonly world: World;
  readonly output: Output;
  readonly signal: AbortSignal;
  /** Words behind `--`, or null when there was no `--`. */
  readonly serverCommand: readonly string[] | null;
  /** True when questions may be asked: a terminal on both sides, no --yes, no --json. */
  readonly interactive: boolean;
  readonly yes: boolean;
  /** True while this is not yet the process that may change the host: it looks and plans, then throws NeedsRoot. */
  readonly onlyPlans: boolean;
  /** How long to wait for another mcp-deploy that is changing the deployment. */
  readonly lockWaitMs: number;
  /** mcp-deploy.yaml, absolute. */
  readonly deploymentFile: string;
  /** Another file that says what mcp-deploy.yaml is to say, absolute; null for none. */
  readonly deploymentSource: string | null;
  /** Folder of mcp-deploy.yaml, absolute. */
  readonly baseDir: string;
  /** `.mcp-deploy` in it, or the one of a service of the host. */
  readonly stateDir: string;
  /** The folder below which a system that does not run is staged; null for this machine. */
  readonly stageDir: string | null;
  /** The files of this machine, also where a system is staged: for what a command line names. */
  readonly here: ApplyPorts['files'];
  /** Files of this machine that are read as they are, also where a system is staged. */
  readonly sources: Set<string>;
  readonly package: PackageFiles;
  readonly ports: ApplyPorts;
}

/** Builds the context of one run; touches nothing on disk. */
export function createContext(parts: {
  world: World;
  output: Output;
  options: CommonOptions;
  serverCommand: readonly string[] | null;
  signal: AbortSignal;
  overrides: { ports?: ApplyPorts };
}): CommandContext {
  const { world, output, options } = parts;
  const root = resolve(world.cwd, options.root ?? '.');
  const given = resolve(root, options.file ?? 'mcp-deploy.yaml');
  const deploymentSource = options.from === undefined ? null : resolve(world.cwd, options.from);
  const found = findPackageFiles();
  const ports = parts.overrides.ports ?? createPorts();
  const sources = new Set(deploymentSource === null ? [] : [deploymentSource]);
  const place = findPlace({ root: options.root === undefined ? null : root, given, deploymentSource });
  return {
    world,
    output,
    signal: parts.signal,
    serverCommand: parts.serverCommand,
    interactive:
      world.stdin.isTTY === true &&
      world.stdout.isTTY === true &&
      options.yes !== true &&
      options.json !== true &&
      (world.env['CI'] === undefined || world.env['CI'] === ''),
    yes: options.yes === true,
    onlyPlans: false,
    lockWaitMs: numberFlag({ ...options }, 'wait', '--wait', 0) * 1_000,
    deploymentFile: place.deploymentFile,
    baseDir: dirname(place.deploymentFile),
    deploymentSource,
    stateDir: place.stateDir,
    stageDir: place.stageDir,
    here: ports.files,
    sources,
    package: found,
    ports:
      place.stageDir === null
        ? ports
        : stagePorts(ports, {
            root: place.stageDir,
            outside: found.root,
            sources,
            users: place.users,
          }),
  };
}

interface Place {
  readonly deploymentFile: string;
  readonly stateDir: string;
  readonly stageDir: string | null;
  readonly users: readonly string[];
}

/** Where everything is. With --root a service of a host is staged below it: paths are those of that system. */
function findPlace({
  root,
  given,
  deploymentSource,
}: {
  readonly root: string | null;
  readonly given: string;
  readonly deploymentSource: string | null;
}): Place {
  const isBelow = root !== null && (given === root || given.startsWith(`${root}/`));
  const onDisk = root === null || isBelow ? given : join(root, given);
  const stateDir = findStateDir(onDisk, deploymentSource ?? onDisk);
  if (root === null || root === '/' || scopeOf(stateDir) !== 'system') {
    return {
      deploymentFile: given,
      stateDir: findStateDir(given, deploymentSource ?? given),
      stageDir: null,
      users: [],
    };
  }
  const users = namedUsers(deploymentSource ?? onDisk);
  return { deploymentFile: isBelow ? given.slice(root.length) : given, stateDir, stageDir: root, users };
}

/** Accounts that the staged system will have. */
function namedUsers(file: string): readonly string[] {
  const { service } = (parseDocument(readFileSync(file, 'utf8')).toJS() ?? {}) as { service?: { user?: unknown } };
  return [typeof service?.user === 'string' ? service.user : 'mcp', 'caddy'];
}
