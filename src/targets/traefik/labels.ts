import { nameOnHost } from '../name-on-host.ts';
import { describeProxySite } from '../proxy-site.ts';
import type { TargetInput } from '../types.ts';
import { clientRule, hostRule, pathRule, endpointRule } from './rules.ts';

export interface TraefikLabelOptions {
  /** Port of the server inside of its container; it speaks plain HTTP there. */
  readonly port: number;
  /** Network that Traefik and the server share, when the server is in more than one. */
  readonly network?: string;
  /** Certificate resolver of Traefik's own configuration; without it a certificate must be known to Traefik already. */
  readonly certResolver?: string;
  /** Entry points of Traefik's own configuration. */
  readonly entryPoints?: { readonly https: string; readonly http: string };
}

/**
 * What Traefik 3 reads from the labels of the server's container. Values are not quoted yet; in a Compose file dollar
 * signs have to be doubled. One container: several servers, client certificates and TLS profiles need the file.
 */
export function traefikLabels(input: TargetInput, options: TraefikLabelOptions): Readonly<Record<string, string>> {
  const site = describeProxySite(input);
  const id = nameOnHost(site.name);
  const { https, http } = options.entryPoints ?? { https: 'websecure', http: 'web' };
  const host = hostRule(site.serverNames);
  const paths = endpointRule(site);
  const denied = site.denyFrom.length === 0 ? '' : ` && !${clientRule(site.denyFrom)}`;
  const router = (name: string, rule: string, middlewares: readonly string[], entryPoint: string) => ({
    [`traefik.http.routers.${name}.rule`]: rule,
    [`traefik.http.routers.${name}.entrypoints`]: entryPoint,
    [`traefik.http.routers.${name}.middlewares`]: middlewares.join(','),
    [`traefik.http.routers.${name}.service`]: id,
    ...(entryPoint === https
      ? {
          [`traefik.http.routers.${name}.tls`]: 'true',
          ...(options.certResolver === undefined
            ? {}
            : { [`traefik.http.routers.${name}.tls.certresolver`]: options.certResolver }),
        }
      : {}),
  });
  const middleware = (name: string, settings: Readonly<Record<string, string>>): Record<string, string> =>
    Object.fromEntries(
      Object.entries(settings).map(([key, value]) => [`traefik.http.middlewares.${id}-${name}.${key}`, value]),
    );
  return {
    'traefik.enable': 'true',
    ...(options.network === undefined ? {} : { 'traefik.docker.network': options.network }),
    ...router(
      id,
      `${host} && ${paths}${denied}`,
      [
        `${id}-headers`,
        ...(site.allowFrom.length === 0 ? [] : [`${id}-allow`]),
        ...(site.limit === null ? [] : [`${id}-limit`]),
        `${id}-slash`,
      ],
      https,
    ),
    ...router(`${id}-pages`, `${host} && ${pathRule(site.pages)}`, [`${id}-headers`], https),
    ...router(`${id}-plain`, host, [`${id}-https`], http),
    ...middleware(
      'headers',
      Object.fromEntries(
        site.securityHeaders.map(({ name, value }) => [`headers.customresponseheaders.${name}`, value]),
      ),
    ),
    // "/mcp/" is the same place; a redirect would lose the POST.
    ...middleware('slash', { 'replacepathregex.regex': '^(.+)/$', 'replacepathregex.replacement': '$1' }),
    ...middleware('https', {
      'redirectscheme.scheme': 'https',
      'redirectscheme.permanent': 'true',
      ...(site.httpsPort === 443 ? {} : { 'redirectscheme.port': String(site.httpsPort) }),
    }),
    ...(site.limit === null
      ? {}
      : middleware('limit', {
          'ratelimit.average': String(site.limit.requestsPerSecond),
          'ratelimit.burst': String(Math.max(1, site.limit.burst)),
        })),
    ...(site.allowFrom.length === 0
      ? {}
      : middleware('allow', { 'ipallowlist.sourcerange': site.allowFrom.join(',') })),
    [`traefik.http.services.${id}.loadbalancer.server.port`]: String(options.port),
    [`traefik.http.services.${id}.loadbalancer.healthcheck.path`]: '/readyz',
    [`traefik.http.services.${id}.loadbalancer.healthcheck.interval`]: '5s',
    [`traefik.http.services.${id}.loadbalancer.healthcheck.timeout`]: '3s',
    [`traefik.http.services.${id}.loadbalancer.healthcheck.hostname`]: checkHost(site.serverNames),
  };
}

/** The name by which the server is asked whether it is ready. */
export function checkHost(serverNames: readonly string[]): string {
  return serverNames.find((name) => !name.startsWith('*') && !name.includes(':')) ?? 'localhost';
}
