import type { Plan, Step } from '../plan/types.ts';
import { readAccount } from './accounts.ts';
import { removeFormerPairs } from './act-pair.ts';
import { readForUndo } from './act-containers.ts';
import { readClusterForUndo } from './act-cluster.ts';
import { captureSecret } from './act-cluster-secret.ts';
import { act, type ActContext } from './act.ts';
import { capturePreImages } from './pre-images.ts';
import { commitPlan } from './commit.ts';
import { pruneReleases } from './prune-releases.ts';
import { openJournal, type Journal } from './journal.ts';
import { ensureStateFolder, finishUninstall, removeUnusedScaffold } from './state-folder.ts';
import { serverFilesOf, pathsToCapture } from './touched-paths.ts';
import { undoJournal } from './undo.ts';
import { readUnits } from './units.ts';
import type { ApplyPorts, VerifiedEndpoint } from './ports.ts';
import type { OnProgress } from './progress-event.ts';

export interface ApplyOptions {
  readonly ports: ApplyPorts;
  readonly stateDir: string;
  /** Folder of mcp-deploy.yaml: paths in progress lines are shown relative to it. */
  readonly baseDir: string;
  readonly toolVersion: string;
  /** Aborted on Ctrl-C: honoured between steps and in waits, then everything is undone. */
  readonly signal: AbortSignal;
  readonly onProgress: OnProgress;
  /** How many releases stay, 10 by default; never fewer than the live one and the one before it. */
  readonly keepReleases?: number;
}

const defaultKept = 10;

export interface ApplyResult {
  readonly outcome: 'applied' | 'nothing-to-do' | 'undone' | 'undo-incomplete' | 'interrupted';
  /** The step that failed and what it threw, an ExplainedError unless it is a bug. Not set on interrupt. */
  readonly failure?: { readonly step: { readonly id: string; readonly title: string }; readonly error: unknown };
  /** What could not be put back (or, after an uninstall, removed): path first, reason in brackets. */
  readonly leftovers?: readonly string[];
  readonly verified?: VerifiedEndpoint;
  /** The server that this plan started. */
  readonly serverPid?: number;
  /** Journal of this plan; not set when it is gone with the state folder. */
  readonly journalFile?: string;
}

/**
 * Carries out a plan, step by step, all or nothing. Before each step its
 * journal says what will be touched and keeps how it was; a failure or an
 * interrupt undoes in reverse order, and after a kill `recoverUnfinished`
 * does so from the journal. The caller holds the lock.
 *
 * @throws EnvironmentError when not even the journal can be written; nothing was changed then
 */
export async function applyPlan(plan: Plan, options: ApplyOptions): Promise<ApplyResult> {
  if (plan.steps.length === 0) return { outcome: 'nothing-to-do' };
  const { ports, stateDir, signal } = options;
  const journal = await openOrLeaveNothing(plan, options);
  const context: ActContext = {
    ports,
    signal,
    baseDir: options.baseDir,
    plan,
    logStart: new Map(),
    onDoing: () => {},
    verified: null,
    serverPid: null,
  };

  const failed = await runSteps(plan, journal, context, options);
  if (failed !== null) {
    const leftovers = await undoJournal(journal, { ports, stateDir, onProgress: options.onProgress });
    const failure = failed.reason === 'interrupted' ? {} : { failure: failed.failure };
    const journalFile = (await ports.files.stat(journal.file)) === null ? {} : { journalFile: journal.file };
    if (leftovers.length > 0) return { outcome: 'undo-incomplete', leftovers, ...failure, ...journalFile };
    return { outcome: failed.reason === 'interrupted' ? 'interrupted' : 'undone', ...failure, ...journalFile };
  }

  const leftovers = await clearUp(plan, journal, options);
  return {
    outcome: 'applied',
    ...(context.verified === null ? {} : { verified: context.verified }),
    ...(context.serverPid === null ? {} : { serverPid: context.serverPid }),
    ...(leftovers.length === 0 ? {} : { leftovers }),
    ...(plan.purpose === 'uninstall' ? {} : { journalFile: journal.file }),
  };
}

