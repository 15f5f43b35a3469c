import { join } from 'node:path';
import { EnvironmentError } from '../deployment/errors.ts';
import type { Owner } from '../plan/action.ts';
import { parseAccounts, parseGroups, serviceComment, type Account } from '../plan/accounts.ts';
import { runCommand } from './run-command.ts';
import type { PreImage } from './pre-images.ts';
import type { ApplyPorts, FileOwner, FileSystem } from './ports.ts';

/** The account of a name, or null. */
export async function readAccount(files: Pick<FileSystem, 'read'>, user: string): Promise<Account | null> {
  return parseAccounts(await readText(files, '/etc/passwd')).find(({ name }) => name === user) ?? null;
}

/** The numbers of an owner. @throws EnvironmentError when there is no such user or group */
export async function readOwner(files: Pick<FileSystem, 'read'>, owner: Owner): Promise<FileOwner> {
  const uid = (await readAccount(files, owner.user))?.uid;
  const gid = parseGroups(await readText(files, '/etc/group')).get(owner.group);
  if (uid !== undefined && gid !== undefined) return { uid, gid };
  throw new EnvironmentError(`There is no ${uid === undefined ? `user ${owner.user}` : `group ${owner.group}`} here.`, {
    why: 'The files of the service belong to it.',
    next: 'Run the command again: apply makes it when it is missing.',
  });
}

/** Makes a system user that cannot log in, with its group. @param account its former numbers, when it is put back */
export async function ensureUser(
  { user, home }: { readonly user: string; readonly home: string },
  ports: ApplyPorts,
  account: Account | null = null,
): Promise<'made' | 'there'> {
  if ((await readAccount(ports.files, user)) !== null) return 'there';
  const hasGroup = parseGroups(await readText(ports.files, '/etc/group')).has(user);
  if (!hasGroup) {
    const number = account === null ? [] : ['--gid', String(account.gid)];
    await runCommand(['groupadd', '--system', ...number, user], ports);
  }
  await runCommand(
    [
      'useradd',
      '--system',
      ...(account === null ? [] : ['--uid', String(account.uid)]),
      '--gid',
      user,
      '--no-create-home',
      '--home-dir',
      home,
      '--shell',
      '/usr/sbin/nologin',
      '--comment',
      serviceComment,
      user,
    ],
    ports,
  );
  return 'made';
}

/** Removes a user and its group, and their lines from the copies of these files. No error when it is gone already. */
export async function removeUser(user: string, ports: ApplyPorts): Promise<void> {
  if ((await readAccount(ports.files, user)) !== null) await runCommand(['userdel', user], ports);
  if (parseGroups(await readText(ports.files, '/etc/group')).has(user)) await runCommand(['groupdel', user], ports);
  for (const { copy } of accountFiles) {
    const text = await readText(ports.files, copy);
    const rest = withoutUser(text, user);
    if (rest !== text) await ports.files.overwrite(copy, rest);
  }
}

/** What the programs that change accounts keep of each file as it was before (shadow(5)). */
const accountFiles = ['/etc/passwd', '/etc/group', '/etc/shadow', '/etc/gshadow'].map((file) => ({
  file,
  copy: `${file}-`,
}));

/** The copies that making or removing a user changes beside the accounts themselves. */
export const accountCopies: readonly string[] = accountFiles.map(({ copy }) => copy);

/**
 * Puts the copies back as they were before a user was made or removed; those that somebody else has changed since stay. To be
 * called when the accounts are as they were.
 */
export async function restoreAccountCopies(
  user: string,
  images: readonly PreImage[],
  folder: string,
  files: FileSystem,
): Promise<void> {
  for (const { file, copy } of accountFiles) {
    const image = images.find(({ path }) => path === copy);
    const now = await readText(files, copy);
    const isOurs = withoutUser(now, user) === withoutUser(await readText(files, file), user);
    if (!isOurs || image === undefined) continue;
    if (image.kind === 'absent') await files.removeFile(copy);
    if (image.kind !== 'file') continue;
    const bytes = await files.read(join(folder, image.copy));
    if (bytes !== null) await files.overwrite(copy, bytes);
  }
}

function withoutUser(text: string, user: string): string {
  return text
    .split('\n')
    .filter((line) => !line.startsWith(`${user}:`))
    .join('\n');
}

async function readText(files: Pick<FileSystem, 'read'>, path: string): Promise<string> {
  return (await files.read(path))?.toString('utf8') ?? '';
}
