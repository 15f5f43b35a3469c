import type { BackendCall, RpcError, RpcId } from '../types.ts';
import { METHOD_NOT_FOUND } from './backend-errors.ts';

export type ServerAnswer = { readonly result: unknown } | { readonly error: RpcError };

/** Requests of one child to clients that wait for their answers. */
export interface ServerRequests {
  /** Passes a request on to the client of `call`; its answer goes to the child, once. */
  ask(call: BackendCall, id: RpcId, method: string, params: Record<string, unknown>): void;
  /** The call is over: what the child still asks for it is refused. */
  endCall(call: BackendCall): void;
  /** The child took its request back. */
  takeBack(id: RpcId): void;
  /** Whether the child waits for an answer of this call's client. */
  isAskedFor(call: BackendCall): boolean;
  /** The call that the child asked something for most recently, of those whose clients have not answered. */
  readonly lastAsked: BackendCall | null;
  readonly size: number;
  clear(): void;
}

export function createServerRequests(reply: (id: RpcId, answer: ServerAnswer) => void): ServerRequests {
  const open = new Map<RpcId, BackendCall>();
  return {
    ask(call, id, method, params) {
      open.set(id, call);
      call.onServerRequest(method, params, (answer) => {
        // An id that was used again belongs to another request by now.
        if (open.get(id) !== call) return;
        open.delete(id);
        reply(id, answer);
      });
    },
    endCall(call) {
      for (const [id, asked] of open) {
        if (asked !== call) continue;
        open.delete(id);
        reply(id, { error: { code: METHOD_NOT_FOUND, message: 'The call that this request belongs to is over' } });
      }
    },
    takeBack(id) {
      open.delete(id);
    },
    isAskedFor(call) {
      for (const asked of open.values()) if (asked === call) return true;
      return false;
    },
    get lastAsked() {
      return [...open.values()].at(-1) ?? null;
    },
    get size() {
      return open.size;
    },
    clear() {
      open.clear();
    },
  };
}
