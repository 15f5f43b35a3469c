import { dirname } from 'node:path';
import type { Deployment } from '../deployment/schema.ts';
import { deploymentPaths } from './deployment-paths.ts';
import type { HostFacts } from './facts.ts';
import { hostProxyOf } from './host-proxies.ts';
import type { SystemFacts } from './system-facts.ts';
import type { Owner } from './action.ts';
import type { Step } from './types.ts';

/** The user that runs the server, where there is none yet. */
export function accountSteps(deployment: Deployment, facts: HostFacts, { account }: SystemFacts): readonly Step[] {
  if (account !== null) return [];
  const { user } = deployment.service;
  const home = deploymentPaths(facts.stateDir).runDir;
  return [
    {
      id: 'service-user',
      title: `make user ${user}`,
      why: 'runs the server, cannot log in',
      group: 'configuration',
      action: { type: 'ensure-user', user, home },
      undo: { type: 'remove-user', user, home },
    },
  ];
}

/** The folders of a service of the host, where they are missing. */
export function folderSteps(deployment: Deployment, facts: HostFacts): readonly Step[] {
  const { configDir, keysDir, pkiDir, logsDir, releasesDir, runDir } = deploymentPaths(facts.stateDir);
  const shared = serviceOwner(deployment);
  const own: Owner = { user: deployment.service.user, group: deployment.service.user };
  // Where the proxy opens the key by itself it goes through them; what is in them it cannot list.
  const passed = (hostProxyOf(deployment)?.readsKeysAs ?? null) === null ? 0o750 : 0o751;
  const wanted: readonly (readonly [string, number, Owner?])[] = [
    [dirname(configDir), 0o755],
    [configDir, passed, shared],
    [keysDir, 0o750, shared],
    [pkiDir, passed, shared],
    [dirname(runDir), 0o755],
    [runDir, 0o700, own],
    [dirname(logsDir), 0o755],
    [logsDir, 0o750, own],
    [releasesDir, 0o755],
  ];
  return wanted
    .filter(([path]) => facts.directories?.includes(path) !== true)
    .map(([path, mode, owner]): Step => ({
      id: `folder-${path.slice(1).replaceAll('/', '-')}`,
      title: `make ${path}`,
      why: 'none yet',
      group: 'configuration',
      action: { type: 'make-directory', path, mode, ...(owner === undefined ? {} : { owner }) },
      undo: { type: 'restore' },
    }));
}

/** Of the service in system scope. */
export function serviceOwner(deployment: Pick<Deployment, 'service'>): Owner {
  return { user: 'root', group: deployment.service.user };
}
