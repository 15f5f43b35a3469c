import { spawn, type ChildProcess, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StdioUpstream } from '../../deployment/stdio-upstream-schema.ts';
import { UPSTREAM_UNAVAILABLE, upstreamError } from './backend-errors.ts';
import { reasonOf, type Log } from './backend-log.ts';
import { shakeHands, type Hello } from './handshake.ts';
import { instanceMarker, prepareWatcher, unwatchGroup, watchGroup } from './orphan-watcher.ts';
import type { UnsentCall } from './pending-calls.ts';
import {
  MARKER_VARIABLE,
  readTree,
  readTreeMemory,
  signalGroup,
  signalTree,
  type ProcessTree,
} from './process-tree.ts';
import type { ClientInfo } from './request-text.ts';
import { readStderr } from './stderr-reader.ts';
import { openStdioConnection, type StdioConnection } from './stdio-connection.ts';

/** Everything that is the same for all children of one upstream. */
export interface ChildSpec {
  readonly name: string;
  readonly upstream: StdioUpstream;
  /** Absolute path of the program. */
  readonly program: string;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly clientInfo: ClientInfo;
  readonly maxLineBytes: number;
  readonly log: Log;
}

export interface InstanceEvents {
  readonly onUp: (hello: Hello) => void;
  /**
   * The child is no more, or could not start. Its calls have failed already;
   * `unsent` are those that never reached it. Called once, never after `end`.
   */
  readonly onEnded: (end: InstanceEnd) => void;
  readonly onNotification: (method: string, params: Record<string, unknown>) => void;
}

export interface InstanceEnd {
  readonly reason: string;
  /** Trying again will not help: the program cannot be executed at all. */
  readonly hopeless: boolean;
  readonly unsent: readonly UnsentCall[];
}

/** One child process, from spawn to the end of its tree. */
export interface StdioInstance {
  readonly connection: StdioConnection | null;
  readonly lastWords: readonly string[];
  /** Shakes hands with a child that was only started. */
  open(clientCapabilities: Record<string, unknown>): void;
  /** Resident memory of the child and all it has started; 0 where that cannot be told. */
  readMemoryBytes(): Promise<number>;
  /** It is of no use any more: its calls fail with the reason, and it ends with all it has started. */
  giveUp(reason: string): void;
  /** Ends the child and all it has started; resolves when nothing of it is left. */
  end(graceMs: number): Promise<void>;
}

/** Answers that are still in the pipe when a child exits get this long to be read. */
const lastAnswersMs = 50;
/** A child that closes a pipe has most often exited, and its exit code says more: that long is waited for it. */
const pipeClosedMs = 200;
let childrenStarted = 0;

/** Starts a child and shakes hands with it, or leaves that for later (null). Never throws; what happens is told by `events`. */
export function startInstance(
  spec: ChildSpec,
  clientCapabilities: Record<string, unknown> | null,
  events: InstanceEvents,
): StdioInstance {
  prepareWatcher();
  childrenStarted++;
  const marker = `${instanceMarker}-${childrenStarted}`;
  const failed = (error: NodeJS.ErrnoException): void => {
    const hopeless = isHopeless(error) || error.code?.startsWith('ERR_') === true;
    events.onEnded({ reason: explainSpawnError(error, spec.program), hopeless, unsent: [] });
  };
  let child: ChildProcess;
  try {
    child = spawn(spec.program, spec.upstream.args, {
      argv0: spec.upstream.command,
      cwd: spec.cwd,
      env: { ...spec.env, [MARKER_VARIABLE]: marker },
      stdio: ['pipe', 'pipe', 'pipe'],
      // Its own group, so that everything it starts can be ended with it.
      detached: process.platform !== 'win32',
      windowsHide: true,
    });
  } catch (error) {
    queueMicrotask(() => failed(error as NodeJS.ErrnoException));
    return neverStarted;
  }
  // Without file descriptors left (EMFILE) there is a child object, but no pipes.
  if (!hasPipes(child)) {
    child.once('error', failed);
    return neverStarted;
  }
  return new Instance(spec, child, marker, clientCapabilities, events);
}

