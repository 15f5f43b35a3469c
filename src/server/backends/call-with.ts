import type { BackendCall, RpcError } from '../types.ts';

/** What of a call is to be different. */
export interface CallChanges {
  readonly params?: Record<string, unknown>;
  /** Called before the answer goes to the original call. */
  readonly onResult?: (resultJson: string) => void;
  /** Takes the error instead of the original call. */
  readonly onError?: (error: RpcError) => void;
}

/** The same call with some parts replaced; everything else goes to the original, so that its answer does. */
export function callWith(call: BackendCall, changes: CallChanges): BackendCall {
  return new ChangedCall(call, changes);
}

class ChangedCall implements BackendCall {
  readonly params: Record<string, unknown> | undefined;
  readonly #call: BackendCall;
  readonly #changes: CallChanges;

  constructor(call: BackendCall, changes: CallChanges) {
    this.#call = call;
    this.#changes = changes;
    this.params = changes.params ?? call.params;
  }

  get method() {
    return this.#call.method;
  }
  get caller() {
    return this.#call.caller;
  }
  get era() {
    return this.#call.era;
  }
  get sessionId() {
    return this.#call.sessionId;
  }
  get clientCapabilities() {
    return this.#call.clientCapabilities;
  }

  onResult(resultJson: string) {
    this.#changes.onResult?.(resultJson);
    this.#call.onResult(resultJson);
  }

  onError(error: RpcError) {
    if (this.#changes.onError === undefined) this.#call.onError(error);
    else this.#changes.onError(error);
  }

  onNotification(method: string, paramsJson: string) {
    this.#call.onNotification(method, paramsJson);
  }

  noteRefusal(why: string) {
    this.#call.noteRefusal?.(why);
  }

  onServerRequest(
    method: string,
    params: Record<string, unknown>,
    reply: Parameters<BackendCall['onServerRequest']>[2],
  ) {
    this.#call.onServerRequest(method, params, reply);
  }
}
