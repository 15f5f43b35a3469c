import { createPrivateKey } from 'node:crypto';
import { describeKeyType, usagesOf } from './describe-certificate.ts';
import { bytesOf } from './der.ts';
import { buildPath, type CertificatePath } from './certificate-path.ts';
import { titleOf, type CertificateProblem } from './certificate-problem.ts';
import type { CertificateUsage } from './extensions.ts';
import { judgeRevocation } from './judge-revocation.ts';
import { matchesName } from './matches-name.ts';
import { isPermitted } from './name-constraints.ts';
import { oids, weakSignatures } from './oids.ts';
import { parseIpAddress } from './ip-address.ts';
import { parseRevocationList } from './revocation-list.ts';
import { parseCertificates, readFields, type ParsedCertificate } from './parse-certificates.ts';

export interface CertificateToJudge {
  /** The server's certificate, then its intermediates, as a server is given them. */
  readonly chainPem: string | Buffer;
  readonly keyPem?: string;
  /** The CAs that clients are given; without it the public roots that come with Node. */
  readonly caPem?: string | Buffer;
  /** DNS name or address that clients dial. */
  readonly name?: string;
  readonly usage?: CertificateUsage;
  /** Revocation lists of the CAs, PEM or DER. */
  readonly revocationLists?: readonly Buffer[];
  readonly now?: Date;
}

/**
 * Everything that would make a client refuse the certificate, or an empty list.
 * @throws UserError when chainPem or caPem holds no certificate.
 */
export function judgeCertificate(input: CertificateToJudge): CertificateProblem[] {
  const now = input.now ?? new Date();
  const chain = parseCertificates(input.chainPem, 'The certificate file');
  const anchors = input.caPem === undefined ? null : parseCertificates(input.caPem, 'The CA file');
  const path = buildPath(chain, anchors, readPrivateKey(input.keyPem));
  const [leaf] = path.certificates;
  return [
    ...path.problems,
    ...judgeKeyPair(leaf, input.keyPem),
    ...path.certificates.flatMap((certificate) => judgeValidity(certificate, now)),
    // A client is known by its subject as well; only who is dialled needs a name to be found by.
    ...(input.usage === 'clientAuth' && input.name === undefined ? [] : judgeNames(leaf, input.name)),
    ...judgeConstraints(path),
    ...judgeUsage(leaf, input.usage ?? 'serverAuth'),
    ...path.certificates.filter((certificate) => certificate !== path.anchor).flatMap(judgeStrength),
    ...judgeLifetime(leaf),
    ...judgeLists(path, anchors ?? [], input.revocationLists ?? [], now),
  ];
}

function judgeLists(
  path: CertificatePath,
  authorities: readonly ParsedCertificate[],
  lists: readonly Buffer[],
  now: Date,
): CertificateProblem[] {
  const parsed = lists.map((list) => parseRevocationList(list));
  const problem = judgeRevocation(path.certificates, authorities, parsed, now);
  if (problem === null) return [];
  const expected =
    problem.code === 'revoked' ? 'a certificate that its CA stands by' : 'a current list signed by the CA';
  return [{ code: problem.code, observed: problem.reason, expected }];
}

function judgeKeyPair(leaf: ParsedCertificate, keyPem: string | undefined): CertificateProblem[] {
  if (keyPem === undefined) return [];
  const key = readPrivateKey(keyPem);
  if (key === null) {
    const encrypted = /ENCRYPTED/.test(keyPem);
    return [
      {
        code: 'key-unreadable',
        observed: encrypted
          ? 'the private key is encrypted with a passphrase'
          : 'the private key file holds no readable key',
        expected: 'an unencrypted private key in PEM',
      },
    ];
  }
  if (leaf.x509.checkPrivateKey(key)) return [];
  return [
    {
      code: 'key-mismatch',
      observed: `the private key belongs to another certificate than ${titleOf(leaf)}`,
      expected: 'the key that was made together with the certificate, or with its request',
    },
  ];
}

function judgeValidity(certificate: ParsedCertificate, now: Date): CertificateProblem[] {
  const { notBefore, notAfter } = certificate;
  if (now > notAfter) {
    return [
      {
        code: 'expired',
        observed: `${titleOf(certificate)} expired on ${dayOf(notAfter)}, ${daysBetween(notAfter, now)} ago`,
        expected: `a certificate valid on ${dayOf(now)}`,
      },
    ];
  }
  if (now < notBefore) {
    return [
      {
        code: 'not-yet-valid',
        observed: `${titleOf(certificate)} is valid only from ${notBefore.toISOString()} on`,
        expected: `a certificate valid now, ${now.toISOString()} by this clock`,
      },
    ];
  }
  return [];
}

