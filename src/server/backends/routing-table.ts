import { answerLater } from './answer-later.ts';
import type { Backend, BackendCall, CancelCall, ListKind, RpcError } from '../types.ts';
import { INVALID_PARAMS, METHOD_NOT_FOUND } from './backend-errors.ts';
import type { Log } from './backend-log.ts';
import { callWith } from './call-with.ts';
import { lists, ownCall, type ListName } from './list-cache.ts';
import { createMergedList, type MergedList } from './merged-list.ts';
import { createResourceRoutes } from './resource-routes.ts';

/** Where the calls to one fixed set of backends go. */
export interface RoutingTable {
  readonly backends: readonly Backend[];
  /** Never answers before it returns. */
  dispatch(call: BackendCall): CancelCall;
  upstreamOf(call: Pick<BackendCall, 'method' | 'params'>): string | null;
  knowsTool(name: string): boolean;
  /** A backend of this set has changed its state. */
  stateChanged(backend: Backend): void;
  /** A backend of this set says that a list has changed. */
  listChanged(backend: Backend, kind: ListKind): void;
}

/** Between the name of a backend and a name of its own, when several backends have such names. */
const separator = '__';

/**
 * One MCP server out of all backends. A single backend is passed through as it
 * is. Of several, a kind of thing (tools, prompts, resources) that only one has
 * passes through too; otherwise lists are merged and the names of tools and
 * prompts get the backend's name in front.
 * @param tellListChanged what was given out before is out of date
 */
