import type { BackendCall } from '../types.ts';

/** What a call has that stands in for another one on its way to a backend, and hears of the answer first. */
export class PassedCall {
  readonly method: string;
  readonly params: Record<string, unknown> | undefined;
  readonly caller: BackendCall['caller'];
  readonly era: BackendCall['era'];
  readonly sessionId: string | null;
  readonly clientCapabilities: Record<string, unknown>;
  readonly #asked: BackendCall;

  constructor(call: BackendCall) {
    this.method = call.method;
    this.params = call.params;
    this.caller = call.caller;
    this.era = call.era;
    this.sessionId = call.sessionId;
    this.clientCapabilities = call.clientCapabilities;
    this.#asked = call;
  }

  noteRefusal(why: string): void {
    this.#asked.noteRefusal?.(why);
  }
}
