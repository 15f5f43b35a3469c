import { createPrivateKey, X509Certificate } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { EnvironmentError, UserError } from '../../src/deployment/errors.ts';
import { bytesOf, childrenOf, decodeDer, encodeDer } from '../../src/pki/der.ts';
import { describeCertificate, describeChain } from '../../src/pki/describe-certificate.ts';
import { issueCertificate, issueSelfSigned } from '../../src/pki/issue-certificate.ts';
import { issuePrivateCa } from '../../src/pki/issue-private-ca.ts';
import { keyMatchesCertificate } from '../../src/pki/key-matches-certificate.ts';
import { keyAlgorithms } from '../../src/pki/key-pair.ts';
import { oids } from '../../src/pki/oids.ts';
import { parseCertificates, readFields } from '../../src/pki/parse-certificates.ts';
import { issueOdd } from '../helpers/odd-certificates.ts';

const names = ['localhost', '127.0.0.1', '::1', 'box.local'];
const dayMs = 86_400_000;
const ca = await issuePrivateCa({ commonName: 'test CA', names });

test('the default pair is an EC P-256 root of ten years and a leaf under it', async () => {
  const leaf = await issueCertificate({ ca, names, validDays: 397 });
  expect(describeCertificate(ca.certificatePem)).toMatchObject({
    subject: 'CN=test CA',
    issuer: 'CN=test CA',
    names: [],
    keyType: 'EC P-256',
    isCa: true,
    selfIssued: true,
    daysLeft: 3_650,
  });
  expect(describeCertificate(leaf.certificatePem)).toMatchObject({
    subject: 'CN=localhost',
    issuer: 'CN=test CA',
    names,
    keyType: 'EC P-256',
    isCa: false,
    selfIssued: false,
    chainLength: 1,
    usages: ['serverAuth'],
    daysLeft: 397,
  });
});

describe.each(keyAlgorithms)('%s', (algorithm) => {
  test('signs and is signed, and its key is unencrypted PKCS#8', { timeout: 60_000 }, async () => {
    const root = await issuePrivateCa({ commonName: 'CA', names, algorithm });
    const leaf = await issueCertificate({ ca: root, names, validDays: 30, algorithm });
    const keyType = describeCertificate(leaf.certificatePem).keyType;
    expect(keyType).toBe(algorithm.startsWith('ec') ? `EC P-${algorithm.slice(4)}` : `RSA ${algorithm.slice(4)}`);
    expect(leaf.keyPem).toMatch(/^-----BEGIN PRIVATE KEY-----\n/);
    const [certificate, issuer] = [new X509Certificate(leaf.certificatePem), new X509Certificate(root.certificatePem)];
    expect(certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)).toBe(true);
    expect(keyMatchesCertificate(leaf.certificatePem, leaf.keyPem)).toBe(true);
    expect(keyMatchesCertificate(leaf.certificatePem, root.keyPem)).toBe(false);
  });
});

test('serial numbers are positive, distinct, of at least 127 random bits and at most 20 octets', async () => {
  const serials = new Set<string>();
  for (let round = 0; round < 20; round += 1) {
    const { certificatePem } = await issueSelfSigned({ names: ['localhost'], validDays: 1 });
    const toBeSigned = childrenOf(decodeDer(new X509Certificate(certificatePem).raw))[0];
    const serial = bytesOf(childrenOf(toBeSigned)[1]);
    expect(serial.length).toBeGreaterThanOrEqual(16);
    expect(serial.length).toBeLessThanOrEqual(20);
    expect(serial[0]).toBeLessThan(0x80);
    expect(serial[0]).toBeGreaterThan(0);
    serials.add(serial.toString('hex'));
  }
  expect(serials.size).toBe(20);
});

test.each([
  ['2049-12-31T23:59:59Z', 23],
  ['2050-01-01T00:00:00Z', 24],
  ['2061-06-01T00:00:00Z', 24],
])('a life that ends at %s is written with ASN.1 type %i', async (end, type) => {
  const now = new Date(new Date(end).getTime() - 100 * dayMs - 3_600_000);
  const { certificatePem } = await issueSelfSigned({ names: ['localhost'], validDays: 100, now });
  const toBeSigned = childrenOf(decodeDer(new X509Certificate(certificatePem).raw))[0];
  expect(childrenOf(childrenOf(toBeSigned)[4])[1]?.type).toBe(type);
  expect(new Date(describeCertificate(certificatePem).notAfter).getTime()).toBe(new Date(end).getTime());
});

