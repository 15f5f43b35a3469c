import type { Caller } from '../types.ts';

/** Calls in flight of the tools that one limit is for. */
export interface ToolCount {
  inFlight: number;
}

/** A call as far as its key is concerned. */
export interface CallOfKey {
  readonly caller: Caller;
  /** The calls of its key, itself among them; kept here. */
  callsOfKey: CallOfKey[];
  placeAmongThem: number;
  /** Null for all that is no call of a tool with a limit of its own; kept here. */
  toolCount: ToolCount | null;
  readonly method: string;
  readonly params: Record<string, unknown> | undefined;
  /** Its key is not accepted any more. */
  endForKey(): void;
}

/** Lists of keys that have no call now are kept up to this number, so that a lone caller's calls make no garbage. */
const mostIdleKeys = 1_000;

/** Whose quota a caller uses: without keys everyone has one id, and addresses stand in for it. */
export function payerOf({ keyId, address }: Caller): string {
  return keyId === '' ? `address ${address}` : keyId;
}

/** All calls that backends work on, parked ones included, by key: for the bound of one key and for the end of a key. */
export class CallsInFlight {
  readonly #perKey = new Map<string, CallOfKey[]>();
  #size = 0;
  /** Set where tools have limits of their own. */
  countTool: ((tool: string) => ToolCount | null) | null = null;

  get size(): number {
    return this.#size;
  }

  countOf(payer: string): number {
    return this.#perKey.get(payer)?.length ?? 0;
  }

  add(call: CallOfKey): void {
    const payer = payerOf(call.caller);
    let calls = this.#perKey.get(payer);
    if (calls === undefined) {
      if (this.#perKey.size >= mostIdleKeys) this.#forgetIdleKeys();
      calls = [];
      this.#perKey.set(payer, calls);
    }
    call.callsOfKey = calls;
    call.placeAmongThem = calls.length;
    calls.push(call);
    this.#size++;
    if (this.countTool === null || call.method !== 'tools/call') return;
    const name = call.params?.['name'];
    call.toolCount = typeof name === 'string' ? this.countTool(name) : null;
    if (call.toolCount !== null) call.toolCount.inFlight++;
  }

  remove(call: CallOfKey): void {
    this.#size--;
    if (call.toolCount !== null) call.toolCount.inFlight--;
    const last = call.callsOfKey.pop();
    if (last === undefined || last === call) return;
    call.callsOfKey[call.placeAmongThem] = last;
    last.placeAmongThem = call.placeAmongThem;
  }

  /** Ends every call of a key that is not accepted any more. */
  endAllOf(keyId: string): void {
    for (const call of this.#perKey.get(keyId)?.slice() ?? []) call.endForKey();
  }

  #forgetIdleKeys(): void {
    for (const [payer, calls] of this.#perKey) if (calls.length === 0) this.#perKey.delete(payer);
  }
}
