import { relative, resolve, sep } from 'node:path';
import { EnvironmentError, UserError } from '../deployment/errors.ts';
import type { Deployment } from '../deployment/schema.ts';
import { parseCertificates } from '../pki/parse-certificates.ts';
import { judgeCertificate } from '../pki/verify-certificate.ts';

/** Names of two files in the archive. */
export interface PairInBackup {
  readonly certificate: string;
  readonly key: string;
}

/** What was found of the certificate that a restore would serve. */
export interface BackedUpCertificate {
  readonly notAfter: string | null;
  /** One phrase. */
  readonly said: string;
}

const dayMs = 86_400_000;
/** What a copy with a certificate of its own would hide. Names and trust are for doctor, at the live endpoint. */
const judged: ReadonlySet<string> = new Set(['expired', 'not-yet-valid', 'key-unreadable', 'key-mismatch']);

/** Where a backup has the certificate that its server serves; null where it serves none. Pure. */
export function certificateInBackup({ tls }: Deployment, baseDir: string): PairInBackup | null {
  if (tls.source === 'off') return null;
  if (tls.source !== 'files') return { certificate: 'state/pki/server.crt', key: 'state/pki/server.key' };
  const nameOf = (path: string): string => `beside/${relative(baseDir, resolve(baseDir, path)).split(sep).join('/')}`;
  return { certificate: nameOf(tls.certificate), key: nameOf(tls.key) };
}

/**
 * Judges the certificate of a backup, which a copy does not serve when it is for public names: whether its key belongs to it,
 * and whether it is valid. Dates of a certificate that is renewed by itself are told and refuse nothing. Pure.
 * @returns null where the backup holds neither file
 * @throws EnvironmentError (exit 3) for one that no server could serve after a restore
 */
export function judgeBackedUpCertificate(
  source: Deployment['tls']['source'],
  pair: { readonly certificatePem: string | undefined; readonly keyPem: string | undefined },
  now: Date,
): BackedUpCertificate | null {
  const { certificatePem, keyPem } = pair;
  if (certificatePem === undefined && keyPem === undefined) return null;
  if (certificatePem === undefined) return { notAfter: null, said: 'the backup has its key and not the certificate' };
  const own = source === 'files';
  const next = own
    ? 'Put the right files in the place of tls.certificate and tls.key, mcp-deploy apply, then mcp-deploy backup create'
    : 'mcp-deploy cert renew --force, then mcp-deploy backup create';
  const { problems, notAfter } = look(certificatePem, keyPem, now, next);
  const mismatch = problems.find(({ code }) => code === 'key-mismatch' || code === 'key-unreadable');
  if (mismatch !== undefined) {
    throw new EnvironmentError('The certificate in the backup does not belong to the key in it.', {
      why: `${sentenceOf(mismatch.observed)}.`,
      next,
    });
  }
  const [outOfDate] = problems;
  if (outOfDate !== undefined && own) {
    throw new EnvironmentError('The certificate in the backup is no good any more.', {
      why: `${sentenceOf(outOfDate.observed)}. After a restore clients would refuse it.`,
      next,
    });
  }
  const fits = keyPem === undefined ? 'its key is not in the backup' : 'its key belongs to it';
  const daysLeft = Math.floor((notAfter.getTime() - now.getTime()) / dayMs);
  const valid =
    outOfDate === undefined
      ? `valid until ${notAfter.toISOString().slice(0, 10)} (${daysLeft} ${daysLeft === 1 ? 'day' : 'days'})`
      : `${outOfDate.observed}; after a restore it has to be renewed first`;
  return { notAfter: notAfter.toISOString(), said: `${fits}, ${valid}` };
}

function look(certificatePem: string, keyPem: string | undefined, now: Date, next: string) {
  try {
    const problems = judgeCertificate({
      chainPem: certificatePem,
      ...(keyPem === undefined ? {} : { keyPem }),
      now,
    }).filter(({ code }) => judged.has(code));
    const ends = parseCertificates(certificatePem, 'The certificate').map(({ notAfter }) => notAfter.getTime());
    return { problems, notAfter: new Date(Math.min(...ends)) };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new EnvironmentError('The certificate in the backup cannot be read.', {
      why: error.message,
      next,
      cause: error,
    });
  }
}

function sentenceOf(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