async function openOrLeaveNothing(plan: Plan, options: ApplyOptions): Promise<Journal> {
  const { ports, stateDir, toolVersion } = options;
  try {
    await ensureStateFolder(ports.files, stateDir);
    return await openJournal(ports, { stateDir, toolVersion, plan });
  } catch (error) {
    await removeUnusedScaffold(ports.files, stateDir).catch(() => {});
    throw error;
  }
}

type Failed =
  | { readonly reason: 'interrupted' }
  | { readonly reason: 'failed'; readonly failure: NonNullable<ApplyResult['failure']> };

/** Null when every step and the commit are done. */
async function runSteps(
  plan: Plan,
  journal: Journal,
  context: ActContext,
  { ports, stateDir, signal, toolVersion, onProgress }: ApplyOptions,
): Promise<Failed | null> {
  for (const [index, step] of plan.steps.entries()) {
    if (signal.aborted) return interrupted(onProgress);
    onProgress({ type: 'step-start', step });
    context.onDoing = (text, sinceMs) => onProgress({ type: 'step-doing', step, text, sinceMs });
    try {
      await beginStep(step, index, journal, ports);
      const detail = await act(step.action, context);
      await journal.append({ type: 'done', index });
      onProgress({ type: 'step-done', step, detail });
    } catch (error) {
      if (signal.aborted) return interrupted(onProgress);
      onProgress({ type: 'step-failed', step, error });
      return { reason: 'failed', failure: { step, error } };
    }
  }
  if (signal.aborted) return interrupted(onProgress);
  try {
    await commitPlan(plan, journal, { ports, stateDir, toolVersion });
    return null;
  } catch (error) {
    return { reason: 'failed', failure: { step: { id: 'commit', title: 'keep the record of this release' }, error } };
  }
}

function interrupted(onProgress: OnProgress): Failed {
  onProgress({ type: 'interrupted' });
  return { reason: 'interrupted' };
}

async function beginStep(step: Step, index: number, journal: Journal, ports: ApplyPorts): Promise<void> {
  const preImages = await capturePreImages(ports.files, {
    paths: await pathsToCapture(step, ports.files),
    folder: journal.preImageDir,
    prefix: String(index),
  });
  const server = serverFilesOf(step);
  const now = server === null ? null : await ports.processes.serverState(server.pidFile);
  const ran =
    now === null
      ? {}
      : { serverRan: now.state === 'running', ...(now.state === 'running' ? { serverPid: now.pid } : {}) };
  const { action } = step;
  const units = action.type === 'service' ? { units: await readUnits(action.units, ports, action.manager) } : {};
  const containers = await readForUndo(action, ports);
  const cluster = await readClusterForUndo(action, ports);
  await captureSecret(action, { folder: journal.preImageDir, index }, ports);
  const isAccount = action.type === 'ensure-user' || action.type === 'remove-user';
  const account = isAccount ? { account: await readAccount(ports.files, action.user) } : {};
  await journal.append({
    type: 'begin',
    index,
    step: step.id,
    preImages,
    ...ran,
    ...units,
    ...containers,
    ...cluster,
    ...account,
  });
}

/**
 * After the commit there is nothing to undo, only copies and, for an
 * uninstall, the state folder to remove. What stays because of an error is
 * named, and the next command removes it.
 */
async function clearUp(plan: Plan, journal: Journal, options: ApplyOptions): Promise<readonly string[]> {
  const { ports, stateDir } = options;
  try {
    if (plan.purpose === 'uninstall') await finishUninstall(ports.files, stateDir, plan);
    else {
      await ports.files.removeTree(journal.preImageDir);
      await removeFormerPairs(ports.files, stateDir);
      if (plan.purpose === 'apply') await pruneReleases(ports, stateDir, options.keepReleases ?? defaultKept);
    }
    return [];
  } catch (error) {
    const path = plan.purpose === 'uninstall' ? stateDir : journal.preImageDir;
    return [`${path} (${error instanceof Error ? error.message : String(error)})`];
  }
}
