import { dirname, join } from 'node:path';
import { deploymentPaths, scopeOf } from '../plan/deployment-paths.ts';
import type { Owner } from '../plan/action.ts';
import type { Step } from '../plan/types.ts';
import type { BackupFile, BackupManifest } from './backup-manifest.ts';

/** Where a restore puts things. All absolute. */
export interface RestorePlace {
  readonly baseDir: string;
  readonly stateDir: string;
  /** mcp-deploy.yaml itself, which may have another name. */
  readonly deploymentFile: string;
  /** Who reads what the server reads; absent where everything belongs to one person. */
  readonly owner?: Owner;
}

/** Where a file of the archive belongs. Pure; names were judged when the manifest was read. */
export function restoredPath(name: string, place: RestorePlace): string {
  if (name === 'mcp-deploy.yaml') return place.deploymentFile;
  const [kind = '', ...parts] = name.split('/');
  if (kind !== 'state') return join(place.baseDir, ...parts);
  const [folder = '', ...rest] = parts;
  const { keysDir, pkiDir } = deploymentPaths(place.stateDir);
  const known: Readonly<Record<string, string>> = { keys: keysDir, pki: pkiDir };
  return join(known[folder] ?? join(place.stateDir, folder), ...rest);
}

/** The files that a restore puts into place: no logs, and the history of releases only where there is none. Pure. */
export function filesToRestore(manifest: BackupManifest, hasReleases: boolean): readonly BackupFile[] {
  return manifest.files.filter(
    ({ path }) => !path.startsWith('logs/') && !(hasReleases && path.startsWith('state/releases/')),
  );
}

export interface RestoreFacts {
  /** Folders that exist, of those that restored files lie in. */
  readonly directories: ReadonlySet<string>;
  /** SHA-256 and mode of files that are there now, by path. */
  readonly files: ReadonlyMap<string, { readonly sha256: string; readonly mode: number }>;
}

/**
 * The steps that put files of a backup back: folders first, and only files that differ from what is there. Pure.
 * @param stagedPath where the unpacked, proven copy of an archive name lies
 */
export function restoreSteps(
  files: readonly BackupFile[],
  place: RestorePlace,
  facts: RestoreFacts,
  stagedPath: (name: string) => string,
): readonly Step[] {
  const made = new Set<string>();
  return files.flatMap((file): Step[] => {
    const path = restoredPath(file.path, place);
    const shared = place.owner !== undefined && isServed(file.path);
    const mode = shared ? 0o640 : restoredMode(file);
    const now = facts.files.get(path);
    if (now?.sha256 === file.sha256 && now.mode === mode) return [];
    const folders = missingFolders(dirname(path), facts.directories, made);
    return [
      ...folders.map((folder): Step => folderStep(folder, place)),
      {
        id: `restore-${file.path.replaceAll(/[^A-Za-z0-9]+/g, '-')}`,
        title: `restore ${shownName(file.path)}`,
        why: now === undefined ? 'not there' : 'another one is there',
        group: groupOf(file.path),
        action: {
          type: 'copy-file',
          from: stagedPath(file.path),
          path,
          mode,
          sha256: file.sha256,
          ...(shared && place.owner !== undefined ? { owner: place.owner } : {}),
        },
        undo: { type: 'restore' },
      },
    ];
  });
}

/** What a server that is not root has to read, and nobody else. */
function isServed(name: string): boolean {
  return name === 'state/keys/keys.json' || name === 'state/pki/server.key';
}

/** Folders that the plan of a host makes, with their owners. Pure. */
export function foldersOfHost(stateDir: string): readonly string[] {
  if (scopeOf(stateDir) !== 'system') return [];
  const { configDir, keysDir, pkiDir, releasesDir } = deploymentPaths(stateDir);
  return [dirname(configDir), configDir, keysDir, pkiDir, releasesDir, stateDir];
}

/**
 * Where the steps of a restore belong in the plan that follows from them: behind user and folders of a host, before
 * everything that reads what they bring. Pure.
 */
export function withRestoreSteps(planned: readonly Step[], steps: readonly Step[]): readonly Step[] {
  const isGround = ({ action }: Step): boolean =>
    action.type === 'ensure-user' || (action.type === 'make-directory' && action.owner !== undefined);
  const first = planned.findIndex(({ action }) => !groundActions.has(action.type));
  const ground = planned.slice(0, first === -1 ? planned.length : first);
  if (!ground.some(isGround)) return [...steps, ...planned];
  return [...ground, ...steps, ...planned.slice(ground.length)];
}

const groundActions: ReadonlySet<Step['action']['type']> = new Set(['ensure-user', 'make-directory', 'run-command']);

/** Private keys and stores are for their owner alone, whatever an archive says. */
function restoredMode({ path, mode }: BackupFile): number {
  if (!path.startsWith('state/')) return mode & 0o755;
  return path.endsWith('.crt') || path.endsWith('.pem') ? mode & 0o644 : mode & 0o600;
}

function missingFolders(folder: string, existing: ReadonlySet<string>, made: Set<string>): readonly string[] {
  if (existing.has(folder) || made.has(folder) || dirname(folder) === folder) return [];
  const above = missingFolders(dirname(folder), existing, made);
  made.add(folder);
  return [...above, folder];
}

function folderStep(path: string, { stateDir, baseDir }: RestorePlace): Step {
  const isState = path === stateDir || path.startsWith(join(stateDir, '/'));
  return {
    id: `folder-${path.slice(baseDir.length + 1).replaceAll(/[^A-Za-z0-9]+/g, '-')}`,
    title: `make folder ${path.slice(baseDir.length + 1)}`,
    why: 'none yet',
    group: 'configuration',
    action: { type: 'make-directory', path, mode: isState ? 0o700 : 0o755 },
    undo: { type: 'restore' },
  };
}

function groupOf(name: string): Step['group'] {
  if (name.startsWith('state/keys/')) return 'keys';
  return /^state\/(?:pki|acme)\//.test(name) ? 'certificate' : 'configuration';
}

function shownName(name: string): string {
  if (name.startsWith('state/')) return `.mcp-deploy/${name.slice('state/'.length)}`;
  return name.startsWith('beside/') ? name.slice('beside/'.length) : name;
}
