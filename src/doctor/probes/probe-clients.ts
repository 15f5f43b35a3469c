import type { LookupFunction } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { describeNetworkFailure } from '../network-failure.ts';
import type { ClientObserved, ClientStuck } from '../observations.ts';
import { createFetch, type Exchange } from './https-fetch.ts';
import { ClientLookError, exchangeRecorder, lookWithClient, type Era } from './look-with-client.ts';

export interface ClientSpec {
  readonly url: string;
  readonly caPem: string | null;
  readonly key: string | null;
  readonly lookup?: LookupFunction | undefined;
  readonly call: boolean;
  readonly timeoutMs: number;
}

/** How long a full bucket is waited for, once; a doctor that was run a moment ago may have emptied it. */
const longestWaitSeconds = 5;

/** One official client of that era: handshake, tools/list, and one safe call when asked. */
export async function probeClient(era: Era, spec: ClientSpec, signal: AbortSignal): Promise<ClientObserved> {
  const first = await look(era, spec, signal);
  const waitSeconds =
    first.status === 'stuck' && first.last?.status === 429 ? Number(first.last.retryAfter) : Number.NaN;
  if (!(waitSeconds > 0 && waitSeconds <= longestWaitSeconds)) return first;
  await setTimeout(waitSeconds * 1_000, undefined, { signal });
  return look(era, spec, signal);
}

async function look(era: Era, spec: ClientSpec, signal: AbortSignal): Promise<ClientObserved> {
  const recorder = exchangeRecorder();
  const { caPem, timeoutMs, lookup } = spec;
  const http = createFetch({ caPem, timeoutMs, signal, lookup, onExchange: recorder.onExchange });
  try {
    const { tools, ...seen } = await lookWithClient(era, { ...spec, http }, signal);
    return { status: 'ok', ...seen, toolCount: tools?.length ?? null };
  } catch (error) {
    signal.throwIfAborted();
    return describeStuck(error, recorder.all, spec.key);
  } finally {
    http.close();
  }
}

function describeStuck(error: unknown, exchanges: readonly Exchange[], key: string | null): ClientStuck {
  const known = error instanceof ClientLookError ? error : null;
  const last = exchanges.findLast(({ method }) => method === 'POST');
  const message = (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? '';
  return {
    status: 'stuck',
    stage: known?.stage ?? 'connect',
    tool: known?.tool ?? null,
    message: (key === null ? message : message.replaceAll(key, '[secret]')).slice(0, 300),
    last: last === undefined ? null : describeExchange(last),
  };
}

function describeExchange({ rpcMethod, answer }: Exchange): NonNullable<ClientStuck['last']> {
  if ('error' in answer) {
    const failure = describeNetworkFailure(answer.error);
    return { rpcMethod, status: null, contentType: null, retryAfter: null, failure };
  }
  return {
    rpcMethod,
    status: answer.status,
    contentType: answer.headers['content-type'] ?? null,
    retryAfter: answer.headers['retry-after'] ?? null,
    failure: null,
  };
}
