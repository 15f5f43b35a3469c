import type { Registry } from '../backends/registry.ts';
import type { EventStream, OpenStreams } from '../http/event-stream.ts';
import type { Exchange } from '../http/exchange.ts';
import type { Caller, ListKind, RpcId } from '../types.ts';
import { metaKeys } from './revisions.ts';
import { dispatch } from './scoped-dispatch.ts';
import { isObject, renderId, renderNotification, renderRpcResult } from './rpc-text.ts';

const maxResourceSubscriptions = 1_000;

/** The change notices that a client asked for, less those that this server cannot give. */
export interface ListenFilter {
  toolsListChanged?: true;
  promptsListChanged?: true;
  resourcesListChanged?: true;
  resourceSubscriptions?: string[];
}

interface Listener {
  readonly id: RpcId;
  readonly filter: ListenFilter;
  readonly stream: EventStream;
  readonly caller: Caller;
  /** Stands for this stream towards backends that know subscriptions per session only. */
  readonly subscriberId: string;
}

const filterOfKind = {
  tools: 'toolsListChanged',
  prompts: 'promptsListChanged',
  resources: 'resourcesListChanged',
} as const;

/** The open `subscriptions/listen` streams of modern clients: change notices and nothing else. */
export class ListenStreams {
  readonly #registry: Registry;
  readonly #streams: OpenStreams;
  readonly #serverInfoJson: () => string;
  readonly #open = new Set<Listener>();
  #next = 1;

  constructor(registry: Registry, streams: OpenStreams, serverInfoJson: () => string) {
    this.#registry = registry;
    this.#streams = streams;
    this.#serverInfoJson = serverInfoJson;
    registry.onListChanged((kind) => this.#listChanged(kind));
    registry.onResourceUpdated((uri, sessionId) => this.#resourceUpdated(uri, sessionId));
  }

  /** Opens the stream of one listen request; `onClose` is called when it is over. */
  open(exchange: Exchange, id: RpcId, filter: ListenFilter, onClose: () => void): void {
    const stream = this.#streams.open(exchange.res, exchange.extraHeaders);
    const listener: Listener = { id, filter, stream, caller: exchange.caller, subscriberId: `listen-${this.#next++}` };
    const meta = { [metaKeys.subscriptionId]: id };
    stream.send(
      renderNotification(
        'notifications/subscriptions/acknowledged',
        JSON.stringify({ notifications: filter, _meta: meta }),
      ),
      null,
    );
    exchange.answered();
    if (Object.keys(filter).length === 0) {
      this.#finish(listener);
      onClose();
      return;
    }
    this.#open.add(listener);
    for (const uri of filter.resourceSubscriptions ?? []) this.#subscribe(listener, uri);
    exchange.res.on('close', () => {
      stream.lost();
      this.#open.delete(listener);
      if (filter.resourceSubscriptions !== undefined) this.#registry.endSession(listener.subscriberId);
      onClose();
    });
  }

  /** Asks for the watched resources again: backends were replaced, and the new ones know of no subscription. */
  resubscribe(): void {
    for (const listener of this.#open) {
      for (const uri of listener.filter.resourceSubscriptions ?? []) this.#subscribe(listener, uri);
    }
  }

  /** Ends every stream of a key that was revoked. */
  endAllOf(keyId: string): void {
    for (const listener of this.#open) if (listener.caller.keyId === keyId) this.#finish(listener);
  }

  /** Ends all, with the empty result that says so. */
  close(): void {
    for (const listener of this.#open) this.#finish(listener);
  }

  #finish(listener: Listener): void {
    this.#open.delete(listener);
    const meta = `{"${metaKeys.subscriptionId}":${renderId(listener.id)},"${metaKeys.serverInfo}":${this.#serverInfoJson()}}`;
    listener.stream.send(renderRpcResult(renderId(listener.id), `{"resultType":"complete","_meta":${meta}}`), null);
    listener.stream.end();
  }

  #listChanged(kind: ListKind): void {
    for (const listener of this.#open) {
      if (listener.filter[filterOfKind[kind]] === true) {
        this.#notify(listener, `notifications/${kind}/list_changed`, {});
      }
    }
  }

  #resourceUpdated(uri: string, subscriberId: string | null): void {
    if (subscriberId === null) return;
    for (const listener of this.#open) {
      if (listener.subscriberId === subscriberId) this.#notify(listener, 'notifications/resources/updated', { uri });
    }
  }

  #notify(listener: Listener, method: string, params: Record<string, unknown>): void {
    const stamped = { ...params, _meta: { [metaKeys.subscriptionId]: listener.id } };
    listener.stream.send(renderNotification(method, JSON.stringify(stamped)), null);
  }

  #subscribe(listener: Listener, uri: string): void {
    dispatch(this.#registry, {
      method: 'resources/subscribe',
      params: { uri },
      caller: listener.caller,
      // The method exists in the legacy era only; the backend sees a session that watches one resource.
      era: 'legacy',
      sessionId: listener.subscriberId,
      clientCapabilities: {},
      onResult() {},
      // A resource that cannot be watched gives no notices; the stream serves the others.
      onError() {},
      onNotification() {},
      onServerRequest(_method, _params, reply) {
        reply({ error: { code: -32_601, message: 'Not available on a subscription.' } });
      },
    });
  }
}

/** Reads `params.notifications`; a text says what is wrong with it. Pure. */
export function parseListenFilter(requested: unknown, capabilities: Record<string, unknown>): ListenFilter | string {
  if (!isObject(requested)) return 'notifications is required and must be an object';
  const filter: ListenFilter = {};
  for (const kind of ['tools', 'prompts', 'resources'] as const) {
    const field = filterOfKind[kind];
    const value = requested[field];
    if (value !== undefined && typeof value !== 'boolean') return `notifications.${field} must be true or false`;
    const capability = capabilities[kind];
    if (value === true && isObject(capability) && capability['listChanged'] === true) filter[field] = true;
  }
  const uris = requested['resourceSubscriptions'];
  if (uris !== undefined) {
    if (!Array.isArray(uris) || !uris.every((uri) => typeof uri === 'string')) {
      return 'notifications.resourceSubscriptions must be an array of URIs';
    }
    if (uris.length > maxResourceSubscriptions) return `at most ${maxResourceSubscriptions} resources can be watched`;
    const resources = capabilities['resources'];
    if (uris.length > 0 && isObject(resources) && resources['subscribe'] === true) filter.resourceSubscriptions = uris;
  }
  return filter;
}
