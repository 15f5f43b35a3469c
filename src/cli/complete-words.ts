import type { CommandFact, FlagFact } from './describe-program.ts';
import { certificateKinds, profileIds } from './wizard/profile-ids.ts';

/** Words that are only known on this machine. */
export interface KnownWords {
  readonly clients: readonly string[];
  readonly targets: readonly string[];
  readonly codes: readonly string[];
  /** First parts of the codes. */
  readonly categories: readonly string[];
  readonly labels: readonly string[];
}

export interface Completion {
  readonly word: string;
  readonly description: string;
}

/** `files` stands for what the shell knows better: names of files. */
export type Completions = { readonly words: readonly Completion[] } | 'files';

/** What can stand in place of the last of these words, which follow `mcp-deploy`. */
export function completeWords(program: CommandFact, words: readonly string[], known: KnownWords): Completions {
  // Behind -- stands the user's own command.
  if (words.slice(0, -1).includes('--')) return 'files';
  const typed = words.at(-1) ?? '';
  if (words[0] === 'help' && words.length === 2) return matching(childrenOf(program), typed);
  let command = program;
  let taken = 0;
  let open: FlagFact | null = null;
  for (const word of words.slice(0, -1)) {
    if (open !== null) {
      open = null;
      continue;
    }
    if (word.startsWith('-')) {
      const flag = word.includes('=') ? undefined : command.flags.find(({ names }) => names.includes(word));
      open = flag?.takesValue === true ? flag : null;
      continue;
    }
    const child: CommandFact | undefined =
      taken === 0 ? command.children.find(({ words: path }) => path.at(-1) === word) : undefined;
    if (child === undefined) taken += 1;
    else command = child;
  }
  if (open !== null) return valuesOf(open, known, typed);
  if (typed.startsWith('-')) {
    return matching(
      command.flags.flatMap(({ names, description }) =>
        names.filter((name) => name.startsWith('--')).map((word) => ({ word, description })),
      ),
      typed,
    );
  }
  if (taken === 0 && command.children.length > 0) return matching(childrenOf(command), typed);
  return argumentsOf(command, taken, typed, known);
}

function childrenOf(command: CommandFact): Completion[] {
  return command.children.map(({ words, summary }) => ({ word: words.at(-1) ?? '', description: summary }));
}

function argumentsOf(command: CommandFact, taken: number, typed: string, known: KnownWords): Completions {
  const last = command.arguments.at(-1);
  const name = command.arguments[taken] ?? (last?.endsWith('...') === true ? last : undefined);
  const plain = (list: readonly string[]): Completions =>
    matching(
      list.map((word) => ({ word, description: '' })),
      typed,
    );
  switch (name?.replace('...', '')) {
    case undefined:
      return { words: [] };
    case 'client':
      return plain([...known.clients, ...(command.words.includes('print') ? ['server.json'] : [])]);
    case 'target':
      return plain(known.targets);
    case 'code':
      return plain(known.codes);
    case 'label':
      return plain(command.words.includes('create') ? [] : known.labels);
    case 'shell':
      return plain(['bash', 'zsh', 'fish']);
    default:
      return 'files';
  }
}

function valuesOf(flag: FlagFact, known: KnownWords, typed: string): Completions {
  if (flag.names.includes('--only') || flag.names.includes('--skip')) {
    return { words: [...known.categories, ...known.codes].map((word) => ({ word, description: '' })) };
  }
  if (flag.names.includes('--era')) {
    return { words: ['modern', 'legacy', 'both'].map((word) => ({ word, description: '' })) };
  }
  if (flag.names.includes('--key')) return { words: known.labels.map((word) => ({ word, description: '' })) };
  const fixed = fixedWords[flag.names.at(-1) ?? ''];
  if (fixed !== undefined) {
    return matching(
      fixed.map((word) => ({ word, description: '' })),
      typed,
    );
  }
  return 'files';
}

/** Flags whose words are always the same. */
const fixedWords: Readonly<Record<string, readonly string[]>> = {
  '--profile': profileIds,
  '--certificate': certificateKinds,
};

function matching(list: readonly Completion[], typed: string): Completions {
  return { words: list.filter(({ word }) => word.startsWith(typed)) };
}
