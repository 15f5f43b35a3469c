import { UserError } from '../../deployment/errors.ts';
import { quoteCompose } from '../../render/quote/yaml.ts';
import { renderCaddyFiles } from '../caddy/files.ts';
import { renderHaproxyFiles } from '../haproxy/files.ts';
import { nameOnHost } from '../name-on-host.ts';
import { renderNginxFiles } from '../nginx/files.ts';
import { describeProxySite, type ProxySite } from '../proxy-site.ts';
import { traefikLabels } from '../traefik/labels.ts';
import type { TargetInput } from '../types.ts';

/** A reverse proxy as a service of Compose or Swarm. */
export interface FrontProxy {
  readonly name: 'nginx' | 'caddy' | 'haproxy' | 'traefik';
  readonly image: string;
  /** The whole command: the images' own start scripts want to change files, and all files here are read-only. */
  readonly entrypoint: readonly string[];
  /** Files by name, and where the proxy finds them. */
  readonly files: readonly { readonly name: string; readonly content: string; readonly target: string }[];
  readonly site: ProxySite;
  /** For the container of the server: what Traefik reads there. Not quoted. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Its certificate comes from files; otherwise it gets and keeps one by itself. */
  readonly hasCertificate: boolean;
}

/** Where the certificate is in the container of a proxy; HAProxy looks for the key beside it, with .key at the end. */
export const proxyPair = { certificate: '/run/secrets/mcp_tls', key: '/run/secrets/mcp_tls.key' } as const;

/** DNS of container engines, the same in every container. */
const engineDns = '127.0.0.11:53';

/** Images by minor version: their files are rendered for every version that is supported. */
export const proxyImages = {
  nginx: 'nginx:1.28',
  caddy: 'caddy:2.10',
  haproxy: 'haproxy:3.2',
  traefik: 'traefik:v3.5',
} as const;

/**
 * The chosen proxy with the same rules as on a host, in front of the service `server`.
 * @param serverName DNS name under which the copies of the server are found
 * Throws a UserError where the proxy has no certificate and cannot get one.
 */
export function renderFrontProxy(input: TargetInput, name: FrontProxy['name'], serverName: string): FrontProxy {
  const site = describeProxySite(input);
  const inside = inputInside(input, site, serverName);
  const layOut = (template: string): string => input.templates(`docker/${template}`);
  const hasCertificate = site.certificate.kind === 'files';
  if (!hasCertificate && name !== 'caddy' && name !== 'traefik') {
    throw new UserError(`no certificate is known for ${site.serverNames.join(', ')}`, {
      why: `${name} ends TLS in its container, and neither tls nor proxy names a certificate for it.`,
      next: 'Set proxy.certificate and proxy.key in mcp-deploy.yaml, or container.proxy to caddy or traefik.',
    });
  }
  const image = proxyImages[name];
  switch (name) {
    case 'nginx':
      return {
        name,
        image,
        site,
        hasCertificate,
        entrypoint: ['nginx', '-g', 'daemon off;'],
        files: [
          { name: 'nginx.conf', content: layOut('nginx.conf.hbs'), target: '/etc/nginx/nginx.conf' },
          { name: 'site.conf', content: contentOf(renderNginxFiles(inside)), target: '/etc/nginx/mcp/site.conf' },
        ],
      };
    case 'caddy':
      return {
        name,
        image,
        site,
        hasCertificate,
        entrypoint: ['caddy', 'run', '--config', '/etc/caddy/Caddyfile', '--adapter', 'caddyfile'],
        files: [
          { name: 'Caddyfile', content: layOut('Caddyfile.hbs'), target: '/etc/caddy/Caddyfile' },
          { name: 'site.caddyfile', content: contentOf(renderCaddyFiles(inside)), target: '/etc/caddy/site.caddyfile' },
        ],
      };
    case 'traefik': {
      const network = `${nameOnHost(input.deployment.name)}_front`;
      return {
        name,
        image,
        site,
        hasCertificate,
        entrypoint: traefikCommand(site, network, hasCertificate),
        labels: traefikLabels(inside, {
          port: 8080,
          network,
          ...(hasCertificate ? {} : { certResolver: 'acme' }),
        }),
        files: [{ name: 'tls.yaml', content: layOut('traefik-tls.yaml.hbs'), target: '/etc/traefik/tls.yaml' }].filter(
          () => hasCertificate,
        ),
      };
    }
    case 'haproxy':
      return {
        name,
        image,
        site,
        hasCertificate,
        entrypoint: ['haproxy', '-W', '-db', '-f', '/etc/mcp/global.cfg', '-f', '/etc/mcp/site.cfg'],
        files: [
          { name: 'global.cfg', content: layOut('haproxy-global.cfg.hbs'), target: '/etc/mcp/global.cfg' },
          { name: 'site.cfg', content: contentOf(renderHaproxyFiles(inside)), target: '/etc/mcp/site.cfg' },
        ],
      };
  }
}

