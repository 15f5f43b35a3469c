import { X509Certificate, type KeyObject } from 'node:crypto';
import { rootCertificates } from 'node:tls';
import { titleOf, type CertificateProblem } from './certificate-problem.ts';
import { parseCertificates, type ParsedCertificate } from './parse-certificates.ts';
import { pathLengthOf } from './signing-ca.ts';

/** The way from the server's certificate to a trusted CA, as far as it goes. */
export interface CertificatePath {
  /** The server's certificate first, the trusted CA last when there is one. */
  readonly certificates: readonly [ParsedCertificate, ...ParsedCertificate[]];
  /** The trusted CA in which the path ends, or null. */
  readonly anchor: ParsedCertificate | null;
  /** What is wrong with the path itself: order, gaps, trust. */
  readonly problems: readonly CertificateProblem[];
}

/** Real chains have two to four; a file of many look-alikes must not keep the walk busy. */
const maxPathLength = 10;

type Chain = readonly [ParsedCertificate, ...ParsedCertificate[]];

/**
 * Walks from the server's certificate to an anchor, taking issuers from anywhere in the file, and says where a client
 * that is stricter than this walk would stop. Without anchors, the public roots that come with Node are the anchors.
 */
export function buildPath(
  chain: Chain,
  anchors: readonly ParsedCertificate[] | null,
  key: KeyObject | null,
): CertificatePath {
  const leaf = leafOf(chain, key);
  const path: [ParsedCertificate, ...ParsedCertificate[]] = [leaf];
  const problems: CertificateProblem[] = [];
  let current = leaf;
  let anchor: ParsedCertificate | null = null;
  // An intermediate among the anchors helps to build the path but, as in OpenSSL and Node, no path ends in it.
  const pool = [...chain, ...(anchors ?? [])];
  for (;;) {
    const candidates = anchors?.filter((candidate) => candidate.selfIssued) ?? publicRootsNamed(current.issuer);
    anchor = candidates.find((candidate) => sameCertificate(candidate, current)) ?? null;
    if (anchor !== null) break;
    anchor = candidates.find((candidate) => isIssuedBy(current, candidate)) ?? null;
    if (anchor !== null) {
      path.push(anchor);
      break;
    }
    const issuer =
      path.length >= maxPathLength
        ? undefined
        : pool.find((candidate) => !path.includes(candidate) && isIssuedBy(current, candidate));
    if (issuer === undefined) {
      problems.push(describeDeadEnd(current, anchors));
      break;
    }
    path.push(issuer);
    current = issuer;
  }
  return { certificates: path, anchor, problems: [...judgeOrder(chain, path), ...problems, ...judgeAuthorities(path)] };
}

/** Files are sometimes upside down: the key, or else being no CA, tells the server's certificate. */
function leafOf(chain: Chain, key: KeyObject | null): ParsedCertificate {
  const byKey = key === null ? undefined : chain.find((certificate) => certificate.x509.checkPrivateKey(key));
  return byKey ?? chain.find((certificate) => !certificate.x509.ca) ?? chain[0];
}

function judgeOrder(chain: Chain, path: readonly ParsedCertificate[]): CertificateProblem[] {
  const positions = chain
    .map((certificate) => path.findIndex((member) => sameCertificate(member, certificate)))
    .filter((position) => position !== -1);
  const unused = chain.filter((certificate) => !isOnPath(certificate, path));
  const problems: CertificateProblem[] = [];
  if (positions[0] !== 0 || positions.some((position, index) => position <= (positions[index - 1] ?? -1))) {
    problems.push({
      code: 'chain-order',
      observed: `the file holds ${listInOrder(positions, path)}`,
      expected: listInOrder(
        [...new Set(positions)].sort((one, other) => one - other),
        path,
      ),
    });
  }
  if (unused.length > 0) {
    problems.push({
      code: 'chain-unrelated',
      observed: `the file also holds ${unused.map(titleOf).join(' and ')}, which did not sign anything in it`,
      expected: 'the certificate and its intermediates only',
    });
  }
  return problems;
}

