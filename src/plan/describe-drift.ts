import { basename, dirname } from 'node:path';
import { deploymentPaths } from './deployment-paths.ts';
import type { HostFacts } from './facts.ts';
import { isKeptAside } from './managed-file.ts';

export interface DriftEntry {
  readonly path: string;
  readonly state: 'as written' | 'edited by hand' | 'removed';
}

/** The part of the facts that drift is told from. */
export type DriftFacts = Pick<HostFacts, 'release' | 'files' | 'stateDir' | 'cluster'> & {
  readonly deploymentFile: Pick<HostFacts['deploymentFile'], 'path'>;
};

/**
 * How the files of the last release are now, and its objects in a cluster. Files that live on after they
 * were written (the user's mcp-deploy.yaml, keys, what the server writes) are not in it.
 */
export function describeDrift(facts: DriftFacts): readonly DriftEntry[] {
  const objects = (facts.cluster?.drift ?? []).map(({ object, state }): DriftEntry => ({
    path: object,
    state: state === 'removed' ? 'removed' : 'edited by hand',
  }));
  const files = Object.entries(facts.release?.files ?? {})
    .filter(([path]) => isFixed(path, facts))
    .map(([path, written]) => {
      const now = facts.files[path];
      if (now === undefined) return { path, state: 'removed' } as const;
      return { path, state: now.sha256 === written.sha256 ? 'as written' : 'edited by hand' } as const;
    });
  return [...files, ...objects];
}

/** Whether a file should stay as we wrote it until the next apply. */
function isFixed(path: string, facts: DriftFacts): boolean {
  if (path === facts.deploymentFile.path || isKeptAside(basename(path))) return false;
  const { keysDir, logsDir, releasesDir, runDir } = deploymentPaths(facts.stateDir);
  const folder = dirname(path);
  // Earlier releases are history, and are pruned.
  if (dirname(folder) === releasesDir && basename(folder) !== String(facts.release?.build?.folder)) return false;
  return folder !== keysDir && folder !== runDir && folder !== logsDir;
}
