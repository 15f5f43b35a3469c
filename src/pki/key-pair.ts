import { createPrivateKey, createPublicKey, generateKeyPair, sign, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { UserError } from '../deployment/errors.ts';
import { der, type DerNode } from './der.ts';
import { oids } from './oids.ts';

const generate = promisify(generateKeyPair);
const signInThreadPool = promisify<string | null, Buffer, KeyObject, Buffer>(sign);

/** Key algorithms that certificates are made with; EC P-256 is the default everywhere. */
export const keyAlgorithms = ['ec-p256', 'ec-p384', 'rsa-2048', 'rsa-3072', 'rsa-4096'] as const;
export type KeyAlgorithm = (typeof keyAlgorithms)[number];

export interface KeyPair {
  readonly privateKey: KeyObject;
  /** DER of the SubjectPublicKeyInfo. */
  readonly spki: Buffer;
  readonly isRsa: boolean;
}

/** A new key pair, generated off the main thread. */
export async function generateKeys(algorithm: KeyAlgorithm): Promise<KeyPair> {
  const { publicKey, privateKey } = await generateFor(algorithm);
  return { privateKey, spki: spkiOf(publicKey), isRsa: algorithm.startsWith('rsa') };
}

/** PKCS#8 PEM of a private key, unencrypted. */
export function encodePrivateKey(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** Whether PEM text holds a private key that needs a passphrase. */
export function isEncryptedKey(keyPem: string): boolean {
  return /-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: *4,ENCRYPTED/.test(keyPem);
}

/**
 * A private key from PEM. The passphrase is used only when the key is encrypted.
 * @throws UserError that says what the text is instead; `what` names it in the message.
 */
export function parsePrivateKey(keyPem: string, what: string, passphrase?: string): KeyObject {
  const encrypted = isEncryptedKey(keyPem);
  if (encrypted && passphrase === undefined) {
    throw new UserError(`${what} is encrypted with a passphrase`, {
      next: 'Give its passphrase, or decrypt it first: openssl pkey -in KEY -out KEY.plain',
    });
  }
  try {
    return createPrivateKey(encrypted ? { key: keyPem, passphrase: passphrase ?? '' } : keyPem);
  } catch (cause) {
    if (encrypted) {
      throw new UserError(`The passphrase does not open ${what.charAt(0).toLowerCase()}${what.slice(1)}`, {
        why: 'It is another one, or the key is damaged.',
        next: 'Run the command again with the passphrase that the key was made with.',
      });
    }
    throw new UserError(`${what} is not a readable private key`, {
      why: keyPem.includes('-----BEGIN ')
        ? 'Its PEM text is damaged or holds something else.'
        : 'There is no PEM block in it (-----BEGIN PRIVATE KEY-----).',
      cause,
    });
  }
}

/** How a key signs: the AlgorithmIdentifier to write and the signature itself. SHA-2 of the strength of the key. */
export interface Signer {
  readonly algorithmIdentifier: DerNode;
  readonly sign: (bytes: Buffer) => Promise<Buffer>;
}

/** The signer of a private key (EC P-256/384/521, RSA, Ed25519). @throws UserError for keys that cannot sign certificates. */
export function signerFor(key: KeyObject): Signer {
  const curve = key.asymmetricKeyDetails?.namedCurve;
  const signing = signatures[key.asymmetricKeyType === 'ec' ? `ec ${curve}` : (key.asymmetricKeyType ?? '')];
  if (signing === undefined) {
    throw new UserError(
      `A key of type ${[key.asymmetricKeyType, curve].filter(Boolean).join(' ')} cannot sign certificates here`,
      {
        next: 'Use an EC key on P-256 or P-384, or an RSA key.',
      },
    );
  }
  const parameters = key.asymmetricKeyType === 'rsa' ? [der.none()] : [];
  return {
    algorithmIdentifier: der.sequence(der.oid(signing.oid), ...parameters),
    sign: (bytes) => signInThreadPool(signing.digest, bytes, key),
  };
}

/** DER of the public half of a private key. */
export function publicSpkiOf(privateKey: KeyObject): Buffer {
  return spkiOf(createPublicKey(privateKey));
}

const signatures: Readonly<Record<string, { readonly oid: string; readonly digest: string | null }>> = {
  rsa: { oid: oids.sha256WithRsa, digest: 'sha256' },
  'ec prime256v1': { oid: oids.ecdsaWithSha256, digest: 'sha256' },
  'ec secp384r1': { oid: oids.ecdsaWithSha384, digest: 'sha384' },
  'ec secp521r1': { oid: oids.ecdsaWithSha512, digest: 'sha512' },
  ed25519: { oid: oids.ed25519, digest: null },
};

function generateFor(algorithm: KeyAlgorithm): Promise<{ publicKey: KeyObject; privateKey: KeyObject }> {
  switch (algorithm) {
    case 'ec-p256':
      return generate('ec', { namedCurve: 'P-256' });
    case 'ec-p384':
      return generate('ec', { namedCurve: 'P-384' });
    case 'rsa-2048':
      return generate('rsa', { modulusLength: 2048 });
    case 'rsa-3072':
      return generate('rsa', { modulusLength: 3072 });
    case 'rsa-4096':
      return generate('rsa', { modulusLength: 4096 });
  }
}

function spkiOf(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' });
}
