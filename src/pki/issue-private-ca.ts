import { UserError } from '../deployment/errors.ts';
import { basicConstraints, keyIdentifierOf, keyUsage, subjectKeyIdentifier } from './extensions.ts';
import { encodePrivateKey, generateKeys, signerFor, type KeyAlgorithm } from './key-pair.ts';
import { nameConstraints } from './name-constraints.ts';
import { parseCertificateNames } from './names.ts';
import { distinguishedName, signCertificate, validityFor } from './sign-certificate.ts';

export interface IssuedCertificate {
  /** The certificate, followed by the intermediates a server has to send; a root is never in it. */
  readonly certificatePem: string;
  /** PKCS#8, unencrypted: to be written with mode 0600 or stricter. */
  readonly keyPem: string;
}

export interface PrivateCaSpec {
  /** Shown by trust stores; cut to 64 characters. */
  readonly commonName: string;
  /** DNS names and addresses the CA may sign for. A DNS name includes the names below it. */
  readonly names: readonly string[];
  readonly validDays?: number;
  readonly now?: Date;
  readonly algorithm?: KeyAlgorithm;
}

/**
 * A private root CA that can sign for the given names only, so that a stolen CA key is of no use against other sites
 * on the machines that trust it. It signs leaf certificates only (path length 0).
 * @throws UserError for a wrong name, an empty common name or a life of other than 1 to 18,262 days.
 */
export async function issuePrivateCa(spec: PrivateCaSpec): Promise<IssuedCertificate> {
  const names = parseCertificateNames(spec.names);
  if (spec.commonName.trim() === '' || /[\u0000-\u001f\u007f-\u009f]/.test(spec.commonName)) {
    throw new UserError('A certificate authority needs a name of printable characters', {
      next: 'Give a common name, for example: "mcp-deploy CA on web1"',
    });
  }
  const validity = validityFor(
    spec.validDays ?? 3_650,
    18_262,
    'A CA can live for up to 50 years.',
    spec.now ?? new Date(),
  );
  const keys = await generateKeys(spec.algorithm ?? 'ec-p256');
  const subject = distinguishedName(spec.commonName.trim());
  const certificatePem = await signCertificate(
    {
      issuer: subject,
      subject,
      ...validity,
      spki: keys.spki,
      extensions: [
        basicConstraints({ pathLength: 0 }),
        keyUsage(['keyCertSign', 'cRLSign']),
        nameConstraints(names),
        subjectKeyIdentifier(keyIdentifierOf(keys.spki)),
      ],
    },
    signerFor(keys.privateKey),
  );
  return { certificatePem, keyPem: encodePrivateKey(keys.privateKey) };
}
