import { X509Certificate, createPrivateKey } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { EnvironmentError, ExplainedError, UserError } from '../../deployment/errors.ts';
import type { Log } from '../observe/log.ts';

/** A certificate and its key as the server uses them. */
export interface ServedCertificate {
  readonly certificate: Buffer;
  readonly key: Buffer;
  /** DNS names and IP addresses of the subjectAltName. */
  readonly names: readonly string[];
  /** Unix time in seconds. */
  readonly notAfterSeconds: number;
  /** SHA-256 of the leaf, hex with colons. */
  readonly fingerprint: string;
}

export interface CertificateFiles {
  readonly certificate: string;
  readonly key: string;
}

/**
 * Reads a pair and proves that it can be served: it parses, the key belongs to the certificate, TLS takes it.
 * @throws UserError or EnvironmentError that says which file and why.
 */
export function readCertificate(files: CertificateFiles): ServedCertificate {
  const { certificate, key } = readPair(files);
  let leaf: X509Certificate;
  try {
    leaf = new X509Certificate(certificate);
  } catch (error) {
    throw new UserError(`${files.certificate} is not a PEM certificate`, {
      why: 'It does not begin with a certificate that can be read.',
      cause: error,
    });
  }
  let matches: boolean;
  try {
    matches = leaf.checkPrivateKey(createPrivateKey(key));
  } catch (error) {
    throw new UserError(`${files.key} is not a private key that can be used`, {
      why: 'It cannot be read, or it is encrypted.',
      cause: error,
    });
  }
  if (!matches) {
    throw new UserError(`${files.key} does not belong to ${files.certificate}`, {
      why: 'The certificate was made for another key.',
      next: 'Put the key that the certificate was issued for in its place.',
    });
  }
  try {
    createSecureContext({ cert: certificate, key });
  } catch (error) {
    throw new UserError(`${files.certificate} cannot be served`, {
      why: error instanceof Error ? error.message : String(error),
      cause: error,
    });
  }
  return {
    certificate,
    key,
    names: readNames(leaf.subjectAltName ?? ''),
    notAfterSeconds: Math.floor(Date.parse(leaf.validTo) / 1_000),
    fingerprint: leaf.fingerprint256,
  };
}

/** Watches the pair once a second and calls `changed` with a new one; a bad pair is said loudly and the old one stays. */
export class CertificateWatch {
  readonly #files: CertificateFiles;
  readonly #log: Log;
  readonly #changed: (certificate: ServedCertificate) => void;
  readonly #timer: NodeJS.Timeout;
  #current: ServedCertificate;
  #seen: string;

  constructor(
    files: CertificateFiles,
    current: ServedCertificate,
    log: Log,
    changed: (certificate: ServedCertificate) => void,
  ) {
    this.#files = files;
    this.#log = log;
    this.#changed = changed;
    this.#current = current;
    this.#seen = this.#look();
    // A look by stat and not by inotify: renewal tools replace files and links in ways that end a watch.
    this.#timer = setInterval(() => this.#poll(), 1_000);
    this.#timer.unref();
  }

  /** Reads the pair now. False when it cannot be served and the old one stays. */
  reload(): boolean {
    this.#seen = this.#look();
    try {
      const found = readCertificate(this.#files);
      if (found.fingerprint !== this.#current.fingerprint || !found.certificate.equals(this.#current.certificate)) {
        // First: what it throws leaves the old pair in use, here and everywhere.
        this.#changed(found);
        this.#current = found;
        this.#log.info('certificate.reloaded', { file: this.#files.certificate, fingerprint: found.fingerprint });
      }
      return true;
    } catch (error) {
      const explained = error instanceof ExplainedError ? error : null;
      this.#log.error('certificate.refused', {
        problem: explained?.message ?? String(error),
        why: explained?.why,
        consequence: 'the certificate read before stays in use',
      });
      return false;
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #poll(): void {
    if (this.#look() !== this.#seen) this.reload();
  }

  #look(): string {
    return [this.#files.certificate, this.#files.key]
      .map((file) => {
        try {
          const { ino, size, mtimeMs, ctimeMs } = statSync(file);
          return `${ino}:${size}:${mtimeMs}:${ctimeMs}`;
        } catch {
          return 'gone';
        }
      })
      .join('|');
  }
}

/**
 * Two reads cannot be one: a pair that is switched between them would be half old and half new. So the first file is read
 * again behind the second; when both reads agree, the key was that of this certificate.
 */
function readPair(files: CertificateFiles): { readonly certificate: Buffer; readonly key: Buffer } {
  let certificate = readNamed(files.certificate, 'certificate');
  for (let attempt = 0; ; attempt += 1) {
    const key = readNamed(files.key, 'private key');
    const again = readNamed(files.certificate, 'certificate');
    if (again.equals(certificate) || attempt === 9) return { certificate: again, key };
    certificate = again;
  }
}

function readNamed(file: string, what: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    throw new EnvironmentError(`The ${what} ${file} cannot be read`, {
      why: code === 'ENOENT' ? 'It does not exist.' : code === 'EACCES' ? 'This user may not read it.' : String(error),
      next: code === 'ENOENT' ? 'Make one with: mcp-deploy apply' : `Look at it with: ls -l ${file}`,
      cause: error,
    });
  }
}

/** Names out of `DNS:a.example, IP Address:127.0.0.1`. */
function readNames(subjectAltName: string): string[] {
  return subjectAltName
    .split(', ')
    .map((entry) => /^(?:DNS|IP Address):(.+)$/.exec(entry)?.[1])
    .filter((name) => name !== undefined);
}
