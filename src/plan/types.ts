import type { SentRecord } from './plan-sent-files.ts';
import type { Action } from './action.ts';
import type { Undo } from './undo.ts';
import type { StartedUnits } from './units.ts';

/**
 * A plan is plain data: no closures, no clock, no randomness, no secrets. The
 * same deployment and the same host facts always give the same plan, and a
 * plan written to a file and read back is the same plan.
 */
export interface Plan {
  readonly schemaVersion: 1;
  /** `name` of the deployment. */
  readonly deployment: string;
  /** What the plan is for; `start`, `stop`, `restart`, `cert` are small plans on the same rails. */
  readonly purpose: 'apply' | 'uninstall' | 'start' | 'stop' | 'restart' | 'cert';
  /** Number of the release that exists when this plan has been applied. Not raised by start/stop/restart. */
  readonly release: number;
  readonly steps: readonly Step[];
  /** Things to know that are not steps: a hand-edited file, another port taken. */
  readonly notices: readonly Notice[];
  /** The deployment that becomes live, kept in the release; null for uninstall. */
  readonly desired: unknown;
  /** The release whose deployment this one puts back. */
  readonly rollbackOf?: number;
  /** The server that is live afterwards, in system scope. */
  readonly build?: { readonly version: string; readonly sha256: string; readonly folder: number };
  /** The files that came with mcp-deploy.yaml. */
  readonly sent?: readonly SentRecord[];
  /** Units of others that run for this deployment alone. */
  readonly started?: StartedUnits;
  /** The image that runs afterwards, where containers serve. */
  readonly image?: string;
  /** Folders that go, with all in them, when everything else is done: not undone any more. */
  readonly purge?: readonly string[];
  /** Folders that go after these when nothing is in them. */
  readonly purgeEmpty?: readonly string[];
  /** Edits by hand that become a part of the release. */
  readonly adopted?: readonly AdoptedFile[];
}

/** A file that stays as somebody edited it. */
export interface AdoptedFile {
  readonly path: string;
  /** Hash of what we would write. */
  readonly insteadOf: string;
}

/** Something to know that is not a step. */
export interface Notice {
  readonly level: 'info' | 'warning';
  readonly text: string;
}

/** One action with its title, its reason and its undo. */
export interface Step {
  /** Stable within the plan, kebab-case, e.g. `private-ca`, `server-config`, `start-server`. */
  readonly id: string;
  /** What it does, imperative, one short phrase: "issue server certificate". */
  readonly title: string;
  /** Why it is needed, one short phrase: "none yet", "names changed". */
  readonly why: string;
  /** Groups steps in the progress display (keys, certificate, server, ...). */
  readonly group: 'configuration' | 'keys' | 'certificate' | 'server' | 'verified' | 'removal';
  readonly action: Action;
  readonly undo: Undo;
}
