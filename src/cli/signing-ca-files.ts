import { dirname, join, resolve } from 'node:path';
import { UserError } from '../deployment/errors.ts';
import { isEncryptedKey } from '../pki/key-pair.ts';
import type { SigningCa } from '../pki/signing-ca.ts';
import { deploymentPaths } from '../plan/deployment-paths.ts';
import type { CommandContext } from './context.ts';
import { textFlag, type FlagValues } from './flag-values.ts';
import { readPassphrase } from './read-passphrase.ts';

/** A CA in files, ready to sign. */
export interface CaInFiles {
  readonly ca: SigningCa;
  readonly certificateFile: string;
  readonly listFile: string;
  /** It is the CA in the deployment's own folder. */
  readonly isOwn: boolean;
}

/**
 * The CA that --ca DIR (or --ca-cert and --ca-key) names: in a folder the intermediate when there is one. Without flags
 * the one of this folder's deployment. Asks for the passphrase of an encrypted key.
 * @throws UserError when there is none.
 */
export async function readCaInFiles(context: CommandContext, options: FlagValues): Promise<CaInFiles> {
  const { files } = context.ports;
  const found = await locate(context, options);
  const [certificate, key] = await Promise.all([files.read(found.certificate), files.read(found.key)]);
  const missing = certificate === null ? found.certificate : key === null ? found.key : null;
  if (certificate === null || key === null) {
    throw new UserError(`${missing} is not there.`, {
      why: 'A CA signs with its certificate (ca.crt) and its key (ca.key).',
      next: 'mcp-deploy cert ca NAME --out DIR        makes one; then --ca DIR',
    });
  }
  const keyPem = key.toString('utf8');
  const passphrase = isEncryptedKey(keyPem)
    ? { passphrase: await readPassphrase(context, options, `the CA key ${found.key}`) }
    : {};
  return {
    ca: { certificatePem: certificate.toString('utf8'), keyPem, ...passphrase },
    certificateFile: found.certificate,
    listFile: found.certificate.replace(/\.[^./]*$/, '') + '.crl',
    isOwn: dirname(found.certificate) === deploymentPaths(context.stateDir).pkiDir,
  };
}

async function locate(context: CommandContext, options: FlagValues): Promise<{ certificate: string; key: string }> {
  const [certificate, key] = [textFlag(options, 'caCert'), textFlag(options, 'caKey')];
  const inCwd = (path: string): string => resolve(context.world.cwd, path);
  if (certificate !== undefined || key !== undefined) {
    if (certificate === undefined || key === undefined) {
      throw new UserError('--ca-cert and --ca-key belong together.', { next: 'Give both, or --ca DIR.' });
    }
    return { certificate: inCwd(certificate), key: inCwd(key) };
  }
  const named = textFlag(options, 'ca');
  const own = deploymentPaths(context.stateDir);
  if (named === undefined) {
    if ((await context.ports.files.stat(own.caCertificate)) !== null) {
      return { certificate: own.caCertificate, key: own.caKey };
    }
    throw new UserError('There is no CA in this folder to sign with.', {
      next: 'mcp-deploy cert ca NAME --out DIR        makes one; then --ca DIR',
    });
  }
  const folder = inCwd(named);
  const intermediate = join(folder, 'intermediate.crt');
  if ((await context.ports.files.stat(intermediate)) !== null) {
    return { certificate: intermediate, key: join(folder, 'intermediate.key') };
  }
  return { certificate: join(folder, 'ca.crt'), key: join(folder, 'ca.key') };
}
