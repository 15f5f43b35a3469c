import type { Deployment } from '../deployment/schema.ts';
import type { Metrics } from './observe/metrics.ts';
import { createRateLimiter } from './policy/rate-limiter.ts';
import type { Caller, LimitDecision } from './types.ts';

/**
 * One step of the limits for one call: its own key first, then all keys together. Null when the call may go on;
 * else the decision, which the next step overwrites.
 */
export function createCallLimits(
  limits: Deployment['limits'],
  metrics: Pick<Metrics, 'rateLimited'>,
): (caller: Caller) => LimitDecision | null {
  const perKey = limits.perKey === 'off' ? null : createRateLimiter(limits.perKey, 'key');
  const global = limits.global === 'off' ? null : createRateLimiter(limits.global, 'global');
  return ({ keyId, address }) => {
    // Without keys everyone has one id: addresses stand in for it.
    const own = perKey?.take(keyId === '' ? `address ${address}` : keyId);
    if (own?.allowed === false) {
      metrics.rateLimited('key');
      return own;
    }
    const all = global?.take('all');
    if (all?.allowed === false) {
      metrics.rateLimited('global');
      return all;
    }
    return null;
  };
}