function listInOrder(positions: readonly number[], path: readonly ParsedCertificate[]): string {
  return positions
    .flatMap((position) => path[position] ?? [])
    .map(titleOf)
    .join(', then ');
}

/** A root at the end of the file is superfluous but harmless, also when it is the anchor itself. */
function isOnPath(certificate: ParsedCertificate, path: readonly ParsedCertificate[]): boolean {
  return path.some(
    (member) => sameCertificate(member, certificate) || (certificate.selfIssued && isIssuedBy(member, certificate)),
  );
}

function describeDeadEnd(last: ParsedCertificate, anchors: readonly ParsedCertificate[] | null): CertificateProblem {
  const trusted = anchors === null ? 'a public root' : `among the ${anchors.length === 1 ? 'CA' : 'CAs'} given`;
  const namesake = anchors?.find((candidate) => candidate.subject === last.issuer);
  if (namesake !== undefined) {
    return {
      code: 'not-trusted',
      observed: `${titleOf(last)} names ${last.issuer} as its issuer, but was not signed with the key of the CA given`,
      expected: `a certificate signed by the CA with the fingerprint ${namesake.x509.fingerprint256}`,
    };
  }
  if (last.selfIssued) {
    return {
      code: 'not-trusted',
      observed: last.x509.ca
        ? `the chain ends in the root ${last.subject}, which is not ${trusted}`
        : `${titleOf(last)} is self-signed and not ${trusted}`,
      expected:
        anchors === null
          ? 'clients that are given this certificate as their CA'
          : 'a certificate signed by the CA given',
    };
  }
  return {
    code: 'chain-incomplete',
    observed: `${titleOf(last)} was signed by ${last.issuer}, which is neither in the file nor ${trusted}`,
    expected: `the certificate of ${last.issuer} behind it in the file, or given to clients as their CA`,
  };
}

function judgeAuthorities(path: readonly ParsedCertificate[]): CertificateProblem[] {
  return path.slice(1).flatMap((authority, index): CertificateProblem[] => {
    if (!authority.x509.ca) {
      return [
        {
          code: 'not-trusted',
          observed: `${titleOf(authority)} signed the certificate before it but is no certificate authority`,
          expected: 'an issuer with CA:TRUE in its basic constraints',
        },
      ];
    }
    const limit = pathLengthOf(authority);
    // Self-issued intermediates do not count (RFC 5280, 4.2.1.9), nor does the server's certificate.
    const below = path.slice(1, index + 1).filter((certificate) => !certificate.selfIssued).length;
    if (limit === null || below <= limit) return [];
    return [
      {
        code: 'not-trusted',
        observed: `${titleOf(authority)} allows ${limit} intermediate CAs below it, and there are ${below}`,
        expected: 'a chain no longer than its path length constraint',
      },
    ];
  });
}

/** Whether the issuer's name and key fit the certificate. */
export function isIssuedBy(certificate: ParsedCertificate, issuer: ParsedCertificate): boolean {
  try {
    return certificate.x509.checkIssued(issuer.x509) && certificate.x509.verify(issuer.x509.publicKey);
  } catch {
    // node:crypto throws on keys that its OpenSSL cannot use; such an issuer has signed nothing that could be proven
    return false;
  }
}

function sameCertificate(one: ParsedCertificate, other: ParsedCertificate): boolean {
  return one.x509.fingerprint256 === other.x509.fingerprint256;
}

let publicRoots: readonly { readonly subject: string; readonly pem: string }[] | null = null;

/** Of about 150 roots only the one that fits is parsed in full. */
function publicRootsNamed(issuer: string): readonly ParsedCertificate[] {
  publicRoots ??= rootCertificates.map((pem) => ({
    subject: new X509Certificate(pem).subject.split('\n').join(', '),
    pem,
  }));
  return publicRoots.filter((root) => root.subject === issuer).flatMap((root) => [...parseCertificates(root.pem)]);
}
