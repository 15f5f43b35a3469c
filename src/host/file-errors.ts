import { dirname } from 'node:path';
import { EnvironmentError, ExplainedError } from '../deployment/errors.ts';

/** Whether an error, or the error that caused it, carries one of these system codes. */
export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  const code = systemCode(error);
  return code !== null && codes.includes(code);
}

/** `ENOENT` and the like, also through an explained error; null when there is none. */
function systemCode(error: unknown): string | null {
  if (!(error instanceof Error)) return null;
  if ('code' in error && typeof error.code === 'string') return error.code;
  return error.cause === undefined ? null : systemCode(error.cause);
}

/** Turns what the system says about a path into what a person can act on; anything else passes unchanged. */
export function explainFileError(error: unknown, verb: string, path: string): unknown {
  const code = systemCode(error);
  if (error instanceof ExplainedError || !(error instanceof Error) || code === null || !('syscall' in error))
    return error;
  const folder = dirname(path);
  const { why, next } = reasonOf(code, error, path, folder);
  return new EnvironmentError(`Cannot ${verb} ${path}.`, { why, next, cause: error });
}

function reasonOf(code: string, error: Error, path: string, folder: string): { why: string; next: string } {
  switch (code) {
    case 'ENOSPC':
      return { why: 'The disk is full.', next: `Free some space, see: df -h ${folder}` };
    case 'EDQUOT':
      return { why: 'Your disk quota is used up.', next: 'Free some space, see: quota -s' };
    case 'EACCES':
    case 'EPERM':
      return {
        why: `This user (${userName()}) has no permission to do that.`,
        next: `Run the command as the owner, or change it; see: ls -ld ${folder} ${path}`,
      };
    case 'EROFS':
      return {
        why: 'The file system is mounted read-only.',
        next: `Choose another folder, or remount it; see: findmnt -T ${folder}`,
      };
    case 'ENOTDIR':
      return {
        why: 'A part of this path is a file, not a folder.',
        next: `Move that file away; see: ls -ld ${folder}`,
      };
    case 'EISDIR':
      return { why: 'There is a folder of that name.', next: `Move that folder away; see: ls -ld ${path}` };
    case 'ENOENT':
      return { why: `The folder ${folder} does not exist.`, next: `Make it: mkdir -p ${folder}` };
    case 'ELOOP':
      return { why: 'There are symbolic links in a circle on this path.', next: `See: namei ${path}` };
    case 'EMFILE':
    case 'ENFILE':
      return { why: 'Too many files are open.', next: 'Raise the limit and run the command again; see: ulimit -n' };
    default:
      return { why: `The system says: ${error.message}.`, next: 'Mend that and run the command again.' };
  }
}

function userName(): string {
  return process.env['USER'] ?? `uid ${process.getuid?.() ?? '?'}`;
}