function judgeNames(leaf: ParsedCertificate, name: string | undefined): CertificateProblem[] {
  if (leaf.names.length === 0) {
    return [
      {
        code: 'no-names',
        observed: `the certificate has no DNS name or address among its subject alternative names (subject ${leaf.subject || 'empty'})`,
        expected: `${name ?? 'the host'} as a subject alternative name; clients ignore the common name`,
      },
    ];
  }
  if (name === undefined || matchesName(leaf.names, name)) return [];
  const asDns = leaf.names.includes(`DNS:${name}`);
  return [
    {
      code: 'name-mismatch',
      observed: asDns
        ? `the certificate has ${name} as a DNS name, not as an IP address`
        : `the certificate is for ${listOf(leaf.names)}`,
      expected: `a certificate for ${name}`,
    },
  ];
}

/** Names of the first certificate that a CA on its path may not sign for. */
export function judgeConstraints(path: CertificatePath): CertificateProblem[] {
  const [leaf, ...above] = path.certificates;
  const names = leaf.names.flatMap((value) => {
    if (value.startsWith('DNS:')) return [];
    return [{ kind: parseIpAddress(value) === null ? ('dns' as const) : ('ip' as const), value }];
  });
  return above.flatMap((ca) => {
    const { nameConstraints } = readFields(ca);
    if (nameConstraints === null) return [];
    const outside = names.filter((name) => !isPermitted(nameConstraints, name)).map((name) => name.value);
    if (outside.length === 0) return [];
    return [
      {
        code: 'name-not-permitted' as const,
        observed: `the name constraints of ${titleOf(ca)} do not permit ${listOf(outside)}`,
        expected: 'a certificate with permitted names only: one name outside makes clients refuse all of them',
      },
    ];
  });
}

function judgeUsage(leaf: ParsedCertificate, usage: CertificateUsage): CertificateProblem[] {
  const problems: CertificateProblem[] = [];
  const usages = usagesOf(leaf.x509);
  const purpose = usage === 'serverAuth' ? 'TLS servers (serverAuth)' : 'TLS clients (clientAuth)';
  if (usages.length > 0 && !usages.includes(usage) && !usages.includes('anyExtendedKeyUsage')) {
    problems.push({
      code: 'wrong-usage',
      observed: `the certificate is for ${usages.join(', ')} only`,
      expected: `a certificate for ${purpose}`,
    });
  }
  if (leaf.x509.ca && !leaf.selfIssued) {
    problems.push({
      code: 'wrong-usage',
      observed: `${titleOf(leaf)} is the certificate of a certificate authority`,
      expected: 'the certificate of the server, followed by this one',
    });
  }
  const keyUsage = readFields(leaf).extension(oids.keyUsage);
  const allowsSignatures = keyUsage === null || ((bytesOf(keyUsage)[1] ?? 0) & 0x80) !== 0;
  if (!allowsSignatures && !leaf.x509.ca) {
    problems.push({
      code: 'wrong-usage',
      observed: 'the key usage of the certificate does not allow digital signatures',
      expected: 'digitalSignature, which every TLS 1.3 handshake needs',
    });
  }
  return problems;
}

function judgeStrength(certificate: ParsedCertificate): CertificateProblem[] {
  const problems: CertificateProblem[] = [];
  const keyType = describeKeyType(certificate.x509);
  const [algorithm, size] = keyType.split(' ');
  const strong = /^(?:EC P-(?:256|384|521)|Ed25519|Ed448)$/.test(keyType);
  if (!strong && !(algorithm?.startsWith('RSA') && Number(size) >= 2_048)) {
    problems.push({
      code: 'weak-key',
      observed: `${titleOf(certificate)} has a key of type ${keyType}`,
      expected: 'EC P-256 or P-384, or RSA of 2048 bits or more',
    });
  }
  const signature = weakSignatures[readFields(certificate).signatureOid];
  if (signature !== undefined && !certificate.selfIssued) {
    problems.push({
      code: 'weak-signature',
      observed: `${titleOf(certificate)} is signed with ${signature}`,
      expected: 'a signature with SHA-256 or stronger',
    });
  }
  return problems;
}

/** Apple counts the first and the last second: support.apple.com/103769. */
function judgeLifetime(leaf: ParsedCertificate): CertificateProblem[] {
  const days = (leaf.notAfter.getTime() - leaf.notBefore.getTime() + 1_000) / 86_400_000;
  if (days <= 825 || leaf.x509.ca) return [];
  return [
    {
      code: 'validity-too-long',
      observed: `the certificate is valid for ${Math.floor(days)} days in all`,
      expected: 'less than 825 days: macOS and iOS refuse longer ones',
    },
  ];
}

function readPrivateKey(keyPem: string | undefined): ReturnType<typeof createPrivateKey> | null {
  if (keyPem === undefined) return null;
  try {
    return createPrivateKey(keyPem);
  } catch {
    return null;
  }
}

function listOf(names: readonly string[]): string {
  return names.length <= 5 ? names.join(', ') : `${names.slice(0, 5).join(', ')} and ${names.length - 5} more`;
}

function dayOf(date: Date): string {
  return date.toISOString().slice(0, 10);
}

function daysBetween(from: Date, to: Date): string {
  const days = Math.floor((to.getTime() - from.getTime()) / 86_400_000);
  if (days === 0) return 'less than a day';
  return days === 1 ? '1 day' : `${days} days`;
}
