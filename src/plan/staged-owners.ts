import { serviceComment } from './accounts.ts';
import { deploymentPaths } from './deployment-paths.ts';
import type { HostFacts } from './facts.ts';
import type { Action, Owner } from './action.ts';
import type { Step } from './types.ts';

/** Where the system that is staged finds out whose files are; systemd reads both at every boot (sysusers.d(5), tmpfiles.d(5)). */
export function ownerFilesOf(name: string): { readonly users: string; readonly owners: string } {
  return { users: `/usr/lib/sysusers.d/mcp-${name}.conf`, owners: `/usr/lib/tmpfiles.d/mcp-${name}.conf` };
}

/**
 * The steps that tell a staged system which account it needs, and which files belong to others than root: whoever unpacks it
 * can do both without mcp-deploy. Modes stay as they are written. Pure.
 */
export function ownerFileSteps(steps: readonly Step[], user: string, facts: HostFacts): readonly Step[] {
  const name = facts.stateDir.split('/').at(-1) ?? '';
  const { users, owners } = ownerFilesOf(name);
  const { runDir } = deploymentPaths(facts.stateDir);
  const former = (facts.files[owners]?.text ?? '').split('\n').flatMap((line) => {
    const path = /^z (\S+) /.exec(line)?.[1];
    return path === undefined ? [] : [[path, line] as const];
  });
  const now = steps.flatMap(({ action }) =>
    placesOf(action).map(([path, owner]) => [path, `z ${path} - ${owner.user} ${owner.group}`] as const),
  );
  const lines = [...new Map([...former, ...now]).values()].sort();
  return [
    write(users, `u ${user} - "${serviceComment}" ${runDir} /usr/sbin/nologin\n`, facts, 'the account of the service'),
    write(owners, `${lines.join('\n')}\n`, facts, 'what belongs to it'),
  ].flat();
}

function placesOf(action: Action): readonly (readonly [string, Owner])[] {
  if (!('owner' in action) || action.owner === undefined) return [];
  const { owner } = action;
  // A certificate is a folder of its own with two files, and a name of the next one.
  if ('folder' in action) {
    const any = action.folder.replace(/-[0-9]+$/, '-[0-9]*');
    return [
      [any, owner],
      [`${any}/*`, owner],
    ];
  }
  if ('storeFile' in action) return [[action.storeFile, owner]];
  return 'path' in action ? [[action.path.replace(/\/releases\/[0-9]+\//, '/releases/*/'), owner]] : [];
}

function write(path: string, content: string, facts: HostFacts, why: string): readonly Step[] {
  if (facts.files[path]?.text === content) return [];
  return [
    {
      id: `staged-${path.split('/').at(-2)?.split('.')[0] ?? ''}`,
      title: `write ${path}`,
      why,
      group: 'configuration',
      action: { type: 'write-file', path, mode: 0o644, content },
      undo: { type: 'restore' },
    },
  ];
}
