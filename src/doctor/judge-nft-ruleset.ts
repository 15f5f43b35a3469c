/** One entry of `nft -j list ruleset` (libnftables-json(5)), as far as it is read. */
interface NftEntry {
  readonly chain?: {
    readonly family: string;
    readonly table: string;
    readonly name: string;
    readonly hook?: string;
    readonly policy?: string;
    readonly prio?: number;
  };
  readonly rule?: {
    readonly family: string;
    readonly table: string;
    readonly chain: string;
    readonly expr: readonly Expression[];
  };
}

type Expression = Readonly<Record<string, unknown>>;
type Chain = NonNullable<NftEntry['chain']>;
/** `perhaps`: it hangs on something that is not known here, such as the address of the caller. */
type Fate = 'accept' | { readonly drop: string } | 'perhaps' | 'next';

const families: ReadonlySet<string> = new Set(['ip', 'ip6', 'inet']);

/**
 * The rule, or the policy, that surely drops a new TCP connection from outside to the port; null when none does, or when
 * it hangs on what cannot be told here. A drop in one chain is final whatever other chains accept (nft(8)).
 */
export function findDrop(ruleset: unknown, port: number): string | null {
  const entries = (ruleset as { nftables?: readonly NftEntry[] } | null)?.nftables ?? [];
  if (!Array.isArray(entries)) return null;
  const rules = entries.flatMap(({ rule }: NftEntry) => (rule === undefined ? [] : [rule]));
  const rulesOf = ({ family, table }: Chain, chain: string) =>
    rules.filter((rule) => rule.family === family && rule.table === table && rule.chain === chain);
  for (const { chain } of entries as readonly NftEntry[]) {
    if (chain?.hook !== 'input' || !families.has(chain.family)) continue;
    const walk = (name: string, depth: number): Fate => {
      for (const { expr } of rulesOf(chain, name)) {
        const fate = followRule(
          expr,
          port,
          (target) => (depth > 8 ? 'perhaps' : walk(target, depth + 1)),
          `${chain.family} ${chain.table} ${name}`,
        );
        if (fate !== 'next') return fate;
      }
      return 'next';
    };
    const fate = walk(chain.name, 0);
    if (typeof fate === 'object') return fate.drop;
    if (fate === 'next' && chain.policy === 'drop') {
      return `chain ${chain.family} ${chain.table} ${chain.name}: policy drop, and no rule accepts tcp dport ${port}`;
    }
  }
  return null;
}

function followRule(expr: readonly Expression[], port: number, jump: (chain: string) => Fate, where: string): Fate {
  let certain = true;
  for (const each of expr) {
    if ('match' in each) {
      const matched = matches(each['match'] as MatchExpression, port);
      if (matched === false) return 'next';
      if (matched === null) certain = false;
    } else if ('accept' in each) return certain ? 'accept' : 'perhaps';
    else if ('drop' in each || 'reject' in each) {
      // A drop of some callers only says nothing of the others.
      return certain ? { drop: `chain ${where}: ${'drop' in each ? 'drop' : 'reject'} of tcp dport ${port}` } : 'next';
    } else if ('jump' in each || 'goto' in each) {
      const { target } = (each['jump'] ?? each['goto']) as { target: string };
      const fate = jump(target);
      if (fate === 'next') return 'goto' in each ? 'perhaps' : 'next';
      return certain || fate === 'accept' || fate === 'perhaps' ? (certain ? fate : 'perhaps') : 'next';
    } else if ('return' in each) return certain ? 'perhaps' : 'next';
    else if ('xt' in each || 'vmap' in each || 'limit' in each) certain = false;
  }
  // What was written by iptables keeps its verdict where it is not shown.
  return !certain && expr.some((each) => 'xt' in each || 'vmap' in each) ? 'perhaps' : 'next';
}

interface MatchExpression {
  readonly op: string;
  readonly left: unknown;
  readonly right: unknown;
}

/** Whether a new TCP connection from another machine to the port matches; null when that is not known. */
function matches({ op, left, right }: MatchExpression, port: number): boolean | null {
  const { payload, meta, ct } = left as {
    payload?: { protocol?: string; field?: string };
    meta?: { key?: string };
    ct?: { key?: string };
  };
  const not = op === '!=';
  const decide = (holds: boolean | null): boolean | null => (holds === null ? null : holds !== not);
  if (payload?.field === 'dport' && (payload.protocol === 'tcp' || payload.protocol === 'th'))
    return decide(holdsPort(right, port));
  if (payload?.protocol === 'udp' || payload?.protocol === 'icmp' || payload?.protocol === 'icmpv6') return false;
  if (meta?.key === 'l4proto' || payload?.field === 'protocol' || payload?.field === 'nexthdr')
    return decide(names(right, 'tcp'));
  if (meta?.key === 'iif' || meta?.key === 'iifname') return names(right, 'lo') ? decide(false) : null;
  if (ct?.key === 'state') return decide(names(right, 'new') || (op === 'in' && names(right, 'new')));
  return null;
}

function holdsPort(right: unknown, port: number): boolean | null {
  if (typeof right === 'number') return right === port;
  const { set, range } = (right ?? {}) as { set?: readonly unknown[]; range?: readonly [number, number] };
  if (range !== undefined) return range[0] <= port && port <= range[1];
  if (set === undefined) return null;
  const found = new Set(set.map((item) => holdsPort(item, port)));
  return found.has(true) ? true : found.has(null) ? null : false;
}

function names(right: unknown, wanted: string): boolean {
  if (right === wanted) return true;
  const list = Array.isArray(right) ? (right as unknown[]) : (right as { set?: unknown } | null)?.set;
  return Array.isArray(list) && list.some((item) => names(item, wanted));
}
