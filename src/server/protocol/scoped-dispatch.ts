import { answerLater } from '../backends/answer-later.ts';
import { lists, ownCall, type ListName } from '../backends/list-cache.ts';
import { mergeCapabilities, mergeInstructions } from '../backends/merge-capabilities.ts';
import type { Registry } from '../backends/registry.ts';
import type { Access } from '../policy/access.ts';
import type { BackendCall, Caller, CancelCall, RpcError } from '../types.ts';
import { isObject, readObject, rpcCodes } from './rpc-text.ts';

/** A call that can say in the audit that it was refused, and not that it failed. */
export type RefusableCall = BackendCall & { refuse?(error: RpcError, why: string): void };

/**
 * Sends a call to the backends. For a caller with an access of its own, lists are filtered and what is hidden is
 * answered as if it did not exist. Nothing that is filtered is kept: no two callers share it.
 */
export function dispatch(registry: Registry, call: RefusableCall): CancelCall {
  const access = call.caller.access ?? null;
  if (access === null || !access.limits) return registry.dispatch(call);
  const list = listOfMethod.get(call.method);
  if (list !== undefined) {
    return registry.dispatch(withResult(call, (text) => filterList(registry, access, list, text)));
  }
  if (call.method.startsWith('resources/') || refersToResource(call)) return dispatchResource(registry, call, access);
  const hidden = hiddenName(registry, call.caller, call.method, call.params);
  return hidden === null ? registry.dispatch(call) : refuseLater(call, hidden);
}

/** Whether this tool does not exist for the caller. */
export function hidesTool(registry: Registry, caller: Caller, params: Record<string, unknown> | undefined): boolean {
  const { access } = caller;
  if (access === undefined || access === null || !access.limits) return false;
  return hiddenName(registry, caller, 'tools/call', params) !== null;
}

/** What the upstreams that this caller sees can do. */
export function capabilitiesFor(registry: Registry, caller: Caller): Record<string, unknown> {
  return caller.access?.limitsUpstreams === true
    ? mergeCapabilities(seenBackends(registry, caller.access))
    : registry.capabilities();
}

/** What the upstreams that this caller sees say of themselves. */
export function instructionsFor(registry: Registry, caller: Caller): string | null {
  return caller.access?.limitsUpstreams === true
    ? mergeInstructions(seenBackends(registry, caller.access))
    : registry.instructions();
}

function seenBackends(registry: Registry, access: Access) {
  return registry.backends.filter((backend) => !access.hidesUpstream(backend.name));
}

/** The same call whose result is changed on its way back. */
function withResult(call: BackendCall, change: (resultJson: string) => string): BackendCall {
  const { method, params, caller, era, sessionId, clientCapabilities } = call;
  return {
    method,
    params,
    caller,
    era,
    sessionId,
    clientCapabilities,
    onResult: (text) => call.onResult(change(text)),
    onError: (error) => call.onError(error),
    onNotification: (name, paramsJson) => call.onNotification(name, paramsJson),
    onServerRequest: (name, asked, reply) => call.onServerRequest(name, asked, reply),
  };
}

const listOfMethod: ReadonlyMap<string, ListName> = new Map(
  (Object.keys(lists) as ListName[]).map((list) => [lists[list].method, list]),
);

/** The call by which the upstream of a list's item is found. */
const methodOfItem: Readonly<Record<ListName, string>> = {
  tools: 'tools/call',
  prompts: 'prompts/get',
  resources: 'resources/read',
  resourceTemplates: 'resources/read',
};

function filterList(registry: Registry, access: Access, list: ListName, text: string): string {
  const result = readObject(text);
  const items = result?.[list];
  if (result === null || !Array.isArray(items)) return `{"${list}":[]}`;
  const { key } = lists[list];
  const seen = (items as unknown[]).filter((item) => {
    const name = isObject(item) ? item[key] : undefined;
    if (typeof name !== 'string' || (list === 'tools' && access.hidesTool(name))) return false;
    if (!access.limitsUpstreams) return true;
    const params = { [key === 'name' ? 'name' : 'uri']: name };
    return !access.hidesUpstream(registry.upstreamOf({ method: methodOfItem[list], params }));
  });
  // What one key sees is nobody else's, whatever the backend says.
  return JSON.stringify({ ...result, ...('cacheScope' in result ? { cacheScope: 'private' } : {}), [list]: seen });
}

/** The tool or prompt that the caller must not know of, as an error that an invented one gets too; null when all is well. */
function hiddenName(
  registry: Registry,
  { access }: Caller,
  method: string,
  params: Record<string, unknown> | undefined,
): RpcError | null {
  if (access === undefined || access === null) return null;
  if (method === 'tools/call') {
    const name = params?.['name'];
    if (typeof name !== 'string') return noName;
    const hidden =
      access.hidesTool(name) ||
      (access.limitsUpstreams && access.hidesUpstream(registry.upstreamOf({ method, params })));
    return hidden ? { code: rpcCodes.invalidParams, message: `Unknown tool: ${name}` } : null;
  }
  if (!access.limitsUpstreams) return null;
  if (method !== 'prompts/get' && method !== 'completion/complete') return null;
  const ref = method === 'completion/complete' && isObject(params?.['ref']) ? params['ref'] : params;
  const name = ref?.['name'];
  if (typeof name !== 'string') return noName;
  const upstream = registry.upstreamOf({ method: 'prompts/get', params: { name } });
  return access.hidesUpstream(upstream) ? { code: rpcCodes.invalidParams, message: `Unknown prompt: ${name}` } : null;
}

const noName: RpcError = { code: rpcCodes.invalidParams, message: 'params.name must be a string' };

function refersToResource({ method, params }: BackendCall): boolean {
  return method === 'completion/complete' && isObject(params?.['ref']) && params['ref']['type'] === 'ref/resource';
}

function dispatchResource(registry: Registry, call: RefusableCall, access: Access): CancelCall {
  if (!access.limitsUpstreams) return registry.dispatch(call);
  const params = refersToResource(call) ? (call.params?.['ref'] as Record<string, unknown>) : call.params;
  const of = { method: 'resources/read', params };
  const known = registry.upstreamOf(of);
  if (known !== null && !access.hidesUpstream(known)) return registry.dispatch(call);
  const error = { code: rpcCodes.legacyResourceNotFound, message: 'Resource not found' };
  if (known !== null) return refuseLater(call, error);
  // Where it comes from is known when the lists were read; asking around among hidden upstreams would call them.
  let cancel: CancelCall | null = null;
  let cancelled = false;
  const decide = (): void => {
    if (cancelled) return;
    cancel = access.hidesUpstream(registry.upstreamOf(of)) ? refuseLater(call, error) : registry.dispatch(call);
  };
  const readTemplates = (): void =>
    void registry.dispatch(ownCall('resources/templates/list', undefined, decide, decide));
  registry.dispatch(ownCall('resources/list', undefined, readTemplates, readTemplates));
  return (reason) => {
    cancelled = true;
    cancel?.(reason);
  };
}

function refuseLater(call: RefusableCall, error: RpcError): CancelCall {
  return answerLater(() => {
    if (call.refuse === undefined) call.onError(error);
    else call.refuse(error, 'outside of what the key may reach');
  });
}
