import { ExplainedError } from '../deployment/errors.ts';
import type { Step } from '../plan/types.ts';
import { removeImage, restoreContainers } from './act-containers.ts';
import { ensureUser, removeUser, restoreAccountCopies } from './accounts.ts';
import { removeNamespace, restoreObjects } from './act-cluster.ts';
import { restoreSecrets } from './act-cluster-secret.ts';
import { restoreStack } from './act-stack.ts';
import { endTrial } from './act-trial.ts';
import { putUnitsBack, stopWhatWasNotThere } from './units.ts';
import { dropPreImages, removeUnusedScaffold } from './state-folder.ts';
import { restorePreImage } from './pre-images.ts';
import type { Begun, Journal, JournalLine } from './journal.ts';
import { runCommand } from './run-command.ts';
import { serveCertificate } from './serve-certificate.ts';
import type { ApplyPorts } from './ports.ts';
import type { OnProgress } from './progress-event.ts';

/**
 * Takes back every step of a journal that began, newest first, and ends the
 * journal. The same code undoes a failed step, an interrupt and, from the
 * journal of a killed process, a crash. Everything here may be repeated, so
 * it may itself be killed and begun again.
 *
 * A server that has to run again is started last, when all files are back.
 *
 * @returns what could not be put back, one line each, path first; empty when all is as it was
 */
export async function undoJournal(
  journal: Journal,
  options: {
    ports: ApplyPorts;
    stateDir: string;
    onProgress: OnProgress;
    /** The command that did it was killed, so that the machine may have been started anew since. */
    wasKilled?: boolean;
  },
): Promise<readonly string[]> {
  const { ports, stateDir, onProgress } = options;
  const { begun, undone, header } = journal.state();
  const open = begun.filter(({ index }) => !undone.has(index)).toReversed();
  onProgress({ type: 'undo-start', steps: open.length });
  const leftovers: string[] = [];

  const takeBack = async (entry: Begun, run: () => Promise<readonly string[]>): Promise<void> => {
    const left = await run().catch((error: unknown) => [describeLeftover(entry, error)]);
    leftovers.push(...left);
    for (const text of left) await appendIfPossible(journal, { type: 'leftover', index: entry.index, text });
    if (left.length === 0) await appendIfPossible(journal, { type: 'undone', index: entry.index });
    onProgress({ type: 'undo-step', title: header.plan.steps[entry.index]?.title ?? entry.step, leftovers: left });
  };

  const startedLast: Begun[] = [];
  for (const entry of open) {
    const undo = undoOf(header.plan.steps[entry.index]);
    if (undo.type === 'restore-units') {
      const left = await stopWhatWasNotThere(entry.units ?? [], ports, undo.manager).then(
        () => null,
        (error: unknown) => describeLeftover(entry, error),
      );
      if (left === null) startedLast.push(entry);
      else await takeBack(entry, () => Promise.resolve([left]));
    } else if ((undo.type === 'restore-containers' || undo.type === 'restore-stack') && hadContainers(entry)) {
      startedLast.push(entry);
    } else if (undo.type === 'restore-objects' && (entry.objects ?? []).length > 0) {
      // The former manifests have to be back before they are applied.
      startedLast.push(entry);
    } else if (undo.type === 'remove-image') {
      // Behind the containers that were made of it.
      startedLast.push(entry);
    } else if (startsAgain.has(undo.type)) startedLast.push(entry);
    else await takeBack(entry, () => undoStep(entry, undo, journal.preImageDir, options));
  }
  for (const entry of startedLast) {
    const undo = undoOf(header.plan.steps[entry.index]);
    await takeBack(entry, () => undoStep(entry, undo, journal.preImageDir, options));
  }

  if (options.wasKilled === true && leftovers.length === 0) {
    const readers = new Set(open.flatMap((entry) => readerOf(header.plan.steps[entry.index])));
    for (const unit of readers) {
      await runCommand(['systemctl', 'try-reload-or-restart', unit], ports).catch((error: unknown) => {
        leftovers.push(`${unit} (${describeError(error)})`);
      });
    }
  }
  if (leftovers.length === 0) leftovers.push(...(await endJournal(journal, ports, stateDir)));
  onProgress({ type: 'undo-done', leftovers });
  return leftovers;
}

/** The commit is a step of its own behind the last one of the plan; its files are restored like any other. */
function undoOf(step: Step | undefined): Step['undo'] {
  return step?.undo ?? { type: 'restore' };
}

