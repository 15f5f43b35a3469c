import type { Limits, RateLimit } from '../deployment/limits-schema.ts';
import type { Metrics } from './observe/metrics.ts';
import type { LimitSharing } from './policy/limit-sharing.ts';
import type { Holdings } from './policy/holdings.ts';
import { networkOfAddress } from './policy/network-of-address.ts';
import { createRateLimiter, limitHeaders, type RateLimiter } from './policy/rate-limiter.ts';
import { payerOf, type ToolCount } from './protocol/calls-in-flight.ts';
import { createToolLimits, type ToolRule } from './tool-limits.ts';
import type { Caller, LimitDecision } from './types.ts';

/**
 * What a request counts against. `call`: the rate of calls and the calls in flight. `step`: the rate of calls, where
 * nothing new comes in flight. `list`: calls in flight, and the generous rate of what is free. `free`: that rate only.
 */
export type RequestCost = 'call' | 'step' | 'list' | 'free';

/** Why a request is answered with 429, or with 503 where what limits are counted in is gone. */
export interface LimitRefusal {
  readonly status: 429 | 503;
  /** Name of the limit: key, tier, global, address, tool, free, concurrency, shared-state. */
  readonly policy: string;
  readonly detail: string;
  readonly retryAfterSeconds: number;
  /** RateLimit fields of draft-ietf-httpapi-ratelimit-headers, flat. */
  readonly headers: readonly string[];
}

/** The limits of one configuration. */
export interface CallLimits {
  /**
   * One step of the limits for one request. Null when it may go on; otherwise it has used up nothing of any limit.
   * @param tool name of the tool that is called, else null
   */
  judge(caller: Caller, cost: RequestCost, tool: string | null): LimitRefusal | null;
  /** Head lines about the request that was let through last, flat; of its tightest limit, empty where none are wanted. */
  headers(): readonly string[];
  /** Counts what is in flight of the tool; null where nobody needs it. */
  readonly countTool: ((tool: string) => ToolCount | null) | null;
  /** Open event streams that this caller may have at this process. */
  streamsOf(caller: Caller): number;
  /** One more stream may be opened for it, as far as other processes are concerned. */
  hasRoomForStream(caller: Caller): boolean;
}

/** What the limits ask of the calls in flight. */
export interface InFlightCounts {
  readonly size: number;
  countOf(payer: string): number;
}

/** What the limits ask of the open event streams. */
export interface StreamCounts {
  countOf(payer: string): number;
}

/** How limits are counted together with other processes. */
export interface SharedCounting {
  /** Processes of this server that share what it may do at once. */
  readonly processes: number;
  readonly sharing: LimitSharing | null;
  /** What others hold at the same time; null where each process is on its own. */
  readonly holdings: Holdings | null;
  /** Calls are refused: the counts are not known, and without them nothing is let through. */
  readonly refusesCalls: () => boolean;
}

/** A call that ends makes room at once; when one will is not known. */
const retryWhenFullSeconds = 1;
const noHeaders: readonly string[] = [];

interface PayerLimits {
  readonly scope: 'key' | 'tier';
  readonly calls: RateLimiter | null;
  readonly free: RateLimiter | null;
  readonly concurrency: number;
  readonly streams: number;
  /** Of all processes together. */
  readonly ofAll: { readonly concurrency: number; readonly streams: number };
}

