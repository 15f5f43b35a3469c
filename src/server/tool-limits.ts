import type { Limits } from '../deployment/limits-schema.ts';
import { compilePatterns } from './policy/access.ts';
import type { LimitSharing } from './policy/limit-sharing.ts';
import { createRateLimiter, type RateLimiter } from './policy/rate-limiter.ts';
import type { ToolCount } from './protocol/calls-in-flight.ts';

/** What limits the tools of one name or pattern. */
export interface ToolRule {
  readonly pattern: string;
  readonly limiter: RateLimiter | null;
  readonly isForAll: boolean;
  readonly concurrency: number;
  /** Of all processes together. */
  readonly concurrencyOfAll: number;
  readonly count: ToolCount;
}

export interface ToolLimits {
  /** The rule of a tool: that of its name, else the first whose pattern fits. */
  find(tool: string): ToolRule | null;
  /** Calls in flight of the tools of one rule. */
  inFlightOf(pattern: string): number;
  /** Some rule limits what is in flight. */
  readonly countsCalls: boolean;
}

/** Names whose rule is remembered; clients may invent some. */
const mostNames = 1_000;

/** Null without rules. */
export function createToolLimits(
  perTool: Limits['perTool'],
  share: (most: number) => number,
  sharing: LimitSharing | null,
): ToolLimits | null {
  const rules = Object.entries(perTool).map(([pattern, { rate, of, concurrency }]) => ({
    pattern,
    fits: compilePatterns([pattern]),
    limiter: rate === 'off' ? null : createRateLimiter(rate, `tool ${pattern}`, undefined, sharing),
    isForAll: of === 'all',
    concurrency: concurrency === undefined ? Number.POSITIVE_INFINITY : share(concurrency),
    concurrencyOfAll: concurrency ?? Number.POSITIVE_INFINITY,
    count: { inFlight: 0 },
  }));
  if (rules.length === 0) return null;
  const known = new Map<string, ToolRule | null>();
  return {
    countsCalls: rules.some(({ concurrency }) => concurrency !== Number.POSITIVE_INFINITY),
    inFlightOf: (pattern) => rules.find((rule) => rule.pattern === pattern)?.count.inFlight ?? 0,
    find(tool) {
      const remembered = known.get(tool);
      if (remembered !== undefined) return remembered;
      const rule = rules.find(({ pattern }) => pattern === tool) ?? rules.find(({ fits }) => fits(tool)) ?? null;
      if (known.size >= mostNames) known.clear();
      known.set(tool, rule);
      return rule;
    },
  };
}
