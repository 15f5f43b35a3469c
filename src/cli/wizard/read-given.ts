import { resolve } from 'node:path';
import { UserError } from '../../deployment/errors.ts';
import { nearestWord } from '../../deployment/nearest-word.ts';
import type { CommandContext } from '../context.ts';
import { readFlags } from '../decide-wanted.ts';
import { textFlag, type FlagValues } from '../flag-values.ts';
import { type AnswersFile, type GivenAnswers } from './answers.ts';
import { certificateKinds, profileIds, type CertificateKind, type ProfileId } from './profile-ids.ts';
import { parseAnswers } from './parse-answers.ts';
import { judgeEmail, judgeNames, judgeServerName, splitNames } from './questions.ts';

/** What flags and the answers file say; a flag goes before the file. */
export interface Given {
  readonly answers: GivenAnswers;
  readonly apply: boolean | null;
  readonly out: string | null;
  readonly remarks: readonly string[];
}

/** Reads the flags of `init` and the file of --answers. @throws UserError for what cannot be, with its flag or line */
export async function readGiven(context: CommandContext, options: FlagValues): Promise<Given> {
  const file = await readAnswersFile(context, textFlag(options, 'answers'));
  const flags = readAnswerFlags(context, options);
  const { version: _version, apply = null, out = null, ...answers } = file ?? { version: 1 };
  // A flag that was not given says nothing.
  const said = Object.fromEntries(Object.entries(flags.answers).filter(([, value]) => value !== undefined));
  const apart = flags.answers.url === undefined && flags.answers.command === undefined;
  const { command: _command, url: _url, env: _env, headers: _headers, ...others } = answers;
  return {
    answers: { ...(apart ? answers : others), ...said },
    apply: typeof options['apply'] === 'boolean' ? options['apply'] : apply,
    out: textFlag(options, 'out') ?? out,
    remarks: flags.remarks,
  };
}

async function readAnswersFile(context: CommandContext, name: string | undefined): Promise<AnswersFile | null> {
  if (name === undefined) return null;
  const path = resolve(context.world.cwd, name);
  const bytes = await context.ports.files.read(path).catch((error: unknown) => {
    throw new UserError(`${name} cannot be read.`, {
      why: error instanceof Error ? error.message : String(error),
      next: 'mcp-deploy init --answers FILE',
      cause: error,
    });
  });
  if (bytes === null) {
    throw new UserError(`${name} is not there.`, { next: `mcp-deploy init --write-answers ${name}` });
  }
  return parseAnswers(bytes.toString('utf8'), { file: name, env: context.world.env });
}

function readAnswerFlags(
  context: CommandContext,
  options: FlagValues,
): Pick<Given, 'remarks'> & { answers: GivenAnswers } {
  // The variables of --env need not be set here: they are when the server starts, perhaps as another user.
  const env = Array.isArray(options['env']) ? (options['env'] as string[]) : undefined;
  const flags = readFlags(context, { ...options, env: undefined });
  for (const variable of env ?? []) {
    if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(variable)) continue;
    throw new UserError(`--env ${variable.replace(/=.*/s, '=…')} is not the name of an environment variable.`, {
      why: 'Give the name only; the value is read from the environment when the server starts and is never written.',
      next: `--env ${variable.split('=')[0] ?? 'NAME'}`,
    });
  }
  const judged = <T>(name: string, flag: string, read: (text: string) => T): T | undefined => {
    const text = textFlag(options, name);
    if (text === undefined) return undefined;
    try {
      return read(text);
    } catch (error) {
      if (error instanceof UserError) throw error;
      throw new UserError(`${flag} ${text} cannot be used.`, {
        why: error instanceof Error ? error.message : String(error),
        next: 'mcp-deploy init --help',
        cause: error,
      });
    }
  };
  const upstream = flags.upstream?.settings;
  return {
    remarks: flags.remarks,
    answers: {
      profile: judged('profile', '--profile', (text) => readWord<ProfileId>('--profile', text, profileIds)),
      name: flags.name ?? undefined,
      listen: flags.listen ?? undefined,
      names: judged('names', '--names', (text) => (refuse(judgeNames(text)), splitNames(text))),
      serverName: judged('serverName', '--server-name', (text) => (refuse(judgeServerName(text)), text)),
      certificate: judged('certificate', '--certificate', (text) =>
        readWord<CertificateKind>('--certificate', text, certificateKinds),
      ),
      email: judged('email', '--email', (text) => (refuse(judgeEmail(text)), text)),
      agreeTos: options['agreeTos'] === true ? true : undefined,
      certificateFile: textFlag(options, 'certificateFile'),
      keyFile: textFlag(options, 'keyFile'),
      image: textFlag(options, 'image'),
      // commander makes --no-keys the false of `keys`, which is true when nothing was said.
      keys: options['keys'] === false ? false : undefined,
      command: context.serverCommand ?? undefined,
      env,
      ...(upstream !== undefined && 'url' in upstream ? { url: upstream.url, headers: upstream.headers ?? {} } : {}),
    },
  };
}

function refuse(judgement: true | string): void {
  if (judgement !== true) throw new Error(judgement);
}

function readWord<Word extends string>(flag: string, text: string, known: readonly Word[]): Word {
  const found = known.find((word) => word === text);
  if (found !== undefined) return found;
  const near = nearestWord(text, known);
  throw new UserError(`${flag} ${text} is not known.`, {
    why: `There is ${known.join(', ')}.`,
    next: near === null ? 'mcp-deploy init --list-profiles' : `${flag} ${near}`,
  });
}
