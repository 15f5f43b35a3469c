import type { HostFacts } from './facts.ts';
import type { Plan } from './types.ts';

/** Writes the revocation list of the deployment's own CA; journalled and undone like every other change. */
export function planRevocation(facts: HostFacts, deployment: string, listFile: string, listPem: string): Plan {
  return {
    schemaVersion: 1,
    deployment,
    purpose: 'cert',
    release: facts.release?.release ?? 0,
    steps: [
      {
        id: 'revocation-list',
        title: 'write the revocation list',
        why: 'what the CA has revoked changed, or the list would run out',
        group: 'certificate',
        action: { type: 'write-file', path: listFile, mode: 0o644, content: listPem },
        undo: { type: 'restore' },
      },
    ],
    notices: [],
    desired: facts.release?.desired ?? null,
  };
}