function readerOf(step: Step | undefined): readonly string[] {
  return step?.undo.type === 'restore' && step.undo.readBy !== undefined ? [step.undo.readBy] : [];
}

const startsAgain: ReadonlySet<Step['undo']['type']> = new Set(['start-server', 'replace-server', 'serve-certificate']);

/** Their files have to be back before they are. */
function hadContainers({ containers }: Begun): boolean {
  return (containers ?? []).length > 0;
}

async function undoStep(
  entry: Begun,
  undo: Step['undo'],
  folder: string,
  { ports, stateDir }: { ports: ApplyPorts; stateDir: string },
): Promise<readonly string[]> {
  const { files, processes } = ports;
  switch (undo.type) {
    case 'none':
      return [];
    case 'run-command':
      await runCommand(undo.argv, ports);
      return [];
    case 'restore-units':
      await putUnitsBack(undo.units, entry.units ?? [], ports, undo.manager);
      return [];
    case 'restore-containers':
      await restoreContainers(undo.project, entry.containers ?? [], ports);
      return [];
    case 'restore-stack':
      await restoreStack(undo.stack, undo.timeoutMs, entry.containers ?? [], ports);
      return [];
    case 'restore-objects':
      await restoreObjects(undo, entry.objects ?? [], ports);
      return [];
    case 'restore-secret':
      await restoreSecrets(undo.cluster, { folder, index: entry.index }, ports);
      return [];
    case 'remove-namespace':
      if (entry.hadNamespace === false) await removeNamespace(undo.cluster, ports);
      return [];
    case 'remove-image':
      if (entry.hadImage !== true) await removeImage(undo.image, ports);
      return [];
    case 'stop-trial':
      await endTrial(undo, ports);
      return [];
    case 'remove-user':
      if (entry.account === null) {
        await removeUser(undo.user, ports);
        await restoreAccountCopies(undo.user, entry.preImages, folder, files);
      }
      return [];
    case 'ensure-user':
      if (entry.account != null) {
        await ensureUser(undo, ports, entry.account);
        await restoreAccountCopies(undo.user, entry.preImages, folder, files);
      }
      return [];
    case 'serve-certificate':
      await serveCertificate(undo.live, { ports });
      return [];
    case 'start-server': {
      if (entry.serverRan !== true) return [];
      const { state } = await processes.serverState(undo.pidFile);
      if (state === 'stopped') await processes.startServer({ ...undo, type: 'start-server' });
      return [];
    }
    case 'replace-server': {
      if (entry.serverRan !== true) return [];
      const now = await processes.serverState(undo.pidFile);
      if (now.state === 'stopped') await processes.startServer({ ...undo, type: 'start-server' });
      else if (now.pid !== entry.serverPid) await processes.replaceServer(undo);
      return [];
    }
    case 'stop-server':
      if (entry.serverRan !== true) await processes.stopServer(undo.pidFile, undo.graceMs);
      break;
    case 'restore':
      break;
  }
  const left: string[] = [];
  for (const image of entry.preImages.toReversed()) {
    const rest = await restorePreImage(files, image, { folder, stateDir }).catch(
      (error: unknown) => `${image.path} (${describeError(error)})`,
    );
    if (rest !== null) left.push(rest);
  }
  return left;
}

/**
 * Ends the journal and removes what only this plan needed. When the disk is
 * too full for one more line, the journal itself goes: left without an ending
 * it would be undone again later, over whatever was changed meanwhile.
 */
async function endJournal(journal: Journal, ports: ApplyPorts, stateDir: string): Promise<readonly string[]> {
  const { files, clock } = ports;
  try {
    await journal.append({ type: 'rolled-back', at: clock.now() }).catch(() => files.removeFile(journal.file));
  } catch (error) {
    return [`${journal.file} (${describeError(error)})`];
  }
  // From here on everything is as it was; what remains is ours, and the next command clears it away.
  await dropPreImages(files, journal.file).catch(() => {});
  await removeUnusedScaffold(files, stateDir).catch(() => {});
  return [];
}

/** On a full disk the undo goes on without its notes: each part of it may be repeated. */
async function appendIfPossible(journal: Journal, line: JournalLine): Promise<void> {
  await journal.append(line).catch(() => {});
}

function describeLeftover(entry: Begun, error: unknown): string {
  return `${entry.step} (${describeError(error)})`;
}

function describeError(error: unknown): string {
  if (error instanceof ExplainedError) return [error.message, error.why].filter((part) => part !== undefined).join(' ');
  return error instanceof Error ? error.message : String(error);
}
