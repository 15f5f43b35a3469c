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

/** A worker that takes longer than this to start is started anew. */
const startWithinMs = 60_000;

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
  readonly #policy = createRestartPolicy(Math.random);
  #child: ChildProcess | null = null;
  #refusal: FailedStart | null = null;
  #timer: NodeJS.Timeout | null = null;
  #stable: NodeJS.Timeout | null = null;
  #stopping = false;

  constructor(number: number, events: SlotEvents, log: Log) {
    this.number = number;
    this.#events = events;
    this.#log = log.child({ worker: number });
  }

  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  start(): void {
    this.state = 'starting';
    this.#refusal = null;
    this.connections = 0;
    const child = fork(fileURLToPath(import.meta.url), [workerArgument], {
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

  /** `done` is called when the worker has it, or never will. */
  send(message: ToWorker, socket?: Socket, done?: (error: Error | null) => void): void {
    const child = this.#child;
    if (child === null || !child.connected) done?.(new Error('the worker is not there'));
    else child.send(message, socket, {}, done);
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
    if (message.kind === 'ready') {
      this.#clearTimers();
      this.state = 'ready';
      this.#stable = setTimeout(() => this.#policy.onStable(), STABLE_AFTER_MS).unref();
      this.#events.ready(this);
    } else if (message.kind === 'leaving') {
      this.state = 'leaving';
    } else if (message.kind === 'closed') {
      this.connections = Math.max(0, this.connections - message.connections);
    } else if (message.kind === 'refused') {
      this.#refusal = message;
    } else {
      this.#events.message(this, message);
    }
  }

  #onExit(child: ChildProcess, code: number | null, signal: NodeJS.Signals | null): void {
    if (this.#child !== child) return;
    const failed = this.state === 'starting';
    this.#child = null;
    this.#clearTimers();
    this.state = this.#stopping ? 'ended' : 'waiting';
    this.#events.ended(this);
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
    this.#timer = null;
    this.#stable = null;
  }
}