const neverStarted: StdioInstance = {
  connection: null,
  lastWords: [],
  open() {},
  readMemoryBytes: () => Promise.resolve(0),
  giveUp() {},
  end: () => Promise.resolve(),
};

function hasPipes(child: ChildProcess): child is ChildProcessWithoutNullStreams {
  return Boolean(child.stdin) && Boolean(child.stdout) && Boolean(child.stderr);
}

class Instance implements StdioInstance {
  readonly connection: StdioConnection;
  readonly lastWords: readonly string[];
  readonly #spec: ChildSpec;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #tree: ProcessTree | null;
  readonly #events: InstanceEvents;
  readonly #exited: Promise<void>;
  #ended = false;
  #told = false;
  #stopping: Promise<void> | null = null;
  #unusable: string | null = null;

  constructor(
    spec: ChildSpec,
    child: ChildProcessWithoutNullStreams,
    marker: string,
    clientCapabilities: Record<string, unknown> | null,
    events: InstanceEvents,
  ) {
    this.#spec = spec;
    this.#child = child;
    this.#events = events;
    const { stdin, stdout, stderr } = child;
    this.#tree = child.pid === undefined ? null : { pid: child.pid, marker };
    if (this.#tree !== null) watchGroup(this.#tree.pid);
    this.lastWords = readStderr(stderr, spec.name, spec.log).lastWords;
    this.connection = openStdioConnection(stdin, stdout, {
      upstream: spec.name,
      log: spec.log,
      clientInfo: spec.clientInfo,
      callTimeoutMs: spec.upstream.callSeconds * 1_000,
      maxConcurrency: spec.upstream.maxConcurrency,
      maxLineBytes: spec.maxLineBytes,
      oneOwner: spec.upstream.instances !== 'shared',
      onNotification: events.onNotification,
      onInputClosed: (reason) => void setTimeout(() => this.giveUp(reason), pipeClosedMs).unref(),
      onUnusable: (reason) => this.giveUp(reason),
    });
    this.#exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        resolve();
        this.#onExit(code, signal);
      });
      child.once('error', (error: NodeJS.ErrnoException) => {
        if (child.pid !== undefined) return;
        resolve();
        this.#finish(explainSpawnError(error, spec.program), isHopeless(error));
      });
    });
    stdout.once('close', () => {
      setTimeout(() => this.giveUp('it closed its standard output'), pipeClosedMs).unref();
    });
    if (clientCapabilities !== null) this.open(clientCapabilities);
  }

  open(clientCapabilities: Record<string, unknown>): void {
    if (this.#tree !== null) void this.#shakeHands(clientCapabilities);
  }

  readMemoryBytes(): Promise<number> {
    return this.#tree === null ? Promise.resolve(0) : readTreeMemory(this.#tree, this.#leads());
  }

  async #shakeHands(clientCapabilities: Record<string, unknown>): Promise<void> {
    const { name, log, upstream, clientInfo } = this.#spec;
    try {
      const hello = await shakeHands(this.connection, clientInfo, clientCapabilities, upstream.startSeconds * 1_000);
      if (this.#ended || this.#unusable !== null || this.#stopping !== null) return;
      log.info('upstream-up', { upstream: name, pid: this.#child.pid, era: hello.era, server: hello.serverInfo?.name });
      this.#events.onUp(hello);
    } catch (error) {
      this.giveUp(reasonOf(error));
    }
  }

  end(graceMs: number): Promise<void> {
    this.#told = true;
    this.#stopping ??= this.#stop(graceMs);
    return this.#stopping;
  }

  giveUp(reason: string): void {
    if (this.#unusable !== null || this.#ended) return;
    this.#unusable = reason;
    this.#tell({ reason, hopeless: false, unsent: this.connection.close(reason) });
    this.end(2_000).catch(() => {});
  }

  #onExit(code: number | null, signal: NodeJS.Signals | null): void {
    const how = signal === null ? `it exited with code ${code}` : `it was ended by ${signal}`;
    const { stdout } = this.#child;
    this.connection.holdWrites();
    if (stdout.readableEnded) {
      this.#finish(how, false);
      return;
    }
    // What it answered last may still be in the pipe; a grandchild may hold the pipe open for ever.
    const timer = setTimeout(() => this.#finish(how, false), lastAnswersMs);
    stdout.once('end', () => {
      clearTimeout(timer);
      this.#finish(how, false);
    });
  }

  #finish(how: string, hopeless: boolean): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#tell({ reason: how, hopeless, unsent: this.connection.close(how) });
    // Orphans of a crash go as well.
    this.end(1_000).catch(() => {});
  }

  #tell(end: InstanceEnd): void {
    if (this.#told) return;
    this.#told = true;
    this.#events.onEnded(end);
  }

  async #stop(graceMs: number): Promise<void> {
    const tree = this.#tree;
    for (const { call } of this.connection.close('it is being stopped')) {
      const { name } = this.#spec;
      call.onError(upstreamError(UPSTREAM_UNAVAILABLE, name, `The upstream "${name}" is being stopped.`, 'not run'));
    }
    this.#child.stdin.end();
    if (tree === null) return;
    const known = await readTree(tree, this.#leads());
    const startedAt = Date.now();
    if (await this.#exitsWithin(Math.min(1_000, graceMs / 2))) {
      // A polite child takes its own children along; the rest of them get a short time to do the same.
      if (await this.#isGoneWithin(tree, 100)) return this.#release(tree);
    }
    if (this.#leads()) signalGroup(tree.pid, 'SIGTERM');
    await signalTree(tree, this.#leads(), 'SIGTERM', known);
    if (await this.#exitsWithin(Math.max(50, graceMs - (Date.now() - startedAt)))) {
      if (await this.#isGoneWithin(tree, 300)) return this.#release(tree);
    }
    if (this.#leads()) signalGroup(tree.pid, 'SIGKILL');
    // Several looks: a process may start another one while it is being killed.
    for (let look = 0; look < 10; look++) {
      if ((await signalTree(tree, this.#leads(), 'SIGKILL', known)) === 0) break;
      await sleep(20);
    }
    this.#release(tree);
  }

  /** Its number is its own only until it has exited. */
  #leads(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  #release(tree: ProcessTree): void {
    unwatchGroup(tree.pid);
    this.#child.stdout.destroy();
    this.#child.stderr.destroy();
  }

  async #exitsWithin(limitMs: number): Promise<boolean> {
    const clock = new AbortController();
    const exited = this.#exited.then(() => true);
    const tooLate = sleep(limitMs, false, { signal: clock.signal }).catch(() => false);
    const result = await Promise.race([exited, tooLate]);
    clock.abort();
    return result;
  }

  async #isGoneWithin(tree: ProcessTree, limitMs: number): Promise<boolean> {
    const deadline = Date.now() + limitMs;
    for (;;) {
      if ((await readTree(tree, this.#leads())).length === 0) return true;
      if (Date.now() >= deadline) return false;
      await sleep(20);
    }
  }
}

function isHopeless(error: NodeJS.ErrnoException): boolean {
  return ['ENOENT', 'EACCES', 'ENOEXEC', 'EPERM', 'ENOTDIR', 'E2BIG'].includes(error.code ?? '');
}

function explainSpawnError(error: NodeJS.ErrnoException, program: string): string {
  const { code } = error;
  if (code === 'ENOENT') return `${program} cannot be started: the interpreter in its first line (#!) is missing`;
  if (code === 'EACCES' || code === 'EPERM') return `${program} may not be executed by this user`;
  if (code === 'ENOEXEC') return `${program} is no program for this machine, or a script without #! in its first line`;
  return `${program} cannot be started: ${error.message}`;
}