/** Everything as flags: what Traefik asks Docker for, its two doors, an access log without headers, and no dashboard. */
function traefikCommand(
  { httpsPort, httpPort }: ProxySite,
  network: string,
  hasCertificate: boolean,
): readonly string[] {
  return [
    'traefik',
    '--providers.docker=true',
    '--providers.docker.exposedbydefault=false',
    `--providers.docker.network=${network}`,
    `--entrypoints.web.address=:${httpPort}`,
    `--entrypoints.websecure.address=:${httpsPort}`,
    '--accesslog=true',
    '--accesslog.format=json',
    '--accesslog.fields.headers.defaultmode=drop',
    '--accesslog.fields.names.RequestLine=drop',
    '--api=false',
    '--global.checknewversion=false',
    '--global.sendanonymoususage=false',
    ...(hasCertificate
      ? ['--providers.file.filename=/etc/traefik/tls.yaml']
      : [
          '--certificatesresolvers.acme.acme.tlschallenge=true',
          '--certificatesresolvers.acme.acme.storage=/data/acme.json',
        ]),
  ];
}

/** Ports as Compose publishes them: to this machine alone when no other could use the name. */
export function proxyPorts({ serverNames, httpsPort, httpPort }: ProxySite): readonly string[] {
  const own = serverNames.every((name) => name === 'localhost' || name === '127.0.0.1' || name === '::1');
  const address = own ? '127.0.0.1:' : '';
  return [httpsPort, httpPort].map((port) => quoteCompose(`${address}${port}:${port}`, 'server.publicUrl'));
}

/** What the proxy's renderer is told: another place for the server, the certificate and the log; everything else stays. */
function inputInside(input: TargetInput, site: ProxySite, serverName: string): TargetInput {
  const { deployment } = input;
  // With TLS off the names of a certificate are not looked at; the first one stands for them.
  const [first] = site.serverNames;
  const named = deployment.proxy.serverName === undefined && deployment.server.publicUrl === undefined;
  const fromCertificate = named && 'names' in deployment.tls && deployment.tls.names !== undefined;
  const pair = site.certificate.kind === 'files' ? { certificate: proxyPair.certificate, key: proxyPair.key } : {};
  const { certificate: _certificate, key: _key, servers: _servers, ...proxy } = deployment.proxy;
  return {
    ...input,
    logToOutput: true,
    discovery: { resolver: engineDns, address: `${serverName}:8080`, most: 20 },
    deployment: {
      ...deployment,
      server: { ...deployment.server, listen: `${serverName}:8080` },
      tls: { source: 'off' },
      proxy: {
        ...proxy,
        ...pair,
        ...(fromCertificate && first !== undefined ? { serverName: first } : {}),
      },
    },
  };
}

function contentOf(files: readonly { content: string }[]): string {
  const [file] = files;
  if (file === undefined) throw new Error('the proxy has no file');
  return file.content;
}
