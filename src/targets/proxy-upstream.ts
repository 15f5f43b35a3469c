import { isIP } from 'node:net';
import { UserError } from '../deployment/errors.ts';
import { isDnsName } from '../deployment/host-name.ts';
import { isLoopback, listenAddresses, type ListenAddress } from '../deployment/listen-address.ts';
import type { TargetInput } from './types.ts';

/** How a reverse proxy on the same host reaches the server. */
export interface ProxyUpstream {
  readonly address:
    | { readonly kind: 'unix'; readonly path: string }
    /** `host` can be dialled: never "all addresses"; IPv6 without brackets. */
    | { readonly kind: 'tcp'; readonly host: string; readonly port: number };
  /** Null: plain HTTP. */
  readonly tls: { readonly serverName: string; readonly caFile: string } | null;
}

/** Chooses the address that never leaves the machine when there is one. Throws a UserError for a port that is none. */
export function chooseUpstream(input: TargetInput, serverNames: readonly string[]): ProxyUpstream {
  const addresses = listenAddresses(input.deployment.server);
  const chosen = addresses.find((a) => a.kind === 'unix') ?? addresses.find(isLoopback) ?? addresses[0];
  if (chosen === undefined) throw new UserError('server.listen is empty', { next: 'Set it to localhost:8443.' });
  // The server speaks plain HTTP on a Unix socket: what connects there is on this machine.
  return { address: dialable(chosen), tls: chosen.kind === 'unix' ? null : chooseTls(input, serverNames) };
}

/** `host:port` as it stands in a URL. */
export function hostAndPort(host: string, port: number): string {
  return `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
}

function dialable(address: ListenAddress): ProxyUpstream['address'] {
  if (address.kind === 'unix') return address;
  if (address.port < 1 || address.port > 65_535) {
    throw new UserError(`server.listen has no usable port: ${address.port}`, {
      why: 'A proxy needs a fixed port between 1 and 65535 to connect to.',
      next: 'Write one in server.listen, for example localhost:8443.',
    });
  }
  // "localhost" is two addresses; a proxy that tries both reports the failure of either as its own.
  const host = address.host === '' || address.host === 'localhost' ? '127.0.0.1' : address.host;
  if (isIP(host) === 0 && !isDnsName(host)) {
    throw new UserError(`server.listen is not an address that a proxy can connect to: ${host}`, {
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
