import { createPrivateKey } from 'node:crypto';
import { buildPath } from './certificate-path.ts';
import { parseCertificates } from './parse-certificates.ts';

/** A chain in the order in which a server has to send it. */
export interface ArrangedChain {
  /** The certificate first, then its intermediates; roots and what did not belong to it left out. */
  readonly chainPem: string;
  /** The root that stood in the file, or an empty text. */
  readonly rootPem: string;
  /** The order was wrong and has been put right. */
  readonly reordered: boolean;
  /** Subjects of what was left out because it signed nothing here. */
  readonly leftOut: readonly string[];
}

/** Puts the certificates that a CA has sent back into order. @throws UserError when there is none. */
export function arrangeChain(
  input: string | Buffer,
  keyPem: string | null,
  caPem: string | Buffer | null,
): ArrangedChain {
  const given = parseCertificates(input, 'The certificate file');
  const anchors = caPem === null ? null : parseCertificates(caPem, 'The CA file');
  const path = buildPath(given, anchors, keyPem === null ? null : createPrivateKey(keyPem));
  const onPath = path.certificates.filter(
    (certificate) => certificate === path.certificates[0] || !certificate.selfIssued,
  );
  const roots = given.filter((certificate) => certificate.selfIssued && certificate.x509.ca);
  const used = new Set([...path.certificates, ...roots].map((certificate) => certificate.x509.fingerprint256));
  return {
    // An intermediate that only the CA file holds is sent as well: most clients have nothing but the root.
    chainPem: onPath.map((certificate) => certificate.x509.toString()).join(''),
    rootPem: roots.map((certificate) => certificate.x509.toString()).join(''),
    reordered: path.problems.some((problem) => problem.code === 'chain-order'),
    leftOut: given
      .filter((certificate) => !used.has(certificate.x509.fingerprint256))
      .map((certificate) => certificate.subject),
  };
}
