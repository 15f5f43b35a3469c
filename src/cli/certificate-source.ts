import { resolve } from 'node:path';
import { EnvironmentError, UserError } from '../deployment/errors.ts';
import { readServedChain } from '../doctor/probes/served-chain.ts';
import { decodePkcs12, isPkcs12 } from '../pki/pkcs12.ts';
import { decodePkcs7, isPkcs7 } from '../pki/pkcs7.ts';
import { deploymentPaths } from '../plan/deployment-paths.ts';
import { readAppliedDeployment } from './applied-deployment.ts';
import type { CommandContext } from './context.ts';
import type { FlagValues } from './flag-values.ts';
import { readPassphrase } from './read-passphrase.ts';

/** Certificates and where they are from. */
export interface CertificateSource {
  readonly from: string;
  readonly bytes: Buffer;
  /** The host that was dialled; null for a file. */
  readonly host: string | null;
  /** From a PKCS#12 file that holds one. */
  readonly privateKeyPem: string | null;
}

/** The certificates of a file (PEM, DER, PKCS#12) or of host:port. @throws UserError when it is neither. */
export async function readCertificateSource(
  context: CommandContext,
  source: string,
  options: FlagValues,
): Promise<CertificateSource> {
  const bytes = await context.ports.files.read(resolve(context.world.cwd, source));
  if (bytes !== null) return openFile(context, source, bytes, options);
  const address = /^(?:https:\/\/)?(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(?::(\d{1,5}))?(?:\/.*)?$/.exec(source);
  const host = address?.[1]?.replaceAll(/^\[|\]$/g, '');
  const port = Number(address?.[2] ?? 443);
  if (
    host === undefined ||
    (!source.startsWith('https://') && address?.[2] === undefined) ||
    port < 1 ||
    port > 65_535
  ) {
    throw new UserError(`${source} is neither a file nor host:port.`, {
      next: `ls -l ${source}        or name a live one: HOST:PORT`,
    });
  }
  const pem = await readServedChain({ host, port, timeoutMs: 5_000 });
  return { from: `served by ${host}:${port}`, bytes: Buffer.from(pem), host, privateKeyPem: null };
}

async function openFile(
  context: CommandContext,
  from: string,
  bytes: Buffer,
  options: FlagValues,
): Promise<CertificateSource> {
  if (isPkcs7(bytes)) {
    return { from, bytes: Buffer.from(decodePkcs7(bytes, from)), host: null, privateKeyPem: null };
  }
  if (!isPkcs12(bytes)) return { from, bytes, host: null, privateKeyPem: null };
  const content = await decodePkcs12(bytes, await readPassphrase(context, options, from), from);
  return {
    from,
    bytes: Buffer.from(content.certificatesPem),
    host: null,
    privateKeyPem: content.privateKey?.export({ type: 'pkcs8', format: 'pem' }).toString() ?? null,
  };
}

/**
 * The files of this folder's deployment: its certificate, and its CA when that is ours.
 *
 * @param instead the same command for a file that is named, for folders without a deployment
 * @throws UserError when nothing was applied here, or what was has no certificate
 */
export async function ownCertificateFiles(
  context: CommandContext,
  instead: string,
): Promise<{ readonly certificate: string; readonly key: string; readonly ca: string | null }> {
  const paths = deploymentPaths(context.stateDir);
  const deployment = await readAppliedDeployment(context);
  if (deployment === null) {
    throw new UserError('There is no deployment in this folder.', {
      next: `mcp-deploy up        or name a file: ${instead}`,
    });
  }
  if (deployment.tls.source === 'off') {
    throw new UserError('This deployment has no certificate: tls.source is off.', {
      next: 'mcp-deploy cert show HOST:PORT',
    });
  }
  if (deployment.tls.source === 'files') {
    const { certificate, key } = deployment.tls;
    return { certificate: resolve(context.baseDir, certificate), key: resolve(context.baseDir, key), ca: null };
  }
  return { certificate: paths.serverCertificate, key: paths.serverKey, ca: paths.caCertificate };
}

/** The bytes of a file that must be there. */
export async function readNeeded(context: CommandContext, path: string): Promise<Buffer> {
  const bytes = await context.ports.files.read(resolve(context.world.cwd, path));
  if (bytes !== null) return bytes;
  throw new EnvironmentError(`${path} is not there.`, { next: 'Check the path.' });
}
