import { randomUUID } from 'node:crypto';
import { basename, join } from 'node:path';
import { EnvironmentError } from '../deployment/errors.ts';
import { sha256Of } from './pre-images.ts';
import { makeStateFolder, removeEmptyStateFolder } from './state-folder.ts';
import { temporaryFileOf } from './temporary-file.ts';
import type { ApplyPorts } from './ports.ts';

/** Who is changing this deployment: the content of the lock file. */
export interface LockHolder {
  readonly pid: number;
  /** Tells the holder from a later process of the same pid. */
  readonly identity: string;
  readonly hostName: string;
  readonly purpose: string;
  /** ISO 8601, UTC. */
  readonly since: string;
  /** Makes every taking of the lock a text of its own. */
  readonly nonce: string;
}

export interface Lock {
  /** Gives it back; may be called twice and never throws. Removes the state folder when nothing but the lock was in it. */
  release(): Promise<void>;
}

export interface LockOptions {
  readonly ports: Pick<ApplyPorts, 'files' | 'processes' | 'clock'>;
  readonly stateDir: string;
  /** What it is taken for, as it is shown to whoever has to wait. */
  readonly purpose: string;
  /** How long to wait for a holder that lives; 0 by default. */
  readonly waitMs?: number;
  readonly signal?: AbortSignal;
  /** Told once for each holder that is waited for. */
  readonly onWait?: (holder: string) => void;
}

const pollMs = 25;
/** A lock file without readable content is being written, or was left by a crash on a disk without hard links. */
const tornAfterMs = 2_000;
/** Clearing away what a dead process left takes milliseconds; whoever does it longer hangs. */
const clearingMs = 10_000;
const mostAttempts = 20;

/**
 * Takes the lock of a deployment, `.mcp-deploy/lock`. A lock whose process has
 * ended is taken over.
 *
 * @throws EnvironmentError (exit 3) that says who holds it, since when and what to do
 */
export async function acquireLock(options: LockOptions): Promise<Lock> {
  const { ports, stateDir } = options;
  const { files, clock, processes } = ports;
  const path = join(stateDir, 'lock');
  const { pid, identity, hostName } = processes.self;
  const holder: LockHolder = {
    pid,
    identity,
    hostName,
    purpose: options.purpose,
    since: clock.now(),
    nonce: randomUUID(),
  };
  const content = `${JSON.stringify(holder)}\n`;
  const isFirst = (await files.stat(stateDir)) === null;
  const giveUpAt = clock.elapsed() + (options.waitMs ?? 0);
  let toldOf: string | null = null;
  const clearedBy = clock.elapsed() + clearingMs;

  try {
    for (;;) {
      options.signal?.throwIfAborted();
      const attempt = await tryTake(path, content, options);
      if (attempt.taken) break;
      // A lock that someone is just clearing away is waited for in any case: that takes a moment.
      const mayWait = clock.elapsed() < (attempt.reason === 'held' ? giveUpAt : Math.max(giveUpAt, clearedBy));
      if (!mayWait) throw heldBy(attempt.by, path);
      if (attempt.reason === 'held' && attempt.by !== null && attempt.by.nonce !== toldOf) {
        toldOf = attempt.by.nonce;
        options.onWait?.(describeHolder(attempt.by));
      }
      await clock.sleep(pollMs, options.signal);
    }
  } catch (error) {
    if (isFirst) await removeEmptyStateFolder(files, stateDir).catch(() => {});
    throw error;
  }
  await removeClaims(files, stateDir).catch(() => {});

  let released = false;
  return {
    async release() {
      if (released) return;
      released = true;
      // Never in the way of what the command has to say: a lock that stays is taken over as soon as we have ended.
      await files.removeFile(path).catch(() => {});
      await removeEmptyStateFolder(files, stateDir).catch(() => {});
    },
  };
}

type Attempt =
  | { readonly taken: true }
  /** `held`: by a process that lives. `clearing`: its holder is dead, and another process is just taking it over. */
  | { readonly taken: false; readonly reason: 'held' | 'clearing'; readonly by: LockHolder | null };

