import { isIP } from 'node:net';
import { UserError } from '../../deployment/errors.ts';
import { quoteCaddyfile } from '../../render/quote/caddyfile.ts';
import { identifierOnHost, nameOnHost } from '../name-on-host.ts';
import { isAtLeast, parseVersion, type Version } from '../parse-version.ts';
import { otherProblem, problemMembers, proxyProblems } from '../proxy-problems.ts';
import { describeProxySite, upstreamIdleSeconds, type ProxySite } from '../proxy-site.ts';
import { hostAndPort, type ProxyServer, type ProxyUpstream } from '../proxy-upstream.ts';
import type { TargetInput } from '../types.ts';

/** The oldest version whose syntax is rendered; also what is assumed when none is known. */
const oldestVersion: Version = [2, 6, 0];

/** Everything templates/caddy/site.caddyfile.hbs lays out. Texts are quoted for a Caddyfile. */
export function caddyView(input: TargetInput) {
  const version = input.programVersion === undefined ? oldestVersion : parseVersion(input.programVersion);
  if (!isAtLeast(version, oldestVersion)) {
    throw new UserError(`Caddy ${input.programVersion} is too old`, {
      why: 'The configuration needs Caddy 2.6 or newer.',
      next: 'Install a newer Caddy, or use nginx.',
    });
  }
  const site = describeProxySite(input);
  refuseWhatCaddyLacks(site, version, input.programVersion ?? '2.6');
  const { servers } = site.upstream;
  return {
    name: site.name,
    // Snippets and log names are shared by all sites of this Caddy.
    id: identifierOnHost(site.name),
    httpsAddresses: addresses(site, 'https', site.httpsPort),
    httpAddresses: addresses(site, 'http', site.httpPort),
    redirectTo: `https://{host}${site.httpsPort === 443 ? '' : `:${site.httpsPort}`}{uri}`,
    tls: tlsLine(site),
    ownAuthority: site.certificate.kind === 'none',
    fromPublicAuthority: site.certificate.kind === 'public-authority',
    isModern: site.tlsProfile === 'modern',
    clients: site.clientCertificates === null ? false : clientCertificates(site.clientCertificates),
    endpointPaths: [
      ...site.endpointPaths.flatMap((path) => [path, `${path}/`]),
      ...(site.toolsBelow === null ? [] : [`${site.toolsBelow}/*`]),
    ]
      .map((path) => quoteCaddyfile(path, 'server.path'))
      .join(' '),
    upstream: upstreamAddresses(site.upstream, servers),
    several: servers.length > 1 && {
      // The name that the server is asked by for its readiness, as by every other request.
      host: quoteCaddyfile(hostHeader(site), 'proxy.serverName'),
      policy: site.balance === 'address' ? 'ip_hash' : 'least_conn',
      byAddress: site.balance === 'address',
      sessionInQuery: site.sessionInQuery,
      replicas: servers.map((server) => ({
        name: server.name,
        // Its own first: the policy "first" takes the others only while that is away.
        upstream: upstreamAddresses(site.upstream, [server, ...servers.filter((other) => other !== server)]),
      })),
    },
    sendProxyProtocol: site.sendProxyProtocol,
    denyFrom: site.denyFrom.length === 0 ? false : site.denyFrom.join(' '),
    allowFrom: site.allowFrom.length === 0 ? false : site.allowFrom.join(' '),
    metricsFrom: site.metricsFrom.length === 0 ? false : site.metricsFrom.join(' '),
    upstreamTls: site.upstream.tls === null ? false : upstreamTls(site.upstream.tls),
    // 2.8 brought the trust pool and deprecated the older word.
    trustPool: isAtLeast(version, [2, 8, 0]),
    // 2.7 told the address of the client from that of the last hop, and renamed the matcher for it.
    addressMatcher: isAtLeast(version, [2, 7, 0]) ? 'client_ip' : 'remote_ip',
    upstreamIdleSeconds,
    maxBody: site.maxBodyBytes,
    pages: site.pages.map((path) => quoteCaddyfile(path, 'server.health.path')).join(' '),
    securityHeaders: site.securityHeaders.map(({ name, value }) => ({ name, value: quoteCaddyfile(value, name) })),
    problems: proxyProblems(site).map((problem) => ({
      status: problem.status,
      members: quoteCaddyfile(problemMembers(problem), 'problem'),
    })),
    otherProblem: quoteCaddyfile(problemMembers(otherProblem), 'problem'),
    accessLog:
      input.logToOutput === true
        ? 'stdout'
        : `file ${quoteCaddyfile(`${input.paths.proxyLogDir ?? '/var/log/caddy'}/${nameOnHost(site.name)}.access.log`, 'the log folder')}`,
  };
}

function addresses(site: ProxySite, scheme: 'http' | 'https', port: number): string {
  return site.serverNames
    .map((name) => quoteCaddyfile(`${scheme}://${hostAndPort(name, port)}`, 'proxy.serverName'))
    .join(', ');
}

/** What follows the word tls; false when nothing has to be said there. */
function tlsLine(site: ProxySite): string | false {
  const { certificate } = site;
  if (certificate.kind === 'none') return ' internal';
  if (certificate.kind === 'files') {
    const words = [certificate.certificate, certificate.key];
    return words.map((word) => ` ${quoteCaddyfile(word, `${certificate.place}.certificate`)}`).join('');
  }
  return site.tlsProfile === 'modern' || site.clientCertificates !== null ? '' : false;
}

function clientCertificates({ caFile, header }: NonNullable<ProxySite['clientCertificates']>) {
  return { caFile: quoteCaddyfile(caFile, 'proxy.clientCa'), header };
}

function upstreamAddresses(upstream: ProxyUpstream, servers: readonly ProxyServer[]): string {
  return servers.map((server) => upstreamAddress(upstream, server)).join(' ');
}

function upstreamAddress({ tls }: ProxyUpstream, { address }: ProxyServer): string {
  if (address.kind === 'unix') return quoteCaddyfile(`unix/${address.path}`, 'server.listen');
  return quoteCaddyfile(
    `${tls === null ? 'http' : 'https'}://${hostAndPort(address.host, address.port)}`,
    'server.listen',
  );
}

function hostHeader({ serverNames }: ProxySite): string {
  const name = serverNames.find((one) => !one.startsWith('*')) ?? 'localhost';
  return isIP(name) === 6 ? `[${name}]` : name;
}

function refuseWhatCaddyLacks(site: ProxySite, version: Version, given: string): void {
  if (site.clientCertificates?.crlFile) {
    throw new UserError('proxy.revokedClients is set, and Caddy reads no revocation lists', {
      why: 'It would let in clients whose certificate was revoked.',
      next: 'Use nginx or haproxy, or short-lived client certificates without proxy.revokedClients.',
    });
  }
  if (isAtLeast(version, [2, 7, 0])) return;
  const [setting] = [
    ...(site.sendProxyProtocol ? ['server.proxyProtocol'] : []),
    ...(site.proxyProtocolFrom.length > 0 ? ['proxy.proxyProtocolFrom'] : []),
  ];
  if (setting === undefined) return;
  throw new UserError(`${setting} is set, and Caddy ${given} does not speak the PROXY protocol`, {
    why: 'Caddy 2.7 and newer do.',
    next: 'Say which one you have, for example --for caddy@2.10, or use haproxy.',
  });
}

function upstreamTls(tls: { serverName: string; caFile: string }): { serverName: string; caFile: string } {
  return { serverName: quoteCaddyfile(tls.serverName, 'tls.names'), caFile: quoteCaddyfile(tls.caFile, 'the CA file') };
}
