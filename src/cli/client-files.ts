import { homedir } from 'node:os';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { EnvironmentError, UserError } from '../deployment/errors.ts';
import { SettingsSyntaxError } from '../clients/json-settings.ts';
import { userSettingsPath } from '../clients/settings-path.ts';
import { placeOf } from '../clients/text-edits.ts';
import type { McpClient } from '../clients/types.ts';
import type { CommandContext } from './context.ts';

/** A settings file of a client as it is now. */
export interface SettingsFile {
  /** As the client's owner knows it. */
  readonly path: string;
  /** Where its bytes are: behind links, which stay. */
  readonly target: string;
  /** Without byte order mark; null when there is no file. */
  readonly text: string | null;
  readonly byteOrderMark: boolean;
  readonly mode: number | null;
}

/** The file before the last change, beside it. */
export function backupPath(path: string): string {
  return `${path}.mcp-deploy-backup`;
}

/** The settings file for a user, or for a project; null when this client has none there. */
export function settingsPath(context: CommandContext, client: McpClient, project: boolean): string | null {
  const { cwd, env } = context.world;
  if (project) return client.files.project === null ? null : join(context.baseDir, client.files.project);
  const found = userSettingsPath(client, { platform: process.platform, home: env['HOME'] ?? homedir(), env });
  return found === null ? null : resolve(cwd, found);
}

/** Reads a settings file. @throws UserError when it is not UTF-8, EnvironmentError when it cannot be read. */
export async function readSettingsFile(context: CommandContext, path: string): Promise<SettingsFile> {
  const { files } = context.ports;
  const target = await followLinks(context, path);
  const bytes = await files.read(target);
  if (bytes === null) return { path, target, text: null, byteOrderMark: false, mode: null };
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new UserError(`${path} is not UTF-8 text; nothing was changed.`, {
      next: 'Save it as UTF-8 and run the command again, or paste the entry: mcp-deploy client print',
      cause: error,
    });
  }
  const byteOrderMark = text.startsWith('\uFEFF');
  const mode = (await files.stat(target))?.mode ?? 0o600;
  return { path, target, text: byteOrderMark ? text.slice(1) : text, byteOrderMark, mode };
}

/** The text that a settings file had before its last change, or null. */
export async function readBackup(context: CommandContext, path: string): Promise<string | null> {
  const bytes = await context.ports.files.read(backupPath(path));
  return bytes === null ? null : bytes.toString('utf8').replace(/^\uFEFF/, '');
}

/**
 * Writes a settings file, all or nothing, after a backup of what is there. Mode and links stay.
 * @throws EnvironmentError when the file was changed by somebody else since it was read.
 */
export async function writeSettingsFile(
  context: CommandContext,
  file: SettingsFile,
  text: string,
  privately: boolean,
): Promise<void> {
  const { files } = context.ports;
  const now = await readSettingsFile(context, file.path);
  if (now.text !== file.text) {
    throw new EnvironmentError(`${file.path} was changed by another program just now; nothing was written.`, {
      next: 'Run the command again.',
    });
  }
  await makeFolders(context, dirname(file.target), privately ? 0o700 : 0o755);
  if (file.text !== null) await files.writeAtomic(backupPath(file.path), bytesOf(file, file.text), 0o600);
  await files.writeAtomic(file.target, bytesOf(file, text), file.mode ?? (privately ? 0o600 : 0o644));
}

/** Takes a settings file of our making away again, and a backup that says no more than the file. */
export async function putBackAsItWas(context: CommandContext, file: SettingsFile, text: string | null): Promise<void> {
  const { files } = context.ports;
  if (text === null) await files.removeFile(file.target);
  else await files.writeAtomic(file.target, bytesOf(file, text), file.mode ?? 0o600);
  await files.removeFile(backupPath(file.path));
}

/** Runs what reads settings; broken ones become a UserError with file:line:column. */
export function readingSettings<T>(file: SettingsFile, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof SettingsSyntaxError)) throw error;
    const place = `${file.path}:${placeOf(file.text ?? '', error.offset)}`;
    throw new UserError(`${place} cannot be read: ${error.message}.`, {
      why: 'Nothing was changed: an edit of a file that is not understood could lose what is in it.',
      next: 'Mend it there and run the command again.',
      cause: error,
    });
  }
}

/** A path as people write it: under the current folder, or from home. */
export function showPath(context: CommandContext, path: string): string {
  const { cwd, env } = context.world;
  const near = relative(cwd, path);
  if (near !== '' && !near.startsWith('..')) return near;
  const home = env['HOME'] ?? homedir();
  return path.startsWith(home + sep) ? `~${path.slice(home.length)}` : path;
}

function bytesOf(file: SettingsFile, text: string): string {
  return `${file.byteOrderMark ? '\uFEFF' : ''}${text}`;
}

/** Dotfiles are often links into a repository: the file at their end is what is edited. */
async function followLinks(context: CommandContext, path: string): Promise<string> {
  let target = path;
  for (let links = 0; links < 40; links += 1) {
    const found = await context.ports.files.stat(target);
    if (found?.kind === 'directory' || found?.kind === 'other') {
      throw new UserError(`${target} is not a file.`, { next: 'Name the settings file with --settings FILE.' });
    }
    if (found?.kind !== 'link' || found.target === undefined) return target;
    target = resolve(dirname(target), found.target);
  }
  throw new UserError(`${path} is a link that leads in a circle.`, { next: `See: ls -l ${path}` });
}

/** Only what is not there is made, so that no folder of theirs changes its mode. */
async function makeFolders(context: CommandContext, folder: string, mode: number): Promise<void> {
  const { files } = context.ports;
  const missing: string[] = [];
  for (let each = folder; (await files.stat(each)) === null && dirname(each) !== each; each = dirname(each)) {
    missing.unshift(each);
  }
  for (const each of missing) await files.makeDirectory(each, mode);
}
