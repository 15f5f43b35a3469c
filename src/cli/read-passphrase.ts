import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { EnvironmentError, UserError } from '../deployment/errors.ts';
import type { CommandContext } from './context.ts';
import { textFlag, type FlagValues } from './flag-values.ts';

const mostBytes = 65_536;

/**
 * A passphrase from --passphrase-file, --passphrase-env or --passphrase-fd, or asked for. Never from the command line,
 * where every other user of the machine could read it.
 * @throws UserError when nobody can be asked, naming the flags.
 */
export async function readPassphrase(
  context: CommandContext,
  options: FlagValues,
  /** "the key of the CA", behind "Passphrase for". */
  what: string,
  ask: { readonly twice: boolean } = { twice: false },
): Promise<string> {
  const given = givenPassphrase(context, options);
  if (given !== null) return given;
  if (!context.interactive) {
    throw new UserError(`There is no passphrase for ${what}, and nobody can be asked.`, {
      why: 'There is no terminal here. A passphrase on the command line could be read by every user of this machine.',
      next: 'Give --passphrase-file FILE, --passphrase-env NAME or --passphrase-fd NUMBER.',
    });
  }
  const { password } = await import('@inquirer/prompts');
  const terminal = { signal: context.signal, output: context.world.stderr };
  const first = await password({ message: `Passphrase for ${what}`, mask: true, validate: notEmpty }, terminal);
  if (ask.twice) {
    const same = (text: string): true | string => text === first || 'It is another one than the first.';
    await password({ message: 'The same once more', mask: true, validate: same }, terminal);
  }
  return first;
}

/** The passphrase that a flag names, or null when none does. */
export function givenPassphrase(context: CommandContext, options: FlagValues): string | null {
  const [file, variable, fd] = ['passphraseFile', 'passphraseEnv', 'passphraseFd'].map((name) =>
    textFlag(options, name),
  );
  if ([file, variable, fd].filter((each) => each !== undefined).length > 1) {
    throw new UserError('There is more than one source for the passphrase.', {
      next: 'Give one of --passphrase-file, --passphrase-env and --passphrase-fd.',
    });
  }
  if (file !== undefined) return usable(readBounded(resolve(context.world.cwd, file), file), `The file ${file}`);
  if (variable !== undefined) {
    const value = context.world.env[variable];
    if (value === undefined)
      throw new UserError(`The environment has no variable ${variable}.`, { next: `export ${variable}` });
    return usable(value, `The variable ${variable}`);
  }
  if (fd === undefined) return null;
  if (!/^\d{1,4}$/.test(fd))
    throw new UserError(`--passphrase-fd ${fd} is not a number.`, { next: '--passphrase-fd 3 3<FILE' });
  return usable(readBounded(Number(fd), `file descriptor ${fd}`), `File descriptor ${fd}`);
}

function readBounded(source: string | number, shown: string): string {
  try {
    const bytes = readFileSync(source);
    return bytes.length > mostBytes ? '' : bytes.toString('utf8');
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'it cannot be read';
    throw new EnvironmentError(`No passphrase could be read from ${shown}.`, {
      why: code === 'ENOENT' ? 'There is no such file.' : `The system says ${code}.`,
      next: 'Check the file and its permissions.',
    });
  }
}

/** Editors end a file with a line feed, which is no part of the passphrase. */
function usable(text: string, what: string): string {
  const passphrase = text.replace(/\r?\n$/, '');
  if (passphrase !== '' && !passphrase.includes('\n') && passphrase.length <= 1_024) return passphrase;
  throw new UserError(`${what} holds no usable passphrase.`, {
    why: 'A passphrase is one line of 1 to 1024 characters.',
    next: 'Put it there, alone on one line.',
  });
}

function notEmpty(text: string): true | string {
  return text !== '' || 'It is empty.';
}
