import { decodeDer, der, encodeDer, encodePem } from './der.ts';
import { extendedKeyUsage, keyUsage, subjectAltName, type CertificateUsage } from './extensions.ts';
import { encodePrivateKey, generateKeys, signerFor, type KeyAlgorithm } from './key-pair.ts';
import { parseCertificateNames } from './names.ts';
import { oids } from './oids.ts';
import { distinguishedName } from './sign-certificate.ts';

export interface RequestSpec {
  readonly names: readonly string[];
  /** serverAuth by default. */
  readonly usages?: readonly CertificateUsage[];
  readonly algorithm?: KeyAlgorithm;
}

/**
 * A new key and a request (PKCS#10, RFC 2986) for a company's CA, with names, key usage and extended key usage.
 * @throws UserError for wrong names.
 */
export async function createRequest(
  spec: RequestSpec,
): Promise<{ readonly requestPem: string; readonly keyPem: string }> {
  const names = parseCertificateNames(spec.names);
  const keys = await generateKeys(spec.algorithm ?? 'ec-p256');
  const first = names[0]?.value ?? '';
  const commonName = first.length > 64 ? null : first;
  const signer = signerFor(keys.privateKey);
  const extensions = der.sequence(
    keyUsage(keys.isRsa ? ['digitalSignature', 'keyEncipherment'] : ['digitalSignature']),
    extendedKeyUsage(spec.usages ?? ['serverAuth']),
    subjectAltName(names, commonName === null),
  );
  const toBeSigned = der.sequence(
    der.smallInteger(0),
    distinguishedName(commonName),
    decodeDer(keys.spki),
    der.wrapped(0, der.sequence(der.oid(oids.extensionRequest), der.set(extensions))),
  );
  const signature = await signer.sign(encodeDer(toBeSigned));
  const request = der.sequence(toBeSigned, signer.algorithmIdentifier, der.bitString(signature));
  return {
    requestPem: encodePem('CERTIFICATE REQUEST', encodeDer(request)),
    keyPem: encodePrivateKey(keys.privateKey),
  };
}
