import { isIP } from 'node:net';
import { UserError } from '../deployment/errors.ts';
import { isDnsName } from '../deployment/host-name.ts';
import { isLoopback, listenAddresses, parseListenAddress, type ListenAddress } from '../deployment/listen-address.ts';
import type { Deployment } from '../deployment/schema.ts';
import type { TargetInput } from './types.ts';

/** How a reverse proxy reaches the servers of a deployment. */
export interface ProxyUpstream {
  /** At least one. */
  readonly servers: readonly ProxyServer[];
  /** Null: plain HTTP. */
  readonly tls: { readonly serverName: string; readonly caFile: string } | null;
}

export interface ProxyServer {
  /** Its server.replica; "server" when there is no other. */
  readonly name: string;
  readonly address:
    | { readonly kind: 'unix'; readonly path: string }
    /** `host` can be dialled: never "all addresses"; IPv6 without brackets. */
    | { readonly kind: 'tcp'; readonly host: string; readonly port: number };
}

/**
 * The servers of proxy.servers; without it that of server.listen, at an address that never leaves the machine when
 * there is one. Throws a UserError for a port that is none.
 */
export function chooseUpstream(input: TargetInput, serverNames: readonly string[]): ProxyUpstream {
  const named = namedServers(input.deployment.proxy.servers);
  const addresses = listenAddresses(input.deployment.server);
  const chosen = addresses.find((a) => a.kind === 'unix') ?? addresses.find(isLoopback) ?? addresses[0];
  if (chosen === undefined) throw new UserError('server.listen is empty', { next: 'Set it to localhost:8443.' });
  const servers =
    named.length === 0
      ? [{ name: 'server', address: dialable(chosen, 'server.listen') }]
      : named.map(({ name, text }) => ({ name, address: dialable(parseListenAddress(text), 'proxy.servers') }));
  // The server speaks plain HTTP on a Unix socket: what connects there is on this machine.
  const tls = servers.some(({ address }) => address.kind === 'unix') ? null : chooseTls(input, serverNames);
  return { servers, tls };
}

/** A list names its servers r1, r2 and so on. */
function namedServers(servers: Deployment['proxy']['servers']): readonly { name: string; text: string }[] {
  if (servers === undefined) return [];
  if (Array.isArray(servers)) return servers.map((text, index) => ({ name: `r${index + 1}`, text }));
  return Object.entries(servers).map(([name, text]) => ({ name, text }));
}

/** `host:port` as it stands in a URL. */
export function hostAndPort(host: string, port: number): string {
  return `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
}

function dialable(address: ListenAddress, place: string): ProxyServer['address'] {
  if (address.kind === 'unix') return address;
  if (address.port < 1 || address.port > 65_535) {
    throw new UserError(`${place} has no usable port: ${address.port}`, {
      why: 'A proxy needs a fixed port between 1 and 65535 to connect to.',
      next: `Write one in ${place}, for example localhost:8443.`,
    });
  }
  // "localhost" is two addresses; a proxy that tries both reports the failure of either as its own.
  const host = address.host === '' || address.host === 'localhost' ? '127.0.0.1' : address.host;
  if (isIP(host) === 0 && !isDnsName(host)) {
    throw new UserError(`${place} is not an address that a proxy can connect to: ${host}`, {
      next: 'Write localhost, a host name or an IP address before the port.',
    });
  }
  return { kind: 'tcp', host, port: address.port };
}

function chooseTls(input: TargetInput, serverNames: readonly string[]): ProxyUpstream['tls'] {
  const { tls } = input.deployment;
  switch (tls.source) {
    case 'off':
      return null;
    case 'private-ca':
      // Every certificate of ours has it, whatever else it names; proxies compare DNS names only, not addresses.
      return { serverName: 'localhost', caFile: input.paths.caFile };
    case 'acme':
    case 'files': {
      const [serverName = 'localhost'] = tls.source === 'acme' ? tls.names : serverNames;
      return { serverName, caFile: input.paths.upstreamCaFile ?? '/etc/ssl/certs/ca-certificates.crt' };
    }
  }
}
