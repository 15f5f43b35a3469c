import { hash } from 'node:crypto';
import type { CacheSetting } from '../../deployment/cache-schema.ts';
import { compilePatterns } from '../policy/access.ts';
import type { Backend, BackendCall, CancelCall } from '../types.ts';
import { answerLater } from './answer-later.ts';
import { payerOf } from './guarded-backend.ts';
import type { AnswerShelf, KeptAnswer } from './kept-answers.ts';
import { createListCache, type ListItem } from './list-cache.ts';
import { passingBackend } from './passing-backend.ts';
import { SharedFlight } from './shared-flight.ts';
import type { FoundAnswer, SharedShelf } from './shared-shelf.ts';

export type CacheRules = Pick<Exclude<CacheSetting, 'off'>, 'tools' | 'resources'>;

interface CacheRule {
  readonly ttlSeconds: number;
  readonly public: boolean;
}

/**
 * Keeps answers of an upstream for a while, and asks it once for equal calls that come at the same time. Only results
 * of tools/call and resources/read that a rule takes, never one that tells of an error, asks for input, or came about
 * with the help of the client. Everything goes when the upstream starts anew or says that something has changed.
 * @param perKey the upstream has a process for each key: nothing is shared between keys, whatever a rule says
 * @param shared where replicas keep answers for each other: asked for what is not in memory, before the upstream is
 */
export function cacheBackend(
  backend: Backend,
  rules: CacheRules,
  shelf: AnswerShelf,
  perKey: boolean,
  shared: SharedShelf | null = null,
): Backend {
  const findRule = createRuleFinder(backend, rules);
  const flights = new Map<string, SharedFlight>();
  const counts = { hits: 0, misses: 0 };
  let epoch = 0;

  function forget(): void {
    epoch++;
    shelf.clear();
    // Who waits for them gets their answers; who comes now asks anew.
    flights.clear();
  }
  function clear(): void {
    forget();
    shared?.clear();
  }
  shared?.onForgotten(forget);
  let restarts = 0;
  backend.onStateChange(() => {
    // Not when it is up for the first time: calls that wait for that are under way together.
    if (backend.state.state === 'up' && backend.restarts === restarts) return;
    restarts = backend.restarts;
    clear();
  });
  backend.onListChanged(clear);
  backend.onResourceUpdated(clear);

  function forwardKept(call: BackendCall, rule: CacheRule): CancelCall {
    const key = keyOf(call, rule.public && !perKey ? null : payerOf(call.caller));
    const kept = shelf.get(key);
    if (kept !== null && (shared === null || shared.isCurrent)) {
      counts.hits++;
      return answerKept(call, kept);
    }
    const known = flights.get(key);
    if (known !== undefined) {
      counts.hits++;
      return known.join(call);
    }
    let began = epoch;
    /** How long an answer of another replica may be kept here; null: it is not to be kept anew. */
    let leftMs: number | null = Number.POSITIVE_INFINITY;
    let ticket: string | null = null;
    const flight: SharedFlight = new SharedFlight(call, {
      alone: (other) => backend.forward(other),
      ended: () => {
        if (flights.get(key) === flight) flights.delete(key);
      },
      keep(json) {
        const lasts = leftMs === null || epoch !== began ? null : judgeLife(json, rule);
        if (lasts === null || leftMs === null) return;
        shelf.put(key, json, Math.min(lasts.ttlMs, leftMs), lasts.saysTtl);
        if (ticket !== null) shared?.put(key, json, lasts.ttlMs, ticket);
      },
    });
    flights.set(key, flight);

    function forward(waiting: BackendCall): CancelCall {
      counts.misses++;
      return backend.forward(waiting);
    }

    /** Asks the other replicas, then the upstream. */
    function lookElsewhere(waiting: BackendCall): CancelCall {
      let cancel: CancelCall | null = null;
      let isCancelled = false;
      const hit = (json: string, mayLastMs: number | null): void => {
        counts.hits++;
        leftMs = mayLastMs;
        waiting.onResult(json);
      };
      const isAsked = shared?.get(key, call.method, (found, given) => {
        if (isCancelled) return;
        const isOld = epoch !== began;
        began = epoch;
        const mayLastMs = found === null ? 0 : judgeFound(found, rule);
        if (found !== null && mayLastMs > 0) return hit(found.json, mayLastMs);
        if (kept !== null && !isOld) return hit(textOf(kept), null);
        ticket = given;
        cancel = forward(waiting);
      });
      if (isAsked !== true) return forward(waiting);
      return (reason) => {
        isCancelled = true;
        cancel?.(reason);
      };
    }

    return flight.start(shared === null ? forward : lookElsewhere);
  }

  return passingBackend(backend, {
    cacheCounts: () => counts,
    forward(call) {
      const rule = call.method === 'tools/call' || call.method === 'resources/read' ? findRule(call) : null;
      return rule === null ? backend.forward(call) : forwardKept(call, rule);
    },
  });
}

