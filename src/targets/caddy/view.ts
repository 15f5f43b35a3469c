import { UserError } from '../../deployment/errors.ts';
import { quoteCaddyfile } from '../../render/quote/caddyfile.ts';
import { identifierOnHost, nameOnHost } from '../name-on-host.ts';
import { isAtLeast, parseVersion, type Version } from '../parse-version.ts';
import { otherProblem, problemMembers, proxyProblems } from '../proxy-problems.ts';
import { describeProxySite, openPages, upstreamIdleSeconds, type ProxySite } from '../proxy-site.ts';
import { hostAndPort, type ProxyUpstream } from '../proxy-upstream.ts';
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
  return {
    name: site.name,
    // Snippets and log names are shared by all sites of this Caddy.
    id: identifierOnHost(site.name),
    httpsAddresses: addresses(site, 'https', site.httpsPort),
    httpAddresses: addresses(site, 'http', site.httpPort),
    redirectTo: `https://{host}${site.httpsPort === 443 ? '' : `:${site.httpsPort}`}{uri}`,
    certificate: siteCertificate(site),
    ownAuthority: site.certificate.kind === 'none',
    fromPublicAuthority: site.certificate.kind === 'public-authority',
    mcpPath: quoteCaddyfile(site.path, 'server.path'),
    mcpPathSlash: quoteCaddyfile(`${site.path}/`, 'server.path'),
    upstream: upstreamAddress(site.upstream),
    upstreamTls: site.upstream.tls === null ? false : upstreamTls(site.upstream.tls),
    // 2.8 brought the trust pool and deprecated the older word.
    trustPool: isAtLeast(version, [2, 8, 0]),
    // 2.7 told the address of the client from that of the last hop, and renamed the matcher for it.
    addressMatcher: isAtLeast(version, [2, 7, 0]) ? 'client_ip' : 'remote_ip',
    upstreamIdleSeconds,
    maxBody: site.maxBodyBytes,
    openPages: openPages.join(' '),
    securityHeaders: site.securityHeaders.map(({ name, value }) => ({ name, value: quoteCaddyfile(value, name) })),
    problems: proxyProblems(site).map((problem) => ({
      status: problem.status,
      members: quoteCaddyfile(problemMembers(problem), 'problem'),
    })),
    otherProblem: quoteCaddyfile(problemMembers(otherProblem), 'problem'),
    accessLog: quoteCaddyfile(
      `${input.paths.proxyLogDir ?? '/var/log/caddy'}/${nameOnHost(site.name)}.access.log`,
      'the log folder',
    ),
  };
}

function addresses(site: ProxySite, scheme: 'http' | 'https', port: number): string {
  return site.serverNames
    .map((name) => quoteCaddyfile(`${scheme}://${hostAndPort(name, port)}`, 'proxy.serverName'))
    .join(', ');
}

function siteCertificate(site: ProxySite): { certificate: string; key: string } | false {
  const { certificate } = site;
  if (certificate.kind !== 'files') return false;
  return {
    certificate: quoteCaddyfile(certificate.certificate, `${certificate.place}.certificate`),
    key: quoteCaddyfile(certificate.key, `${certificate.place}.key`),
  };
}

function upstreamAddress({ address, tls }: ProxyUpstream): string {
  if (address.kind === 'unix') return quoteCaddyfile(`unix/${address.path}`, 'server.listen');
  return quoteCaddyfile(
    `${tls === null ? 'http' : 'https'}://${hostAndPort(address.host, address.port)}`,
    'server.listen',
  );
}

function upstreamTls(tls: { serverName: string; caFile: string }): { serverName: string; caFile: string } {
  return { serverName: quoteCaddyfile(tls.serverName, 'tls.names'), caFile: quoteCaddyfile(tls.caFile, 'the CA file') };
}
