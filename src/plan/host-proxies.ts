import { basename } from 'node:path';
import type { Deployment } from '../deployment/schema.ts';

export type HostProxyName = Exclude<Deployment['proxy']['program'], 'none'>;

/** What apply has to know of a reverse proxy of the host, beside the site that its target renders. */
export interface HostProxy {
  readonly name: HostProxyName;
  /** As its authors write it. */
  readonly title: string;
  readonly unit: string;
  /** Sites lie in it, each deployment's in a file of its own. */
  readonly folder: string;
  readonly suffix: string;
  /** Judges everything it would read, sites of others included. @param readsFolder whether the folder of sites is there */
  readonly check: (readsFolder: boolean) => readonly string[];
  /** Prints its version. */
  readonly version: readonly string[];
  /** What its sites are written for at least. */
  readonly oldest: string;
  /** Where it writes what a site was asked; null when not into a file of the site. */
  readonly accessLog: (site: string) => string | null;
  /** Its worker runs as this user and opens keys itself; null when root reads them before it gives its rights away. */
  readonly readsKeysAs: string | null;
}

export const caddyMainFile = '/etc/caddy/Caddyfile';
export const haproxyDefaultsFile = '/etc/default/haproxy';
const haproxyMainFile = '/etc/haproxy/haproxy.cfg';
const haproxyDropInFolder = '/etc/systemd/system/haproxy.service.d';

/** One line for each: a proxy that is added needs nothing else than its line, its target, and what it takes to be told of sites. */
export const hostProxies: readonly HostProxy[] = [
  {
    name: 'nginx',
    title: 'nginx',
    unit: 'nginx.service',
    folder: '/etc/nginx/conf.d',
    suffix: '.conf',
    version: ['nginx', '-v'],
    oldest: '1.18.0',
    check: () => ['nginx', '-t'],
    accessLog: (site) => `/var/log/nginx/${basename(site, '.conf')}.access.log`,
    readsKeysAs: null,
  },
  {
    name: 'caddy',
    title: 'Caddy',
    unit: 'caddy.service',
    folder: '/etc/caddy/Caddyfile.d',
    suffix: '.caddyfile',
    // As its own user: root would open logs that Caddy may not write then, and keys that it cannot read.
    version: ['caddy', 'version'],
    oldest: '2.6.0',
    check: () => [
      'runuser',
      '-u',
      'caddy',
      '--',
      'env',
      'HOME=/var/lib/caddy',
      'caddy',
      'validate',
      '--config',
      caddyMainFile,
      '--adapter',
      'caddyfile',
    ],
    accessLog: (site) => `/var/log/caddy/${basename(site, '.caddyfile')}.access.log`,
    readsKeysAs: 'caddy',
  },
  {
    name: 'haproxy',
    title: 'HAProxy',
    unit: 'haproxy.service',
    folder: '/etc/haproxy/conf.d',
    suffix: '.cfg',
    version: ['haproxy', '-v'],
    oldest: '2.4.0',
    check: (readsFolder) => [
      'haproxy',
      '-c',
      '-f',
      haproxyMainFile,
      ...(readsFolder ? ['-f', '/etc/haproxy/conf.d'] : []),
    ],
    accessLog: () => null,
    readsKeysAs: null,
  },
];

/** The proxy that a deployment wants in front; null for none. */
export function hostProxyOf({ proxy }: Pick<Deployment, 'proxy'>): HostProxy | null {
  return hostProxies.find(({ name }) => name === proxy.program) ?? null;
}

/** The proxy that reads a file of ours; null for a unit and everything else. */
export function proxyReading(path: string): HostProxy | null {
  return (
    hostProxies.find(({ folder, name }) => {
      if (path.startsWith(`${folder}/`)) return true;
      return name === 'haproxy' && path.startsWith(`${haproxyDropInFolder}/`);
    }) ?? null
  );
}

/** What of these programs is looked at beside the sites, whoever wrote it. */
export function watchedProxyFiles(siteName: string): readonly string[] {
  return [caddyMainFile, haproxyDefaultsFile, haproxyDropIn(siteName)];
}

/** The part of a unit by which HAProxy reads its folder of sites; each deployment has one of its own, all with the same text. */
export function haproxyDropIn(siteFile: string): string {
  return `${haproxyDropInFolder}/${basename(siteFile, '.cfg')}.conf`;
}

const readFolder = '-f /etc/haproxy/conf.d';

/** The text of that part. @param options EXTRAOPTS as the unit has them, ours included or not */
export function haproxyDropInText(options: string): string {
  const own = options
    .replace(readFolder, '')
    .replaceAll(/[\\"%]/g, (sign) => (sign === '%' ? '%%' : `\\${sign}`))
    .trim();
  return `# mcp-deploy: HAProxy reads /etc/haproxy/conf.d beside its main file.
[Service]
Environment="EXTRAOPTS=${own}${own === '' ? '' : ' '}${readFolder}"
`;
}

/** Whether HAProxy is started with its folder of sites. */
export function readsHaproxyFolder(options: string): boolean {
  return /(?:^|\s)-f\s*\/etc\/haproxy\/conf\.d\/?(?:\s|$)/.test(options);
}

/** EXTRAOPTS of /etc/default/haproxy, which win over those of the unit; null when it has none. */
export function haproxyDefaults(text: string | undefined): string | null {
  const lines = (text ?? '').split('\n').flatMap((line) => /^\s*EXTRAOPTS=(.*)$/.exec(line)?.[1] ?? []);
  return lines.at(-1)?.replaceAll(/^["']|["']$/g, '') ?? null;
}

const importBlock = '\n# mcp-deploy: the sites of deployments.\nimport Caddyfile.d/*.caddyfile\n';

/** The main Caddyfile with the line that reads the sites; null when it has such a line already. */
export function withCaddyImport(text: string): string | null {
  return /^\s*import\s+(?:\/etc\/caddy\/)?Caddyfile\.d\/\*(?:\.caddyfile)?\s*$/m.test(text)
    ? null
    : `${text}${importBlock}`;
}

/** The main Caddyfile as it was before our line; null when that is not there, or is somebody else's. */
export function withoutCaddyImport(text: string): string | null {
  return text.includes(importBlock) ? text.replace(importBlock, '') : null;
}
