import type { HostFacts } from './facts.ts';
import { managedFileSteps, type ManagedFileSteps } from './managed-file.ts';
import { deploymentPaths } from './deployment-paths.ts';

/**
 * Writes server.json when it is not as wanted.
 *
 * @throws EnvironmentError (exit 3) when an edited one could not be kept aside
 */
export function configFileSteps(
  content: string,
  facts: HostFacts,
  options: { readonly adopt?: boolean } = {},
): ManagedFileSteps {
  return managedFileSteps(
    {
      id: 'server-config',
      title: 'write server configuration',
      path: deploymentPaths(facts.stateDir).serverConfig,
      mode: 0o600,
      content,
      group: 'configuration',
    },
    facts,
    options,
  );
}
