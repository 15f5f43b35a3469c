import { brokenReferenceIn, variablesIn } from './fill-variables.ts';
import type { SettingPath } from './setting-path.ts';

/** A setting of the right shape that cannot work, or is not safe. The message follows the path. */
export interface MeaningProblem {
  readonly path: SettingPath;
  readonly at?: 'key' | 'value';
  readonly message: string;
  readonly hint?: string;
}

/** Headers that the protocol and the connection are made of. */
export const ownHeaders: ReadonlySet<string> = new Set(
  'accept accept-encoding connection content-length content-type host keep-alive last-event-id mcp-method mcp-name mcp-protocol-version mcp-session-id te trailer transfer-encoding upgrade'.split(
    ' ',
  ),
);

export function judgeFilePath(path: SettingPath, text: string): MeaningProblem[] {
  return judgeNul(path, text);
}

/** The authority of an https server that is called. */
export function judgeCaFile(path: SettingPath, caFile: string | undefined, url: URL): MeaningProblem[] {
  if (caFile === undefined) return [];
  const problems = judgeFilePath(path, caFile);
  if (url.protocol === 'https:') return problems;
  const message = 'is of no use with an http: URL';
  return [{ path, at: 'key', message, hint: 'write https:, or leave it out' }, ...problems];
}

/**
 * Arguments are passed as written: some programs fill ${NAME} themselves, and what is
 * filled here every user of the machine could read. One that is nothing but a reference is a misunderstanding.
 */
export function judgeArgument(path: SettingPath, text: string): MeaningProblem[] {
  const [name] = variablesIn(text);
  if (name === undefined || !/^(?:-{1,2}[A-Za-z0-9-]+=)?\$\{[^{}]*\}$/.test(text)) return judgeNul(path, text);
  const message = 'is passed as written: what is filled in here, every user of the machine could read';
  const hint =
    path.at(-1) === 'command' ? 'write the program out' : `let the program read it: env: { ${name}: "\${${name}}" }`;
  return [{ path, message, hint }];
}

export function judgeNul(path: SettingPath, text: string): MeaningProblem[] {
  return text.includes('\0') ? [{ path, message: 'must not hold a NUL character' }] : [];
}

export function judgeReferences(path: SettingPath, text: string): MeaningProblem[] {
  if (brokenReferenceIn(text) === null) return [];
  return [
    {
      path,
      message: 'has a ${ that starts no variable',
      hint: 'write ${NAME} or ${NAME:-default}, and $${ for the two characters themselves',
    },
  ];
}
