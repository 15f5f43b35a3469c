import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
import { UserError } from '../../deployment/errors.ts';
import { quoteNginx } from '../../render/quote/nginx.ts';
import { identifierOnHost, nameOnHost } from '../name-on-host.ts';
import { isAtLeast, parseVersion, type Version } from '../parse-version.ts';
import { otherProblem, problemMembers, proxyProblems } from '../proxy-problems.ts';
import { describeProxySite, isPublicName, upstreamIdleSeconds, type ProxySite } from '../proxy-site.ts';
import { hostAndPort, type ProxyServer } from '../proxy-upstream.ts';
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
  if (site.sendProxyProtocol) {
    throw new UserError('server.proxyProtocol is required, which nginx cannot send over HTTP', {
      why: 'nginx tells the address of the client in X-Forwarded-For.',
      next: 'Set server.proxyProtocol to optional or off, with nginx in server.trustedProxies; or use haproxy.',
    });
  }
  // Names of zones, maps and upstreams are shared by all sites of this nginx.
  const id = shortIdentifier(identifierOnHost(site.name));
  const certificate = siteCertificate(site);
  const servers = upstreams(site, id);
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
    ...servers,
    upstreamScheme: site.upstream.tls === null ? 'http' : 'https',
    upstreamTls: site.upstream.tls === null ? false : upstreamTls(site.upstream.tls),
    endpoints: [
      ...site.endpointPaths.flatMap((path) => {
        const uri = quoteNginx(path, 'server.path');
        const target = `${uri}${servers.query}`;
        return [uri, quoteNginx(`${path}/`, 'server.path')].map((location) => ({ match: '=', location, target }));
      }),
      // Without a path of its own the request is passed on as it came.
      ...(site.toolsBelow === null
        ? []
        : [{ match: '^~', location: quoteNginx(`${site.toolsBelow}/`, 'server.toolPath'), target: '' }]),
    ],
    pages: site.pages.map((path) => ({ path: quoteNginx(path, 'server.health.path') })),
    metricsFrom: site.metricsFrom.length === 0 ? false : site.metricsFrom,
    denyFrom: site.denyFrom,
    allowFrom: site.allowFrom,
    hasAllowList: site.allowFrom.length > 0,
    clients: site.clientCertificates === null ? false : clientCertificates(site.clientCertificates),
    proxyProtocolFrom: site.proxyProtocolFrom.length === 0 ? false : site.proxyProtocolFrom,
    isModern: site.tlsProfile === 'modern',
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
    limit: site.limit ?? false,
    accessLog: quoteNginx(
      input.logToOutput === true
        ? '/dev/stdout'
        : `${input.paths.proxyLogDir ?? '/var/log/nginx'}/${nameOnHost(site.name)}.access.log`,
      'the log folder',
    ),
  };
}

/**
 * nginx finds no place for a variable of more than 46 characters in its table, whose size is a setting for all sites; ours
 * end with up to 12 characters of their own.
 */
function shortIdentifier(id: string): string {
  if (id.length <= 34) return id;
  return `${id.slice(0, 25)}_${createHash('sha256').update(id).digest('hex').slice(0, 8)}`;
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

/** One block for calls without a session, and one for the sessions of each server where there are several. */
function upstreams(site: ProxySite, id: string) {
  const { servers } = site.upstream;
  const [first] = servers;
  if (servers.length === 1 && first !== undefined) {
    return { several: false, upstreamServer: serverAddress(first), target: id, query: '' };
  }
  return {
    several: {
      byAddress: site.balance === 'address',
      servers: servers.map((server) => ({ address: serverAddress(server) })),
      sessionSource: site.sessionInQuery ? `${id}_session` : 'http_mcp_session_id',
      sessionInQuery: site.sessionInQuery,
      replicas: servers.map((server) => ({
        name: server.name,
        id: `${id}_at_${server.name.replaceAll('-', '_')}`,
        address: serverAddress(server),
        others: servers.filter((other) => other !== server).map((other) => ({ address: serverAddress(other) })),
      })),
    },
    upstreamServer: '',
    target: `$${id}_server`,
    // A URI behind a variable is taken as it stands, so the query has to be in it.
    query: '$is_args$args',
  };
}

function serverAddress({ address }: ProxyServer): string {
  return address.kind === 'unix'
    ? quoteNginx(`unix:${address.path}`, 'server.listen')
    : quoteNginx(hostAndPort(address.host, address.port), 'server.listen');
}

function clientCertificates({ caFile, crlFile, header }: NonNullable<ProxySite['clientCertificates']>) {
  return {
    caFile: quoteNginx(caFile, 'proxy.clientCa'),
    crlFile: crlFile === null ? false : quoteNginx(crlFile, 'proxy.revokedClients'),
    header,
  };
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
