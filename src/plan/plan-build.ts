import { join } from 'node:path';
import { deploymentPaths } from './deployment-paths.ts';
import type { HostFacts } from './facts.ts';
import type { WantedBuild } from './system-wishes.ts';
import type { Plan, Step } from './types.ts';

/** The server of a folder's release: its own copy, so that the package it came from may be updated or removed meanwhile. */
export interface BuildPlan {
  readonly steps: readonly Step[];
  /** What starts from now on. */
  readonly serverFile: string;
  /** Whether it is another one than before. */
  readonly serverChanges: boolean;
  /** Null where the server of the package is run as it lies there. */
  readonly build: WantedBuild | null;
  /** Of the release, when this is done. */
  readonly live?: NonNullable<Plan['build']>;
}

/**
 * Copies the server into `releases/N`, together with its configuration, when either is another one than the live release has.
 * A service of a person starts it through the link `current`, whose path never changes.
 */
export function planBuild(
  wishes: {
    readonly build: WantedBuild | undefined;
    /** Text of server.json. */
    readonly config: string;
    readonly configChanges: boolean;
    readonly isLinked: boolean;
  },
  facts: HostFacts,
): BuildPlan {
  const build = wishes.build ?? ownBuild(facts);
  if (build === null) return { steps: [], serverFile: facts.serverFile, serverChanges: false, build };
  const { releasesDir } = deploymentPaths(facts.stateDir);
  const before = facts.release?.build;
  const about = { version: build.version, sha256: build.sha256 };
  const liveFile = appliedServerFile(facts);
  const serverChanges = liveFile === null || facts.files[liveFile]?.sha256 !== build.sha256;
  if (before !== undefined && liveFile !== null && !serverChanges && !wishes.configChanges) {
    return { steps: [], serverFile: liveFile, serverChanges, build, live: { ...about, folder: before.folder } };
  }
  const number = (facts.release?.release ?? 0) + 1;
  const folder = join(releasesDir, String(number));
  const why =
    before === undefined ? 'none yet' : serverChanges ? 'another build of the server' : 'each release has its own';
  const common = { why, group: 'server', undo: { type: 'restore' } } as const;
  const file = join(folder, 'serve.js');
  return {
    serverFile: file,
    serverChanges,
    build,
    live: { ...about, folder: number },
    steps: [
      ...(facts.directories?.includes(releasesDir) === true
        ? []
        : [
            {
              ...common,
              id: 'releases-folder',
              title: 'make folder .mcp-deploy/releases',
              action: { type: 'make-directory', path: releasesDir, mode: 0o700 },
            } as const,
          ]),
      {
        ...common,
        id: 'release-folder',
        title: `make releases/${number}`,
        action: { type: 'make-directory', path: folder, mode: 0o700 },
      },
      {
        ...common,
        id: 'release-server',
        title: 'copy the server',
        action: { type: 'copy-file', from: build.file, path: file, mode: 0o600, sha256: build.sha256 },
      },
      {
        ...common,
        id: 'release-config',
        title: 'keep its configuration',
        action: { type: 'write-file', path: join(folder, 'server.json'), mode: 0o600, content: wishes.config },
      },
      ...(wishes.isLinked
        ? [
            {
              ...common,
              id: 'switch-release',
              title: `switch to release ${number}`,
              action: { type: 'link', path: join(facts.stateDir, 'current'), target: `releases/${number}` },
            } as const,
          ]
        : []),
    ],
  };
}

/** The copy of the server that the live release starts; null where there is none, or it is gone. */
export function appliedServerFile({ files, release, stateDir }: HostFacts): string | null {
  if (release?.build === undefined) return null;
  const file = join(deploymentPaths(stateDir).releasesDir, String(release.build.folder), 'serve.js');
  return files[file] === undefined ? null : file;
}

function ownBuild({ serverBuildSha256, serverFile, serverVersion }: HostFacts): WantedBuild | null {
  if (serverBuildSha256 === undefined) return null;
  return { file: serverFile, sha256: serverBuildSha256, version: serverVersion };
}
