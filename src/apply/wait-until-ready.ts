import { EnvironmentError } from '../deployment/errors.ts';
import type { Action } from '../plan/action.ts';
import type { ActContext } from './act.ts';
import { describeLogTail, printable } from './log-lines.ts';
import { readUnitWords, showUnit } from './units.ts';

const pollMs = 50;
/** An upstream that was down this often on the way up will not come up in this run. */
const mostFailures = 3;

type WaitAction = Extract<Action, { type: 'wait-until-ready' }>;

/** Something that is starting, and how to look at it. */
export interface Starting {
  /** What its readiness page answers; null when nothing does. */
  readonly ask: () => Promise<{ readonly status: number; readonly body: string } | null>;
  readonly isGone: () => Promise<boolean>;
  /** Whether what answers is what was started. */
  readonly isTheOne: () => Promise<boolean>;
  /** Its last words, and where the others are. */
  readonly words: () => Promise<readonly string[]>;
  readonly where: string;
  /** Name of the page. */
  readonly page: string;
  readonly timeoutMs: number;
}

/**
 * Waits for /readyz to answer 200. Fails as soon as waiting is of no use: the
 * server is gone, or every upstream has failed for good or three times.
 *
 * @throws EnvironmentError that names what is in the way, with its last words
 */
export async function waitUntilReady(action: WaitAction, context: ActContext): Promise<string> {
  const { endpoint, files } = context.ports;
  const caPem = action.caFile === undefined ? null : ((await files.read(action.caFile))?.toString('utf8') ?? null);
  return waitForStarting(
    {
      ask: () => endpoint.ready(action.readyUrl, caPem),
      isGone: () => isGone(action, context),
      isTheOne: () => hasConfig(action, context),
      words: () => readWordsSinceStart(action, context),
      where:
        action.unit === undefined
          ? action.logFile
          : `the journal: journalctl ${action.manager === undefined ? '' : '--user '}--unit ${action.unit}`,
      page: action.readyUrl,
      timeoutMs: action.timeoutMs,
    },
    context,
  );
}

/** The same for anything that has such a page. */
export async function waitForStarting(
  starting: Starting,
  context: Pick<ActContext, 'ports' | 'signal' | 'onDoing'>,
): Promise<string> {
  const { clock } = context.ports;
  const startedAt = clock.elapsed();
  const judge = judgeUpstreams();
  let last: Readiness | null = null;

  for (;;) {
    context.signal.throwIfAborted();
    if (await starting.isGone()) throw await serverGone(starting);

    const answer = await starting.ask();
    if (answer !== null) {
      if (answer.status === 200 && (await starting.isTheOne()))
        return `ready in ${Math.round(clock.elapsed() - startedAt)} ms`;
      last = parseReadiness(answer.body);
      const hopeless = judge(last);
      if (hopeless !== null) throw hopeless;
    }
    const waitedMs = clock.elapsed() - startedAt;
    context.onDoing(describeWait(last), waitedMs);
    if (waitedMs >= starting.timeoutMs) throw await timedOut(starting, answer?.status ?? null, last);
    await clock.sleep(pollMs, context.signal);
  }
}

/** Told of each answer of one /readyz that is not well yet: why waiting is of no use, and null while it is of use. */
export function judgeUpstreams(): (answer: Readiness) => EnvironmentError | null {
  const failures = new FailureCount();
  return ({ upstreams }) => {
    failures.note(upstreams);
    const hopeless = findHopeless(upstreams, failures);
    return hopeless === null ? null : upstreamFailed(hopeless);
  };
}

/** After a reload that was refused the server serves on, with what it had before. */
async function hasConfig({ configSha256, pidFile }: WaitAction, { ports }: ActContext): Promise<boolean> {
  if (configSha256 === undefined) return true;
  const noted = (await ports.files.read(pidFile))?.toString('utf8') ?? '';
  return noted.includes(configSha256);
}

/** A unit that was started anew this often does not come up. */
const mostRestarts = 3;

async function isGone({ unit, pidFile, manager }: WaitAction, { ports }: ActContext): Promise<boolean> {
  // launchd starts it again for ever; when that is of no use the time runs out.
  if (manager?.type === 'launchd') return false;
  if (unit === undefined) return (await ports.processes.serverState(pidFile)).state === 'stopped';
  const { ActiveState, NRestarts } = await showUnit(unit, ports, manager);
  return ActiveState === 'failed' || ActiveState === 'inactive' || Number(NRestarts ?? 0) >= mostRestarts;
}

function describeWait(last: Readiness | null): string {
  const slow = last?.upstreams.filter(({ state }) => state !== 'up').map(({ name }) => `"${name}"`) ?? [];
  if (slow.length === 0) return 'waiting for the server';
  return `waiting for ${slow.slice(0, 3).join(', ')} to start (a package may be downloading)`;
}

