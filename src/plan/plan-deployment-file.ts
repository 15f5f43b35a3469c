import { basename, dirname } from 'node:path';
import type { Desired } from './desired.ts';
import type { HostFacts } from './facts.ts';
import type { Step } from './types.ts';

/** Writes mcp-deploy.yaml where its text changes, into a folder that is made first where a host lacks it. */
export function deploymentFileSteps({ deploymentText }: Desired, facts: HostFacts): readonly Step[] {
  const { path, text } = facts.deploymentFile;
  if (deploymentText === null || deploymentText === text) return [];
  const folder = dirname(path);
  const isMissing = facts.system !== undefined && text === null && facts.directories?.includes(folder) === false;
  return [
    ...(isMissing
      ? [
          {
            id: 'deployment-folder',
            title: `make ${folder}`,
            why: 'none yet',
            group: 'configuration',
            action: { type: 'make-directory', path: folder, mode: 0o755 },
            undo: { type: 'restore' },
          } as const,
        ]
      : []),
    {
      id: 'deployment-file',
      title: `write ${basename(path)}`,
      why: text === null ? 'none yet' : 'settings changed',
      group: 'configuration',
      action: { type: 'write-file', path, mode: facts.files[path]?.mode ?? 0o644, content: deploymentText },
      undo: { type: 'restore' },
    },
  ];
}
