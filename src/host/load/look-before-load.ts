import { setMaxListeners } from 'node:events';
import { EnvironmentError, UserError } from '../../deployment/errors.ts';
import { nearestWord } from '../../deployment/nearest-word.ts';
import { describeNetworkFailure, type NetworkFailureKind } from '../../doctor/network-failure.ts';
import { openConnection, type LoadTarget, type PostedAnswer } from './post-message.ts';
import {
  callNumber,
  judgeAnswer,
  readRpcAnswer,
  readTools,
  renderInitialize,
  renderWork,
  type Era,
  type ListedTool,
  type Work,
} from './rpc-texts.ts';

/** What is to be called; null: what is safe. */
export interface WantedTool {
  readonly name: string;
  /** Null when none were given. */
  readonly args: Readonly<Record<string, unknown>> | null;
}

/** What a load will do, found out with one call of each kind. */
export interface LoadLook {
  readonly eras: readonly Era[];
  readonly work: Work;
  /** The tool says that it only reads; null where no tool is called. */
  readonly readsOnly: boolean | null;
}

/**
 * Asks the endpoint what can be called and makes that call once, before a thousand of them are made.
 * @throws UserError for a wrong key, URL or tool; EnvironmentError for a server that is not there, is silent or is no MCP server.
 */
export async function lookBeforeLoad(
  target: LoadTarget,
  era: Era | 'both' | 'auto',
  tool: WantedTool | null,
  signal: AbortSignal,
): Promise<LoadLook> {
  setMaxListeners(0, signal);
  const asked: readonly Era[] = era === 'both' || era === 'auto' ? ['modern', 'legacy'] : [era];
  const eras: Era[] = [];
  let work: Work | null = null;
  let readsOnly: boolean | null = null;
  let refusal: Error | null = null;
  for (const each of asked) {
    const looked = await lookInEra(target, each, tool, signal).catch((error: unknown) => {
      if (!(error instanceof EraRefused)) throw error;
      refusal ??= error;
      return null;
    });
    if (looked === null) continue;
    eras.push(each);
    work ??= looked.work;
    readsOnly ??= looked.readsOnly;
    if (era === 'auto') break;
  }
  if (work === null) throw noEra(target, era, refusal);
  if (era === 'both' && eras.length < 2) throw noEra(target, eras[0] === 'modern' ? 'legacy' : 'modern', refusal);
  return { eras, work, readsOnly };
}

/** The endpoint answers, and not in this era. */
class EraRefused extends Error {}

async function lookInEra(
  target: LoadTarget,
  era: Era,
  tool: WantedTool | null,
  signal: AbortSignal,
): Promise<{ readonly work: Work; readonly readsOnly: boolean | null }> {
  const connection = openConnection(target);
  let sessionId: string | null = null;
  try {
    const ask = async (message: Parameters<typeof connection.post>[0], id: number): Promise<PostedAnswer> => {
      const answer = await connection.post(message, id, signal).catch((error: unknown) => {
        signal.throwIfAborted();
        throw networkError(error, target);
      });
      refuseStatus(answer, target, era);
      return answer;
    };
    if (era === 'legacy') {
      const hello = await ask(renderInitialize(), 1);
      if (readRpcAnswer(hello.type, hello.body, 1)?.['result'] === undefined) throw new EraRefused('initialize');
      ({ sessionId } = hello);
    }
    const listed = await ask(renderWork(era, { kind: 'list' }, sessionId), 2);
    const answer = readRpcAnswer(listed.type, listed.body, 2);
    if (answer === null) throw noMcp(target, 'What came back is no answer of JSON-RPC.');
    if (answer['result'] === undefined) throw new EraRefused(JSON.stringify(answer['error']).slice(0, 200));
    const { work, readsOnly } = chooseWork(readTools(answer), tool);
    const first = await ask(renderWork(era, work, sessionId), 3);
    const problem = judgeAnswer(readRpcAnswer(first.type, first.body, 3), work);
    if (problem !== null) throw firstCallFailed(work, problem);
    return { work, readsOnly };
  } finally {
    if (sessionId !== null) await connection.endSession(sessionId);
    connection.close();
  }
}

const echoText = `mcp-deploy bench ${callNumber}`;

/** The named tool; else an echo, which does nothing but answer; else the list of tools, which every server has. */
export function chooseWork(
  tools: readonly ListedTool[],
  wanted: WantedTool | null,
): { readonly work: Work; readonly readsOnly: boolean | null } {
  if (wanted === null || (wanted.name === 'echo' && wanted.args === null)) {
    const echo = tools.find(({ name, soleText }) => name === 'echo' && soleText !== null);
    if (typeof echo?.soleText === 'string') {
      const args = { [echo.soleText]: echoText };
      return { work: { kind: 'call', tool: 'echo', args, expected: echoText }, readsOnly: true };
    }
    if (wanted === null) return { work: { kind: 'list' }, readsOnly: null };
  }
  const found = tools.find(({ name }) => name === wanted.name);
  // A list of many pages is not read to its end; the call itself tells.
  if (found === undefined && tools.length > 0) {
    const names = tools.map(({ name }) => name);
    const near = nearestWord(wanted.name, names);
    throw new UserError(`There is no tool ${JSON.stringify(wanted.name)} at this endpoint.`, {
      why:
        near === null
          ? `It has ${names.slice(0, 8).join(', ')}${names.length > 8 ? ' …' : ''}.`
          : `Did you mean ${near}?`,
      next: `mcp-deploy bench --tool ${near ?? names[0] ?? 'NAME'} --arguments '{}'`,
    });
  }
  const work: Work = { kind: 'call', tool: wanted.name, args: wanted.args ?? {}, expected: null };
  return { work, readsOnly: found?.readsOnly ?? false };
}

