import { execa } from 'execa';
import { EnvironmentError } from '../deployment/errors.ts';

export interface ChildProcessFact {
  readonly pid: number;
  /** Its command line, shortened. */
  readonly name: string;
}

/**
 * The processes that a process has started itself, oldest first; `ps` knows them on every system.
 * @throws EnvironmentError where there is no ps
 */
export async function childrenOf(parent: number): Promise<readonly ChildProcessFact[]> {
  const ran = await execa('ps', ['-A', '-o', 'pid=,ppid=,stat=,args='], { reject: false });
  if (ran.failed) {
    throw new EnvironmentError('The processes of this machine cannot be listed.', {
      why: 'There is no program ps.',
      next: 'Install it: on Debian the package procps.',
    });
  }
  return ran.stdout.split('\n').flatMap((line) => {
    const [, pid, ppid, state = '', args = ''] = /^ *(\d+) +(\d+) +(\S+) +(.*)$/.exec(line) ?? [];
    // What has ended and was not yet taken note of does nothing any more.
    if (Number(ppid) !== parent || state.startsWith('Z')) return [];
    return [{ pid: Number(pid), name: args.length > 60 ? `${args.slice(0, 59)}…` : args }];
  });
}
