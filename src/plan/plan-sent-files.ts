import { dirname, join } from 'node:path';
import { EnvironmentError } from '../deployment/errors.ts';
import { deploymentPaths } from './deployment-paths.ts';
import type { HostFacts, ReleaseRecord } from './facts.ts';
import { freeName } from './managed-file.ts';
import type { Notice, Step } from './types.ts';
import type { Owner } from './action.ts';

/** A file that came with mcp-deploy.yaml, as a release keeps it. */
export interface SentRecord {
  /** Where it belongs, absolute. */
  readonly path: string;
  readonly sha256: string;
  readonly isExecutable: boolean;
  readonly isSecret: boolean;
  readonly setting: string;
}

/** A file that comes with mcp-deploy.yaml. Nothing of its content is in a plan. */
export interface PlacedFile extends SentRecord {
  /** Where it lies now. */
  readonly from: string;
}

/** What comes with mcp-deploy.yaml. */
export interface PlacedFiles {
  readonly files: readonly PlacedFile[];
  /** Absolute. */
  readonly folders: readonly string[];
  /** Named by the deployment, and neither sent nor there. */
  readonly missing: readonly { readonly path: string; readonly setting: string }[];
  /** Relative paths that look like secrets and were left where they are. */
  readonly leftOut: readonly string[];
}

export interface PlacedSteps {
  readonly steps: readonly Step[];
  readonly notices: readonly Notice[];
  readonly sent: readonly SentRecord[];
}

/** The files of a release, from where they are kept by their content so that a rollback has them again. */
export function placedOfRelease({ sent }: ReleaseRecord, stateDir: string): PlacedFiles | null {
  if (sent === undefined) return null;
  const { sentDir } = deploymentPaths(stateDir);
  return {
    files: sent.map((file) => ({ ...file, from: join(sentDir, file.sha256) })),
    folders: [],
    missing: [],
    leftOut: [],
  };
}

/**
 * Puts the files of a deployment beside its mcp-deploy.yaml: for root to change and the service to read, secrets for the
 * service alone. One that somebody edited there is kept aside. What came with an earlier release and is not named any more goes.
 *
 * @throws EnvironmentError (exit 3) for files that must be on the host and are not
 */
export function placedFileSteps(placed: PlacedFiles, user: string, facts: HostFacts): PlacedSteps {
  refuseMissing(placed);
  const steps: Step[] = [];
  const notices: Notice[] = placed.leftOut.map((path) => ({
    level: 'warning',
    text: `${path} looks like a secret and was not sent; a setting that names it makes it go.`,
  }));
  const code: Owner = { user: 'root', group: user };
  for (const folder of foldersToPlace(placed, facts.baseDir)) {
    if (facts.directories?.includes(folder) === true) continue;
    steps.push({
      ...common,
      id: `sent-folder-${idOf(folder, facts)}`,
      title: `make ${shown(folder, facts)}`,
      why: 'none yet',
      action: { type: 'make-directory', path: folder, mode: 0o750, owner: code },
    });
  }
  const { sentDir } = deploymentPaths(facts.stateDir);
  if (placed.files.length > 0 && facts.directories?.includes(sentDir) !== true) {
    steps.push({
      ...common,
      id: 'sent-store',
      title: `make ${sentDir}`,
      why: 'what releases brought, for a rollback',
      action: { type: 'make-directory', path: sentDir, mode: 0o700 },
    });
  }
  const kept = new Set<string>();
  for (const file of placed.files) {
    const store = join(sentDir, file.sha256);
    if (facts.files[store] === undefined && !kept.has(store)) {
      if (file.from === store && facts.files[file.path]?.sha256 !== file.sha256) throw notKept(file, facts);
      kept.add(store);
      steps.push({
        ...common,
        id: `keep-sent-${file.sha256.slice(0, 16)}`,
        title: `keep ${shown(file.path, facts)} for a rollback`,
        why: 'none yet',
        action: {
          type: 'copy-file',
          from: file.from === store ? file.path : file.from,
          path: store,
          mode: 0o600,
          sha256: file.sha256,
        },
      });
    }
    const mode = file.isSecret ? 0o600 : file.isExecutable ? 0o750 : 0o640;
    const now = facts.files[file.path];
    if (now?.sha256 === file.sha256 && now.mode === mode) continue;
    const recorded = facts.release?.files[file.path];
    if (now !== undefined && now.sha256 !== file.sha256 && now.sha256 !== recorded?.sha256) {
      const aside = freeName(`${file.path}.mcp-deploy-${(facts.release?.release ?? 0) + 1}`, facts);
      const what = recorded === undefined ? 'not ours' : 'edited by hand';
      steps.push({
        ...common,
        id: `keep-edited-${idOf(file.path, facts)}`,
        title: `keep ${shown(file.path, facts)} of the host aside`,
        why: what,
        action: { type: 'copy-file', from: file.path, path: aside, mode: 0o600, sha256: now.sha256 },
      });
      notices.push({
        level: 'warning',
        text: `${shown(file.path, facts)} is ${what}; it is kept as ${shown(aside, facts)}.`,
      });
    }
    const kind = file.isSecret ? `secret of ${file.setting}, 0600 for ${user}` : `for ${file.setting}`;
    steps.push({
      ...common,
      id: `sent-${idOf(file.path, facts)}`,
      title: `send${file.isSecret ? ' secret' : ''} ${shown(file.path, facts)}`,
      why: `${kind}${now === undefined ? '' : ', another content'}`,
      action: {
        type: 'copy-file',
        from: file.from,
        path: file.path,
        mode,
        sha256: file.sha256,
        owner: file.isSecret ? { user, group: user } : code,
      },
    });
  }
  return {
    steps: [...steps, ...formerSteps(placed, facts)],
    notices,
    sent: placed.files.map(({ from: _from, ...record }) => record),
  };
}

