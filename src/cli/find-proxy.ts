import { resolve } from 'node:path';
import type { Deployment } from '../deployment/schema.ts';
import type { FoundProxy } from '../plan/plan-renewal.ts';
import { deploymentPaths } from '../plan/deployment-paths.ts';
import { proxySiteFiles } from '../targets/proxy-reload.ts';
import type { CommandContext } from './context.ts';

/**
 * A proxy of this machine whose installed site (`render nginx`, `render caddy`) names the certificate of this deployment:
 * a renewal is not done before it shows it. Null when there is none, or when mcp-deploy.yaml says by itself what to do.
 */
export async function findProxy(
  { ports, stateDir, baseDir }: Pick<CommandContext, 'ports' | 'stateDir' | 'baseDir'>,
  deployment: Deployment,
): Promise<FoundProxy | null> {
  const { tls, proxy, server } = deployment;
  if (proxy.reload !== undefined) return null;
  const certificate =
    tls.source === 'files' ? resolve(baseDir, tls.certificate) : deploymentPaths(stateDir).serverCertificate;
  const hasSystemd = (await ports.files.stat('/run/systemd/system')) !== null;
  for (const { siteFile, reload } of proxySiteFiles(deployment, hasSystemd)) {
    const text = (await ports.files.read(siteFile).catch(() => null))?.toString('utf8');
    if (text === undefined || !text.includes(certificate)) continue;
    const port = server.publicUrl === undefined ? '' : new URL(server.publicUrl).port;
    return { reload, probe: proxy.probe ?? `127.0.0.1:${port === '' ? '443' : port}` };
  }
  return null;
}
