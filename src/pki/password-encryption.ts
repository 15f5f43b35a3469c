import { createCipheriv, createDecipheriv, createHash, pbkdf2, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { childrenOf, der, encodeDer, encodePem, isUniversal, oidOf, octetsOf, wholeNumberOf } from './der.ts';
import type { DerNode } from './der.ts';

const derive = promisify(pbkdf2);

/** OWASP's figure for PBKDF2 with HMAC-SHA256; 0.2 s on the thread pool. */
const keyIterations = 600_000;
/** What a file may make us compute: a second or two, far above what any program writes. */
const maxIterations = 2_000_000;

const pbes2 = '1.2.840.113549.1.5.13';
const pbkdf2Oid = '1.2.840.113549.1.5.12';
const hmacSha256 = '1.2.840.113549.2.9';
const aes256Cbc = '2.16.840.1.101.3.4.1.42';

const digests: Readonly<Record<string, string>> = {
  '1.2.840.113549.2.7': 'sha1',
  [hmacSha256]: 'sha256',
  '1.2.840.113549.2.10': 'sha384',
  '1.2.840.113549.2.11': 'sha512',
};
const ciphers: Readonly<Record<string, { readonly name: string; readonly keyBytes: number }>> = {
  '2.16.840.1.101.3.4.1.2': { name: 'aes-128-cbc', keyBytes: 16 },
  '2.16.840.1.101.3.4.1.22': { name: 'aes-192-cbc', keyBytes: 24 },
  [aes256Cbc]: { name: 'aes-256-cbc', keyBytes: 32 },
  '1.2.840.113549.3.7': { name: 'des-ede3-cbc', keyBytes: 24 },
};
/** PBE of PKCS#12 (RFC 7292, appendix C) with a cipher that OpenSSL still has. */
const pbeSha1TripleDes = '1.2.840.113549.1.12.1.3';

/** A file that is encrypted in a way that is no longer in use, named for the message. */
export class UnsupportedEncryption extends Error {}

/** Bytes encrypted with AES-256-CBC under PBKDF2-HMAC-SHA256 (PBES2, RFC 8018), and how to say so. */
export async function encryptWithPassword(
  bytes: Buffer,
  password: string,
  iterations = keyIterations,
): Promise<{ readonly algorithm: DerNode; readonly encrypted: Buffer }> {
  const [salt, iv] = [randomBytes(16), randomBytes(16)];
  const key = await derive(Buffer.from(password, 'utf8'), salt, iterations, 32, 'sha256');
  const cipher = createCipheriv('aes-256-cbc', key, iv);
  const algorithm = der.sequence(
    der.oid(pbes2),
    der.sequence(
      der.sequence(
        der.oid(pbkdf2Oid),
        der.sequence(der.octetString(salt), der.wholeNumber(iterations), der.sequence(der.oid(hmacSha256), der.none())),
      ),
      der.sequence(der.oid(aes256Cbc), der.octetString(iv)),
    ),
  );
  return { algorithm, encrypted: Buffer.concat([cipher.update(bytes), cipher.final()]) };
}

/** PKCS#8 PEM of a private key (DER of it given), encrypted with a passphrase; every current TLS library reads it. */
export async function encryptPrivateKey(pkcs8: Buffer, passphrase: string): Promise<string> {
  const { algorithm, encrypted } = await encryptWithPassword(pkcs8, passphrase);
  return encodePem('ENCRYPTED PRIVATE KEY', encodeDer(der.sequence(algorithm, der.octetString(encrypted))));
}

/**
 * The bytes in clear.
 * @throws UnsupportedEncryption for an algorithm that is not known; any other Error for a wrong password or damage.
 */
export async function decryptWithPassword(
  algorithm: DerNode | undefined,
  encrypted: Buffer,
  password: string,
): Promise<Buffer> {
  const [name, parameters] = childrenOf(algorithm);
  const oid = oidOf(name);
  if (oid === pbeSha1TripleDes) {
    const { salt, iterations } = pbeParameters(parameters);
    const key = derivePkcs12('sha1', 1, password, salt, iterations, 24);
    const iv = derivePkcs12('sha1', 2, password, salt, iterations, 8);
    return decrypt('des-ede3-cbc', key, iv, encrypted);
  }
  if (oid !== pbes2) {
    throw new UnsupportedEncryption(oid?.startsWith('1.2.840.113549.1.12.1.') === true ? 'RC2 or RC4' : `${oid}`);
  }
  const [derivation, encryption] = childrenOf(parameters);
  const [kdf, kdfParameters] = childrenOf(derivation);
  if (oidOf(kdf) !== pbkdf2Oid) throw new UnsupportedEncryption(`${oidOf(kdf)}`);
  const [saltNode, iterationsNode, ...rest] = childrenOf(kdfParameters);
  const pseudoRandom = rest.find((node) => isUniversal(node, 16));
  const digest = digests[oidOf(childrenOf(pseudoRandom)[0]) ?? '1.2.840.113549.2.7'];
  const cipher = ciphers[oidOf(childrenOf(encryption)[0]) ?? ''];
  if (digest === undefined || cipher === undefined) {
    throw new UnsupportedEncryption(`${oidOf(childrenOf(encryption)[0])}`);
  }
  const iterations = boundedIterations(iterationsNode);
  const key = await derive(Buffer.from(password, 'utf8'), octetsOf(saltNode), iterations, cipher.keyBytes, digest);
  return decrypt(cipher.name, key, octetsOf(childrenOf(encryption)[1]), encrypted);
}

/** Salt and iterations of the older PBE algorithms and of a PKCS#12 MAC. */
function pbeParameters(parameters: DerNode | undefined): { readonly salt: Buffer; readonly iterations: number } {
  const [salt, iterations] = childrenOf(parameters);
  return { salt: octetsOf(salt), iterations: boundedIterations(iterations) };
}

/** @throws when a file asks for more than a program would. */
export function boundedIterations(node: DerNode | undefined): number {
  const iterations = wholeNumberOf(node);
  if (iterations < 1 || iterations > maxIterations) throw new Error('too many iterations');
  return iterations;
}

/** The key derivation of PKCS#12 (RFC 7292, appendix B.2): id 1 for keys, 2 for IVs, 3 for MACs. */
export function derivePkcs12(
  digest: 'sha1' | 'sha256' | 'sha384' | 'sha512',
  id: 1 | 2 | 3,
  password: string,
  salt: Buffer,
  iterations: number,
  length: number,
): Buffer {
  const blockLength = digest === 'sha384' || digest === 'sha512' ? 128 : 64;
  const text = Buffer.from(`${password}\u0000`, 'utf16le').swap16();
  const fill = (bytes: Buffer): Buffer =>
    bytes.length === 0 ? bytes : Buffer.alloc(Math.ceil(bytes.length / blockLength) * blockLength, bytes);
  const diversifier = Buffer.alloc(blockLength, id);
  let input: Buffer = Buffer.concat([fill(salt), fill(text)]);
  let output: Buffer = Buffer.alloc(0);
  while (output.length < length) {
    let block = createHash(digest).update(diversifier).update(input).digest();
    for (let round = 1; round < iterations; round += 1) block = createHash(digest).update(block).digest();
    output = Buffer.concat([output, block]);
    input = addToEachBlock(input, Buffer.alloc(blockLength, block));
  }
  return output.subarray(0, length);
}

/** Every block of the input plus `addend` plus one, modulo its size. */
function addToEachBlock(input: Buffer, addend: Buffer): Buffer {
  const sum = Buffer.from(input);
  for (let start = 0; start < sum.length; start += addend.length) {
    let carry = 1;
    for (let at = addend.length - 1; at >= 0; at -= 1) {
      carry += (sum[start + at] ?? 0) + (addend[at] ?? 0);
      sum[start + at] = carry & 0xff;
      carry >>= 8;
    }
  }
  return sum;
}

function decrypt(cipher: string, key: Buffer, iv: Buffer, encrypted: Buffer): Buffer {
  const decipher = createDecipheriv(cipher, key, iv);
  return Buffer.concat([decipher.update(encrypted), decipher.final()]);
}