function answerKept(call: BackendCall, kept: KeptAnswer): CancelCall {
  return answerLater(() => call.onResult(textOf(kept)));
}

/** With what the upstream gave it to live, less the time that it lay here. */
function textOf({ json, keptAt, saysTtl }: KeptAnswer): string {
  if (!saysTtl) return json;
  const result = JSON.parse(json) as { ttlMs: number };
  return JSON.stringify({ ...result, ttlMs: Math.max(0, Math.round(result.ttlMs - (performance.now() - keptAt))) });
}

/** Milliseconds that an answer of another replica may be given for, by our rule as well as by theirs; 0 when it may not. */
function judgeFound({ json, ageMs, leftMs }: FoundAnswer, rule: CacheRule): number {
  const lasts = judgeLife(json, rule);
  return lasts === null ? 0 : Math.max(0, Math.min(leftMs, lasts.ttlMs, rule.ttlSeconds * 1_000 - ageMs));
}

/** How long a result may be kept; null when it may not. */
function judgeLife(json: string, rule: CacheRule): { readonly ttlMs: number; readonly saysTtl: boolean } | null {
  const ttlMs = rule.ttlSeconds * 1_000;
  if (!/"(?:isError|resultType|ttlMs|cacheScope)"/.test(json)) return { ttlMs, saysTtl: false };
  let result: unknown;
  try {
    result = JSON.parse(json);
  } catch {
    return null;
  }
  if (typeof result !== 'object' || result === null) return null;
  const said = result as Record<string, unknown>;
  if (said['isError'] === true || (said['resultType'] ?? 'complete') !== 'complete') return null;
  if (rule.public && said['cacheScope'] === 'private') return null;
  if (typeof said['ttlMs'] !== 'number') return { ttlMs, saysTtl: false };
  return said['ttlMs'] > 0 ? { ttlMs: Math.min(ttlMs, said['ttlMs']), saysTtl: true } : null;
}

/** Members of params that calls may have whose answers are kept; others (requestState, task) ask for more than an answer. */
const knownMembers = new Set(['name', 'arguments', 'uri', '_meta']);

function createRuleFinder(backend: Backend, { tools, resources }: CacheRules): (call: BackendCall) => CacheRule | null {
  const toolRules = compileRules(tools);
  const resourceRules = compileRules(resources);
  const list = createListCache(backend, 'tools');
  backend.onListChanged((kind) => {
    if (kind === 'tools') list.invalidate();
  });
  backend.onStateChange(() => list.invalidate());
  let readOnlyOf: readonly ListItem[] | null = null;
  let readOnly: ReadonlySet<string> = new Set();

  function isReadOnly(name: string): boolean {
    if (!list.fresh) {
      if (list.loadingSince === 0) list.load(() => {});
      return false;
    }
    if (readOnlyOf !== list.items) {
      readOnlyOf = list.items;
      readOnly = new Set((readOnlyOf ?? []).filter(saysReadOnly).map((item) => String(item['name'])));
    }
    return readOnly.has(name);
  }

  return ({ method, params = {} }) => {
    for (const member in params) if (!knownMembers.has(member)) return null;
    if (method === 'resources/read') {
      const { uri } = params;
      return typeof uri === 'string' ? (resourceRules.find(({ takes }) => takes(uri))?.rule ?? null) : null;
    }
    const { name } = params;
    if (typeof name !== 'string') return null;
    // As clients see it where several upstreams stand behind one endpoint, or as the upstream calls it.
    const shown = `${backend.name}__${name}`;
    const found = toolRules.find(({ takes }) => takes(name) || takes(shown));
    if (found === undefined) return null;
    return !found.isPattern || isReadOnly(name) ? found.rule : null;
  };
}

interface CompiledRule {
  readonly takes: (name: string) => boolean;
  readonly isPattern: boolean;
  readonly rule: CacheRule;
}

/** Exact names first, then patterns in the order of the file. */
function compileRules(rules: Readonly<Record<string, CacheRule>>): readonly CompiledRule[] {
  const compiled = Object.entries(rules).map(([pattern, rule]) => ({
    takes: compilePatterns([pattern]),
    isPattern: pattern.includes('*'),
    rule,
  }));
  return compiled.toSorted((a, b) => Number(a.isPattern) - Number(b.isPattern));
}

function saysReadOnly(item: ListItem): boolean {
  const annotations = item['annotations'];
  return typeof annotations === 'object' && annotations !== null && 'readOnlyHint' in annotations
    ? annotations.readOnlyHint === true
    : false;
}

/** Equal for calls that must have the same answer. `owner` null: whoever asks. What clients can be asked for may change it. */
function keyOf({ method, params = {}, era, clientCapabilities }: BackendCall, owner: string | null): string {
  const asked = [method, params['name'] ?? params['uri'], params['arguments'] ?? {}, owner, era, clientCapabilities];
  return hash('sha256', canonicalJson(asked), 'base64');
}

/** JSON text with the members of every object in order, so that equal values have equal texts. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const members = Object.entries(value)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`);
  return `{${members.join(',')}}`;
}
