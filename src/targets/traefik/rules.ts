import { isIP } from 'node:net';
import { quoteTraefikRule } from '../../render/quote/traefik.ts';
import type { ProxySite } from '../proxy-site.ts';

/** Requests for one of these hosts, as a rule of Traefik 3. */
export function hostRule(names: readonly string[]): string {
  return anyOf(
    names.map((name) => {
      if (name.startsWith('*.')) return regexp('HostRegexp', `^[^.]+${escapeRegexp(name.slice(1))}$`, 'tls.names');
      // With or without the brackets that stand in the Host header.
      if (isIP(name) === 6) return regexp('HostRegexp', `^\\[?${escapeRegexp(name)}\\]?$`, 'tls.names');
      return `Host(${quoteTraefikRule(name, 'proxy.serverName')})`;
    }),
  );
}

/** Requests for one of these paths, exactly. */
export function pathRule(paths: readonly string[]): string {
  return anyOf(paths.map(exactPath));
}

/** Requests for the endpoint, with and without the slash, and for what has a path of its own below one. */
export function endpointRule({ endpointPaths, toolsBelow }: Pick<ProxySite, 'endpointPaths' | 'toolsBelow'>): string {
  const below = toolsBelow === null ? [] : [`PathPrefix(${quoteTraefikRule(`${toolsBelow}/`, 'server.toolPath')})`];
  return anyOf([...endpointPaths.flatMap((path) => [path, `${path}/`]).map(exactPath), ...below]);
}

function exactPath(path: string): string {
  return `Path(${quoteTraefikRule(path, 'server.path')})`;
}

/** Requests from one of these networks. */
export function clientRule(networks: readonly string[]): string {
  return anyOf(networks.map((network) => `ClientIP(${quoteTraefikRule(network, 'an address list')})`));
}

/** Requests that belong to a session of this server, by the end of the session's id. */
export function sessionRule(replica: string, inQuery: boolean): string {
  const end = quoteTraefikRule(`\\.${escapeRegexp(replica)}$`, 'proxy.servers');
  return anyOf([
    `HeaderRegexp(\`Mcp-Session-Id\`, ${end})`,
    ...(inQuery ? [`QueryRegexp(\`sessionId\`, ${end})`] : []),
  ]);
}

function anyOf(rules: readonly string[]): string {
  return rules.length === 1 ? (rules[0] ?? '') : `(${rules.join(' || ')})`;
}

function regexp(matcher: string, pattern: string, place: string): string {
  return `${matcher}(${quoteTraefikRule(pattern, place)})`;
}

function escapeRegexp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