/** Puts together all that limits one request: the key or its tier, its address, its tool, and all keys together. */
export function createCallLimits(
  limits: Limits,
  metrics: Pick<Metrics, 'rateLimited'>,
  inFlight: InFlightCounts,
  streams: StreamCounts,
  { processes, sharing, holdings, refusesCalls }: SharedCounting,
): CallLimits {
  const share = (most: number): number => Math.ceil(most / processes);
  const open = (limit: RateLimit | 'off', policy: string): RateLimiter | null =>
    limit === 'off' ? null : createRateLimiter(limit, policy, undefined, sharing);
  const ownKey: PayerLimits = {
    scope: 'key',
    calls: open(limits.perKey, 'key'),
    free: open(limits.freePerKey, 'free'),
    concurrency: share(limits.concurrencyPerKey),
    streams: share(limits.streamsPerKey),
    ofAll: { concurrency: limits.concurrencyPerKey, streams: limits.streamsPerKey },
  };
  const tiers = new Map<string, PayerLimits>(
    Object.entries(limits.tiers).map(([tier, own]) => [
      tier,
      {
        scope: 'tier',
        calls: own.perKey === undefined ? ownKey.calls : open(own.perKey, `tier-${tier}`),
        free: own.freePerKey === undefined ? ownKey.free : open(own.freePerKey, `free-${tier}`),
        concurrency: share(own.concurrencyPerKey ?? limits.concurrencyPerKey),
        streams: share(own.streamsPerKey ?? limits.streamsPerKey),
        ofAll: {
          concurrency: own.concurrencyPerKey ?? limits.concurrencyPerKey,
          streams: own.streamsPerKey ?? limits.streamsPerKey,
        },
      },
    ]),
  );
  const global = open(limits.global, 'global');
  const perAddress = open(limits.perAddress, 'address');
  const tools = createToolLimits(limits.perTool, share, sharing);
  const mostInFlight = share(limits.concurrency);
  const callsElsewhere = holdings?.kind('calls', (payer) => inFlight.countOf(payer)) ?? null;
  const streamsElsewhere = holdings?.kind('streams', (payer) => streams.countOf(payer)) ?? null;
  const toolCallsElsewhere = holdings?.kind('tool-calls', (pattern) => tools?.inFlightOf(pattern) ?? 0) ?? null;
  const tellsOnSuccess = limits.headers !== 'refusals';

  // Kept from one request to the next, so that a call makes no garbage; the first `takenCount` count.
  const taken: RateLimiter[] = [];
  const buckets: string[] = [];
  let takenCount = 0;
  let tightest: LimitDecision | null = null;
  let refused: LimitDecision | null = null;
  let refusedScope = '';

  function take(limiter: RateLimiter | null, bucket: string, scope: string): void {
    if (limiter === null) return;
    const decision = limiter.take(bucket);
    if (decision.allowed) {
      taken[takenCount] = limiter;
      buckets[takenCount++] = bucket;
      if (tellsOnSuccess && (tightest === null || isTighter(decision, tightest))) tightest = decision;
    } else if (refused === null || decision.retryAfterSeconds > refused.retryAfterSeconds) {
      refused = decision;
      refusedScope = scope;
    }
  }

  /** A refused call uses up nothing: what other limits gave goes back. */
  function refuseAll(decision: LimitDecision): LimitRefusal {
    for (let at = 0; at < takenCount; at++) taken[at]?.giveBack(buckets[at] ?? '');
    metrics.rateLimited(refusedScope);
    return describeRefusal(decision, limits.headers);
  }

  function full(policy: string, detail: string): LimitRefusal {
    metrics.rateLimited(policy);
    return {
      status: 429,
      policy,
      detail,
      retryAfterSeconds: retryWhenFullSeconds,
      headers: ['Retry-After', String(retryWhenFullSeconds)],
    };
  }

  function isFull({ pattern, count: { inFlight: held }, concurrency, concurrencyOfAll: most }: ToolRule): boolean {
    if (held >= concurrency) return true;
    if (toolCallsElsewhere === null || most === Number.POSITIVE_INFINITY) return false;
    return held + toolCallsElsewhere.elsewhere(pattern, held, most) >= most;
  }

  function payerLimits({ tier = null }: Caller): PayerLimits {
    return tier === null || tiers.size === 0 ? ownKey : (tiers.get(tier) ?? ownKey);
  }

  return {
    judge(caller, cost, tool) {
      const payer = payerOf(caller);
      const own = payerLimits(caller);
      tightest = null;
      if (cost === 'call' || cost === 'list') {
        const held = inFlight.countOf(payer);
        if (held >= own.concurrency) return full('concurrency', describeFull(own.concurrency));
        const most = own.ofAll.concurrency;
        if (callsElsewhere !== null && held + callsElsewhere.elsewhere(payer, held, most) >= most) {
          return full('concurrency', describeFull(most));
        }
        if (inFlight.size >= mostInFlight) {
          return full('global-concurrency', `${mostInFlight} calls are in flight; wait until some are answered.`);
        }
      }
      takenCount = 0;
      refused = null;
      if (cost === 'list' || cost === 'free') {
        take(own.free, payer, 'free');
        tightest = null;
        return refused === null ? null : refuseAll(refused);
      }
      if (refusesCalls()) {
        metrics.rateLimited('shared-state');
        return withoutCounts;
      }
      const rule = tool === null || tools === null ? null : tools.find(tool);
      if (rule !== null) {
        if (cost === 'call' && isFull(rule)) {
          const detail = `${rule.concurrency} calls of ${rule.pattern} may be in flight; wait until some are answered.`;
          return full('tool-concurrency', detail);
        }
        take(rule.limiter, rule.isForAll ? 'all' : payer, 'tool');
      }
      take(own.calls, payer, own.scope);
      if (perAddress !== null) take(perAddress, networkOfAddress(caller.address), 'address');
      take(global, 'all', 'global');
      return refused === null ? null : refuseAll(refused);
    },
    headers: () => (tightest === null ? noHeaders : describeHeaders(tightest, limits.headers)),
    countTool: tools === null || !tools.countsCalls ? null : (tool) => tools.find(tool)?.count ?? null,
    streamsOf: (caller) => payerLimits(caller).streams,
    hasRoomForStream(caller) {
      if (streamsElsewhere === null) return true;
      const payer = payerOf(caller);
      const held = streams.countOf(payer);
      const most = payerLimits(caller).ofAll.streams;
      return held + streamsElsewhere.elsewhere(payer, held, most) < most;
    },
  };
}

