import type { RpcError } from '../types.ts';
import type { OwnAnswer } from './stdio-connection.ts';

/** An error answer of the child to a request of the gateway itself. */
export class UpstreamRpcError extends Error {
  readonly rpc: RpcError;

  constructor(rpc: RpcError) {
    super(rpc.message);
    this.name = 'UpstreamRpcError';
    this.rpc = rpc;
  }
}

/** Requests of the gateway itself to one child (handshake, subscriptions) that wait for answers. */
export interface OwnRequests {
  /** `timeoutMs` 0: no limit. */
  add(id: number, method: string, timeoutMs: number): OwnAnswer;
  resolve(id: number, resultJson: string): void;
  reject(id: number, error: RpcError): void;
  rejectAll(reason: string): void;
}

interface Waiting {
  readonly timer: NodeJS.Timeout | null;
  readonly resolve: (resultJson: string) => void;
  readonly reject: (error: Error) => void;
}

export function createOwnRequests(
  upstream: string,
  notify: (method: string, params: Record<string, unknown>) => void,
): OwnRequests {
  const waiting = new Map<number, Waiting>();

  function take(id: number): Waiting | undefined {
    const found = waiting.get(id);
    if (found === undefined) return undefined;
    waiting.delete(id);
    if (found.timer !== null) clearTimeout(found.timer);
    return found;
  }

  function giveUp(id: number, method: string, reason: string): Waiting | undefined {
    const found = take(id);
    // The handshake must not be cancelled (MCP, cancellation).
    if (found !== undefined && method !== 'initialize') notify('notifications/cancelled', { requestId: id, reason });
    return found;
  }

  return {
    add(id, method, timeoutMs) {
      const result = new Promise<string>((resolve, reject) => {
        const onTimeout = (): void => {
          const seconds = Math.round(timeoutMs / 100) / 10;
          giveUp(id, method, 'time-out')?.reject(new Error(`it did not answer ${method} within ${seconds} s`));
        };
        waiting.set(id, { timer: timeoutMs === 0 ? null : setTimeout(onTimeout, timeoutMs), resolve, reject });
      });
      return { result, cancel: () => void giveUp(id, method, 'not needed any more') };
    },
    resolve: (id, resultJson) => take(id)?.resolve(resultJson),
    reject: (id, error) => take(id)?.reject(new UpstreamRpcError(error)),
    rejectAll(reason) {
      for (const id of waiting.keys()) take(id)?.reject(new Error(`the upstream "${upstream}" ended: ${reason}`));
    },
  };
}