interface UpstreamReadiness {
  readonly name: string;
  readonly state: string;
  readonly reason: string | null;
  readonly lastWords: readonly string[];
  /** When it is tried again: another time is another failure. */
  readonly retryAt: string | null;
}

interface Readiness {
  readonly status: string;
  readonly upstreams: readonly UpstreamReadiness[];
}

/** Reads the body of /readyz; what cannot be read tells nothing, and waiting goes on. */
export function parseReadiness(body: string): Readiness {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    value = null;
  }
  const { status, upstreams } = (value ?? {}) as { status?: unknown; upstreams?: unknown };
  return {
    status: typeof status === 'string' ? status : 'unknown',
    upstreams: Array.isArray(upstreams) ? upstreams.map(parseUpstream) : [],
  };
}

function parseUpstream(value: unknown): UpstreamReadiness {
  const { name, state, reason, lastWords, retryAt } = (value ?? {}) as Record<string, unknown>;
  return {
    name: typeof name === 'string' ? name : '?',
    state: typeof state === 'string' ? state : 'unknown',
    reason: typeof reason === 'string' ? reason : null,
    lastWords: Array.isArray(lastWords) ? lastWords.filter((line) => typeof line === 'string').map(printable) : [],
    retryAt: typeof retryAt === 'string' ? retryAt : null,
  };
}

/** Counts how often each upstream went down: each time it is down anew, or will be tried at another time. */
class FailureCount {
  readonly #seen = new Map<string, { state: string; retryAt: string | null; failures: number }>();

  note(upstreams: readonly UpstreamReadiness[]): void {
    for (const { name, state, retryAt } of upstreams) {
      const before = this.#seen.get(name);
      const isNew = state === 'down' && (before?.state !== 'down' || before.retryAt !== retryAt);
      this.#seen.set(name, { state, retryAt, failures: (before?.failures ?? 0) + (isNew ? 1 : 0) });
    }
  }

  of(name: string): number {
    return this.#seen.get(name)?.failures ?? 0;
  }
}

/** The upstream to blame when none can come up any more; null while one may. One that is up is enough to serve. */
function findHopeless(upstreams: readonly UpstreamReadiness[], failures: FailureCount): UpstreamReadiness | null {
  const hopeless = upstreams.filter(
    ({ name, state }) => state === 'broken' || (state === 'down' && failures.of(name) >= mostFailures),
  );
  return hopeless.length === upstreams.length ? (hopeless[0] ?? null) : null;
}

function upstreamFailed({ name, reason, lastWords }: UpstreamReadiness): EnvironmentError {
  return new EnvironmentError(`The MCP server "${name}" does not start.`, {
    why: reason === null ? 'It ended every time it was started.' : sentence(reason),
    next: 'Run its command by hand, mend it, then run this command again.',
    excerpt: lastWords,
  });
}

async function serverGone(starting: Starting): Promise<EnvironmentError> {
  return new EnvironmentError('The server ended while it was starting.', {
    why: `Its last words are in ${starting.where}.`,
    next: 'Mend what it says there, then run this command again.',
    excerpt: await starting.words(),
  });
}

async function timedOut(starting: Starting, status: number | null, last: Readiness | null): Promise<EnvironmentError> {
  const seconds = Math.round(starting.timeoutMs / 100) / 10;
  const waiting = last?.upstreams.find(({ state }) => state !== 'up');
  if (waiting !== undefined) {
    return new EnvironmentError(`The MCP server "${waiting.name}" was not ready within ${seconds} s.`, {
      why:
        waiting.reason === null
          ? `It is still ${waiting.state}.`
          : `It is ${waiting.state}. ${sentence(waiting.reason)}`,
      next: `If it only needs longer, raise server.upstreams.${waiting.name}.startSeconds in mcp-deploy.yaml.`,
      excerpt: waiting.lastWords.length > 0 ? waiting.lastWords : await starting.words(),
    });
  }
  return new EnvironmentError(`The server was not ready within ${seconds} s.`, {
    why:
      status === null
        ? `It runs, and nothing answers at ${starting.page}.`
        : `${starting.page} answers ${status}${last === null ? '' : ` (${last.status})`}.`,
    next: 'mcp-deploy doctor',
    excerpt: await starting.words(),
  });
}

async function readWordsSinceStart(
  { logFile, unit, manager }: WaitAction,
  { ports, logStart }: ActContext,
): Promise<readonly string[]> {
  if (unit !== undefined && manager?.type !== 'launchd') {
    return describeLogTail((await readUnitWords(unit, ports, manager)).join('\n'));
  }
  const bytes = await ports.files.read(logFile).catch(() => null);
  return bytes === null ? [] : describeLogTail(bytes.subarray(logStart.get(logFile) ?? 0).toString('utf8'));
}

function sentence(text: string): string {
  const clean = printable(text.trim());
  const begun = clean.charAt(0).toUpperCase() + clean.slice(1);
  return /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}
