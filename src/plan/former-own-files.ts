import { basename, dirname, join } from 'node:path';
import { ownFolder } from '../targets/docker/files.ts';
import type { RenderedFile } from '../targets/types.ts';
import type { HostFacts } from './facts.ts';
import { freeName, isKeptAside } from './managed-file.ts';
import type { Notice, Step } from './types.ts';

/** What is in the way of an image that holds what its deployment names, and nothing else. */
export interface FormerOwnFiles {
  readonly steps: readonly Step[];
  readonly notices: readonly Notice[];
}

/**
 * Removes what lies among the deployment's own files of the build context and is not wanted: an image takes that folder
 * whole, so that a module which left mcp-deploy.yaml would be in it for ever. What is not as we wrote it is kept beside, as
 * `FILE.mcp-deploy-N`, which no image takes.
 */
export function formerOwnFiles(wanted: readonly RenderedFile[], facts: HostFacts): FormerOwnFiles {
  const folder = join(facts.stateDir, 'docker', ownFolder);
  const kept = new Set(wanted.map(({ installPath }) => installPath));
  const former = Object.keys(facts.files).filter(
    (path) => path.startsWith(`${folder}/`) && !kept.has(path) && !isKeptAside(basename(path)),
  );
  const steps: Step[] = [];
  const notices: Notice[] = [];
  for (const path of former.toSorted()) {
    const now = facts.files[path];
    const recorded = facts.release?.files[path];
    if (now === undefined) continue;
    const name = path.slice(facts.stateDir.length + 1);
    if (recorded?.sha256 !== now.sha256) {
      const aside = freeName(`${path}.mcp-deploy-${(facts.release?.release ?? 0) + 1}`, facts);
      const why = recorded === undefined ? 'not ours' : 'edited by hand';
      steps.push({
        ...common,
        id: `keep-own-${idOf(name)}`,
        title: `keep ${name} aside`,
        why,
        action: { type: 'copy-file', from: path, path: aside, mode: now.mode, sha256: now.sha256 },
      });
      const text = `${name} is ${why}, and mcp-deploy.yaml does not name it: it is kept as ${basename(aside)}, out of the image.`;
      notices.push({ level: 'warning', text });
    }
    steps.push({
      ...common,
      id: `remove-own-${idOf(name)}`,
      title: `remove ${name}`,
      why: 'mcp-deploy.yaml does not name it any more',
      action: { type: 'remove-file', path },
    });
  }
  return { steps: [...steps, ...emptySteps(folder, kept, steps.length > 0 ? former : [], facts)], notices };
}

const common = { group: 'configuration', undo: { type: 'restore' } } as const;

/** Folders that we made and that lose their last file; one that has more in it stays. The deepest first. */
function emptySteps(
  folder: string,
  wanted: ReadonlySet<string>,
  former: readonly string[],
  facts: HostFacts,
): readonly Step[] {
  const stay = new Set([...wanted].flatMap((path) => foldersUpTo(folder, path)));
  const emptied = new Set(former.flatMap((path) => foldersUpTo(folder, path)));
  return [...emptied]
    .filter((path) => !stay.has(path) && facts.release?.directories.includes(path) === true)
    .toSorted((a, b) => b.length - a.length || (a < b ? -1 : 1))
    .map((path): Step => {
      const name = path.slice(facts.stateDir.length + 1);
      return {
        ...common,
        id: `remove-own-folder-${idOf(name)}`,
        title: `remove folder ${name}`,
        why: 'made by mcp-deploy; kept when something is in it',
        action: { type: 'remove-directory', path },
      };
    });
}

function foldersUpTo(top: string, path: string): readonly string[] {
  const folders: string[] = [];
  for (let at = dirname(path); at.startsWith(top); at = dirname(at)) folders.push(at);
  return folders;
}

/** Two names that differ in other signs alone have two ids. */
function idOf(name: string): string {
  return name.replaceAll(/[^A-Za-z0-9]/g, (sign) => (sign === '/' ? '-' : sign.charCodeAt(0).toString(16)));
}
