import { createPublicKey, verify } from 'node:crypto';
import { UserError } from '../deployment/errors.ts';
import { bytesOf, childrenOf, decodeDer, encodeDer, isTagged, oidOf, octetsOf } from './der.ts';
import { oids, usageNames } from './oids.ts';
import { decodeBlock, namesIn } from './parse-certificates.ts';

/** What a certificate request asks for; its signature has been checked. */
export interface CertificateRequest {
  readonly names: readonly string[];
  /** serverAuth, clientAuth …; empty when it does not ask. */
  readonly usages: readonly string[];
  /** DER of the SubjectPublicKeyInfo. */
  readonly spki: Buffer;
  readonly isRsa: boolean;
}

/** A request from PEM or DER. @throws UserError when it is none, is damaged, or was not signed with its own key. */
export function parseRequest(input: Buffer, what = 'The request'): CertificateRequest {
  const bytes = decodeBlock(input, ['CERTIFICATE REQUEST', 'NEW CERTIFICATE REQUEST'], what, 'a certificate request');
  try {
    const [toBeSigned, algorithm, signature] = childrenOf(decodeDer(bytes));
    const parts = childrenOf(toBeSigned);
    const [, , publicKey] = parts;
    if (toBeSigned === undefined || publicKey === undefined) throw new Error('no public key');
    const spki = encodeDer(publicKey);
    const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
    const digest = digestOf(oidOf(childrenOf(algorithm)[0]));
    if (!verify(digest, encodeDer(toBeSigned), key, bytesOf(signature).subarray(1))) throw new Error('wrong signature');
    const extensions = new Map<string, Buffer>();
    for (const attribute of childrenOf(parts.find((part) => isTagged(part, 0)))) {
      if (oidOf(childrenOf(attribute)[0]) !== oids.extensionRequest) continue;
      for (const node of childrenOf(childrenOf(childrenOf(attribute)[1])[0])) {
        const oid = oidOf(childrenOf(node)[0]);
        if (oid !== null) extensions.set(oid, octetsOf(childrenOf(node).at(-1)));
      }
    }
    const altNames = extensions.get(oids.subjectAltName);
    const usages = extensions.get(oids.extKeyUsage);
    return {
      names: altNames === undefined ? [] : namesIn(decodeDer(altNames)),
      usages:
        usages === undefined
          ? []
          : childrenOf(decodeDer(usages)).flatMap((node) => usageNames[oidOf(node) ?? ''] ?? []),
      spki,
      isRsa: key.asymmetricKeyType === 'rsa',
    };
  } catch (cause) {
    throw new UserError(`${what} is damaged`, {
      why: 'Its content cannot be read, or it was not signed with the key in it.',
      next: 'Ask for it again, or make one with: mcp-deploy cert csr',
      cause,
    });
  }
}

/** @throws on an algorithm that is not in use for new signatures. */
export function digestOf(oid: string | null): string | null {
  switch (oid) {
    case oids.sha256WithRsa:
    case oids.ecdsaWithSha256:
      return 'sha256';
    case '1.2.840.113549.1.1.12':
    case oids.ecdsaWithSha384:
      return 'sha384';
    case '1.2.840.113549.1.1.13':
    case oids.ecdsaWithSha512:
      return 'sha512';
    case oids.ed25519:
      return null;
    case null:
    default:
      throw new Error(`signature algorithm ${oid}`);
  }
}
