import { EnvironmentError, ExplainedError } from '../deployment/errors.ts';
import type { FileSystem } from '../apply/ports.ts';
import type { CertificateFact } from '../plan/facts.ts';
import { formatIpAddress } from '../pki/ip-address.ts';
import { keyMatchesCertificate } from '../pki/key-matches-certificate.ts';
import { parseCertificates, readFields, type ParsedCertificate } from '../pki/parse-certificates.ts';

export interface CertificateFiles {
  readonly certificate: string;
  readonly key: string;
}

const dayMs = 86_400_000;

/** The private CA; null when there is none or its file is no certificate. `names` are those that it may sign for. */
export async function readCaFact(files: FileSystem, ca: CertificateFiles, now: Date): Promise<CertificateFact | null> {
  const found = await readCertificate(files, ca.certificate);
  if (found === null || found instanceof Error) return null;
  return {
    ...dated(found.certificate, now),
    names: permittedNames(found.certificate),
    keyMatches: await isKeyOf(files, found.pem, ca.key),
    issuedByCa: true,
  };
}

/**
 * The certificate that the server shows.
 *
 * @throws EnvironmentError when it is the user's own (`ofUser`) and missing, broken or without its key: we cannot issue that one anew
 */
export async function readServerCertificateFact(
  files: FileSystem,
  options: { files: CertificateFiles; ofUser: boolean; ca: CertificateFiles; now: Date },
): Promise<CertificateFact | null> {
  const { certificate, key } = options.files;
  const found = await readCertificate(files, certificate);
  if (found === null || found instanceof Error) {
    if (options.ofUser) throw unusable(certificate, 'tls.certificate', found);
    return null;
  }
  const keyMatches = await isKeyOf(files, found.pem, key);
  if (options.ofUser && !keyMatches) throw await keyUnusable(files, options.files);
  return {
    ...dated(found.certificate, options.now),
    names: found.certificate.names,
    keyMatches,
    issuedByCa: await isIssuedBy(files, found.certificate, options.ca.certificate),
  };
}

async function readCertificate(
  files: FileSystem,
  path: string,
): Promise<{ pem: string; certificate: ParsedCertificate } | Error | null> {
  const bytes = await files.read(path);
  if (bytes === null) return null;
  try {
    const [certificate] = parseCertificates(bytes, path);
    return { pem: bytes.toString('utf8'), certificate };
  } catch (error) {
    if (error instanceof ExplainedError) return error;
    throw error;
  }
}

function dated({ x509, notBefore, notAfter }: ParsedCertificate, now: Date) {
  return {
    notBefore: notBefore.toISOString(),
    notAfter: notAfter.toISOString(),
    fingerprint256: x509.fingerprint256,
    daysLeft: Math.floor((notAfter.getTime() - now.getTime()) / dayMs),
  };
}

function permittedNames(certificate: ParsedCertificate): readonly string[] {
  try {
    const constraints = readFields(certificate).nameConstraints;
    const addresses = (constraints?.permittedIp ?? []).flatMap(
      // A range is the address followed by a mask of the same length.
      (range) => formatIpAddress(range.subarray(0, range.length / 2)) ?? [],
    );
    return [...(constraints?.permittedDns ?? []), ...addresses];
  } catch (error) {
    if (error instanceof ExplainedError) return [];
    throw error;
  }
}

async function isKeyOf(files: FileSystem, certificatePem: string, keyFile: string): Promise<boolean> {
  const key = await files.read(keyFile);
  return key !== null && keyMatchesCertificate(certificatePem, key.toString('utf8'));
}

async function isIssuedBy(files: FileSystem, certificate: ParsedCertificate, caFile: string): Promise<boolean> {
  const ca = await readCertificate(files, caFile);
  if (ca === null || ca instanceof Error) return false;
  const issuer = ca.certificate.x509;
  return certificate.x509.checkIssued(issuer) && certificate.x509.verify(issuer.publicKey);
}

function unusable(path: string, setting: string, found: Error | null): EnvironmentError {
  if (found === null) {
    return new EnvironmentError(`The file of ${setting} is not there: ${path}`, {
      why: 'tls.source is "files", so the server shows this certificate.',
      next: `Put it there, correct ${setting} in mcp-deploy.yaml, or use tls.source: private-ca`,
    });
  }
  const why = found instanceof ExplainedError ? [found.message, found.why].filter(Boolean).join('. ') : found.message;
  return new EnvironmentError(`The file of ${setting} is no certificate: ${path}`, {
    why,
    next: `See what is in it: openssl x509 -in ${path} -noout -text`,
    cause: found,
  });
}

async function keyUnusable(files: FileSystem, { certificate, key }: CertificateFiles): Promise<EnvironmentError> {
  if ((await files.stat(key)) === null) return unusable(key, 'tls.key', null);
  return new EnvironmentError(`The key in ${key} does not belong to the certificate in ${certificate}.`, {
    why: 'The server could not prove that the certificate is its own; or the key is encrypted or damaged.',
    next: `Compare: openssl x509 -in ${certificate} -noout -pubkey; openssl pkey -in ${key} -pubout`,
  });
}