function describeFull(most: number): string {
  return `A key may have ${most} calls in flight; wait until some are answered.`;
}

/** For calls while the shared counts cannot be asked and the deployment wants them to be. */
const withoutCounts: LimitRefusal = {
  status: 503,
  policy: 'shared-state',
  detail: 'The store in which this server counts calls together with others cannot be reached; try again in a moment.',
  retryAfterSeconds: 5,
  headers: ['Retry-After', '5'],
};

function isTighter(one: LimitDecision, other: LimitDecision): boolean {
  return one.remaining / one.limit < other.remaining / other.limit;
}

function describeRefusal(decision: LimitDecision, form: Limits['headers']): LimitRefusal {
  const { policy, limit, windowSeconds } = decision;
  const retryAfterSeconds = Math.max(1, Math.ceil(decision.retryAfterSeconds));
  return {
    status: 429,
    policy,
    detail: `The limit of ${limit} calls in ${windowSeconds} s is used up; try again in ${retryAfterSeconds} s.`,
    retryAfterSeconds,
    headers: describeHeaders({ ...decision, resetSeconds: Math.max(1, decision.resetSeconds) }, form),
  };
}

/**
 * The fields of the current draft, and for clients of older servers those of its drafts up to 07 (one field for each
 * number) or the ones that servers wrote before there was a draft.
 */
function describeHeaders(decision: LimitDecision, form: Limits['headers']): readonly string[] {
  const headers = limitHeaders(decision).flat();
  if (form === 'refusals' || form === 'standard') return headers;
  const prefix = form === 'separate' ? 'RateLimit' : 'X-RateLimit';
  return [
    ...headers,
    `${prefix}-Limit`,
    String(decision.limit),
    `${prefix}-Remaining`,
    String(decision.remaining),
    `${prefix}-Reset`,
    // The old fields have the time of day in them, the drafts the seconds until then.
    String(form === 'separate' ? decision.resetSeconds : Math.ceil(Date.now() / 1_000) + decision.resetSeconds),
  ];
}
