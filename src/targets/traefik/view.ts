import { UserError } from '../../deployment/errors.ts';
import { quoteTraefikYaml } from '../../render/quote/traefik.ts';
import { nameOnHost } from '../name-on-host.ts';
import { isAtLeast, parseVersion, type Version } from '../parse-version.ts';
import { describeProxySite, upstreamIdleSeconds, type ProxySite } from '../proxy-site.ts';
import { hostAndPort, type ProxyServer } from '../proxy-upstream.ts';
import type { TargetInput } from '../types.ts';
import { checkHost } from './labels.ts';
import { clientRule, hostRule, pathRule, sessionRule, endpointRule } from './rules.ts';

/** The oldest version whose syntax is rendered; also what is assumed when none is known. */
const oldestVersion: Version = [3, 0, 0];

/** Everything templates/traefik/dynamic.yaml.hbs lays out. Texts are quoted for YAML. */
export function traefikView(input: TargetInput) {
  const version = input.programVersion === undefined ? oldestVersion : parseVersion(input.programVersion);
  if (!isAtLeast(version, oldestVersion)) {
    throw new UserError(`Traefik ${input.programVersion} is too old`, {
      why: 'The rules are those of Traefik 3.',
      next: 'Install a newer Traefik, or use caddy.',
    });
  }
  const site = describeProxySite(input);
  // 3.4 brought the choice of a server by anything else than its turn.
  const hasStrategies = isAtLeast(version, [3, 4, 0]);
  refuseWhatTraefikLacks(site, hasStrategies);
  const { servers, tls } = site.upstream;
  const several = servers.length > 1;
  const host = hostRule(site.serverNames);
  const paths = endpointRule(site);
  const denied = site.denyFrom.length === 0 ? '' : ` && !${clientRule(site.denyFrom)}`;
  const rule = (text: string): string => quoteTraefikYaml(text, 'a rule');
  return {
    name: site.name,
    id: nameOnHost(site.name),
    mcpRule: rule(`${host} && ${paths}${denied}`),
    replicas: several
      ? servers.map((server) => ({
          name: server.name,
          rule: rule(`${host} && ${paths} && ${sessionRule(server.name, site.sessionInQuery)}${denied}`),
          url: serverUrl(site, server),
        }))
      : [],
    pagesRule: rule(`${host} && ${pathRule(site.pages)}`),
    metricsRule:
      site.metricsFrom.length === 0
        ? false
        : rule(`${host} && ${pathRule(['/metrics'])} && ${clientRule(site.metricsFrom)}`),
    plainRule: rule(host),
    httpsPort: site.httpsPort === 443 ? false : quoteTraefikYaml(String(site.httpsPort), 'server.publicUrl'),
    certificate: certificate(site),
    several,
    strategy: several && hasStrategies ? (site.balance === 'address' ? 'hrw' : 'p2c') : false,
    servers: servers.map((server) => ({ url: serverUrl(site, server) })),
    attempts: servers.length,
    checkHost: quoteTraefikYaml(checkHost(site.serverNames), 'proxy.serverName'),
    upstreamTls: tls !== null && {
      serverName: quoteTraefikYaml(tls.serverName, 'tls.names'),
      caFile: quoteTraefikYaml(tls.caFile, 'the CA file'),
    },
    upstreamIdleSeconds,
    securityHeaders: site.securityHeaders.map(({ name, value }) => ({ name, value: quoteTraefikYaml(value, name) })),
    limit: site.limit !== null && {
      requestsPerSecond: site.limit.requestsPerSecond,
      // Traefik lets nothing through with 0.
      burst: Math.max(1, site.limit.burst),
    },
    allowFrom:
      site.allowFrom.length > 0 && site.allowFrom.map((network) => quoteTraefikYaml(network, 'proxy.allowFrom')),
    isModern: site.tlsProfile === 'modern',
    clients: site.clientCertificates !== null && {
      caFile: quoteTraefikYaml(site.clientCertificates.caFile, 'proxy.clientCa'),
    },
  };
}

function serverUrl({ upstream }: ProxySite, { address }: ProxyServer): string {
  if (address.kind === 'unix') throw new Error('refused before');
  const scheme = upstream.tls === null ? 'http' : 'https';
  return quoteTraefikYaml(`${scheme}://${hostAndPort(address.host, address.port)}`, 'server.listen');
}

function certificate({ certificate: known, serverNames }: ProxySite) {
  switch (known.kind) {
    case 'files':
      return {
        files: {
          certificate: quoteTraefikYaml(known.certificate, `${known.place}.certificate`),
          key: quoteTraefikYaml(known.key, `${known.place}.key`),
        },
        resolver: false as const,
      };
    case 'public-authority':
      return { files: false as const, resolver: 'letsencrypt' };
    case 'none':
      throw new UserError(`no certificate is known for ${serverNames.join(', ')}`, {
        why: 'Traefik ends TLS in front of the server, and neither tls nor proxy names a certificate for it.',
        next: 'Set proxy.certificate and proxy.key in mcp-deploy.yaml.',
      });
  }
}

function refuseWhatTraefikLacks(site: ProxySite, hasStrategies: boolean): void {
  if (site.upstream.servers.some(({ address }) => address.kind === 'unix')) {
    throw new UserError('the server listens on a Unix socket, which Traefik cannot connect to', {
      next: 'Add an address like 127.0.0.1:8443 to server.listen, or name one in proxy.servers; or use caddy.',
    });
  }
  if (site.sendProxyProtocol) {
    throw new UserError('server.proxyProtocol is required, which Traefik cannot send over HTTP', {
      why: 'Traefik tells the address of the client in X-Forwarded-For.',
      next: 'Set server.proxyProtocol to optional or off, with Traefik in server.trustedProxies; or use haproxy.',
    });
  }
  if (site.clientCertificates?.crlFile) {
    throw new UserError('proxy.revokedClients is set, and Traefik reads no revocation lists', {
      why: 'It would let in clients whose certificate was revoked.',
      next: 'Use nginx or haproxy, or short-lived client certificates without proxy.revokedClients.',
    });
  }
  if (site.balance === 'address' && site.upstream.servers.length > 1 && !hasStrategies) {
    throw new UserError('proxy.balance is address, which Traefik knows since 3.4', {
      next: 'Say which one you have, for example --for traefik@3.6, or leave proxy.balance at least.',
    });
  }
}
