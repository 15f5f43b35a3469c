import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, isAbsolute, join, resolve } from 'node:path';
import { nearestWord } from '../../deployment/nearest-word.ts';

export type FoundCommand =
  | { readonly kind: 'found'; readonly path: string }
  /** One or two sentences for a person: what was looked for, where, and what may have been meant. */
  | { readonly kind: 'missing'; readonly sentence: string };

/** Programs that MCP servers are usually started with. */
const launchers = [
  'npx',
  'node',
  'npm',
  'pnpm',
  'bun',
  'bunx',
  'deno',
  'uvx',
  'uv',
  'python',
  'python3',
  'pipx',
  'docker',
  'podman',
  'go',
  'java',
  'ruby',
  'dotnet',
  'php',
  'sh',
  'bash',
] as const;

/**
 * Looks a command up as a shell would: a name on `PATH` of the child's
 * environment, anything with a slash relative to its folder. Reads the file
 * system; throws nothing.
 */
export function findCommand(command: string, cwd: string, searchPath: string, pathExtensions: string): FoundCommand {
  if (!isFolder(cwd)) return { kind: 'missing', sentence: `The folder to start it in does not exist: ${cwd}.` };
  if (command.includes('/') || isAbsolute(command)) {
    const path = resolve(cwd, command);
    if (isProgram(path)) return { kind: 'found', path };
    return { kind: 'missing', sentence: explainPath(command, path) };
  }
  const folders = searchPath.split(delimiter).filter((folder) => folder !== '');
  const found = searchFolders(command, folders, pathExtensions);
  if (found !== null) return { kind: 'found', path: found };
  return { kind: 'missing', sentence: explainName(command, cwd, folders, pathExtensions) };
}

function searchFolders(command: string, folders: readonly string[], pathExtensions: string): string | null {
  const extensions = pathExtensions === '' ? [''] : ['', ...pathExtensions.split(';')];
  for (const folder of folders) {
    for (const extension of extensions) {
      const path = join(folder, command + extension);
      if (isProgram(path)) return path;
    }
  }
  return null;
}

function explainPath(command: string, path: string): string {
  if (isFolder(path)) return `${command} is a folder, not a program.`;
  if (exists(path)) return `${path} exists but may not be executed; chmod +x it, or start it with its interpreter.`;
  return `There is no program at ${path}.`;
}

function explainName(command: string, cwd: string, folders: readonly string[], pathExtensions: string): string {
  const searched =
    folders.length === 0
      ? 'PATH is empty'
      : `searched ${folders.length} ${folders.length === 1 ? 'folder' : 'folders'} of PATH`;
  const words = command.trim().split(/\s+/);
  if (words.length > 1) {
    return `Command not found: "${command}" (${searched}). Give the program and its arguments apart: command ${words[0]}, args ${words.slice(1).join(', ')}.`;
  }
  if (exists(resolve(cwd, command))) {
    return `Command not found: ${command} (${searched}). A file of that name lies in ${cwd}; write ./${command} to start it.`;
  }
  const installed = launchers.filter((name) => searchFolders(name, folders, pathExtensions) !== null);
  const near = nearestWord(command, installed);
  const hint = near === null ? 'Install it, or give its full path.' : `Did you mean ${near}?`;
  return `Command not found: ${command} (${searched}). ${hint}`;
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function isFolder(path: string): boolean {
  return kindOf(path) === 'folder';
}

function exists(path: string): boolean {
  return kindOf(path) !== 'nothing';
}

function kindOf(path: string): 'folder' | 'other' | 'nothing' {
  try {
    return statSync(path).isDirectory() ? 'folder' : 'other';
  } catch {
    // Not there, or in a folder that may not be read: the same for a person who wants to start it.
    return 'nothing';
  }
}
