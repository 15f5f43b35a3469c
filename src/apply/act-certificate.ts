import { EnvironmentError } from '../deployment/errors.ts';
import type { Action } from '../plan/action.ts';
import { readOwner } from './accounts.ts';
import { servePair } from './act-pair.ts';
import { shown, type ActContext } from './act.ts';

type CertificateAction = Extract<Action, { type: 'issue-private-ca' | 'issue-certificate' }>;

/** Issues the private CA or a certificate of it. The key of a CA is written first, so that it is never there without its key. */
export async function actCertificate(action: CertificateAction, context: ActContext): Promise<string> {
  const { files, issuer } = context.ports;
  if (action.type === 'issue-private-ca') {
    const { certificatePem, keyPem } = await issuer.privateCa({ commonName: action.commonName, names: action.names });
    await files.writeAtomic(action.keyFile, keyPem, 0o400);
    await files.writeAtomic(action.certificateFile, certificatePem, 0o644);
    return 'private CA';
  }
  const { certificatePem, keyPem } = await issuer.certificate({
    caCertificatePem: await readNeeded(action.caCertificateFile, context),
    caKeyPem: await readNeeded(action.caKeyFile, context),
    names: action.names,
    validDays: action.validDays,
  });
  await servePair(
    action,
    { keyPem, certificatePem },
    files,
    action.owner === undefined ? undefined : await readOwner(files, action.owner),
  );
  return `${action.names.join(', ')}; ${action.validDays} days`;
}

async function readNeeded(path: string, context: ActContext): Promise<string> {
  const bytes = await context.ports.files.read(path);
  if (bytes !== null) return bytes.toString('utf8');
  throw new EnvironmentError(`${shown(path, context)} is not there.`, {
    why: 'The server certificate is signed with it.',
    next: 'Put it back from your backup, or run mcp-deploy up, which makes a new CA.',
  });
}
