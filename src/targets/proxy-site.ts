import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { UserError } from '../deployment/errors.ts';
import { canonicalName, isCertificateName } from '../deployment/host-name.ts';
import type { Deployment } from '../deployment/schema.ts';
import { chooseUpstream, type ProxyUpstream } from './proxy-upstream.ts';
import type { TargetInput } from './types.ts';

/** What every reverse proxy in front of the server has to say, whatever its format. Nothing is quoted yet. */
export interface ProxySite {
  readonly name: string;
  /** Canonical names and addresses that the site answers to; IPv6 without brackets. */
  readonly serverNames: readonly string[];
  readonly httpsPort: number;
  readonly httpPort: number;
  readonly certificate: SiteCertificate;
  /** Path of the MCP endpoint. */
  readonly path: string;
  /** Every path of the endpoint: its own, the aliases, those of the older transport. A slash at their end is taken off. */
  readonly endpointPaths: readonly string[];
  /** Path below which each tool has one of its own; null without. */
  readonly toolsBelow: string | null;
  /** Pages of the server that everyone may ask. */
  readonly pages: readonly string[];
  readonly upstream: ProxyUpstream;
  /** How a call that belongs to no session finds one of several servers. */
  readonly balance: 'least' | 'address';
  /** Whether session ids also come in the query, as those of the older transport do. */
  readonly sessionInQuery: boolean;
  /** How long the server keeps a silent session. */
  readonly sessionSeconds: number;
  /** Another server goes on with a session whose own is away. */
  readonly sessionsMove: boolean;
  readonly maxBodyBytes: number;
  readonly limit: { readonly requestsPerSecond: number; readonly burst: number } | null;
  /** Networks for which /metrics is passed on; empty: it is not served. */
  readonly metricsFrom: readonly string[];
  /** Networks that may use the endpoint; empty: all. */
  readonly allowFrom: readonly string[];
  readonly denyFrom: readonly string[];
  readonly clientCertificates: ClientCertificates | null;
  /** Networks whose connections begin with a PROXY protocol header; empty: none does. */
  readonly proxyProtocolFrom: readonly string[];
  /** Whether the server wants such a header from the proxy. */
  readonly sendProxyProtocol: boolean;
  readonly tlsProfile: 'intermediate' | 'modern';
  /** Response headers of every answer, also of errors. */
  readonly securityHeaders: readonly Header[];
}

type SiteCertificate =
  | { readonly kind: 'files'; readonly certificate: string; readonly key: string; readonly place: string }
  /** None is known, and the name is one for which a public authority gives one. */
  | { readonly kind: 'public-authority'; readonly serverName: string }
  /** None is known, and nobody but a private authority would sign one. */
  | { readonly kind: 'none' };

/** What clients have to show; the subject goes to the server in a header that only the proxy can set. */
interface ClientCertificates {
  readonly caFile: string;
  readonly crlFile: string | null;
  readonly header: string;
}

interface Header {
  readonly name: string;
  readonly value: string;
}

/** How long a proxy keeps an idle connection to the server: less than the 80 s of the server itself. */
export const upstreamIdleSeconds = 60;

/** Decides what a reverse proxy in front of this deployment serves. Throws a UserError for a name that is none. */
export function describeProxySite(input: TargetInput): ProxySite {
  const { deployment } = input;
  const { proxy, server } = deployment;
  const { baseDir } = input.paths;
  const publicUrl = deployment.server.publicUrl === undefined ? null : new URL(deployment.server.publicUrl);
  const serverNames = chooseServerNames(deployment, publicUrl);
  const publicPort = publicUrl?.protocol === 'https:' && publicUrl.port !== '' ? Number(publicUrl.port) : 443;
  const upstream = chooseUpstream(input, serverNames);
  // Of several servers a scrape would reach one, another the next time.
  const hasMetrics = server.metrics && server.metricsListen === undefined && upstream.servers.length === 1;
  return {
    name: deployment.name,
    serverNames,
    httpsPort: input.proxyPorts?.https ?? publicPort,
    httpPort: input.proxyPorts?.http ?? proxy.httpPort,
    certificate: chooseCertificate(input, serverNames),
    path: server.path,
    endpointPaths: [
      ...new Set([
        server.path,
        ...server.aliases,
        ...(server.legacySse === 'off' ? [] : [server.legacySse.sse, server.legacySse.messages]),
        ...(server.toolPath === 'off' ? [] : [server.toolPath]),
      ]),
    ],
    toolsBelow: server.toolPath === 'off' ? null : server.toolPath,
    // Of a request that came through a proxy the server asks a key before it says more than yes or no.
    pages: [...new Set(['/health', '/livez', '/readyz', '/status', server.health.path, ...(server.page ? ['/'] : [])])],
    upstream,
    balance: proxy.balance,
    sessionInQuery: server.legacySse !== 'off',
    sessionSeconds: server.sessions.idleSeconds,
    sessionsMove: server.sessions.store === 'redis',
    maxBodyBytes: Math.ceil(deployment.proxy.maxBodyMegabytes * 1024 * 1024),
    limit: proxy.limit === 'off' ? null : proxy.limit,
    metricsFrom: hasMetrics ? networks(proxy.metricsFrom) : [],
    allowFrom: networks(proxy.allowFrom),
    denyFrom: networks(proxy.denyFrom),
    clientCertificates:
      proxy.clientCa === undefined
        ? null
        : {
            caFile: resolve(baseDir, proxy.clientCa),
            crlFile: proxy.revokedClients === undefined ? null : resolve(baseDir, proxy.revokedClients),
            header: proxy.clientHeader,
          },
    proxyProtocolFrom: networks(proxy.proxyProtocolFrom),
    sendProxyProtocol: server.proxyProtocol === 'required',
    tlsProfile: proxy.tlsProfile ?? server.tlsProfile,
    securityHeaders: securityHeaders(serverNames),
  };
}

