import type { BackendCall, RpcId } from '../types.ts';
import { ASKED_AS_SERVER, METHOD_NOT_FOUND } from './backend-errors.ts';
import { reasonOf, type Log } from './backend-log.ts';
import type { RpcMessage } from './rpc-message.ts';
import type { ServerAnswer, ServerRequests } from './server-requests.ts';

/** What an upstream sends on its own. */
export type ServerMessage = Extract<RpcMessage, { kind: 'request' } | { kind: 'notification' }>;

export interface ServerMessageHost {
  readonly upstream: string;
  readonly log: Log;
  readonly requests: ServerRequests;
  /** The call that was sent with this progress token of ours. */
  callOfToken(token: number): { readonly call: BackendCall; readonly progressToken: RpcId | undefined } | undefined;
  /** A notification that belongs to no single call: list_changed, resources/updated. */
  onNotification(method: string, params: Record<string, unknown>): void;
  readonly reply: (id: RpcId, answer: ServerAnswer) => void;
}

/** Requests of an upstream to clients that may wait for answers at once. */
const maxServerRequests = 256;

/**
 * Takes what an upstream sends on its own to the client that it is for. `ownerOf` tells the call that it belongs to, or
 * null while that is in doubt: then it is dropped or refused, because it must never reach another client. A caller that
 * throws must not take the others' messages with it.
 */
export function routeServerMessage(
  message: ServerMessage,
  host: ServerMessageHost,
  ownerOf: () => BackendCall | null,
): void {
  try {
    if (message.kind === 'request') routeRequest(message, host, ownerOf);
    else routeNotification(message.method, message.params, host, ownerOf);
  } catch (thrown) {
    host.log.error('call-handler-failed', { upstream: host.upstream, reason: reasonOf(thrown) });
  }
}

function routeNotification(
  method: string,
  params: Record<string, unknown>,
  host: ServerMessageHost,
  ownerOf: () => BackendCall | null,
): void {
  switch (method) {
    case 'notifications/progress': {
      const found = host.callOfToken(Number(params['progressToken']));
      if (found?.progressToken === undefined) return;
      found.call.onNotification(method, JSON.stringify({ ...params, progressToken: found.progressToken }));
      return;
    }
    case 'notifications/cancelled':
      host.requests.takeBack(params['requestId'] as RpcId);
      return;
    case 'notifications/message':
    case 'notifications/elicitation/complete': {
      const owner = ownerOf();
      if (owner === null) host.log.debug('upstream-notification-dropped', { upstream: host.upstream, method });
      else owner.onNotification(method, JSON.stringify(params));
      return;
    }
    default:
      host.onNotification(method, params);
  }
}

function routeRequest(
  { id, method, params }: Extract<ServerMessage, { kind: 'request' }>,
  { requests, log, upstream, reply }: ServerMessageHost,
  ownerOf: () => BackendCall | null,
): void {
  if (method === 'ping') {
    reply(id, { result: {} });
    return;
  }
  if (method !== 'elicitation/create' && method !== 'sampling/createMessage' && method !== 'roots/list') {
    const message = method === 'initialize' ? ASKED_AS_SERVER : `Method not found: ${method}`;
    reply(id, { error: { code: METHOD_NOT_FOUND, message } });
    return;
  }
  const owner = ownerOf();
  if (owner !== null && requests.size < maxServerRequests) {
    requests.ask(owner, id, method, params);
    return;
  }
  log.warn('upstream-request-refused', { upstream, method, reason: 'it cannot be told which client it is for' });
  const message = `${method} cannot be passed on: it belongs to no single call that is in flight`;
  reply(id, { error: { code: METHOD_NOT_FOUND, message } });
}
