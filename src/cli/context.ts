import { dirname, resolve } from 'node:path';
import type { ApplyPorts } from '../apply/ports.ts';
import { createPorts } from '../host/ports.ts';
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
  const deploymentFile = resolve(root, options.file ?? 'mcp-deploy.yaml');
  const baseDir = dirname(deploymentFile);
  const deploymentSource = options.from === undefined ? null : resolve(world.cwd, options.from);
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
    lockWaitMs: numberFlag({ ...options }, 'wait', '--wait', 0) * 1_000,
    deploymentFile,
    baseDir,
    deploymentSource,
    stateDir: findStateDir(deploymentFile, deploymentSource ?? deploymentFile),
    package: findPackageFiles(),
    ports: parts.overrides.ports ?? createPorts(),
  };
}
