import { answerLater } from './answer-later.ts';
import type { BackendCall, CancelCall } from '../types.ts';
import { reasonOf, type Log } from './backend-log.ts';
import { callWith } from './call-with.ts';
import type { Hello } from './handshake.ts';
import type { OwnAnswer, StdioConnection } from './stdio-connection.ts';
import { createSubscriptionTable } from './subscription-table.ts';

/** What of a connection is needed to subscribe. */
type Subscribable = Pick<StdioConnection, 'era' | 'request'>;

/** The resource subscriptions of many clients on one child, which knows only one client: the gateway. */
export interface ResourceSubscriptions {
  /** Takes resources/subscribe and resources/unsubscribe. */
  forward(call: BackendCall, send: (call: BackendCall) => CancelCall): CancelCall;
  /** A fresh child serves: it is told what is subscribed, and asked for its change notices. */
  onUp(connection: Subscribable, hello: Hello): void;
  /** Asks a modern server for its change notices once more. */
  listenAgain(): void;
  /** Sessions that wait for news of this resource. */
  subscribersOf(uri: string): ReadonlySet<string | null>;
  endSession(sessionId: string): void;
}

const subscribeTimeoutMs = 30_000;

/** `onListenEnded`: the long request for change notices has ended, though the connection has not. */
export function createResourceSubscriptions(
  upstream: string,
  log: Log,
  onListenEnded: (error: unknown) => void = () => {},
): ResourceSubscriptions {
  const table = createSubscriptionTable();
  let connection: Subscribable | null = null;
  let listening: OwnAnswer | null = null;

  /** Legacy: one request each. The child's memory of them is all that is wanted, so a failure is only logged. */
  function tellChild(method: string, uri: string): void {
    if (connection === null || connection.era === 'modern') return;
    connection.request(method, { uri }, subscribeTimeoutMs).result.catch((error: unknown) => {
      log.warn('upstream-subscription-failed', { upstream, method, uri, reason: reasonOf(error) });
    });
  }

  /** Modern: one long request names everything (MCP 2026-07-28, subscriptions/listen); a change opens a new one. */
  function listen(): void {
    if (connection === null || connection.era === 'legacy') return;
    const before = listening;
    const { uris } = table;
    const notifications = {
      toolsListChanged: true,
      promptsListChanged: true,
      resourcesListChanged: true,
      ...(uris.length === 0 ? {} : { resourceSubscriptions: uris }),
    };
    const opened = connection.request('subscriptions/listen', { notifications }, 0);
    listening = opened;
    const onEnd = (error: unknown): void => {
      log.debug('upstream-listen-ended', { upstream, reason: reasonOf(error) });
      if (listening === opened) onListenEnded(error);
    };
    opened.result.then(onEnd, onEnd);
    before?.cancel();
  }

  function answerHere(call: BackendCall): CancelCall {
    return answerLater(() => call.onResult('{}'));
  }

  return {
    forward(call, send) {
      const uri = call.params?.['uri'];
      if (typeof uri !== 'string') return send(call);
      const modern = connection?.era === 'modern';
      if (call.method === 'resources/subscribe') {
        if (modern) {
          if (table.add(uri, call.sessionId)) listen();
          return answerHere(call);
        }
        return send(callWith(call, { onResult: () => void table.add(uri, call.sessionId) }));
      }
      const last = table.remove(uri, call.sessionId);
      if (!modern && last) return send(call);
      if (last) listen();
      return answerHere(call);
    },
    onUp(child, hello) {
      connection = child;
      listening = null;
      if (hello.era === 'modern') listen();
      else for (const uri of table.uris) tellChild('resources/subscribe', uri);
    },
    listenAgain: listen,
    subscribersOf: (uri) => table.subscribersOf(uri),
    endSession(sessionId) {
      const free = table.endSession(sessionId);
      for (const uri of free) tellChild('resources/unsubscribe', uri);
      if (free.length > 0) listen();
    },
  };
}
