import type { Caller, KeyDecision } from '../types.ts';

type Accepted = KeyDecision & { readonly allowed: true };

/**
 * The callers that requests come from: the same object as long as key and address stay the same, so that a call makes no
 * new one and others can remember things by it.
 */
export class Callers {
  /** Of each key the caller that came last: nearly always the one that comes next. */
  readonly #ofKeys = new WeakMap<Accepted, Caller>();
  #anonymous: Caller = { keyId: '', label: 'anonymous', address: '', tier: null, access: null, expiresAtMs: null };

  /** @param accepted what the check of the key said; it says the same object for the same key */
  find(accepted: Accepted, address: string): Caller {
    const known = this.#ofKeys.get(accepted);
    if (known !== undefined && known.address === address) return known;
    const { keyId, label, tier = null, access = null, expiresAtMs = null } = accepted;
    const caller = { keyId, label, address, tier, access, expiresAtMs };
    this.#ofKeys.set(accepted, caller);
    return caller;
  }

  /** Where no key is asked for. */
  findAnonymous(address: string): Caller {
    if (this.#anonymous.address !== address) this.#anonymous = { ...this.#anonymous, address };
    return this.#anonymous;
  }
}
