import type { RpcError } from '../types.ts';
import { isObject, rpcCodes } from './rpc-text.ts';

/** Client capability that a request of a server needs, by method. Anything else is never passed to a client. */
const neededCapability: ReadonlyMap<string, string> = new Map([
  ['elicitation/create', 'elicitation'],
  ['sampling/createMessage', 'sampling'],
  ['roots/list', 'roots'],
]);

/** The error for a modern client whose request cannot be answered without this capability (`sampling.tools`). Pure. */
export function missingCapabilityError(missing: string): RpcError {
  let required: Record<string, unknown> = {};
  for (const name of missing.split('.').toReversed()) required = { [name]: required };
  return {
    code: rpcCodes.missingCapability,
    message: `This request needs a client that offers ${missing}.`,
    data: { requiredCapabilities: required },
  };
}

/** Name of what the client would have to offer for this request; null when it does. Pure. */
export function missingClientCapability(
  method: string,
  params: Record<string, unknown>,
  capabilities: Record<string, unknown>,
): string | null {
  const needed = neededCapability.get(method);
  if (needed === undefined) return method;
  const offered = capabilities[needed];
  if (!isObject(offered)) return needed;
  if (method === 'elicitation/create') {
    if (params['mode'] === 'url') return isObject(offered['url']) ? null : 'elicitation.url';
    // Naming no mode means forms: that is how it was before there were modes.
    return offered['url'] !== undefined && offered['form'] === undefined ? 'elicitation.form' : null;
  }
  return params['tools'] !== undefined && !isObject(offered['tools']) ? `${needed}.tools` : null;
}
