import { EnvironmentError } from '../deployment/errors.ts';
import { compareVersions } from './compare-versions.ts';
import type { HostFacts, ReleaseRecord } from './facts.ts';

/** The version of the server that a release started; that of the tool that made it where the record names no build. */
export function versionOfRelease({ build, toolVersion }: Pick<ReleaseRecord, 'build' | 'toolVersion'>): string {
  return build?.version ?? toolVersion;
}

/**
 * An older mcp-deploy would put its older server, without the settings that it does not know, in the place of a newer one.
 * @throws EnvironmentError (exit 3)
 */
export function refuseDowngrade({ release, serverVersion }: Pick<HostFacts, 'release' | 'serverVersion'>): void {
  if (release === null) return;
  const live = versionOfRelease(release);
  const order = compareVersions(serverVersion, live);
  if (order === null || order >= 0) return;
  throw new EnvironmentError(`This deployment runs mcp-deploy ${live}, and this is the older ${serverVersion}.`, {
    why: `It would go back to ${serverVersion}, which may not know all of its settings; nothing was changed.`,
    next: `npm install -g mcp-deploy@${live}        or, on purpose: mcp-deploy upgrade --allow-downgrade`,
  });
}