/**
 * One attempt to create the file at `path` with our content, removing it first
 * when its owner is dead.
 *
 * Why not simply unlink and create: two processes that have both read the dead
 * lock would both unlink, and the slower one would unlink the fresh lock of
 * the quicker one. So a dead lock may be removed only by the process that
 * holds the *claim* on it, a file named after a hash of the lock's name and
 * text, which is unique (nonce) for every taking:
 *   1. create `lock.claim-HASH` exclusively (one winner for this very lock);
 *   2. read the lock again: if it is not that text any more, it was removed
 *      before we had the claim; drop the claim and start over;
 *   3. otherwise nobody else can remove it now, since the claim is ours and
 *      its owner is dead: remove it, drop the claim, and compete for a new one.
 * A claim whose owner died is taken over in the same way, by a claim on the
 * claim. Claims that a kill left behind name locks that will never be there
 * again, so whoever holds the lock may delete them.
 */
async function tryTake(path: string, content: string, options: LockOptions): Promise<Attempt> {
  const { files } = options.ports;
  if (await createInFolder(path, content, options)) return { taken: true };
  const text = await readText(files, path);
  // Given back between the two lines above: try again at once.
  if (text === null) return { taken: false, reason: 'clearing', by: null };
  const by = parseHolder(text);
  if (await isHeld(by, text, path, options)) return { taken: false, reason: 'held', by };

  const claim = join(options.stateDir, `lock.claim-${sha256Of(`${basename(path)}\n${text}`).slice(0, 24)}`);
  const claimed = await tryTake(claim, content, options);
  if (!claimed.taken) return { taken: false, reason: 'clearing', by: claimed.by ?? by };
  try {
    if ((await readText(files, path)) === text) await files.removeFile(path);
  } finally {
    await files.removeFile(claim);
  }
  return (await createInFolder(path, content, options))
    ? { taken: true }
    : { taken: false, reason: 'clearing', by: null };
}

/** The folder may vanish at any moment: whoever gives a lock back removes an empty folder. */
async function createInFolder(path: string, content: string, { ports, stateDir }: LockOptions): Promise<boolean> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await makeStateFolder(ports.files, stateDir);
      return await ports.files.createExclusive(path, content, 0o600);
    } catch (error) {
      if (!isMissing(error) || attempt >= mostAttempts) throw error;
    }
  }
}

function isMissing(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return ('code' in error && error.code === 'ENOENT') || isMissing(error.cause);
}

/** Whether someone who may still act holds the lock. On another machine of a shared disk nobody can tell, so it counts as held. */
async function isHeld(by: LockHolder | null, text: string, path: string, options: LockOptions): Promise<boolean> {
  const { files, processes, clock } = options.ports;
  if (by !== null) {
    if (by.hostName !== processes.self.hostName) return true;
    return (await processes.identity(by.pid)) === by.identity;
  }
  // Unreadable: dead only if it stays just so for a while, since no writer needs that long.
  const deadline = clock.elapsed() + tornAfterMs;
  while (clock.elapsed() < deadline) {
    await clock.sleep(pollMs, options.signal);
    if ((await readText(files, path)) !== text) return true;
  }
  return false;
}

async function readText(files: ApplyPorts['files'], path: string): Promise<string | null> {
  return (await files.read(path))?.toString('utf8') ?? null;
}

function parseHolder(text: string): LockHolder | null {
  try {
    const value = JSON.parse(text) as Partial<LockHolder> | null;
    return typeof value?.pid === 'number' && typeof value.identity === 'string' && typeof value.hostName === 'string'
      ? (value as LockHolder)
      : null;
  } catch {
    return null;
  }
}

async function removeClaims(files: ApplyPorts['files'], stateDir: string): Promise<void> {
  for (const name of await files.list(stateDir)) {
    if (!name.startsWith('lock.claim-') || name.endsWith(temporaryFileOf(''))) continue;
    await files.removeFile(join(stateDir, name));
  }
}

function heldBy(by: LockHolder | null, path: string): EnvironmentError {
  if (by === null) {
    return new EnvironmentError('Another mcp-deploy is changing this deployment.', {
      why: `It has just taken ${path}.`,
      next: 'Run the command again in a moment.',
    });
  }
  return new EnvironmentError('Another mcp-deploy is changing this deployment.', {
    why: `${describeHolder(by)}.`,
    next: `Wait until it has ended (--wait 60), or see what it does: ps -p ${by.pid} -o pid,etime,args\nIf ${by.hostName} is another machine that no longer works on it: rm ${path}`,
  });
}

function describeHolder({ pid, hostName, purpose, since }: LockHolder): string {
  const at = since.replace('T', ' ').replace(/\..*$/, '');
  return `Process ${pid} on ${hostName} holds the lock since ${at} UTC, for "${purpose}"`;
}
