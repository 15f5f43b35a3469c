import type { Observations, TlsSeen } from '../observations.ts';
import type { Verdict } from '../types.ts';
import { notApplicable, notSeen } from './endpoint-check.ts';

/** Judges a completed look at TLS; says why not when there is none. */
export function withTls(seen: Observations, judge: (tls: TlsSeen) => Verdict): Verdict {
  if (!seen.target.encrypted) return notApplicable('the URL is http://');
  return seen.tls.status === 'ok' ? judge(seen.tls) : notSeen(seen.tls);
}
