import { createAddressList, type AddressList } from './address-list.ts';

/** Who may connect at all, by address. */
export interface AddressGate {
  /** @param address of the client, behind trusted proxies */
  admits(address: string): boolean;
  /** Whether this client may ask whether the server is well. */
  admitsHealth(address: string): boolean;
}

/**
 * The gate before everything else: no key is looked at and no body is read of a client that it keeps out. What
 * `denyFrom` lists stays out, also where `allowFrom` lists it; an empty `allowFrom` lets everyone else in.
 * @returns null when nobody is kept out
 * @throws UserError for an entry that is neither an address nor a block of addresses.
 */
export function createAddressGate(options: {
  readonly allowFrom: readonly string[];
  readonly denyFrom: readonly string[];
  /** Health pages: `everyone`, or a list of its own. */
  readonly healthFrom: 'everyone' | readonly string[];
}): AddressGate | null {
  const { healthFrom } = options;
  const allowed = createAddressList(options.allowFrom, 'an entry of server.allowFrom');
  const denied = createAddressList(options.denyFrom, 'an entry of server.denyFrom');
  const health: AddressList | null =
    healthFrom === 'everyone' ? null : createAddressList(healthFrom, 'an entry of server.healthFrom');
  if (allowed.isEmpty && denied.isEmpty && health === null) return null;
  return {
    admits: (address) => (denied.isEmpty || !denied.has(address)) && (allowed.isEmpty || allowed.has(address)),
    admitsHealth: (address) => health === null || health.has(address),
  };
}
