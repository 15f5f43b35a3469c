import { isIP } from 'node:net';
import { UserError } from '../../deployment/errors.ts';
import { quoteHaproxy } from '../../render/quote/haproxy.ts';
import { identifierOnHost } from '../name-on-host.ts';
import { isAtLeast, parseVersion, type Version } from '../parse-version.ts';
import { otherProblem, problemMembers, proxyProblems, type ProxyProblem } from '../proxy-problems.ts';
import { describeProxySite, upstreamIdleSeconds, type ProxySite } from '../proxy-site.ts';
import { hostAndPort, type ProxyServer } from '../proxy-upstream.ts';
import type { ServerDiscovery, TargetInput } from '../types.ts';

/** The oldest version whose syntax is rendered; also what is assumed when none is known. */
const oldestVersion: Version = [2, 4, 0];

/** Everything templates/haproxy/site.cfg.hbs lays out. Texts are quoted for HAProxy. */
export function haproxyView(input: TargetInput) {
  const version = input.programVersion === undefined ? oldestVersion : parseVersion(input.programVersion);
  if (!isAtLeast(version, oldestVersion)) {
    throw new UserError(`HAProxy ${input.programVersion} is too old`, {
      why: 'The configuration needs HAProxy 2.4 or newer.',
      next: 'Install a newer HAProxy, or use nginx.',
    });
  }
  const site = describeProxySite(input);
  const id = identifierOnHost(site.name);
  const problems = proxyProblems(site);
  const problem = (status: number): ProxyProblem =>
    problems.find((one) => one.status === status) ?? { status, ...otherProblem };
  return {
    name: site.name,
    id,
    httpsPort: site.httpsPort,
    httpPort: site.httpPort,
    redirectTo: redirectTo(site),
    bindTls: bindTls(site),
    isModern: site.tlsProfile === 'modern',
    clients: site.clientCertificates === null ? false : { header: site.clientCertificates.header },
    proxyProtocolFrom: site.proxyProtocolFrom.length === 0 ? false : site.proxyProtocolFrom.join(' '),
    denyFrom: site.denyFrom.length === 0 ? false : site.denyFrom.join(' '),
    allowFrom: site.allowFrom.length === 0 ? false : site.allowFrom.join(' '),
    metricsFrom: site.metricsFrom.length === 0 ? false : site.metricsFrom.join(' '),
    ownErrors: ownErrors.map((status) => ({ status, body: problemBody(problem(status)) })),
    retryStatus: 503,
    refusals: Object.fromEntries([403, 404, 413, 429].map((status) => [`s${status}`, problemBody(problem(status))])),
    endpoints: site.endpointPaths.map((path) => ({
      path: quoteHaproxy(path, 'server.path'),
      withSlash: quoteHaproxy(`${path}/`, 'server.path'),
    })),
    toolsBelow: site.toolsBelow !== null && quoteHaproxy(`${site.toolsBelow}/`, 'server.toolPath'),
    pages: site.pages.map((path) => quoteHaproxy(path, 'server.health.path')).join(' '),
    maxBody: site.maxBodyBytes,
    upstreamIdleSeconds,
    securityHeaders: site.securityHeaders.map(({ name, value }) => ({ name, value: quoteHaproxy(value, name) })),
    ...servers(site, input.discovery !== undefined),
    discovery: input.discovery === undefined ? false : discovered(input.discovery),
    logTarget: input.logToOutput === true ? 'stdout format raw local0' : '/dev/log local0',
    sendProxyProtocol: site.sendProxyProtocol,
    tls: site.upstream.tls === null ? false : upstreamTls(site.upstream.tls),
    limit: site.limit === null ? false : countIn10Seconds(site.limit),
  };
}

/** Statuses that HAProxy answers on its own. 413 and 414 come from rules of ours or not at all. */
const ownErrors: readonly number[] = [400, 408, 500, 502, 503, 504];

/** The pair that HAProxy ends TLS with. Throws a UserError when none is known. */
export function haproxyCertificate(site: ProxySite): { certificate: string; key: string } {
  const { certificate } = site;
  switch (certificate.kind) {
    case 'files':
      return certificate;
    case 'public-authority': {
      const folder = `/etc/letsencrypt/live/${certificate.serverName.replace(/^\*\./, '')}`;
      return { certificate: `${folder}/fullchain.pem`, key: `${folder}/privkey.pem` };
    }
    case 'none':
      throw new UserError(`no certificate is known for ${site.serverNames.join(', ')}`, {
        why: 'HAProxy ends TLS in front of the server, and neither tls nor proxy names a certificate for it.',
        next: 'Set proxy.certificate and proxy.key in mcp-deploy.yaml.',
      });
  }
}