/** Whether a public certificate authority signs for the name: a DNS name with a dot, outside the names kept for private use. */
export function isPublicName(name: string): boolean {
  if (isIP(name) !== 0 || !name.includes('.')) return false;
  // RFC 6761, RFC 6762, RFC 8375, RFC 9476 and ICANN's .internal; .lan is in wide use.
  return !/\.(?:localhost|local|test|invalid|example|internal|lan|onion|alt|home\.arpa)$/.test(name);
}

/** Address blocks as every proxy reads them. */
function networks(entries: readonly string[]): readonly string[] {
  return entries.flatMap((text) => (text === 'loopback' ? ['127.0.0.0/8', '::1'] : [text]));
}

const loopbackNames: readonly string[] = ['localhost', '127.0.0.1', '::1'];

function chooseServerNames(deployment: Deployment, publicUrl: URL | null): readonly string[] {
  if (deployment.proxy.serverName !== undefined) {
    return [requireName(deployment.proxy.serverName, 'proxy.serverName')];
  }
  if (publicUrl !== null) return [requireName(publicUrl.hostname.replace(/^\[|\]$/g, ''), 'server.publicUrl')];
  if ('names' in deployment.tls && deployment.tls.names !== undefined) {
    return deployment.tls.names.map((name, index) => requireName(name, `tls.names.${index}`));
  }
  return loopbackNames;
}

function requireName(text: string, place: string): string {
  if (!isCertificateName(text)) {
    throw new UserError(`${place} is not a host name: ${JSON.stringify(text)}`, {
      why: 'A name has letters, digits and - between dots, at most 253 characters; an IP address is fine too.',
      next: `Write the bare name, for example mcp.example.com, in ${place}.`,
    });
  }
  return canonicalName(text);
}

function chooseCertificate(input: TargetInput, serverNames: readonly string[]): SiteCertificate {
  const { proxy, tls } = input.deployment;
  const { baseDir } = input.paths;
  if ((proxy.certificate === undefined) !== (proxy.key === undefined)) {
    const [given, missing] = proxy.key === undefined ? ['certificate', 'key'] : ['key', 'certificate'];
    throw new UserError(`proxy.${given} is set, proxy.${missing} is not`, {
      why: 'A certificate works only together with its private key.',
      next: `Set proxy.${missing} in mcp-deploy.yaml, or neither of the two.`,
    });
  }
  if (proxy.certificate !== undefined && proxy.key !== undefined) {
    return fileCertificate(resolve(baseDir, proxy.certificate), resolve(baseDir, proxy.key), 'proxy');
  }
  if (tls.source === 'files')
    return fileCertificate(resolve(baseDir, tls.certificate), resolve(baseDir, tls.key), 'tls');
  if (tls.source === 'private-ca') {
    // Without a list the certificate has these and the name of publicUrl; for a public name a public one is wanted.
    const covered = (name: string): boolean =>
      loopbackNames.includes(name) ||
      (tls.names === undefined
        ? !isPublicName(name) && proxy.serverName === undefined
        : tls.names.map(canonicalName).includes(name));
    if (serverNames.every(covered)) {
      return fileCertificate(input.paths.certificateFile, input.paths.keyFile, 'the state folder');
    }
  }
  if (tls.source === 'acme' && serverNames.every((name) => tls.names.map(canonicalName).includes(name))) {
    return fileCertificate(input.paths.certificateFile, input.paths.keyFile, 'the state folder');
  }
  const [first] = serverNames;
  return first !== undefined && isPublicName(first)
    ? { kind: 'public-authority', serverName: first }
    : { kind: 'none' };
}

function fileCertificate(certificate: string, key: string, place: string): SiteCertificate {
  return { kind: 'files', certificate, key, place };
}

function securityHeaders(serverNames: readonly string[]): readonly Header[] {
  const headers = [
    { name: 'X-Content-Type-Options', value: 'nosniff' },
    { name: 'X-Frame-Options', value: 'DENY' },
    { name: 'Referrer-Policy', value: 'no-referrer' },
  ];
  // HSTS holds for every port of a name: on localhost it would break other people's plain development servers.
  return serverNames.every(isPublicName)
    ? [{ name: 'Strict-Transport-Security', value: 'max-age=31536000' }, ...headers]
    : headers;
}
