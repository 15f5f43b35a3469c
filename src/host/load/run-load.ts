import { setMaxListeners } from 'node:events';
import { describeNetworkFailure } from '../../doctor/network-failure.ts';
import { LatencyRecord, type LatencyBucket, type LatencyFigures } from './latency-record.ts';
import { openConnection, type LoadConnection, type LoadTarget } from './post-message.ts';
import {
  judgeAnswer,
  readRpcAnswer,
  renderInitialize,
  renderWork,
  type Era,
  type MessageTemplate,
  type Work,
} from './rpc-texts.ts';

/** A load, and where it ends. */
export interface LoadPlan {
  readonly era: Era;
  readonly work: Work;
  readonly connections: number;
  /** Whichever comes first ends it. */
  readonly durationMs: number;
  readonly maxCalls: number;
  /** Calls a second that are due; null: as many as the connections carry. */
  readonly ratePerSecond: number | null;
  /** Not counted, so that programs and connections are warm. */
  readonly warmUpMs: number;
  /** Pause after a first failure, doubled with each further one; 10 unless told otherwise. */
  readonly pauseMs?: number;
}

export interface LoadResult {
  readonly era: Era;
  readonly connections: number;
  readonly seconds: number;
  /** Right answers. */
  readonly calls: number;
  readonly callsPerSecond: number;
  readonly latency: LatencyFigures | null;
  readonly buckets: readonly LatencyBucket[];
  /** Calls that went wrong, by what went wrong. */
  readonly errors: Readonly<Record<string, number>>;
  /** Calls that a limit refused (429): neither right nor wrong. */
  readonly rateLimited: number;
  /** What a refusal said, the first time. */
  readonly limitWords: string | null;
  /** Calls whose answer was not there at the end. */
  readonly unanswered: number;
  /** Share of the time that this program itself was busy, 0 to 1. */
  readonly busy: number;
  readonly ended: 'duration' | 'calls' | 'interrupted' | 'failures';
}

/** A connection that failed so often one after another has nothing to find out any more. */
const failuresInARow = 20;
const mostErrorKinds = 30;
const longestPauseMs = 1_000;
/** How long answers in flight are waited for at the end. */
const lastAnswersMs = 2_000;

/**
 * Calls an endpoint over so many connections, each with one call at a time, and checks every answer. With a rate, latency
 * counts from when a call was due, so that a server that falls behind cannot hide it. Ends early, with what it has, when
 * the signal says so and when nothing is answered right any more. Never rejects for what the server does.
 */
