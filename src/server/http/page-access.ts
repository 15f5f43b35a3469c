import type { HttpRequest } from './http-message.ts';
import { createAddressList } from '../policy/address-list.ts';
import type { AddressReader } from '../policy/client-address.ts';
import { peerAddress } from './peer-address.ts';

/** Who may read the pages about the server without a key. */
export interface PageAccess {
  /** From this machine and not passed on by a proxy. Never with a proxy in front, which may pass on without saying so. */
  isLocal(req: HttpRequest): boolean;
  mayReadMetrics(req: HttpRequest): boolean;
}

/** Of what proxies and tunnels add, each adds at least one. */
const proxyHeaders = [
  'x-forwarded-for',
  'forwarded',
  'x-real-ip',
  'via',
  'x-forwarded-host',
  'x-forwarded-proto',
  'cf-connecting-ip',
  'true-client-ip',
  'x-client-ip',
];

/**
 * @param metricsFrom addresses and CIDR blocks; the words `loopback` and `unix` do not count behind a proxy, whose own
 *   connections come from there
 * @throws UserError for an entry that is none of these.
 */
export function createPageAccess(options: {
  readonly behindProxy: boolean;
  readonly metricsFrom: readonly string[];
  readonly readAddress: AddressReader;
}): PageAccess {
  const { behindProxy, readAddress } = options;
  const counting = options.metricsFrom.filter((entry) => !behindProxy || !/^(?:loopback|unix)$/.test(entry));
  const listed = createAddressList(counting, 'an entry of server.metricsFrom');
  return {
    isLocal(req) {
      if (behindProxy || isForwarded(req)) return false;
      const address = peerAddress(req);
      return address !== undefined && isLoopback(address);
    },
    mayReadMetrics(req) {
      const peer = peerAddress(req);
      if (!isForwarded(req)) return listed.has(peer);
      if (!readAddress.trusts(peer)) return false;
      const client = readAddress(peer, headerText(req.headers['x-forwarded-for']));
      // A proxy's word that the client is this machine says nothing: it is what a proxy without the client's address says.
      return client !== peer && !isLoopback(client) && listed.has(client);
    },
  };
}

function isForwarded({ headers }: HttpRequest): boolean {
  return proxyHeaders.some((name) => headers[name] !== undefined);
}

function isLoopback(address: string): boolean {
  return address === 'unix' || address === '::1' || /^(?:::ffff:)?127\./.test(address);
}

function headerText(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' ? header : header?.join(', ');
}