export function createRoutingTable(
  backends: readonly Backend[],
  log: Log,
  tellListChanged: (kind: ListKind) => void,
): RoutingTable {
  const only = backends.length === 1 ? (backends[0] ?? null) : null;
  const byName = new Map(backends.map((backend) => [backend.name, backend]));

  function makeList(list: ListName, prefixed: boolean): MergedList {
    return createMergedList({
      backends,
      list,
      nameOf: (backend, original) => (prefixed ? `${backend.name}${separator}${original}` : original),
      log,
      onLateChange: () => tellListChanged(lists[list].kind),
    });
  }

  const merged: Record<ListName, MergedList> = {
    tools: makeList('tools', true),
    prompts: makeList('prompts', true),
    resources: makeList('resources', false),
    resourceTemplates: makeList('resourceTemplates', false),
  };
  const resourceRoutes = createResourceRoutes(backends, merged.resources, merged.resourceTemplates);

  /** Only backend that has, or may have, this kind of thing; 'none' or 'several' otherwise. */
  function ownerOf(kind: ListKind): Backend | 'none' | 'several' {
    let found: Backend | 'none' = 'none';
    for (const backend of backends) {
      // One that has not been up yet counts: names must not change when it comes.
      if (backend.serverInfo !== null && !(kind in backend.capabilities)) continue;
      if (found !== 'none') return 'several';
      found = backend;
    }
    return found;
  }

  function dispatchList(call: BackendCall, list: ListName): CancelCall {
    const owner = ownerOf(lists[list].kind);
    if (owner === 'none') return answerLater(() => call.onResult(`{"${list}":[]}`));
    if (owner === 'several') return merged[list].answer(call);
    return owner.forward(call);
  }

  /** tools/call and prompts/get. */
  function dispatchNamed(call: BackendCall, list: 'tools' | 'prompts', what: string): CancelCall {
    const owner = ownerOf(lists[list].kind);
    if (typeof owner === 'object') return owner.forward(call);
    const name = call.params?.['name'];
    if (typeof name !== 'string') return failLater(call, INVALID_PARAMS, 'params.name must be a string');
    const route = merged[list].routes.get(name) ?? routeByPrefix(name, list);
    if (owner === 'none' || route === null) return failLater(call, INVALID_PARAMS, `Unknown ${what}: ${name}`);
    return route.backend.forward(callWith(call, { params: { ...call.params, name: route.original } }));
  }

  /** Before its list was read, or for what it does not list: the backend itself says whether it knows the name. */
  function routeByPrefix(name: string, list: 'tools' | 'prompts'): { backend: Backend; original: string } | null {
    const at = name.indexOf(separator);
    const backend = at === -1 ? undefined : byName.get(name.slice(0, at));
    if (backend === undefined) return null;
    const original = name.slice(at + separator.length);
    const cache = merged[list].caches.find((one) => one.backend === backend);
    return cache?.fresh === true && !cache.keys.has(original) ? null : { backend, original };
  }

  function dispatchResource(call: BackendCall): CancelCall {
    const owner = ownerOf('resources');
    if (typeof owner === 'object') return owner.forward(call);
    const uri = call.params?.['uri'];
    if (typeof uri !== 'string') return failLater(call, INVALID_PARAMS, 'params.uri must be a string');
    if (owner === 'none') return failLater(call, -32002, 'Resource not found');
    return resourceRoutes.forward(call, uri);
  }

  function dispatchCompletion(call: BackendCall): CancelCall {
    const ref = (call.params?.['ref'] ?? {}) as Record<string, unknown>;
    if (ref['type'] === 'ref/prompt' && typeof ref['name'] === 'string') {
      const { name } = ref;
      const owner = ownerOf('prompts');
      if (typeof owner === 'object') return owner.forward(call);
      const route = merged.prompts.routes.get(name) ?? routeByPrefix(name, 'prompts');
      if (route === null) return failLater(call, INVALID_PARAMS, `Unknown prompt: ${name}`);
      const params = { ...call.params, ref: { ...ref, name: route.original } };
      return route.backend.forward(callWith(call, { params }));
    }
    if (ref['type'] === 'ref/resource' && typeof ref['uri'] === 'string') {
      const owner = ownerOf('resources');
      return typeof owner === 'object' ? owner.forward(call) : resourceRoutes.forward(call, ref['uri']);
    }
    return failLater(call, INVALID_PARAMS, 'params.ref must be a ref/prompt with a name or a ref/resource with a uri');
  }

  function upstreamAmongSeveral(method: string, params: Record<string, unknown> | undefined): string | null {
    if (method === 'resources/read') {
      const owner = ownerOf('resources');
      if (typeof owner === 'object') return owner.name;
      return resourceRoutes.find(String(params?.['uri']))?.name ?? null;
    }
    const list = method === 'tools/call' ? 'tools' : 'prompts';
    const owner = ownerOf(list);
    if (typeof owner === 'object') return owner.name;
    const name = String(params?.['name']);
    return (merged[list].routes.get(name) ?? routeByPrefix(name, list))?.backend.name ?? null;
  }

  /** Every backend that logs is told; the caller need not wait for the slowest of them. */
  function dispatchLogLevel(call: BackendCall): CancelCall {
    for (const backend of backends) {
      if (!('logging' in backend.capabilities)) continue;
      backend.forward(
        callForAll(call, (error) => {
          log.debug('upstream-log-level-failed', { upstream: backend.name, reason: error.message });
        }),
      );
    }
    return answerLater(() => call.onResult('{}'));
  }

  return {
    backends,
    dispatch(call) {
      if (only !== null) return only.forward(call);
      switch (call.method) {
        case 'tools/call':
          return dispatchNamed(call, 'tools', 'tool');
        case 'prompts/get':
          return dispatchNamed(call, 'prompts', 'prompt');
        case 'tools/list':
          return dispatchList(call, 'tools');
        case 'prompts/list':
          return dispatchList(call, 'prompts');
        case 'resources/list':
          return dispatchList(call, 'resources');
        case 'resources/templates/list':
          return dispatchList(call, 'resourceTemplates');
        case 'resources/read':
        case 'resources/subscribe':
        case 'resources/unsubscribe':
          return dispatchResource(call);
        case 'completion/complete':
          return dispatchCompletion(call);
        case 'logging/setLevel':
          return dispatchLogLevel(call);
        default:
          return failLater(call, METHOD_NOT_FOUND, `Method not found: ${call.method}`);
      }
    },
    upstreamOf: ({ method, params }) => (only === null ? upstreamAmongSeveral(method, params) : only.name),
    knowsTool(name) {
      const prefixed = ownerOf('tools') === 'several';
      return merged.tools.caches.some((cache) => {
        const { backend } = cache;
        if (!cache.fresh && backend.state.state === 'up' && cache.loadingSince === 0) cache.load(() => {});
        const prefix = prefixed ? backend.name + separator : '';
        return name.startsWith(prefix) && cache.keys.has(name.slice(prefix.length));
      });
    },
    stateChanged(backend) {
      if (backend.state.state === 'up') for (const list of Object.values(merged)) list.backendUp(backend);
    },
    listChanged(backend, kind) {
      for (const list of Object.keys(merged) as ListName[]) {
        if (lists[list].kind === kind) merged[list].invalidate(backend);
      }
    },
  };
}

/** The caller's own session and capabilities, but nobody waits for this answer. */
function callForAll(call: BackendCall, onError: (error: RpcError) => void): BackendCall {
  return { ...ownCall(call.method, call.params, () => {}, onError), caller: call.caller, sessionId: call.sessionId };
}

function failLater(call: BackendCall, code: number, message: string): CancelCall {
  return answerLater(() => call.onError({ code, message }));
}
