import { join } from 'node:path';
import { EnvironmentError } from '../deployment/errors.ts';
import type { Plan } from '../plan/types.ts';
import type { ApplyPorts, FileSystem } from './ports.ts';
import type { ContainerFact } from '../plan/container-facts.ts';
import type { Account } from '../plan/accounts.ts';
import type { PreImage } from './pre-images.ts';
import type { UnitState } from './units.ts';

/**
 * What is being done, written before it is done: one JSON document a line.
 * The first line holds the whole plan and is there from the first moment,
 * since the file is opened by an atomic write; any later line may be torn by a
 * crash, and then what it announced has not begun.
 */
export type JournalLine =
  | JournalHeader
  | {
      readonly type: 'begin';
      readonly index: number;
      readonly step: string;
      readonly preImages: readonly PreImage[];
      /** For steps that start or stop it: whether the server ran before. */
      readonly serverRan?: boolean;
      /** Its number then. */
      readonly serverPid?: number;
      /** How the units of the step were before. */
      readonly units?: readonly UnitState[];
      /** How the containers of the step were before. */
      readonly containers?: readonly ContainerFact[];
      /** Names of our objects in the cluster of the step. */
      readonly objects?: readonly string[];
      /** Whether the namespace of the step was there before. */
      readonly hadNamespace?: boolean;
      /** Whether the image of the step was there before. */
      readonly hadImage?: boolean;
      /** The account that the step makes or removes, as it was before; null when there was none. */
      readonly account?: Account | null;
    }
  | { readonly type: 'done'; readonly index: number }
  | { readonly type: 'undone'; readonly index: number }
  | { readonly type: 'leftover'; readonly index: number; readonly text: string }
  | { readonly type: 'commit'; readonly at: string }
  | { readonly type: 'rolled-back'; readonly at: string };

export interface JournalHeader {
  readonly type: 'plan';
  readonly schemaVersion: 1;
  readonly startedAt: string;
  readonly toolVersion: string;
  /** The state folder it was written in: a copy of that folder must not undo anything in the original. */
  readonly stateDir: string;
  readonly plan: Plan;
}

export type Begun = Extract<JournalLine, { type: 'begin' }>;

/** A journal as it stands: enough to go on, to undo and to tell a person about it. */
export interface JournalState {
  /** Absolute path of the file. */
  readonly file: string;
  readonly header: JournalHeader;
  readonly begun: readonly Begun[];
  readonly undone: ReadonlySet<number>;
  readonly ending: 'commit' | 'rolled-back' | null;
}

/** A journal that is being written. */
export interface Journal {
  readonly file: string;
  /** Where the pre-images of this journal are kept. */
  readonly preImageDir: string;
  readonly state: () => JournalState;
  append(line: JournalLine): Promise<void>;
}

export function journalDirOf(stateDir: string): string {
  return join(stateDir, 'journal');
}

/** Folder of the pre-images that belong to a journal file. */
export function preImageDirOf(journalFile: string): string {
  return journalFile.replace(/\.jsonl$/, '');
}

/** Opens the journal of a plan; an ended one of the same number and purpose is replaced. */
export async function openJournal(
  ports: ApplyPorts,
  options: { stateDir: string; toolVersion: string; plan: Plan },
): Promise<Journal> {
  const { plan, stateDir, toolVersion } = options;
  const file = join(journalDirOf(stateDir), `${plan.release}-${plan.purpose}.jsonl`);
  const header: JournalHeader = {
    type: 'plan',
    schemaVersion: 1,
    startedAt: ports.clock.now(),
    toolVersion,
    stateDir,
    plan,
  };
  await ports.files.writeAtomic(file, `${JSON.stringify(header)}\n`, 0o600);
  return continueJournal(ports.files, { file, header, begun: [], undone: new Set(), ending: null });
}

/** Goes on writing a journal that was read from disk. */
export function continueJournal(files: FileSystem, read: JournalState, endsCleanly = true): Journal {
  let state = read;
  let torn = !endsCleanly;
  return {
    file: read.file,
    preImageDir: preImageDirOf(read.file),
    state: () => state,
    async append(line) {
      const text = JSON.stringify(line);
      try {
        // A line that was cut off, by a crash or a full disk, must not swallow the next one.
        await files.appendDurably(read.file, torn ? `\n${text}` : text, 0o600);
      } catch (error) {
        torn = true;
        throw error;
      }
      torn = false;
      state = withLine(state, line);
    },
  };
}

/** All journals of a state folder that can be read, in no order. */
export async function readJournals(files: FileSystem, stateDir: string): Promise<readonly ReadJournal[]> {
  const folder = journalDirOf(stateDir);
  const journals: ReadJournal[] = [];
  for (const name of await files.list(folder)) {
    if (!name.endsWith('.jsonl')) continue;
    const file = join(folder, name);
    const bytes = await files.read(file);
    const journal = bytes === null ? null : parseJournal(file, bytes.toString('utf8'));
    if (journal !== null) journals.push(journal);
  }
  return journals;
}

export interface ReadJournal {
  readonly state: JournalState;
  /** False when the last line was cut off. */
  readonly endsCleanly: boolean;
}

/** Reads the text of a journal; null when it has no header, which no journal of ours ever lacks. */
export function parseJournal(file: string, text: string): ReadJournal | null {
  const lines = text.split('\n').flatMap((line) => parseLine(line) ?? []);
  const [header, ...rest] = lines;
  if (header?.type !== 'plan') return null;
  if (header.schemaVersion > 1) {
    throw new EnvironmentError(`${file} was written by a newer mcp-deploy; nothing was changed.`, {
      why: `Its format is ${header.schemaVersion}; this mcp-deploy reads 1.`,
      next: 'Run the command with the version that wrote it; see: mcp-deploy --version',
    });
  }
  const empty: JournalState = { file, header, begun: [], undone: new Set(), ending: null };
  return { state: rest.reduce(withLine, empty), endsCleanly: text.endsWith('\n') };
}

/** A journal without an ending, or an uninstall that was committed but whose folder is still there. */
export function isUnfinished(state: JournalState): boolean {
  return state.ending === null || (state.ending === 'commit' && state.header.plan.purpose === 'uninstall');
}

function parseLine(line: string): JournalLine | null {
  try {
    return JSON.parse(line) as JournalLine;
  } catch {
    return null;
  }
}

function withLine(state: JournalState, line: JournalLine): JournalState {
  switch (line.type) {
    case 'begin':
      return { ...state, begun: [...state.begun, line] };
    case 'undone':
      return { ...state, undone: new Set([...state.undone, line.index]) };
    case 'commit':
    case 'rolled-back':
      return { ...state, ending: line.type };
    case 'plan':
    case 'done':
    case 'leftover':
      return state;
  }
}
