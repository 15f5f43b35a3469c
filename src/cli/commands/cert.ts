import { resolve } from 'node:path';
import { EnvironmentError, UserError } from '../../deployment/errors.ts';
import { readServedChain } from '../../doctor/probes/served-chain.ts';
import { describeChain } from '../../pki/describe-certificate.ts';
import { formatCertificateText } from '../../pki/format-certificate.ts';
import type { CommandContext } from '../context.ts';
import { readAppliedDeployment } from '../applied-deployment.ts';
import { projectPaths } from '../../plan/project-paths.ts';

/** `mcp-deploy cert show [FILE | HOST:PORT | URL]`: this deployment's certificates when nothing is named. */
export async function runCertShow(context: CommandContext, source: string | undefined): Promise<number> {
  const now = new Date(context.ports.clock.now());
  const shown = await readCertificates(context, source);
  const described = shown.map(({ from, pem }) => ({ from, certificates: describeChain(pem, now) }));
  context.output.document({ ok: true, sources: described });
  context.output.result(
    described.map(({ from, certificates }) => `  ${from}\n\n${formatCertificateText(certificates)}`).join('\n'),
  );
  return 0;
}

async function readCertificates(
  context: CommandContext,
  source: string | undefined,
): Promise<readonly { from: string; pem: string }[]> {
  if (source === undefined) return ownCertificates(context);
  const file = resolve(context.world.cwd, source);
  const bytes = await context.ports.files.read(file);
  if (bytes !== null) return [{ from: source, pem: bytes.toString('utf8') }];

  const address = /^(?:https:\/\/)?(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(?::(\d{1,5}))?(?:\/.*)?$/.exec(source);
  const host = address?.[1];
  if (host === undefined || (!source.startsWith('https://') && address?.[2] === undefined)) {
    throw new UserError(`${source} is neither a file nor host:port.`, {
      next: 'mcp-deploy cert show ./server.crt        or: mcp-deploy cert show localhost:8443',
    });
  }
  const port = Number(address?.[2] ?? 443);
  const pem = await readServedChain({ host: host.replaceAll(/^\[|\]$/g, ''), port, timeoutMs: 5_000 });
  return [{ from: `served by ${host}:${port}`, pem }];
}

async function ownCertificates(context: CommandContext): Promise<readonly { from: string; pem: string }[]> {
  const paths = projectPaths(context.stateDir);
  const deployment = await readAppliedDeployment(context);
  if (deployment === null) {
    throw new UserError('There is no deployment in this folder.', {
      next: 'mcp-deploy up        or name a certificate: mcp-deploy cert show FILE',
    });
  }
  if (deployment.tls.source === 'off') {
    throw new UserError('This deployment has no certificate: tls.source is off.', {
      next: 'mcp-deploy cert show HOST:PORT',
    });
  }
  const files =
    deployment.tls.source === 'files'
      ? [resolve(context.baseDir, deployment.tls.certificate)]
      : [paths.serverCertificate, paths.caCertificate];
  return Promise.all(
    files.map(async (from) => {
      const bytes = await context.ports.files.read(from);
      if (bytes === null)
        throw new EnvironmentError(`${from} is gone.`, { next: 'mcp-deploy apply        makes it anew' });
      return { from, pem: bytes.toString('utf8') };
    }),
  );
}
