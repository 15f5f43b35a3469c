import { isObject } from './rpc-text.ts';

/** Client capability that a request of a server needs, by method. Anything else is never passed to a client. */
const neededCapability: ReadonlyMap<string, string> = new Map([
  ['elicitation/create', 'elicitation'],
  ['sampling/createMessage', 'sampling'],
  ['roots/list', 'roots'],
]);

/** Name of what the client would have to offer for `method`; null when it does. */
export function missingClientCapability(method: string, capabilities: Record<string, unknown>): string | null {
  const needed = neededCapability.get(method);
  if (needed === undefined) return method;
  return isObject(capabilities[needed]) ? null : needed;
}
