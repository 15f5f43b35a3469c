import { createPrivateKey } from 'node:crypto';
import { der } from '../../src/pki/der.ts';
import {
  authorityKeyIdentifier,
  basicConstraints,
  extension,
  keyIdentifierOf,
  keyUsage,
  subjectAltName,
  subjectKeyIdentifier,
  type KeyUsage,
} from '../../src/pki/extensions.ts';
import {
  encodePrivateKey,
  generateKeys,
  publicSpkiOf,
  signerFor,
  type KeyPair,
  type Signer,
} from '../../src/pki/key-pair.ts';
import { parseCertificateNames } from '../../src/pki/names.ts';
import { oids } from '../../src/pki/oids.ts';
import { distinguishedName, signCertificate } from '../../src/pki/sign-certificate.ts';

/** An issuer or a server as the tests see it. */
export interface OddCertificate {
  readonly certificatePem: string;
  readonly keyPem: string;
  readonly commonName: string;
  readonly keys: KeyPair;
}

export interface OddSpec {
  readonly commonName: string;
  /** Left out: signed with its own key. */
  readonly issuer?: OddCertificate;
  readonly ca?: boolean;
  readonly pathLength?: number;
  /** Left out: no SAN at all. */
  readonly names?: readonly string[];
  /** OIDs of the extended key usage; left out: none. */
  readonly usageOids?: readonly string[];
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  readonly keys?: KeyPair;
  /** What the key may do; as fits `ca` by default. */
  readonly keyUsages?: readonly KeyUsage[];
  /** How the issuer signs; as its key does by default. */
  readonly signer?: Signer;
}

/** Certificates that the product refuses to issue: what doctor and verify must recognise elsewhere. */
export async function issueOdd(spec: OddSpec): Promise<OddCertificate> {
  const keys = spec.keys ?? (await generateKeys('ec-p256'));
  const issuerKeys = spec.issuer?.keys ?? keys;
  const day = 86_400_000;
  const certificatePem = await signCertificate(
    {
      issuer: distinguishedName(spec.issuer?.commonName ?? spec.commonName),
      subject: distinguishedName(spec.commonName),
      notBefore: spec.notBefore ?? new Date(Date.now() - day),
      notAfter: spec.notAfter ?? new Date(Date.now() + 90 * day),
      spki: keys.spki,
      extensions: [
        basicConstraints(spec.ca === true ? { pathLength: spec.pathLength ?? 3 } : false),
        keyUsage(spec.keyUsages ?? (spec.ca === true ? ['keyCertSign', 'cRLSign'] : ['digitalSignature'])),
        ...(spec.names === undefined ? [] : [subjectAltName(parseCertificateNames(spec.names), false)]),
        ...(spec.usageOids === undefined
          ? []
          : [extension(oids.extKeyUsage, false, der.sequence(...spec.usageOids.map((oid) => der.oid(oid))))]),
        subjectKeyIdentifier(keyIdentifierOf(keys.spki)),
        authorityKeyIdentifier(keyIdentifierOf(issuerKeys.spki)),
      ],
    },
    spec.signer ?? signerFor(issuerKeys.privateKey),
  );
  return { certificatePem, keyPem: encodePrivateKey(keys.privateKey), commonName: spec.commonName, keys };
}

/** A CA made by the product as an issuer of odd certificates. */
export function asIssuer(
  commonName: string,
  issued: { readonly certificatePem: string; readonly keyPem: string },
): OddCertificate {
  const privateKey = createPrivateKey(issued.keyPem);
  return { ...issued, commonName, keys: { privateKey, spki: publicSpkiOf(privateKey), isRsa: false } };
}
