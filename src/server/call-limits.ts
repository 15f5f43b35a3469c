import type { Deployment } from '../deployment/schema.ts';
import type { Metrics } from './observe/metrics.ts';
import { createRateLimiter } from './policy/rate-limiter.ts';
import { payerOf } from './protocol/calls-in-flight.ts';
import type { Caller, LimitDecision } from './types.ts';
import type { Siblings } from './workers/siblings.ts';

/**
 * What a request counts against. `call`: the rate of calls and the calls in flight. `step`: the rate of calls, where
 * nothing new comes in flight. `list`: calls in flight, and the generous rate of what is free. `free`: that rate only.
 */
export type RequestCost = 'call' | 'step' | 'list' | 'free';

/** Why a request is answered with 429. */
export interface LimitRefusal {
  /** Name of the limit: key, global, free, concurrency. */
  readonly policy: string;
  readonly detail: string;
  readonly retryAfterSeconds: number;
  /** RateLimit fields of draft-ietf-httpapi-ratelimit-headers, flat. */
  readonly headers: readonly string[];
}

/** A call that ends makes room at once; when one will is not known. */
const retryWhenFullSeconds = 1;

/**
 * One step of the limits for one request: its own key first, then all keys together. Null when it may go on.
 * @param inFlightOf calls in flight of one payer
 */
export function createCallLimits(
  limits: Deployment['limits'],
  metrics: Pick<Metrics, 'rateLimited'>,
  inFlightOf: (payer: string) => number,
  siblings: Pick<Siblings, 'count' | 'sharing'> | null = null,
): (caller: Caller, cost: RequestCost) => LimitRefusal | null {
  const sharing = siblings?.sharing ?? null;
  const perKey = limits.perKey === 'off' ? null : createRateLimiter(limits.perKey, 'key', undefined, sharing);
  const global = limits.global === 'off' ? null : createRateLimiter(limits.global, 'global', undefined, sharing);
  const free = limits.freePerKey === 'off' ? null : createRateLimiter(limits.freePerKey, 'free', undefined, sharing);
  const most = Math.ceil(limits.concurrencyPerKey / (siblings?.count ?? 1));

  return (caller, cost) => {
    const payer = payerOf(caller);
    if ((cost === 'call' || cost === 'list') && inFlightOf(payer) >= most) {
      metrics.rateLimited('concurrency');
      return describeFull(most);
    }
    if (cost === 'list' || cost === 'free') {
      const decision = free?.take(payer);
      if (decision?.allowed !== false) return null;
      metrics.rateLimited('free');
      return describeRefusal(decision);
    }
    const own = perKey?.take(payer);
    if (own?.allowed === false) {
      metrics.rateLimited('key');
      return describeRefusal(own);
    }
    const all = global?.take('all');
    if (all?.allowed === false) {
      metrics.rateLimited('global');
      return describeRefusal(all);
    }
    return null;
  };
}

function describeFull(most: number): LimitRefusal {
  return {
    policy: 'concurrency',
    detail: `A key may have ${most} calls in flight; wait until some are answered.`,
    retryAfterSeconds: retryWhenFullSeconds,
    headers: ['Retry-After', String(retryWhenFullSeconds)],
  };
}

function describeRefusal(decision: LimitDecision): LimitRefusal {
  const retryAfterSeconds = Math.max(1, Math.ceil(decision.retryAfterSeconds));
  const reset = Math.max(1, Math.ceil(decision.resetSeconds));
  const { policy, limit, windowSeconds, remaining } = decision;
  return {
    policy,
    detail: `The limit of ${limit} calls in ${windowSeconds} s is used up; try again in ${retryAfterSeconds} s.`,
    retryAfterSeconds,
    headers: [
      'Retry-After',
      String(retryAfterSeconds),
      'RateLimit-Policy',
      `"${policy}";q=${limit};w=${windowSeconds}`,
      'RateLimit',
      `"${policy}";r=${Math.max(0, Math.floor(remaining))};t=${reset}`,
    ],
  };
}
