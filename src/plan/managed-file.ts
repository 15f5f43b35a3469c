import { EnvironmentError } from '../deployment/errors.ts';
import type { HostFacts } from './facts.ts';
import { sha256Hex } from './server-config.ts';
import type { AdoptedFile, Notice, Step } from './types.ts';
import type { Owner } from './action.ts';

/** A file that every release writes from mcp-deploy.yaml, so that edits by hand do not last. */
export interface ManagedFile {
  /** Id of the step that writes it. */
  readonly id: string;
  readonly title: string;
  readonly path: string;
  readonly mode: number;
  readonly content: string;
  readonly group: Step['group'];
  readonly owner?: Owner;
}

export interface ManagedFileSteps {
  readonly steps: readonly Step[];
  readonly notices: readonly Notice[];
  /** What becomes of an edit that stays. */
  readonly adopted: readonly AdoptedFile[];
  /** Hash of the file when the steps are done. */
  readonly sha256: string;
}

/**
 * Writes a file when it is not as wanted. One that is not as we left it is the work of somebody: it is kept beside as
 * `FILE.mcp-deploy-N` first, or stays as it is with `adopt`. An adopted file stays until what we would write changes.
 *
 * @throws EnvironmentError (exit 3) when its content is not known, so that it could not be kept
 */
export function managedFileSteps(
  wanted: ManagedFile,
  facts: HostFacts,
  options: { readonly adopt?: boolean } = {},
): ManagedFileSteps {
  const { path, content, mode, owner } = wanted;
  const sha256 = sha256Hex(content);
  const now = facts.files[path];
  const recorded = facts.release?.files[path];
  const nothing = { steps: [], notices: [], adopted: [] };
  if (now?.sha256 === sha256) {
    if (now.mode === mode) return { ...nothing, sha256 };
    return { ...nothing, steps: [writeStep(wanted, `its mode is ${octal(now.mode)}`)], sha256 };
  }
  if (now !== undefined && recorded?.insteadOf === sha256 && recorded.sha256 === now.sha256) {
    return { ...nothing, sha256: now.sha256 };
  }
  if (now === undefined) {
    return { ...nothing, steps: [writeStep(wanted, recorded === undefined ? 'none yet' : 'removed by hand')], sha256 };
  }
  if (now.sha256 === recorded?.sha256 && recorded.insteadOf === undefined) {
    return { ...nothing, steps: [writeStep(wanted, 'settings changed')], sha256 };
  }

  const shownPath = shown(path, facts);
  const what = recorded === undefined ? 'is not ours' : 'was edited by hand';
  if (options.adopt === true) {
    return {
      steps: [],
      adopted: [{ path, insteadOf: sha256 }],
      notices: [{ level: 'warning', text: `${shownPath} ${what}; it stays as it is.` }],
      sha256: now.sha256,
    };
  }
  if (now.text === undefined) {
    throw new EnvironmentError(`${path} ${what} and would be overwritten.`, {
      why: 'It is written anew from mcp-deploy.yaml at every apply.',
      next: `Move it away and apply again: mv ${path} ${path}.mine`,
    });
  }
  const aside = freeName(`${path}.mcp-deploy-${(facts.release?.release ?? 0) + 1}`, facts);
  const keep: Step = {
    id: wanted.id === 'server-config' ? 'keep-edited-config' : `keep-edited-${wanted.id}`,
    title: `keep your ${shownPath} aside`,
    why: recorded === undefined ? 'not ours' : 'edited by hand',
    group: wanted.group,
    action: { type: 'write-file', path: aside, mode: now.mode, content: now.text, ...(owner ? { owner } : {}) },
    undo: { type: 'restore' },
  };
  const text = `${shownPath} ${what}; it is kept as ${shown(aside, facts)}. Settings belong into mcp-deploy.yaml.`;
  return {
    ...nothing,
    steps: [keep, writeStep(wanted, keep.why)],
    notices: [{ level: 'warning', text }],
    sha256,
  };
}

/** Whether a file is one that was kept aside: the user's, whatever becomes of it. */
export function isKeptAside(name: string): boolean {
  return /\.(?:mcp-deploy-[0-9]+|yours)(?:\.[0-9]+)?$/.test(name);
}

function writeStep({ id, title, path, mode, content, group, owner }: ManagedFile, why: string): Step {
  return {
    id,
    title,
    why,
    group,
    action: { type: 'write-file', path, mode, content, ...(owner === undefined ? {} : { owner }) },
    undo: { type: 'restore' },
  };
}

/** The path, or with a number behind it, where nothing lies yet. */
export function freeName(path: string, facts: Pick<HostFacts, 'files'>): string {
  for (let number = 1; ; number += 1) {
    const candidate = number === 1 ? path : `${path}.${number}`;
    if (facts.files[candidate] === undefined) return candidate;
  }
}

function shown(path: string, { baseDir }: HostFacts): string {
  return path.startsWith(`${baseDir}/`) ? path.slice(baseDir.length + 1) : path;
}

function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, '0');
}

/** What is adopted is kept in a release, also when nothing else changes. */
export function adoptSteps(adopted: readonly AdoptedFile[]): readonly Step[] {
  if (adopted.length === 0) return [];
  return [
    {
      id: 'adopt-edits',
      title: 'keep edits by hand',
      why: 'asked for with --adopt',
      group: 'configuration',
      action: { type: 'adopt', paths: adopted.map(({ path }) => path) },
      undo: { type: 'none' },
    },
  ];
}
