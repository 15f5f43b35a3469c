import { exportKey } from './entry-text.ts';
import type { SnippetOptions } from './types.ts';

/** For programs that read the key from the environment they are started in. */
export function keyFromEnvironment(title: string, options: SnippetOptions): readonly string[] {
  const { keyFile, keyVariable } = options;
  if (keyFile === null) return [];
  return [`Set the key where ${title} is started: ${exportKey(keyVariable, keyFile).join('; ')}`];
}

/** For windows programs: what the shell exports does not reach them when they are started from the desktop. */
export function startFromShell(title: string, command: string, options: SnippetOptions): readonly string[] {
  if (options.keyFile === null) return [];
  return [
    `Start ${title} from that shell (${command}): one started from the desktop does not see ${options.keyVariable}.`,
  ];
}

/** For programs that trust what the operating system trusts. */
export function caInSystemStore(title: string, options: SnippetOptions): readonly string[] {
  if (options.caFile === null) return [];
  return [`${title} trusts what the operating system trusts: add ${options.caFile} to its certificate store.`];
}

/** For programs that read the CA from a variable, once, at their start. */
export function caFromEnvironment(title: string, variable: string, options: SnippetOptions): readonly string[] {
  if (options.caFile === null) return [];
  return [`${title} reads ${variable} once, when it starts: set it to ${options.caFile} there.`];
}
