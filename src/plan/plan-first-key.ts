import type { Deployment } from '../deployment/schema.ts';
import { deploymentPaths, scopeOf } from './deployment-paths.ts';
import type { HostFacts } from './facts.ts';
import { serviceOwner } from './host-folders.ts';
import { folderStep } from './plan-service.ts';
import type { Step } from './types.ts';

/** Label of the key that a deployment begins with. */
export const firstKeyLabel = 'default';

/** Makes an API key where keys are required and none is active. */
export function firstKeySteps(deployment: Deployment, facts: HostFacts): readonly Step[] {
  if (!deployment.auth.required || facts.activeKeyLabels.length > 0) return [];
  const { keysDir, keyStore, firstKey } = deploymentPaths(facts.stateDir);
  return [
    ...(scopeOf(facts.stateDir) === 'system'
      ? []
      : folderStep(facts, { id: 'keys-folder', path: keysDir, group: 'keys' })),
    {
      id: 'first-key',
      title: `make API key "${firstKeyLabel}"`,
      why: facts.files[keyStore] === undefined ? 'none yet' : 'no key is active any more',
      group: 'keys',
      action: {
        type: 'create-api-key',
        storeFile: keyStore,
        keyFile: firstKey,
        label: firstKeyLabel,
        ...(scopeOf(facts.stateDir) === 'system' ? { owner: serviceOwner(deployment) } : {}),
      },
      undo: { type: 'restore' },
    },
  ];
}