export async function runLoad(target: LoadTarget, plan: LoadPlan, signal: AbortSignal): Promise<LoadResult> {
  const latency = new LatencyRecord();
  const errors = new Map<string, number>();
  const ending = new AbortController();
  const stopping = AbortSignal.any([signal, ending.signal]);
  let calls = 0;
  let rateLimited = 0;
  let limitWords: string | null = null;
  let unanswered = 0;
  let started = 0;
  let ended: LoadResult['ended'] = 'duration';
  let nextId = 1;
  const startMs = performance.now();
  const countFromMs = startMs + plan.warmUpMs;
  const endMs = countFromMs + plan.durationMs;
  let busyBefore = performance.eventLoopUtilization();
  let lastMs = countFromMs;
  let stuck = 0;
  let scheduled = 0;
  setMaxListeners(0, stopping);
  const warmUp = setTimeout(() => {
    busyBefore = performance.eventLoopUtilization();
  }, plan.warmUpMs);
  const cut = setTimeout(() => ending.abort(), endMs - startMs + lastAnswersMs);

  const fail = (kind: string): void => {
    const known = errors.has(kind) || errors.size < mostErrorKinds ? kind : 'other';
    errors.set(known, (errors.get(known) ?? 0) + 1);
  };
  const end = (why: LoadResult['ended']): void => {
    if (ended === 'duration') ended = why;
    if (why !== 'calls') ending.abort();
  };
  /** When the next call is due; null when there is none any more. */
  const nextDue = (): number | null => {
    const now = performance.now();
    if (stopping.aborted || now >= endMs) return null;
    if (started >= plan.maxCalls) {
      end('calls');
      return null;
    }
    if (plan.ratePerSecond === null) {
      if (now >= countFromMs) started++;
      return now;
    }
    const due = startMs + (scheduled++ * 1_000) / plan.ratePerSecond;
    if (due >= endMs) return null;
    if (due >= countFromMs) started++;
    return due;
  };

  async function work(connection: LoadConnection): Promise<void> {
    let message: MessageTemplate | null = plan.era === 'modern' ? renderWork('modern', plan.work, null) : null;
    let sessionId: string | null = null;
    let failures = 0;
    for (let due = nextDue(); due !== null; due = nextDue()) {
      const waitMs = due - performance.now();
      if (waitMs > 0) await sleep(waitMs, stopping);
      if (stopping.aborted) break;
      const counted = due >= countFromMs;
      const from = plan.ratePerSecond === null ? performance.now() : due;
      const id = nextId++;
      try {
        if (message === null) {
          sessionId = await openSession(connection, stopping);
          message = renderWork('legacy', plan.work, sessionId);
        }
        const answer = await connection.post(message, id, stopping);
        if (answer.status === 429) {
          limitWords ??= wordsOfRefusal(answer.body);
          if (counted) rateLimited++;
          failures = 0;
          // A rate is the user's word; without one, a limiter is not asked as quickly as a machine can.
          if (plan.ratePerSecond === null)
            await sleep(Math.min(longestPauseMs, answer.retryAfterSeconds * 1_000 || 100), stopping);
          continue;
        }
        const problem =
          answer.status === 200
            ? judgeAnswer(readRpcAnswer(answer.type, answer.body, id), plan.work)
            : `HTTP ${answer.status}`;
        if (problem === null) {
          failures = 0;
          if (counted) {
            calls++;
            lastMs = performance.now();
            latency.add(lastMs - from);
          }
          continue;
        }
        if (counted) fail(problem);
        // The session is gone: the next call opens another.
        if (answer.status === 404 && plan.era === 'legacy') message = null;
      } catch (error) {
        if (stopping.aborted) {
          if (counted) unanswered++;
          break;
        }
        if (counted) fail(error instanceof SessionRefused ? error.message : describeFailure(error));
      }
      failures++;
      if (failures >= failuresInARow) {
        stuck++;
        break;
      }
      // A server that refuses at once is not asked as quickly as a machine can.
      await sleep(Math.min((plan.pauseMs ?? 10) * 2 ** Math.min(failures, 7), longestPauseMs), stopping);
    }
    if (sessionId !== null) await connection.endSession(sessionId);
  }

  const connections = Array.from({ length: plan.connections }, () => openConnection(target));
  try {
    await Promise.all(connections.map(work));
  } finally {
    clearTimeout(warmUp);
    clearTimeout(cut);
    for (const connection of connections) connection.close();
  }
  if (signal.aborted) ended = 'interrupted';
  else if (stuck === plan.connections) ended = 'failures';
  // Of a load that ran its time, the time; of one that was ended, up to its last answer.
  const seconds = Math.max(0, (ended === 'duration' ? Math.max(endMs, lastMs) : lastMs) - countFromMs) / 1_000;
  return {
    era: plan.era,
    connections: plan.connections,
    seconds: Math.round(seconds * 1_000) / 1_000,
    calls,
    callsPerSecond: seconds > 0 ? Math.round((calls / seconds) * 10) / 10 : 0,
    latency: latency.figures(),
    buckets: latency.buckets(),
    errors: Object.fromEntries([...errors].toSorted(([, a], [, b]) => b - a)),
    rateLimited,
    limitWords,
    unanswered,
    busy: Math.round(performance.eventLoopUtilization(busyBefore).utilization * 100) / 100,
    ended,
  };
}

class SessionRefused extends Error {}

async function openSession(connection: LoadConnection, signal: AbortSignal): Promise<string | null> {
  const { status, type, body, sessionId } = await connection.post(renderInitialize(), 0, signal);
  if (status !== 200 || readRpcAnswer(type, body, 0)?.['result'] === undefined) {
    throw new SessionRefused(`HTTP ${status} for initialize`);
  }
  const headers = {
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
    'mcp-protocol-version': '2025-11-25',
    ...(sessionId === null ? {} : { 'mcp-session-id': sessionId }),
  };
  const initialized = { parts: ['{"jsonrpc":"2.0","method":"notifications/initialized"}'], headers };
  await connection.post(initialized, null, signal);
  return sessionId;
}

function describeFailure(error: unknown): string {
  const { kind, code } = describeNetworkFailure(error);
  if (kind === 'timed-out') return 'no answer in time';
  return code === null ? kind : `${kind} (${code})`;
}

/** The sentence of a problem document, without anything that a terminal would obey. */
function wordsOfRefusal(body: string): string {
  try {
    const { detail } = JSON.parse(body) as { detail?: unknown };
    if (typeof detail === 'string') return detail.replace(/\p{Cc}/gu, ' ').slice(0, 200);
  } catch {
    // Other servers say it in other forms.
  }
  return 'Too Many Requests';
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end, { once: true });
  });
}
