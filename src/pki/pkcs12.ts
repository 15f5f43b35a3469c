import { createHash, createHmac, createPrivateKey, randomBytes, timingSafeEqual, type KeyObject } from 'node:crypto';
import { UserError } from '../deployment/errors.ts';
import {
  bytesOf,
  childrenOf,
  decodeDer,
  der,
  encodeDer,
  encodePem,
  isUniversal,
  octetsOf,
  oidOf,
  type DerNode,
} from './der.ts';
import { parseCertificates } from './parse-certificates.ts';
import {
  boundedIterations,
  decryptWithPassword,
  derivePkcs12,
  encryptWithPassword,
  UnsupportedEncryption,
} from './password-encryption.ts';

const data = '1.2.840.113549.1.7.1';
const encryptedData = '1.2.840.113549.1.7.6';
const keyBag = '1.2.840.113549.1.12.10.1.1';
const shroudedKeyBag = '1.2.840.113549.1.12.10.1.2';
const certificateBag = '1.2.840.113549.1.12.10.1.3';
const x509Certificate = '1.2.840.113549.1.9.22.1';
const friendlyName = '1.2.840.113549.1.9.20';
const localKeyId = '1.2.840.113549.1.9.21';

const macDigests: Readonly<Record<string, 'sha1' | 'sha256' | 'sha384' | 'sha512'>> = {
  '1.3.14.3.2.26': 'sha1',
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
};

/** Far more than a key and its chain; little enough to be read in a moment. */
const maxBytes = 4_194_304;
/** The MAC of PKCS#12 is computed on the main thread: 10,000 rounds are 15 ms. The password has 192 random bits. */
const macIterations = 10_000;
const bagIterations = 100_000;

/** What was in a PKCS#12 file. */
export interface Pkcs12Content {
  /** PEM, the certificate of the key first. */
  readonly certificatesPem: string;
  /** Null when the file holds certificates only. */
  readonly privateKey: KeyObject | null;
}

/** A password of 192 random bits that survives every shell and every keyboard. */
export function randomPassword(): string {
  return randomBytes(24).toString('base64url');
}

/**
 * A PKCS#12 file (RFC 7292): key and chain under AES-256-CBC with PBKDF2-HMAC-SHA256, MAC with SHA-256. OpenSSL from 1.1,
 * Java from 8u301, Windows from 10 (1809) and macOS from 12 read it.
 */
export async function encodePkcs12(content: {
  readonly privateKey: KeyObject;
  /** The certificate of the key first. */
  readonly chainPem: string;
  readonly password: string;
  /** Shown by key stores. */
  readonly label: string;
  /** Rounds of PBKDF2 for key and certificates. */
  readonly rounds?: number;
}): Promise<Buffer> {
  const { password, label, rounds = bagIterations } = content;
  const chain = parseCertificates(content.chainPem).map((certificate) => certificate.x509.raw);
  const keyId = createHash('sha256')
    .update(chain[0] ?? '')
    .digest()
    .subarray(0, 20);
  const own = der.set(
    der.sequence(der.oid(friendlyName), der.set(der.bmp(label))),
    der.sequence(der.oid(localKeyId), der.set(der.octetString(keyId))),
  );
  const pkcs8 = content.privateKey.export({ type: 'pkcs8', format: 'der' });
  const shrouded = await encryptWithPassword(pkcs8, password, rounds);
  const keyBags = der.sequence(
    der.sequence(
      der.oid(shroudedKeyBag),
      der.wrapped(0, der.sequence(shrouded.algorithm, der.octetString(shrouded.encrypted))),
      own,
    ),
  );
  const certificateBags = der.sequence(
    ...chain.map((raw, index) =>
      der.sequence(
        der.oid(certificateBag),
        der.wrapped(0, der.sequence(der.oid(x509Certificate), der.wrapped(0, der.octetString(raw)))),
        ...(index === 0 ? [own] : []),
      ),
    ),
  );
  const hidden = await encryptWithPassword(encodeDer(certificateBags), password, rounds);
  const safe = encodeDer(
    der.sequence(
      der.sequence(
        der.oid(encryptedData),
        der.wrapped(
          0,
          der.sequence(
            der.smallInteger(0),
            der.sequence(der.oid(data), hidden.algorithm, der.tagged(0, hidden.encrypted)),
          ),
        ),
      ),
      der.sequence(der.oid(data), der.wrapped(0, der.octetString(encodeDer(keyBags)))),
    ),
  );
  const salt = randomBytes(16);
  const mac = createHmac('sha256', derivePkcs12('sha256', 3, password, salt, macIterations, 32))
    .update(safe)
    .digest();
  return encodeDer(
    der.sequence(
      der.smallInteger(3),
      der.sequence(der.oid(data), der.wrapped(0, der.octetString(safe))),
      der.sequence(
        der.sequence(der.sequence(der.oid('2.16.840.1.101.3.4.2.1'), der.none()), der.octetString(mac)),
        der.octetString(salt),
        der.wholeNumber(macIterations),
      ),
    ),
  );
}

/** Whether bytes look like a PKCS#12 file. */
export function isPkcs12(bytes: Buffer): boolean {
  if (bytes[0] !== 0x30 || bytes.length > maxBytes) return false;
  try {
    const [version, safe] = childrenOf(decodeDer(bytes));
    return isUniversal(version, 2) && oidOf(childrenOf(safe)[0]) === data;
  } catch {
    return false;
  }
}