function refuseStatus(
  { status, retryAfterSeconds }: PostedAnswer,
  { url, key, timeoutMs }: LoadTarget,
  era: Era,
): void {
  if (status === 200) return;
  if (status === 401) {
    throw new UserError(key === null ? 'This endpoint asks for a key.' : 'The key is not accepted (401).', {
      next: `mcp-deploy bench ${url.href} --key-file FILE        keys of this deployment: mcp-deploy keys list`,
      exitCode: 3,
    });
  }
  if (status === 403) {
    throw new UserError('The endpoint lets this machine, name or key not in (403).', {
      next: `mcp-deploy doctor ${url.href}`,
      exitCode: 3,
    });
  }
  if (status === 429) {
    throw new EnvironmentError('The endpoint refuses the first call already: too many requests (429).', {
      why: retryAfterSeconds > 0 ? `It says: again in ${retryAfterSeconds} s.` : 'A limit is used up.',
      next: 'Wait, or use a key of a tier without that limit: --key-file FILE',
    });
  }
  if (status === 404) throw noMcp({ url, key, timeoutMs, caPem: null }, 'There is nothing at this path (404).');
  if (status === 400 || status === 405 || status === 406 || status === 415) {
    throw new EraRefused(`HTTP ${status} in the ${era} era`);
  }
  if (status >= 300 && status < 400) throw noMcp({ url, key, timeoutMs, caPem: null }, `It redirects (${status}).`);
  throw new EnvironmentError(`The endpoint answers ${status} to the first call.`, {
    next: `mcp-deploy doctor ${url.href}`,
  });
}

function noMcp({ url }: LoadTarget, why: string): UserError {
  return new UserError(`${url.href} does not answer as an MCP endpoint.`, {
    why,
    next: `Check the path, which is mostly /mcp: mcp-deploy doctor ${url.href}`,
    exitCode: 3,
  });
}

function noEra({ url }: LoadTarget, era: Era | 'both' | 'auto', refusal: Error | null): UserError {
  const of = era === 'modern' || era === 'legacy' ? ` in the ${era} era` : '';
  const other = era === 'modern' ? 'legacy' : 'modern';
  return new UserError(`${url.href} does not answer${of}.`, {
    ...(refusal === null ? {} : { why: `It said: ${refusal.message.replace(/\p{Cc}/gu, ' ')}` }),
    next: of === '' ? `mcp-deploy doctor ${url.href}` : `--era ${other}`,
    exitCode: 3,
  });
}

function firstCallFailed(work: Work, problem: string): UserError {
  return new UserError(`The first call is not answered right: ${problem}.`, {
    why: 'A load of calls that fail measures nothing.',
    next:
      work.kind === 'list'
        ? 'mcp-deploy doctor'
        : `Give arguments that ${JSON.stringify(work.tool)} takes: --arguments '{"name":"value"}'`,
    exitCode: 3,
  });
}

function networkError(error: unknown, { url, timeoutMs }: LoadTarget): Error {
  const { kind, message } = describeNetworkFailure(error);
  const { host } = url;
  const known: Partial<Record<NetworkFailureKind, readonly [what: string, next: string]>> = {
    refused: [`Nothing listens at ${host}.`, 'mcp-deploy start        or check host and port'],
    'name-unknown': [`The name ${url.hostname} is not known here.`, 'Check the spelling of the URL.'],
    unreachable: [`${host} cannot be reached from here.`, `mcp-deploy doctor ${url.href}`],
    'timed-out': [`${host} does not answer within ${timeoutMs / 1_000} s.`, `mcp-deploy doctor ${url.href}`],
    reset: [`${host} closed the connection without an answer.`, `mcp-deploy doctor ${url.href}`],
    'not-tls': [`${host} does not speak TLS.`, `Try http:// in place of https://.`],
    untrusted: [`The certificate of ${host} is not trusted.`, '--ca FILE        the certificate of its authority'],
    'wrong-name': [`The certificate of ${host} is for another name.`, `mcp-deploy doctor ${url.href}`],
    expired: [`The certificate of ${host} has expired.`, 'mcp-deploy cert renew'],
  };
  const [what, next] = known[kind] ?? [
    `${host} cannot be called: ${message.slice(0, 200)}`,
    `mcp-deploy doctor ${url.href}`,
  ];
  return new EnvironmentError(what, { next });
}
