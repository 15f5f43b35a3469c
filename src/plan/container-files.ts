import type { RenderedFile } from '../targets/types.ts';
import type { HostFacts } from './facts.ts';
import type { Step } from './types.ts';

/** Makes a folder of the state folder, unless it is there. */
export function folderSteps(path: string, facts: HostFacts): readonly Step[] {
  if (facts.directories?.includes(path) === true) return [];
  return [
    {
      id: `folder-${path.slice(facts.stateDir.length + 1).replaceAll('/', '-')}`,
      title: `make ${path.slice(facts.stateDir.length + 1)}`,
      why: 'none yet',
      group: 'configuration',
      action: { type: 'make-directory', path, mode: 0o700 },
      undo: { type: 'restore' },
    },
  ];
}

/** A rendered file as one that every apply writes. */
export function managedFile(file: RenderedFile) {
  return {
    id: `file-${nameBelow(file)
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, '-')}`,
    title: `write ${nameBelow(file)}`,
    path: file.installPath,
    mode: file.mode,
    content: file.content,
    group: 'configuration' as const,
  };
}

/** Path of a rendered file below the folder of its target. */
export function nameBelow({ path }: RenderedFile): string {
  return path.slice(path.indexOf('/') + 1);
}
