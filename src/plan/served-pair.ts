import { basename, dirname, join } from 'node:path';
import type { HostFacts } from './facts.ts';
import { deploymentPaths } from './deployment-paths.ts';
import type { Step } from './types.ts';

/**
 * Where a key and its certificate lie. The names that the server and proxies read are links through `live`, and `live` is a
 * link to the folder of one pair: renaming that one link changes both files in the same instant.
 *
 *   pki/server.key -> live/server.key      pki/server.crt -> live/server.crt      pki/live -> live-3
 */
export interface PairPlace {
  readonly certificateFile: string;
  readonly keyFile: string;
  /** Folder of this pair alone, `pki/live-N`. */
  readonly folder: string;
}

/** The one link that decides which pair is served. */
export function liveLinkOf({ certificateFile }: Pick<PairPlace, 'certificateFile'>): string {
  return join(dirname(certificateFile), 'live');
}

/** What a name of the pair points to. */
export function pairLinkTarget(file: string): string {
  return join('live', basename(file));
}

/** Whether a symbolic link is one of these, by what it points to; any other one is not ours to replace. */
export function isPairLink(target: string): boolean {
  return /^live(?:-\d+|\/[\w.-]+)$/.test(target);
}

/** Whether a symbolic link is one that a plan of ours makes and may replace. */
export function isOurLink(target: string): boolean {
  return (
    isPairLink(target) ||
    /^releases\/\d+$/.test(target) ||
    // What makes a unit of ours start at boot, in a staged system.
    /^\/etc\/systemd\/system\/mcp[\w-]*\.(?:service|socket)$/.test(target)
  );
}

/** N of a folder `live-N`, else null. */
export function pairNumberOf(name: string): number | null {
  const digits = /^live-(\d{1,9})$/.exec(name)?.[1];
  return digits === undefined ? null : Number(digits);
}

/**
 * The folder for the next pair, and the step that first moves a pair of plain files (made by an earlier version, or put
 * back from a backup) into a folder of its own. It changes no byte of what is served.
 */
export function nextPair(facts: HostFacts): { readonly steps: readonly Step[]; readonly place: PairPlace } {
  const { pkiDir, serverCertificate: certificateFile, serverKey: keyFile } = deploymentPaths(facts.stateDir);
  const latest = Math.max(0, ...(facts.servedPair?.numbers ?? []));
  const place = (number: number): PairPlace => ({ certificateFile, keyFile, folder: join(pkiDir, `live-${number}`) });
  const isThere = facts.files[certificateFile] !== undefined || facts.files[keyFile] !== undefined;
  if (!isThere || facts.servedPair?.isLinked !== false) return { steps: [], place: place(latest + 1) };
  return {
    steps: [
      {
        id: 'move-pair',
        title: 'keep key and certificate in one folder',
        why: 'so that both change in one step',
        group: 'certificate',
        action: { type: 'move-pair', ...place(latest + 1) },
        undo: { type: 'restore' },
      },
    ],
    place: place(latest + 2),
  };
}
