import { isIP } from 'node:net';
import { UserError } from '../../deployment/errors.ts';
import { quoteNginx } from '../../render/quote/nginx.ts';
import { identifierOnHost, nameOnHost } from '../name-on-host.ts';
import { isAtLeast, parseVersion, type Version } from '../parse-version.ts';
import { otherProblem, problemMembers, proxyProblems } from '../proxy-problems.ts';
import { describeProxySite, isPublicName, openPages, upstreamIdleSeconds, type ProxySite } from '../proxy-site.ts';
import { hostAndPort } from '../proxy-upstream.ts';
import type { TargetInput } from '../types.ts';

/** The oldest version whose syntax is rendered; also what is assumed when none is known. */
const oldestVersion: Version = [1, 18, 0];

/** Everything templates/nginx/site.conf.hbs lays out. Texts are quoted for nginx. */
export function nginxView(input: TargetInput) {
  const version = input.programVersion === undefined ? oldestVersion : parseVersion(input.programVersion);
  if (!isAtLeast(version, oldestVersion)) {
    throw new UserError(`nginx ${input.programVersion} is too old`, {
      why: 'The configuration needs nginx 1.18 or newer.',
      next: 'Install a newer nginx, or use caddy.',
    });
  }
  const site = describeProxySite(input);
  // Names of zones, maps and upstreams are shared by all sites of this nginx.
  const id = identifierOnHost(site.name);
  const certificate = siteCertificate(site);
  return {
    name: site.name,
    id,
    serverNames: site.serverNames.map((name) => quoteNginx(inUrl(name), 'proxy.serverName')).join(' '),
    httpsPort: site.httpsPort,
    httpPort: site.httpPort,
    redirectTo: redirectTo(site),
    // Older versions turn HTTP/2 on for the whole socket, so for every other site on it too.
    http2: isAtLeast(version, [1, 25, 1]),
    certificate: certificate.certificate,
    certificateKey: certificate.key,
    // Where certbot's webroot method puts the answers to the authority's questions (Debian, Fedora and nginx.org differ).
    acme: site.serverNames.some(isPublicName),
    fromCertbot: site.certificate.kind === 'public-authority',
    upstreamServer: upstreamServer(site),
    upstreamScheme: site.upstream.tls === null ? 'http' : 'https',
    upstreamTls: site.upstream.tls === null ? false : upstreamTls(site.upstream.tls),
    mcpPath: quoteNginx(site.path, 'server.path'),
    mcpPathSlash: quoteNginx(`${site.path}/`, 'server.path'),
    openPages: openPages.map((path) => ({ path })),
    upstreamIdleSeconds,
    maxBody: bytes(site.maxBodyBytes),
    securityHeaders: site.securityHeaders.map(({ name, value }) => ({ name, value: quoteNginx(value, name) })),
    problems: proxyProblems(site).map((problem) => ({
      status: problem.status,
      members: quoteNginx(problemMembers(problem), 'problem'),
    })),
    otherProblem: quoteNginx(problemMembers(otherProblem), 'problem'),
    retries: proxyProblems(site).flatMap(({ status, retryAfterSeconds }) =>
      retryAfterSeconds === undefined ? [] : [{ status, seconds: retryAfterSeconds }],
    ),
    addressLimit: input.addressLimit === undefined ? false : input.addressLimit,
    accessLog: quoteNginx(
      `${input.paths.proxyLogDir ?? '/var/log/nginx'}/${nameOnHost(site.name)}.access.log`,
      'the log folder',
    ),
  };
}

/** An IPv6 address stands in brackets wherever a host name may stand. */
function inUrl(name: string): string {
  return isIP(name) === 6 ? `[${name}]` : name;
}

/**
 * The name itself when there is just one: with $host, a request that reaches
 * this block by accident would be sent to a host of the sender's choice.
 */
function redirectTo(site: ProxySite): string {
  const [only] = site.serverNames;
  const host = site.serverNames.length === 1 && only !== undefined && !only.startsWith('*') ? inUrl(only) : '$host';
  return `https://${host}${site.httpsPort === 443 ? '' : `:${site.httpsPort}`}$request_uri`;
}

function siteCertificate(site: ProxySite): { certificate: string; key: string } {
  const { certificate } = site;
  switch (certificate.kind) {
    case 'files':
      return {
        certificate: quoteNginx(certificate.certificate, `${certificate.place}.certificate`),
        key: quoteNginx(certificate.key, `${certificate.place}.key`),
      };
    case 'public-authority': {
      const folder = `/etc/letsencrypt/live/${certificate.serverName.replace(/^\*\./, '')}`;
      return {
        certificate: quoteNginx(`${folder}/fullchain.pem`, 'proxy.serverName'),
        key: quoteNginx(`${folder}/privkey.pem`, 'proxy.serverName'),
      };
    }
    case 'none':
      throw new UserError(`no certificate is known for ${site.serverNames.join(', ')}`, {
        why: 'nginx ends TLS in front of the server, and neither tls nor proxy names a certificate for it.',
        next: 'Set proxy.certificate and proxy.key in mcp-deploy.yaml.',
      });
  }
}

function upstreamServer(site: ProxySite): string {
  const { address } = site.upstream;
  return address.kind === 'unix'
    ? quoteNginx(`unix:${address.path}`, 'server.listen')
    : quoteNginx(hostAndPort(address.host, address.port), 'server.listen');
}

function upstreamTls(tls: { serverName: string; caFile: string }): {
  serverName: string;
  caFile: string;
  sni: boolean;
} {
  return {
    serverName: quoteNginx(tls.serverName, 'tls.names'),
    caFile: quoteNginx(tls.caFile, 'the CA file'),
    // An address is not a name that may be sent in the handshake (RFC 6066, section 3).
    sni: isIP(tls.serverName) === 0,
  };
}

/** Whole megabytes stay readable. */
function bytes(count: number): string {
  return count % 1_048_576 === 0 ? `${count / 1_048_576}m` : String(count);
}
