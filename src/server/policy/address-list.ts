import { BlockList, isIP } from 'node:net';
import { UserError } from '../../deployment/errors.ts';

/** Verdicts remembered: the peers of a server behind a proxy are few. */
const mostVerdicts = 1_024;

/** A set of addresses, asked for every request. */
export interface AddressList {
  readonly isEmpty: boolean;
  /** One look-up in a table for an address that was asked for before. IPv4 mapped into IPv6 counts as IPv4. */
  has(address: string | undefined): boolean;
}

/**
 * @param entries addresses, CIDR blocks, or `loopback` (127.0.0.0/8, ::1 and Unix sockets) or `unix`
 * @param what names an entry in the error: `a trusted proxy`
 * @throws UserError for an entry that is none of these.
 */
export function createAddressList(entries: readonly string[], what: string): AddressList {
  const listed = new BlockList();
  let hasUnix = false;
  for (const entry of entries) {
    if (entry === 'loopback' || entry === 'unix') hasUnix = true;
    if (entry === 'loopback') {
      listed.addSubnet('127.0.0.0', 8, 'ipv4');
      listed.addAddress('::1', 'ipv6');
    } else if (entry !== 'unix') {
      addBlock(listed, entry, what);
    }
  }
  const verdicts = new Map<string, boolean>();

  function judge(address: string): boolean {
    const plain = plainAddress(address);
    if (plain === 'unix') return hasUnix;
    const family = isIP(plain);
    return family !== 0 && listed.check(plain, family === 4 ? 'ipv4' : 'ipv6');
  }

  return {
    isEmpty: entries.length === 0,
    has(address) {
      if (address === undefined) return false;
      let verdict = verdicts.get(address);
      if (verdict === undefined) {
        verdict = judge(address);
        if (verdicts.size >= mostVerdicts) verdicts.clear();
        verdicts.set(address, verdict);
      }
      return verdict;
    },
  };
}

/** An address as the system writes it: without the mapping of IPv4 into IPv6, without a zone. */
export function plainAddress(address: string): string {
  if (address.startsWith('::ffff:') && address.includes('.')) return address.slice('::ffff:'.length);
  const zone = address.indexOf('%');
  return zone === -1 ? address : address.slice(0, zone);
}

function addBlock(list: BlockList, entry: string, what: string): void {
  const [address = '', bits, rest] = entry.trim().split('/');
  const family = isIP(address);
  const most = family === 4 ? 32 : 128;
  const length = bits === undefined ? most : /^\d{1,3}$/.test(bits) ? Number(bits) : Number.NaN;
  if (family === 0 || rest !== undefined || !(length <= most) || address.includes('%')) {
    throw new UserError(`${JSON.stringify(entry.slice(0, 100))} cannot be ${what}`, {
      why: 'It is neither an address nor a block of addresses.',
      next: 'Write it like 10.0.0.7, 10.0.0.0/8, fd00::/8 or loopback.',
    });
  }
  list.addSubnet(address, length, family === 4 ? 'ipv4' : 'ipv6');
}
