import { pathsTouchedBy } from '../plan/action.ts';
import type { Step } from '../plan/types.ts';
import { accountCopies } from './accounts.ts';
import { handOverSocketOf, type FileSystem } from './ports.ts';

/**
 * The paths whose state is captured before a step. Beside those of the action
 * these are the server's pid and log file where they do not exist yet: a
 * server that starts makes them, and an undo must leave nothing. A log that
 * exists is left as it grows: what the failed server said is worth keeping.
 * A user is made by programs that keep copies of the files they change.
 */
export async function pathsToCapture(step: Step, files: FileSystem): Promise<readonly string[]> {
  const paths = [...pathsTouchedBy(step.action)];
  if (step.action.type === 'start-server') {
    const { logFile, pidFile } = step.action;
    for (const path of [logFile, pidFile, handOverSocketOf(pidFile)]) {
      if ((await files.stat(path)) === null) paths.push(path);
    }
  }
  if (step.action.type === 'ensure-user' || step.action.type === 'remove-user') {
    for (const path of accountCopies) {
      const stat = await files.stat(path);
      if (stat === null || stat.kind === 'file') paths.push(path);
    }
  }
  return paths;
}

/** The server files of a step that starts or stops it, else null. */
export function serverFilesOf(step: Step): { readonly pidFile: string } | null {
  const { action } = step;
  return action.type === 'start-server' || action.type === 'stop-server' || action.type === 'replace-server'
    ? { pidFile: action.pidFile }
    : null;
}