test('a certificate is valid from an hour before it was made, and never for 825 days', async () => {
  const now = new Date('2026-11-21T12:00:00.700Z');
  const root = await issuePrivateCa({ commonName: 'CA', names, now });
  const { notBefore, notAfter } = describeCertificate(
    (await issueCertificate({ ca: root, names, validDays: 824, now })).certificatePem,
  );
  expect(notBefore).toBe('2026-11-21T11:00:00.000Z');
  expect(new Date(notAfter).getTime() - new Date(notBefore).getTime()).toBeLessThan(825 * dayMs - 1_000);
});

test.each([0, -1, 825, 3_650, 1.5, Number.NaN, Number.POSITIVE_INFINITY])(
  'a leaf of %d days is refused',
  async (validDays) => {
    await expect(issueCertificate({ ca, names, validDays })).rejects.toThrow(UserError);
    await expect(issueSelfSigned({ names, validDays })).rejects.toThrow(UserError);
  },
);

test.each([0, 18_263, 2.5])('a CA of %d days is refused', async (validDays) => {
  await expect(issuePrivateCa({ commonName: 'CA', names, validDays })).rejects.toThrow(UserError);
});

test('a leaf ends and begins with its CA at the latest and earliest', async () => {
  const short = await issuePrivateCa({ commonName: 'CA', names, validDays: 10 });
  const leaf = await issueCertificate({ ca: short, names, validDays: 397 });
  expect(describeCertificate(leaf.certificatePem).notAfter).toBe(describeCertificate(short.certificatePem).notAfter);
  const begin = new Date(describeCertificate(short.certificatePem).notBefore);
  const early = await issueCertificate({ ca: short, names, validDays: 1, now: begin });
  expect(describeCertificate(early.certificatePem).notBefore).toBe(begin.toISOString());
});

test('an expired CA signs nothing, and before its first day the clock is blamed', async () => {
  const later = new Date(Date.now() + 4_000 * dayMs);
  await expect(issueCertificate({ ca, names, validDays: 1, now: later })).rejects.toThrow(/expired on \d{4}-/);
  const earlier = new Date(Date.now() - 10 * dayMs);
  await expect(issueCertificate({ ca, names, validDays: 1, now: earlier })).rejects.toThrow(EnvironmentError);
});

test.each([
  [['other.example'], 'other.example'],
  [['localhost', 'localhost.example'], 'localhost.example'],
  [['127.0.0.2'], '127.0.0.2'],
  [['::2'], '::2'],
  [['::ffff:127.0.0.1'], '::ffff:7f00:1'],
  [['xlocalhost'], 'xlocalhost'],
  [['*.local.example'], '*.local.example'],
])('names outside of the CA are refused before anything is signed: %j', async (asked, named) => {
  await expect(issueCertificate({ ca, names: asked, validDays: 1 })).rejects.toThrow(
    `The CA may not sign for ${named}`,
  );
});

test.each([[['box.local']], [['sub.box.local']], [['*.box.local']], [['::1', '127.0.0.1']]])(
  'names inside are signed: %j',
  async (asked) => {
    const { certificatePem } = await issueCertificate({ ca, names: asked, validDays: 1 });
    expect(describeCertificate(certificatePem).names).toEqual(asked);
  },
);

test('a CA made for DNS names alone may sign for no address, and the other way round', async () => {
  const dnsOnly = await issuePrivateCa({ commonName: 'CA', names: ['localhost'] });
  const ipOnly = await issuePrivateCa({ commonName: 'CA', names: ['127.0.0.1'] });
  await expect(issueCertificate({ ca: dnsOnly, names: ['127.0.0.1'], validDays: 1 })).rejects.toThrow(UserError);
  await expect(issueCertificate({ ca: dnsOnly, names: ['::1'], validDays: 1 })).rejects.toThrow(UserError);
  await expect(issueCertificate({ ca: ipOnly, names: ['localhost'], validDays: 1 })).rejects.toThrow(UserError);
  await expect(issueCertificate({ ca: ipOnly, names: ['::1'], validDays: 1 })).rejects.toThrow(UserError);
});