const common = { group: 'configuration', undo: { type: 'restore' } } as const;

/** Files that an earlier release brought. */
function formerSteps({ files }: PlacedFiles, facts: HostFacts): readonly Step[] {
  const wanted = new Set(files.map(({ path }) => path));
  return Object.entries(facts.release?.files ?? {})
    .filter(
      ([path, { sha256 }]) =>
        path.startsWith(`${facts.baseDir}/`) &&
        path !== facts.deploymentFile.path &&
        !/\.mcp-deploy-[0-9]+(?:\.[0-9]+)?$/.test(path) &&
        !wanted.has(path) &&
        facts.files[path]?.sha256 === sha256,
    )
    .map(([path]): Step => ({
      ...common,
      id: `remove-sent-${idOf(path, facts)}`,
      title: `remove ${shown(path, facts)}`,
      why: 'not named any more',
      action: { type: 'remove-file', path },
    }));
}

/** After a restore: a backup has what is live. */
function notKept({ path, setting }: PlacedFile, facts: HostFacts): EnvironmentError {
  return new EnvironmentError(`${shown(path, facts)} of that release is not kept any more.`, {
    why: `${setting} names it. Nothing was changed.`,
    next: 'Apply it from the folder that it came from: mcp-deploy apply --host HOST, or --from FILE',
  });
}

function refuseMissing({ missing }: PlacedFiles): void {
  const [first, ...others] = missing;
  if (first === undefined) return;
  const more = others.length === 0 ? '' : ` So are ${others.map(({ path }) => path).join(', ')}.`;
  throw new EnvironmentError(`${first.path} is not on this host, and ${first.setting} names it.`, {
    why: `Only what lies in the folder of mcp-deploy.yaml is sent.${more} Nothing was changed.`,
    next: 'Put it there, or move it into the folder of mcp-deploy.yaml and name it by a relative path.',
  });
}

/** The folders that files go to, below that of the deployment, outermost first. */
export function foldersToPlace({ files, folders }: PlacedFiles, baseDir: string): readonly string[] {
  const found = new Set<string>();
  for (const start of [...folders, ...files.map(({ path }) => dirname(path))]) {
    for (let at = start; at.startsWith(`${baseDir}/`); at = dirname(at)) found.add(at);
  }
  return [...found].sort();
}

function idOf(path: string, facts: HostFacts): string {
  return shown(path, facts).replaceAll(/[^A-Za-z0-9]+/g, '-');
}

function shown(path: string, { baseDir }: HostFacts): string {
  return path.startsWith(`${baseDir}/`) ? path.slice(baseDir.length + 1) : path;
}