function problemBody(problem: ProxyProblem): string {
  return quoteHaproxy(`{"type":"about:blank","status":${problem.status},${problemMembers(problem)}}`, 'problem');
}

/** The name itself when there is just one; otherwise what the client asked for, of which the template takes the port. */
function redirectTo(site: ProxySite): string {
  const [only] = site.serverNames;
  const port = site.httpsPort === 443 ? '' : `:${site.httpsPort}`;
  const isOne = site.serverNames.length === 1 && only !== undefined && !only.startsWith('*');
  const host = isOne ? (isIP(only) === 6 ? `[${only}]` : only) : '%[req.hdr(host)]';
  return quoteHaproxy(`https://${host}${port}%[pathq]`, 'proxy.serverName');
}

function servers(site: ProxySite, found: boolean) {
  const all = found
    ? []
    : site.upstream.servers.map((server) => ({ name: server.name, address: serverAddress(server) }));
  return {
    servers: all,
    several: (found || all.length > 1) && {
      byAddress: site.balance === 'address',
      sessionInQuery: site.sessionInQuery,
      sessionsMove: site.sessionsMove,
      // A copy that is found by name refuses because it stops: its sessions have no future there.
      sessionsStay: !site.sessionsMove && !found,
      // A little longer than the server keeps it.
      sessionSeconds: site.sessionSeconds + 60,
      host: quoteHaproxy(checkHost(site), 'proxy.serverName'),
    },
  };
}

function discovered({ resolver, address, most }: ServerDiscovery) {
  return {
    resolver: quoteHaproxy(resolver, 'the DNS of the engine'),
    address: quoteHaproxy(address, 'the name of the server'),
    most,
  };
}

function serverAddress({ address }: ProxyServer): string {
  return address.kind === 'unix'
    ? quoteHaproxy(`unix@${address.path}`, 'server.listen')
    : quoteHaproxy(hostAndPort(address.host, address.port), 'server.listen');
}

function checkHost({ serverNames }: ProxySite): string {
  const name = serverNames.find((one) => !one.startsWith('*')) ?? 'localhost';
  return isIP(name) === 6 ? `[${name}]` : name;
}

/** What follows the address of a TLS port: certificate, versions, and the certificates that clients show. */
function bindTls(site: ProxySite): string {
  const clients = site.clientCertificates;
  return [
    `ssl crt ${quoteHaproxy(haproxyCertificate(site).certificate, 'the certificate')}`,
    'alpn h2,http/1.1',
    ...(site.tlsProfile === 'modern' ? ['ssl-min-ver TLSv1.3'] : ['ssl-min-ver TLSv1.2']),
    'no-tls-tickets',
    ...(site.tlsProfile === 'modern' ? [] : [`ciphers ${intermediateCiphers}`]),
    ...(clients === null ? [] : [`verify optional ca-file ${quoteHaproxy(clients.caFile, 'proxy.clientCa')}`]),
    ...(clients === null || clients.crlFile === null
      ? []
      : [`crl-file ${quoteHaproxy(clients.crlFile, 'proxy.revokedClients')}`]),
  ].join(' ');
}

const intermediateCiphers =
  'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305';

function upstreamTls(tls: { serverName: string; caFile: string }) {
  return {
    verifyHost: quoteHaproxy(tls.serverName, 'tls.names'),
    caFile: quoteHaproxy(tls.caFile, 'the CA file'),
    // An address is not a name that may be sent in the handshake (RFC 6066, section 3).
    sni: isIP(tls.serverName) === 0 ? quoteHaproxy(`str(${tls.serverName})`, 'tls.names') : false,
  };
}

/** HAProxy counts over a period: one of ten seconds lets the burst through and holds the rate. */
function countIn10Seconds(limit: { requestsPerSecond: number; burst: number }): { most: number } {
  return { most: Math.ceil(limit.requestsPerSecond * 10) + limit.burst };
}
