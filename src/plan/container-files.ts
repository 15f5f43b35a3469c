import { dirname, join } from 'node:path';
import { ownFolder } from '../targets/docker/files.ts';
import type { RenderedFile } from '../targets/types.ts';
import type { HostFacts } from './facts.ts';
import type { Step } from './types.ts';

/** Makes a folder of the state folder, unless it is there; the one above it must be. */
export function folderSteps(path: string, facts: HostFacts, mode = 0o700): readonly Step[] {
  if (facts.directories?.includes(path) === true) return [];
  return [
    {
      id: `folder-${path.slice(facts.stateDir.length + 1).replaceAll('/', '-')}`,
      title: `make ${path.slice(facts.stateDir.length + 1)}`,
      why: 'none yet',
      group: 'configuration',
      action: { type: 'make-directory', path, mode },
      undo: { type: 'restore' },
    },
  ];
}

/** Makes the folders of rendered files, each before those in it: of `own/tools/a.mjs` also `own`. */
export function foldersFor(paths: readonly string[], facts: HostFacts): readonly Step[] {
  const folders = new Set<string>();
  for (const path of paths) {
    for (let at = dirname(path); at.startsWith(`${facts.stateDir}/`); at = dirname(at)) folders.add(at);
  }
  // The modes of these are those in the image, where the server is another user.
  const own = join(facts.stateDir, 'docker', ownFolder);
  const modeOf = (path: string): number => (path.startsWith(own) ? 0o755 : 0o700);
  return [...folders].toSorted().flatMap((path) => folderSteps(path, facts, modeOf(path)));
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