test('a CA that is none, or whose key is another, is refused', async () => {
  const leaf = await issueCertificate({ ca, names, validDays: 1 });
  const other = await issuePrivateCa({ commonName: 'test CA', names });
  await expect(issueCertificate({ ca: leaf, names, validDays: 1 })).rejects.toThrow(/not a certificate authority/);
  const mixed = { certificatePem: ca.certificatePem, keyPem: other.keyPem };
  await expect(issueCertificate({ ca: mixed, names, validDays: 1 })).rejects.toThrow(/does not belong/);
  const encrypted = createPrivateKey(ca.keyPem).export({
    type: 'pkcs8',
    format: 'pem',
    cipher: 'aes-256-cbc',
    passphrase: 'x',
  });
  const locked = { certificatePem: ca.certificatePem, keyPem: encrypted.toString() };
  await expect(issueCertificate({ ca: locked, names, validDays: 1 })).rejects.toThrow(/encrypted/);
  const garbled = { certificatePem: ca.certificatePem, keyPem: 'secret' };
  await expect(issueCertificate({ ca: garbled, names, validDays: 1 })).rejects.toThrow(/not a readable private key/);
});

test('usages are the ones asked for', async () => {
  const both = await issueCertificate({ ca, names, validDays: 1, usages: ['serverAuth', 'clientAuth'] });
  const client = await issueCertificate({ ca, names, validDays: 1, usages: ['clientAuth'] });
  expect(describeCertificate(both.certificatePem).usages).toEqual(['serverAuth', 'clientAuth']);
  expect(describeCertificate(client.certificatePem).usages).toEqual(['clientAuth']);
});

test('the authority key identifier of a leaf is the subject key identifier of its CA', async () => {
  const leaf = await issueCertificate({ ca, names, validDays: 1 });
  const authority = readFields(parseCertificates(leaf.certificatePem)[0]).extension(oids.authorityKeyIdentifier);
  const subject = readFields(parseCertificates(ca.certificatePem)[0]).extension(oids.subjectKeyIdentifier);
  expect(authority).not.toBeNull();
  expect(bytesOf(childrenOf(authority)[0])).toEqual(bytesOf(subject));
});

test('a first name that is too long for a common name leaves the subject empty, never cut', async () => {
  const long = `${'a'.repeat(60)}.${'b'.repeat(60)}.example`;
  const root = await issuePrivateCa({ commonName: 'CA', names: [long] });
  const leaf = await issueCertificate({ ca: root, names: [long], validDays: 1 });
  expect(describeCertificate(leaf.certificatePem)).toMatchObject({ subject: '', names: [long] });
  const own = await issueSelfSigned({ names: [long], validDays: 1 });
  expect(describeCertificate(own.certificatePem)).toMatchObject({ subject: 'CN=self-signed', names: [long] });
});

test('the common name of a CA is cut to 64 characters, and control characters or nothing are refused', async () => {
  const root = await issuePrivateCa({ commonName: `CA ${'ü'.repeat(100)}`, names });
  expect(describeCertificate(root.certificatePem).subject).toBe(`CN=CA ${'ü'.repeat(61)}`);
  for (const commonName of ['', '  ', 'a\nb', 'a\u001b[31m']) {
    await expect(issuePrivateCa({ commonName, names })).rejects.toThrow(UserError);
  }
});

test('the issuer of a leaf is the subject of its CA, byte for byte', async () => {
  const foreign = await issuePrivateCa({ commonName: 'Zürich, "CA" + \\ #1', names });
  const leaf = await issueCertificate({ ca: foreign, names, validDays: 1 });
  const issuer = readFields(parseCertificates(leaf.certificatePem)[0]).issuer;
  const subject = readFields(parseCertificates(foreign.certificatePem)[0]).subject;
  expect(encodeDer(issuer)).toEqual(encodeDer(subject));
});

test('an intermediate that signs is appended, its root is not', async () => {
  const root = await issueOdd({ commonName: 'root', ca: true });
  const intermediate = await issueOdd({ commonName: 'intermediate', ca: true, pathLength: 0, issuer: root });
  const leaf = await issueCertificate({
    ca: { certificatePem: intermediate.certificatePem + root.certificatePem, keyPem: intermediate.keyPem },
    names: ['anything.example'],
    validDays: 1,
  });
  expect(describeChain(leaf.certificatePem).map((one) => one.subject)).toEqual([
    'CN=anything.example',
    'CN=intermediate',
  ]);
});
