import { EnvironmentError } from '../deployment/errors.ts';
import type { AcmeOrder } from '../plan/acme-order.ts';
import type { Action } from '../plan/action.ts';
import type { AcmeOrderSpec } from './acme-types.ts';
import { readOwner } from './accounts.ts';
import { servePair } from './act-pair.ts';
import { shown, type ActContext } from './act.ts';
import type { FileSystem } from './ports.ts';

/** The key of an account with an authority, 0600. The account itself is made with the first order. */
export async function createAccountKey(
  { keyFile }: Extract<Action, { type: 'create-acme-account-key' }>,
  context: ActContext,
): Promise<string> {
  const { files, issuer } = context.ports;
  await files.writeAtomic(keyFile, await issuer.acmeAccountKey(), 0o600);
  return `account key in ${shown(keyFile, context)} (0600)`;
}

/** Asks an authority for a certificate and puts the pair in its place. Nothing is written before both are here. */
export async function actAcme(
  action: Extract<Action, { type: 'issue-acme-certificate' }>,
  context: ActContext,
): Promise<string> {
  const { files, issuer, clock } = context.ports;
  const startedAt = clock.elapsed();
  const spec = await readOrderSpec(action.order, files, {
    accountKeyPem: await readText(action.accountKeyFile, 'the key of the account', files),
    keyPem: action.reuseKey ? await readText(action.keyFile, 'the private key that is to be kept', files) : null,
    replacesPem: (await files.read(action.certificateFile))?.toString('utf8') ?? null,
  });
  const issued = await issuer.acme(spec, {
    signal: context.signal,
    onDoing: (text) => context.onDoing(text, clock.elapsed() - startedAt),
  });
  await servePair(action, issued, files, action.owner === undefined ? undefined : await readOwner(files, action.owner));
  const left = issued.leftBehind.map((each) => `; could not be taken away: ${each}`).join('');
  return `${action.order.names.join(', ')} by ${action.order.challenge.type}${left}`;
}

/** An order with what its files hold. @throws EnvironmentError for a file that is not there */
export async function readOrderSpec(
  order: AcmeOrder,
  files: Pick<FileSystem, 'read'>,
  keys: Pick<AcmeOrderSpec, 'accountKeyPem' | 'keyPem' | 'replacesPem'>,
): Promise<AcmeOrderSpec> {
  const { caFile, eab, ...rest } = order;
  return {
    ...rest,
    ...keys,
    caPem: caFile === null ? null : await readText(caFile, 'the CA of the directory (tls.caFile)', files),
    eab:
      eab === null
        ? null
        : {
            keyId: eab.keyId,
            hmacKey: (await readText(eab.keyFile, 'the key of the account binding (tls.eab.keyFile)', files)).trim(),
          },
    userAgent: 'mcp-deploy',
  };
}

async function readText(path: string, what: string, files: Pick<FileSystem, 'read'>): Promise<string> {
  const bytes = await files.read(path);
  if (bytes !== null) return bytes.toString('utf8');
  throw new EnvironmentError(`${path} is not there.`, {
    why: `It should hold ${what}.`,
    next: 'Put it there, or correct the setting.',
  });
}
