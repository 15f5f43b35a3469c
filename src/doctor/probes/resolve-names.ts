import { isIP, type LookupFunction } from 'node:net';

/** Addresses of names in place of those that the system knows, as `curl --resolve` has it. */
export type ResolvedNames = Readonly<Record<string, readonly string[]>>;

/** A look-up for Node's requests that answers these names itself; undefined when there are none. */
export function lookupFor(names: ResolvedNames | undefined): LookupFunction | undefined {
  if (names === undefined || Object.keys(names).length === 0) return undefined;
  return (host, options, callback) => {
    const addresses = (names[host] ?? []).map((address) => ({ address, family: isIP(address) }));
    const [first] = addresses;
    if (first === undefined) {
      const error = Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: 'ENOTFOUND' });
      callback(error, '', 0);
    } else if (options.all === true) callback(null, addresses);
    else callback(null, first.address, first.family);
  };
}
