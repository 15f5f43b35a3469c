import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DeploymentInput } from '../../src/deployment/schema.ts';
import { issueCertificate } from '../../src/pki/issue-certificate.ts';
import { issuePrivateCa } from '../../src/pki/issue-private-ca.ts';
import { renderTarget } from '../../src/targets/index.ts';
import type { TargetInput } from '../../src/targets/types.ts';
import { freePorts, type RunningProxy } from './proxy-rig.ts';
import { startShowingUpstream, type ShowingUpstream } from './showing-upstream.ts';
import { targetInput } from './target-input.ts';

/** A rendered site that a real proxy serves for one test. */
export interface ProxiedSite {
  /** https://mcp.test:PORT, to be dialled at 127.0.0.1. */
  readonly url: string;
  readonly plainUrl: string;
  readonly accessLog: string;
  readonly upstream: ShowingUpstream;
}

export interface SiteChange {
  readonly deployment?: (listen: string) => Partial<DeploymentInput>;
  readonly input?: Partial<TargetInput>;
  /** Settings of the proxy beside its name and certificate. */
  readonly proxy?: DeploymentInput['proxy'];
  /** How the proxy reaches the server; by TLS unless told otherwise. `none`: nobody listens there. */
  readonly upstream?: 'tls' | 'plain' | 'unix' | 'none';
}

export interface ProxiedSites {
  /** ca.crt, server.crt and server.key are in it. */
  readonly folder: string;
  readonly caPem: string;
  /** Renders the site, runs the proxy and a server behind it, and takes both down again. */
  withSite(
    target: string,
    start: (siteFile: string, folder: string, ports: readonly number[]) => Promise<RunningProxy>,
    run: (site: ProxiedSite) => Promise<void>,
    change: SiteChange,
  ): Promise<void>;
  remove(): void;
}

export const siteNames: readonly string[] = ['localhost', '127.0.0.1', '::1', 'mcp.test'];

export async function prepareProxiedSites(): Promise<ProxiedSites> {
  const folder = mkdtempSync(join(tmpdir(), 'mcp-proxy-'));
  const ca = await issuePrivateCa({ commonName: 'test CA', names: siteNames });
  const leaf = await issueCertificate({ ca, names: siteNames, validDays: 30 });
  const files = {
    ca: join(folder, 'ca.crt'),
    certificate: join(folder, 'server.crt'),
    key: join(folder, 'server.key'),
  };
  writeFileSync(files.ca, ca.certificatePem);
  writeFileSync(files.certificate, leaf.certificatePem);
  writeFileSync(files.key, leaf.keyPem);

  return {
    folder,
    caPem: ca.certificatePem,
    remove: () => rmSync(folder, { recursive: true, force: true }),
    async withSite(target, start, run, change) {
      const [https = 0, http = 0, server = 0] = await freePorts(3);
      const own = mkdtempSync(join(folder, `${target}-`));
      const kind = change.upstream ?? 'tls';
      const socket = join(own, 'server socket.sock');
      const listen = kind === 'unix' ? `unix:${socket}` : `127.0.0.1:${server}`;
      const pair =
        kind === 'tls' ? { cert: readFileSync(files.certificate, 'utf8'), key: readFileSync(files.key, 'utf8') } : null;
      const upstream = await startShowingUpstream(kind === 'unix' ? socket : server, pair);
      if (kind === 'none') await upstream.close();
      const site = join(own, 'site');
      const base = targetInput(
        {
          version: 1,
          server: { listen },
          tls: kind === 'tls' || kind === 'none' ? { source: 'private-ca', names: [...siteNames] } : { source: 'off' },
          proxy: {
            serverName: 'mcp.test',
            certificate: files.certificate,
            key: files.key,
            maxBodyMegabytes: 1,
            ...change.proxy,
          },
          ...change.deployment?.(listen),
        },
        { proxyPorts: { https, http }, ...change.input },
      );
      const input = { ...base, paths: { ...base.paths, caFile: files.ca, proxyLogDir: own } };
      writeFileSync(site, renderTarget(target, input)[0]?.content ?? '');
      let proxy: RunningProxy | null = null;
      try {
        proxy = await start(site, own, [https, http]);
        await run({
          url: `https://mcp.test:${https}`,
          plainUrl: `http://mcp.test:${http}`,
          accessLog: join(own, 'mcp.access.log'),
          upstream,
        });
      } finally {
        await proxy?.stop();
        if (kind !== 'none') await upstream.close();
      }
    },
  };
}
