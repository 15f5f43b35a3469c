import { fork, type ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { createRestartPolicy, STABLE_AFTER_MS } from '../backends/restart-policy.ts';
import type { Log } from '../observe/log.ts';
import type { FromWorker, StartMessage, ToWorker } from './messages.ts';
import { workerArgument } from './worker-argument.ts';

/** Where one worker is in its life. `waiting`: it has ended and is to be started again. */
export type SlotState = 'starting' | 'ready' | 'leaving' | 'waiting' | 'ended';

/** Why a worker that was starting is not there. */
export interface FailedStart {
  readonly text: string;
  readonly exitCode: number;
}

export interface SlotEvents {
  /** Asked at each start: what it is told may have changed. */
  startMessage(slot: number): StartMessage;
  ready(slot: WorkerSlot): void;
  message(slot: WorkerSlot, message: FromWorker): void;
  /** It has ended; its counters are lost from here on. */
  ended(slot: WorkerSlot): void;
  /** It ended before it was ready. `broken`: so often in a row that it is not tried again for a while. */
  failedToStart(slot: WorkerSlot, why: FailedStart, broken: boolean): void;
}

export interface SlotOptions {
  /** What is run as the worker; this file's bundle without it. */
  readonly program?: string;
  readonly beatMs?: number;
}

/** A worker that takes longer than this to start is started anew. */
const startWithinMs = 60_000;
const defaultBeatMs = 1_000;
/** One that answers this late gets new connections only when all others are late too. */
const beatsToBeLate = 2;
/**
 * Beats are counted, not time: when the whole machine stood still (a paused container, a laptop that slept), nobody was
 * asked meanwhile. Long enough for the largest body that may be parsed in one go.
 */
const beatsToBeHung = 15;

/** One place for a worker: starts it, starts it again when it ends, with growing pauses. */
export class WorkerSlot {
  readonly number: number;
  state: SlotState = 'waiting';
  restarts = 0;
  /** Connections that were handed to it and are still open, as far as is known. */
  connections = 0;
  /** What it said of its counters the last time. */
  lastMetrics = '';

  readonly #events: SlotEvents;
  readonly #log: Log;
  readonly #program: string;
  readonly #beatMs: number;
  readonly #policy = createRestartPolicy(Math.random);
  #child: ChildProcess | null = null;
  #refusal: FailedStart | null = null;
  #timer: NodeJS.Timeout | null = null;
  #stable: NodeJS.Timeout | null = null;
  #beats: NodeJS.Timeout | null = null;
  #unanswered = 0;
  #stopping = false;
  readonly #untaken = new Set<() => void>();

  constructor(number: number, events: SlotEvents, log: Log, options: SlotOptions = {}) {
    this.number = number;
    this.#events = events;
    this.#log = log.child({ worker: number });
    this.#program = options.program ?? fileURLToPath(import.meta.url);
    this.#beatMs = options.beatMs ?? defaultBeatMs;
  }

  /** It has not said anything for a while: it is very busy, or hangs. */
  get isLate(): boolean {
    return this.#unanswered >= beatsToBeLate;
  }

  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  start(): void {
    this.state = 'starting';
    this.#refusal = null;
    this.connections = 0;
    const child = fork(this.#program, [workerArgument], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#child = child;
    this.#timer = setTimeout(() => child.kill('SIGKILL'), startWithinMs);
    child.on('message', (message: FromWorker) => this.#take(message));
    // What cannot be sent any more is lost with the worker; its end says so.
    child.on('error', (error) => this.#log.debug('worker.channel', { error }));
    child.once('exit', (code, signal) => this.#onExit(child, code, signal));
    this.send(this.#events.startMessage(this.number));
  }

  /** What cannot be sent is lost with the worker, whose end is told. */
  send(message: ToWorker): void {
    if (this.#child?.connected === true) this.#child.send(message);
  }

  /**
   * Hands a connection over. `untaken` is called when the worker ends before it could be sent: it is as it was then, and
   * may be given to another one. Node sends the next only when the worker has taken the one before, and forgets what
   * waits for that when the worker ends, without a word to anybody.
   */
  handOver(message: ToWorker, socket: Socket, untaken: () => void): void {
    this.#untaken.add(untaken);
    if (this.#child?.connected !== true) return;
    this.#child.send(message, socket, {}, (error) => {
      this.#untaken.delete(untaken);
      if (error !== null) socket.destroy();
    });
  }

  /** It is not started again. Says so to the worker; `now` without waiting for its calls. */
  stop(now: boolean): void {
    this.#stopping = true;
    if (this.state === 'waiting') {
      this.#clearTimers();
      this.state = 'ended';
    }
    this.send({ kind: now ? 'stop-now' : 'drain' });
  }

  kill(): void {
    this.#stopping = true;
    this.#child?.kill('SIGKILL');
  }

  #take(message: FromWorker): void {
    this.#unanswered = 0;
    if (message.kind === 'ready') {
      this.#clearTimers();
      this.state = 'ready';
      this.#beats = setInterval(() => this.#beat(), this.#beatMs).unref();
      this.#stable = setTimeout(() => this.#policy.onStable(), STABLE_AFTER_MS).unref();
      this.#events.ready(this);
    } else if (message.kind === 'leaving') {
      this.state = 'leaving';
    } else if (message.kind === 'closed') {
      this.connections = Math.max(0, this.connections - message.connections);
    } else if (message.kind === 'refused') {
      this.#refusal = message;
    } else if (message.kind !== 'beat') {
      this.#events.message(this, message);
    }
  }

  /** Whatever it says is a sign of life, so a busy worker is asked for nothing else. */
  #beat(): void {
    if (this.#unanswered >= beatsToBeHung) {
      this.#log.error('worker.hung', { unansweredBeats: this.#unanswered, pid: this.pid });
      this.#child?.kill('SIGKILL');
      return;
    }
    this.#unanswered++;
    this.send({ kind: 'beat' });
  }

  #onExit(child: ChildProcess, code: number | null, signal: NodeJS.Signals | null): void {
    if (this.#child !== child) return;
    const failed = this.state === 'starting';
    this.#child = null;
    this.#clearTimers();
    this.state = this.#stopping ? 'ended' : 'waiting';
    this.#events.ended(this);
    closeUnconfirmed(child);
    const untaken = [...this.#untaken];
    this.#untaken.clear();
    for (const giveBack of untaken) giveBack();
    if (this.#stopping) return;
    const how = signal === null ? `with exit code ${code}` : `by ${signal}`;
    const { retryAt, broken } = this.#policy.onEnded(Date.now(), failed);
    const inMs = Math.max(0, retryAt - Date.now());
    this.#log.error('worker.ended', { how, startsAgainInMs: inMs, duringStart: failed });
    this.#timer = setTimeout(() => {
      this.restarts++;
      this.start();
    }, inMs);
    if (failed) {
      const why = this.#refusal ?? { text: `error   A worker ended ${how} before it could serve\n`, exitCode: 70 };
      this.#events.failedToStart(this, why, broken);
    }
  }

  #clearTimers(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#stable !== null) clearTimeout(this.#stable);
    if (this.#beats !== null) clearInterval(this.#beats);
    this.#timer = null;
    this.#stable = null;
    this.#beats = null;
    this.#unanswered = 0;
  }
}

/**
 * Closes the one connection that was sent and not confirmed. Node (20 to 24) would do so when the channel closes, but waits
 * with that for the confirmation, which a worker that ended never sends: its client would wait for ever.
 */
function closeUnconfirmed(child: ChildProcess): void {
  const pending: unknown = Reflect.get(child, '_pendingMessage');
  if (typeof pending !== 'object' || pending === null || !('handle' in pending)) return;
  const { handle } = pending;
  if (typeof handle === 'object' && handle !== null && 'close' in handle && typeof handle.close === 'function') {
    handle.close();
    Reflect.set(child, '_pendingMessage', null);
  }
}
