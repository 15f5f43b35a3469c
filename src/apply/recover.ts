import { join } from 'node:path';
import { EnvironmentError } from '../deployment/errors.ts';
import type { Plan } from '../plan/types.ts';
import {
  continueJournal,
  isUnfinished,
  journalDirOf,
  preImageDirOf,
  readJournals,
  type JournalState,
} from './journal.ts';
import { removeFormerPairs } from './act-pair.ts';
import { releasesDirOf } from './commit.ts';
import { finishUninstall, removeUnusedScaffold } from './state-folder.ts';
import { isTemporaryFile } from './temporary-file.ts';
import { undoJournal } from './undo.ts';
import type { ApplyPorts } from './ports.ts';
import type { OnProgress } from './progress-event.ts';

export interface Recovery {
  readonly outcome: 'undone' | 'uninstall-finished';
  readonly purpose: Plan['purpose'];
  readonly startedAt: string;
  /** One sentence that says what happened. */
  readonly summary: string;
}

/**
 * Brings a state folder that a killed command left into order: an unfinished
 * plan is undone, an uninstall past its commit is finished, and temporary
 * files are removed. Runs under the lock, before anything is planned. It may
 * itself be killed at any moment: the next run goes on.
 *
 * @returns what was done, or null when there was nothing that a person needs to know
 * @throws EnvironmentError (exit 5) that lists what could not be put back; the next run tries again
 */
export async function recoverUnfinished(options: {
  ports: ApplyPorts;
  stateDir: string;
  /** Not needed here; taken so that the options of a change can be passed on as they are. */
  baseDir?: string;
  onProgress?: OnProgress;
}): Promise<Recovery | null> {
  const { ports, stateDir } = options;
  const { files } = ports;
  if ((await files.stat(stateDir)) === null) return null;

  let recovery: Recovery | null = null;
  for (const { state, endsCleanly } of await readUnfinishedJournals(ports, stateDir)) {
    if (state.header.stateDir !== stateDir) throw elsewhere(state, stateDir);
    if (state.ending === 'commit') {
      await finishUninstall(files, stateDir, state.header.plan);
      recovery = describe(state, 'uninstall-finished');
      break;
    }
    const leftovers = await undoJournal(continueJournal(files, state, endsCleanly), {
      ports,
      stateDir,
      onProgress: options.onProgress ?? (() => {}),
      wasKilled: true,
    });
    if (leftovers.length > 0) throw incomplete(state, leftovers);
    recovery = describe(state, 'undone');
  }
  await removeStrays(ports, stateDir);
  await removeUnusedScaffold(files, stateDir);
  return recovery;
}

/** What a killed command left undone, without touching it; null when nothing. */
export async function readUnfinished(options: {
  ports: Pick<ApplyPorts, 'files'>;
  stateDir: string;
}): Promise<{ readonly file: string; readonly purpose: Plan['purpose']; readonly startedAt: string } | null> {
  const [first] = await readUnfinishedJournals(options.ports, options.stateDir);
  if (first === undefined) return null;
  const { file, header } = first.state;
  return { file, purpose: header.plan.purpose, startedAt: header.startedAt };
}

/** Newest first: should there ever be two, the later one is undone before the earlier one. */
async function readUnfinishedJournals({ files }: Pick<ApplyPorts, 'files'>, stateDir: string) {
  const journals = await readJournals(files, stateDir);
  return journals
    .filter(({ state }) => isUnfinished(state))
    .sort((a, b) => b.state.header.startedAt.localeCompare(a.state.header.startedAt));
}

/** Copies of journals that have ended, and files of writes that were cut off. */
async function removeStrays({ files, processes }: ApplyPorts, stateDir: string): Promise<void> {
  const journalDir = journalDirOf(stateDir);
  for (const name of await files.list(journalDir)) {
    const path = join(journalDir, name);
    if (isTemporaryFile(name)) await files.removeFile(path);
    else if (!name.endsWith('.jsonl')) await files.removeTree(preImageDirOf(path));
  }
  await removeFormerPairs(files, stateDir);
  for (const name of await files.list(releasesDirOf(stateDir))) {
    if (isTemporaryFile(name)) await files.removeFile(join(releasesDirOf(stateDir), name));
  }
  for (const name of await files.list(stateDir)) {
    if (!isTemporaryFile(name)) continue;
    // The file of another command that is asking for the lock at this moment is in use.
    const owner = /^lock\..*?(\d+)-\d+\.mcpd-tmp$/.exec(name)?.[1];
    if (owner !== undefined && (await processes.identity(Number(owner))) !== null) continue;
    await files.removeFile(join(stateDir, name));
  }
}

function describe(state: JournalState, outcome: Recovery['outcome']): Recovery {
  const { plan, startedAt } = state.header;
  const end = outcome === 'undone' ? 'it was undone' : 'it is finished now';
  return { outcome, purpose: plan.purpose, startedAt, summary: `${cutOff(state)}; ${end}.` };
}

/** Going on would put a new plan over a half-undone one. */
function incomplete(state: JournalState, leftovers: readonly string[]): EnvironmentError {
  return new EnvironmentError(`${cutOff(state)}, and not all of it can be undone.`, {
    why: `Not put back:\n${leftovers.map((text) => `  ${text}`).join('\n')}`,
    next: 'Mend what is said in brackets and run the command again: it goes on with the undo.',
    exitCode: 5,
  });
}

/** The paths in the journal are absolute: from here they would reach back into the other folder. */
function elsewhere(state: JournalState, stateDir: string): EnvironmentError {
  return new EnvironmentError(`${cutOff(state)}, in another folder: ${state.header.stateDir}`, {
    why: `${stateDir} was moved or copied from there since, and the undo belongs there.`,
    next: `Move it back and run the command there. If this is a copy, begin anew: rm -r ${stateDir}`,
  });
}

function cutOff(state: JournalState): string {
  const { plan, startedAt } = state.header;
  return `An earlier ${plan.purpose} (${startedAt.replace('T', ' ').replace(/\..*$/, '')} UTC) was cut off`;
}