/**
 * Key and certificates of a PKCS#12 file.
 * @throws UserError for a wrong password, damage, or an encryption that is no longer in use.
 */
export async function decodePkcs12(bytes: Buffer, password: string, what = 'The PKCS#12 file'): Promise<Pkcs12Content> {
  if (bytes.length > maxBytes) {
    throw new UserError(`${what} is too large`, {
      why: `It has ${bytes.length} bytes; a key and its chain have a few thousand.`,
    });
  }
  const { safe, isAuthentic } = attempt(what, () => openMac(bytes, password));
  if (!isAuthentic) {
    throw new UserError(`The password does not open ${what.charAt(0).toLowerCase()}${what.slice(1)}`, {
      why: 'It is another one, or the file was changed.',
      next: 'Give the password that the file was made with: --passphrase-file FILE',
    });
  }
  try {
    return await readSafe(safe, password);
  } catch (cause) {
    if (cause instanceof UserError) throw cause;
    if (cause instanceof UnsupportedEncryption) {
      throw new UserError(`${what} is encrypted with ${cause.message}, which is no longer in use`, {
        next: 'Make it anew with AES: openssl pkcs12 -legacy -in OLD.p12 -nodes -out all.pem, then openssl pkcs12 -export -in all.pem -out NEW.p12',
      });
    }
    throw damaged(what, cause);
  }
}

function openMac(bytes: Buffer, password: string): { readonly safe: Buffer; readonly isAuthentic: boolean } {
  const [version, content, mac] = childrenOf(decodeDer(bytes));
  if (!isUniversal(version, 2) || oidOf(childrenOf(content)[0]) !== data) throw new Error('not password-based PKCS#12');
  const safe = octetsOf(childrenOf(childrenOf(content)[1])[0]);
  const [digestInfo, salt, iterations] = childrenOf(mac);
  const [algorithm, expected] = childrenOf(digestInfo);
  const digest = macDigests[oidOf(childrenOf(algorithm)[0]) ?? ''];
  if (digest === undefined) throw new Error('unknown MAC');
  const rounds = iterations === undefined ? 1 : boundedIterations(iterations);
  const length = { sha1: 20, sha256: 32, sha384: 48, sha512: 64 }[digest];
  const found = createHmac(digest, derivePkcs12(digest, 3, password, octetsOf(salt), rounds, length))
    .update(safe)
    .digest();
  const wanted = octetsOf(expected);
  return { safe, isAuthentic: wanted.length === found.length && timingSafeEqual(found, wanted) };
}

async function readSafe(safe: Buffer, password: string): Promise<Pkcs12Content> {
  const certificates: Buffer[] = [];
  let privateKey: KeyObject | null = null;
  for (const info of childrenOf(decodeDer(safe))) {
    for (const bag of childrenOf(await contentOf(info, password))) {
      const [kind, wrapped] = childrenOf(bag);
      const value = childrenOf(wrapped)[0];
      const oid = oidOf(kind);
      if (oid === certificateBag && oidOf(childrenOf(value)[0]) === x509Certificate) {
        certificates.push(octetsOf(childrenOf(childrenOf(value)[1])[0]));
      } else if (oid === keyBag && value !== undefined) {
        privateKey ??= createPrivateKey({ key: encodeDer(value), format: 'der', type: 'pkcs8' });
      } else if (oid === shroudedKeyBag) {
        const [algorithm, encrypted] = childrenOf(value);
        const clear = await decryptWithPassword(algorithm, octetsOf(encrypted), password);
        privateKey ??= createPrivateKey({ key: clear, format: 'der', type: 'pkcs8' });
      }
    }
  }
  if (certificates.length === 0) {
    throw new UserError('The PKCS#12 file holds no certificate', {
      next: 'Export it again together with its certificate.',
    });
  }
  const parsed = parseCertificates(
    certificates.map((raw) => encodePem('CERTIFICATE', raw)).join(''),
    'The PKCS#12 file',
  );
  const key = privateKey;
  const own = key === null ? -1 : parsed.findIndex((certificate) => certificate.x509.checkPrivateKey(key));
  const sorted = own <= 0 ? parsed : [...parsed.slice(own, own + 1), ...parsed.slice(0, own), ...parsed.slice(own + 1)];
  return { certificatesPem: sorted.map((certificate) => certificate.x509.toString()).join(''), privateKey };
}

async function contentOf(info: DerNode, password: string): Promise<DerNode> {
  const [kind, wrapped] = childrenOf(info);
  const value = childrenOf(wrapped)[0];
  if (oidOf(kind) === data) return decodeDer(octetsOf(value));
  if (oidOf(kind) !== encryptedData) throw new UnsupportedEncryption('a public key');
  const [, algorithm, encrypted] = childrenOf(childrenOf(value)[1]);
  const bytes = encrypted?.constructed === true ? octetsOf(encrypted) : bytesOf(encrypted);
  return decodeDer(await decryptWithPassword(algorithm, bytes, password));
}

function attempt<T>(what: string, run: () => T): T {
  try {
    return run();
  } catch (cause) {
    throw damaged(what, cause);
  }
}

function damaged(what: string, cause: unknown): UserError {
  return new UserError(`${what} is damaged or no PKCS#12 file`, {
    why: 'Its content cannot be read.',
    next: 'Copy it again from where it was made.',
    cause,
  });
}
