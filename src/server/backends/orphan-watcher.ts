import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { MARKER_VARIABLE } from './process-tree.ts';

/**
 * Marker prefix of this server process. A child's marker is `PREFIX-NUMBER`,
 * so that one child's tree and the trees of all of them can be told.
 */
export const instanceMarker: string = randomBytes(9).toString('hex');

/**
 * Tells the watcher of a child's process group. The watcher is one `/bin/sh` that reads from a pipe; when this
 * process ends in whatever way, SIGKILL included, the pipe ends, and it kills
 * the groups it was told and, on Linux, every process with our marker.
 */
export function watchGroup(pid: number): void {
  groups.add(pid);
  if (watcher === null) startWatcher();
  else tell(`+ ${pid}\n`);
}

/** Starts the watcher before the first child, so that there is no moment without one. */
export function prepareWatcher(): void {
  if (watcher === null) startWatcher();
}

/** The group has ended: its number may belong to somebody else from now on. */
export function unwatchGroup(pid: number): void {
  if (groups.delete(pid)) tell(`- ${pid}\n`);
}

const groups = new Set<number>();
let watcher: ChildProcess | null = null;
let startsLeft = 10;

/**
 * Signals that reach the whole terminal group must not end the watcher before
 * the server. The two spellings of kill: dash knows a group only after -s and --,
 * others only without. The marked ones are looked for several times, because they may
 * start others while they are being killed.
 */
const script = `trap '' HUP INT TERM PIPE
groups=
while read -r op pid; do
  case $op in
    +) groups="$groups $pid" ;;
    -) rest=; for g in $groups; do [ "$g" = "$pid" ] || rest="$rest $g"; done; groups=$rest ;;
  esac
done
for g in $groups; do kill -s TERM -- "-$g" || kill -TERM "-$g"; done
[ -z "$groups" ] || sleep 0.5 || sleep 1
for g in $groups; do kill -s KILL -- "-$g" || kill -KILL "-$g"; done
[ -r /proc/self/environ ] || exit 0
for pass in 1 2 3 4 5; do
  found=
  for file in $(grep -lsF -- "$1" /proc/[0-9]*/environ); do
    pid=\${file#/proc/}
    found=1
    kill -s KILL "\${pid%/environ}"
  done
  [ -n "$found" ] || exit 0
done
`;

function startWatcher(): void {
  if (process.platform === 'win32' || startsLeft === 0) return;
  startsLeft--;
  const child = spawn('/bin/sh', ['-c', script, 'mcp-deploy-watcher', `${MARKER_VARIABLE}=${instanceMarker}-`], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    cwd: '/',
    env: { PATH: '/usr/bin:/bin:/usr/sbin:/sbin' },
  });
  watcher = child;
  const gone = (): void => {
    if (watcher !== child) return;
    watcher = null;
    // Somebody killed it; without /bin/sh there is none, and nothing to start again.
    if (child.pid !== undefined && groups.size > 0) startWatcher();
  };
  child.on('exit', gone);
  child.on('error', gone);
  child.stdin?.on('error', () => {});
  // The watcher lives as long as this process, but never keeps it alive.
  child.unref();
  (child.stdin as unknown as { unref?: () => void } | null)?.unref?.();
  for (const pid of groups) tell(`+ ${pid}\n`);
}

function tell(line: string): void {
  if (watcher?.stdin?.writable === true) watcher.stdin.write(line);
}
