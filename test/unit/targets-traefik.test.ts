import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { UserError } from '../../src/deployment/errors.ts';
import { renderTarget } from '../../src/targets/index.ts';
import { traefikLabels } from '../../src/targets/traefik/labels.ts';
import { goldenCases } from '../helpers/target-golden.ts';
import { targetInput } from '../helpers/target-input.ts';

// There is no Traefik to ask here. What its reference says about the file provider is written down as a table of the
// words that we use, and every name that refers to another part of the file has to find it there.

interface Dynamic {
  http: {
    routers: Record<string, Router>;
    middlewares: Record<string, Record<string, unknown>>;
    services: Record<string, { loadBalancer?: Balancer; failover?: { service: string; fallback: string } }>;
    serversTransports: Record<string, unknown>;
  };
  tls: { options: Record<string, unknown>; certificates?: { certFile: string; keyFile: string }[] };
}
interface Router {
  rule: string;
  entryPoints: string[];
  middlewares: string[];
  service: string;
  tls?: { options: string };
}
interface Balancer {
  servers: { url: string }[];
  serversTransport: string;
  passHostHeader: boolean;
}

/** Words of Traefik 3 by where they stand; `*` is a name of ours. */
const known: readonly string[] = [
  'http.routers.*.{rule,entryPoints,middlewares,service,tls.options,tls.certResolver}',
  'http.middlewares.*.headers.customResponseHeaders.*',
  'http.middlewares.*.replacePathRegex.{regex,replacement}',
  'http.middlewares.*.redirectScheme.{scheme,permanent,port}',
  'http.middlewares.*.rateLimit.{average,burst}',
  'http.middlewares.*.ipAllowList.sourceRange',
  'http.middlewares.*.passTLSClientCert.info.subject.{commonName,organization}',
  'http.middlewares.*.retry.attempts',
  'http.services.*.loadBalancer.{strategy,servers.url,passHostHeader,serversTransport}',
  'http.services.*.loadBalancer.healthCheck.{path,interval,timeout,hostname}',
  'http.services.*.failover.{service,fallback}',
  'http.serversTransports.*.{serverName,rootCAs,disableHTTP2,forwardingTimeouts.dialTimeout,forwardingTimeouts.idleConnTimeout}',
  'tls.certificates.{certFile,keyFile}',
  'tls.options.*.{minVersion,cipherSuites,clientAuth.clientAuthType,clientAuth.caFiles}',
];
const isKnown = known.map((pattern) => {
  const source = pattern
    .replaceAll('.', '\\.')
    .replaceAll('*', '[^.]+')
    .replace(/\{(.+)\}/, (_all, choices: string) => `(?:${choices.replaceAll(',', '|')})`);
  return new RegExp(`^${source}$`);
});
const matcher =
  /^(?:Host\(`[^`]+`\)|HostRegexp\(`[^`]+`\)|Path(?:Prefix)?\(`\/[^`]*`\)|ClientIP\(`[0-9a-f.:/]+`\)|HeaderRegexp\(`[A-Za-z-]+`, `[^`]+`\)|QueryRegexp\(`[A-Za-z]+`, `[^`]+`\)| && | \|\| |[!()])+$/;

const cases = goldenCases().flatMap(({ name, input, targets }) => {
  if (!targets.some((target) => target.name === 'traefik')) return [];
  try {
    return [{ name, input, text: renderTarget('traefik', input)[0]?.content ?? '' }];
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    return [];
  }
});

describe.each(cases)('the file for Traefik of $name', ({ text }) => {
  const file = parse(text) as Dynamic;

  test('has only words that Traefik 3 knows, and no Go template', () => {
    const unknown = leavesOf(file, []).filter((leaf) => !isKnown.some((pattern) => pattern.test(leaf)));
    expect(unknown).toEqual([]);
    expect(text).not.toMatch(/\{\{/);
  });

  test('refers to nothing that is not in it', () => {
    const { routers, middlewares, services, serversTransports } = file.http;
    for (const { rule, entryPoints, service, middlewares: used, tls } of Object.values(routers)) {
      expect(rule).toMatch(matcher);
      expect(Object.keys(services)).toContain(service);
      for (const name of used) expect(Object.keys(middlewares)).toContain(name);
      if (tls !== undefined) expect(Object.keys(file.tls.options)).toContain(tls.options);
      expect([entryPoints, tls === undefined]).toEqual([[tls === undefined ? 'web' : 'websecure'], tls === undefined]);
    }
    for (const { loadBalancer, failover } of Object.values(services)) {
      if (failover !== undefined) {
        expect(Object.keys(services)).toEqual(expect.arrayContaining([failover.service, failover.fallback]));
      }
      if (loadBalancer !== undefined) {
        expect(Object.keys(serversTransports)).toContain(loadBalancer.serversTransport);
        for (const { url } of loadBalancer.servers) expect(URL.canParse(url)).toBe(true);
      }
    }
  });

  test('holds no middleware that holds back an event stream', () => {
    const kinds = Object.values(file.http.middlewares).flatMap((one) => Object.keys(one));
    expect(kinds).not.toContain('buffering');
    expect(kinds).not.toContain('compress');
  });
});

test('Traefik is looked at in enough cases', () => {
  expect(cases.length).toBeGreaterThan(8);
});

test('the labels say the same as the file, by the same names', () => {
  const input = targetInput({
    version: 1,
    name: 'tools',
    tls: { source: 'off' },
    server: { aliases: ['/message'], toolPath: '/tools' },
    proxy: {
      serverName: 'mcp.example.com',
      certificate: '/c',
      key: '/k',
      limit: { requestsPerSecond: 5, burst: 0 },
      allowFrom: ['10.0.0.0/8', 'loopback'],
      denyFrom: ['10.6.6.6'],
    },
  });
  const labels = traefikLabels(input, { port: 8080, network: 'edge', certResolver: 'le' });
  const file = parse(renderTarget('traefik', input)[0]?.content ?? '') as Dynamic;
  const router = file.http.routers['mcp-tools'];
  expect(labels['traefik.http.routers.mcp-tools.rule']).toBe(router?.rule);
  expect(labels['traefik.http.routers.mcp-tools.middlewares']?.split(',')).toEqual(router?.middlewares);
  expect(labels).toMatchObject({
    'traefik.enable': 'true',
    'traefik.docker.network': 'edge',
    'traefik.http.routers.mcp-tools.tls.certresolver': 'le',
    'traefik.http.routers.mcp-tools-plain.entrypoints': 'web',
    'traefik.http.services.mcp-tools.loadbalancer.server.port': '8080',
    'traefik.http.middlewares.mcp-tools-limit.ratelimit.burst': '1',
    'traefik.http.middlewares.mcp-tools-allow.ipallowlist.sourcerange': '10.0.0.0/8,127.0.0.0/8,::1',
  });
  // A label that names a middleware is worth nothing without the labels of that middleware.
  const used = Object.entries(labels).flatMap(([name, value]) =>
    name.endsWith('.middlewares') ? value.split(',') : [],
  );
  for (const name of used) {
    expect(Object.keys(labels).some((label) => label.startsWith(`traefik.http.middlewares.${name}.`))).toBe(true);
  }
  // The dashboard of Traefik is not ours to open.
  expect(Object.keys(labels).join()).not.toMatch(/api|insecure/);
});

function leavesOf(value: unknown, path: readonly string[]): string[] {
  if (Array.isArray(value)) {
    return value.every((item) => typeof item !== 'object')
      ? [path.join('.')]
      : value.flatMap((item) => leavesOf(item, path));
  }
  if (typeof value !== 'object' || value === null) return [path.join('.')];
  return Object.entries(value).flatMap(([key, child]) => leavesOf(child, [...path, key]));
}
