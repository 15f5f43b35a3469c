import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { UserError } from '../../src/deployment/errors.ts';
import { der, encodeDer, encodePem, type DerNode } from '../../src/pki/der.ts';
import { describeCertificate, describeChain } from '../../src/pki/describe-certificate.ts';
import { basicConstraints, extension } from '../../src/pki/extensions.ts';
import { formatCertificateText } from '../../src/pki/format-certificate.ts';
import { issueCertificate } from '../../src/pki/issue-certificate.ts';
import { issuePrivateCa } from '../../src/pki/issue-private-ca.ts';
import { generateKeys, signerFor } from '../../src/pki/key-pair.ts';
import { oids } from '../../src/pki/oids.ts';
import { distinguishedName, signCertificate } from '../../src/pki/sign-certificate.ts';

const now = new Date('2026-11-21T12:00:00Z');
const names = ['mcp.example.com', '*.mcp.example.com', '192.0.2.7', '2001:db8::7'];
const ca = await issuePrivateCa({ commonName: 'example CA', names, now });
const leaf = await issueCertificate({ ca, names, validDays: 397, now });
const raw = new X509Certificate(leaf.certificatePem).raw;
const key = createPrivateKey(leaf.keyPem);
const keyDer = key.export({ type: 'pkcs8', format: 'der' });

describe('a certificate is found', () => {
  test.each<[string, string | Buffer]>([
    ['in PEM', leaf.certificatePem],
    ['in PEM as bytes', Buffer.from(leaf.certificatePem)],
    ['in DER', raw],
    ['with Windows line ends', leaf.certificatePem.replaceAll('\n', '\r\n')],
    ['behind a byte order mark', `\uFEFF${leaf.certificatePem}`],
    ['behind comments', `subject=CN = x\nBag Attributes\n${leaf.certificatePem}`],
    ['behind its key', leaf.keyPem + leaf.certificatePem],
    ['with another label', leaf.certificatePem.replaceAll('CERTIFICATE', 'X509 CERTIFICATE')],
    ['in one long line', encodePem('CERTIFICATE', raw).replaceAll(/(?<=[A-Za-z0-9+/=])\n(?=[A-Za-z0-9+/=])/g, '')],
  ])('%s', (_, input) => {
    const description = describeCertificate(input, now);
    expect(description.names).toEqual(names);
    expect(description.fingerprint256).toBe(new X509Certificate(leaf.certificatePem).fingerprint256);
    expect(description).toMatchObject({
      notBefore: '2026-11-21T11:00:00.000Z',
      notAfter: '2027-12-23T13:00:00.000Z',
      daysLeft: 397,
      chainLength: 1,
    });
  });
});

describe('what is no certificate is called by its name', () => {
  const csr = encodeDer(
    der.sequence(
      der.sequence(der.smallInteger(0), der.sequence(), der.sequence(), der.wrapped(0)),
      der.sequence(der.oid(oids.ecdsaWithSha256)),
      der.bitString(Buffer.of(0)),
    ),
  );
  const pkcs12 = encodeDer(der.sequence(der.smallInteger(3), der.sequence(der.oid('1.2.840.113549.1.7.1'))));
  const pkcs7 = encodeDer(der.sequence(der.oid('1.2.840.113549.1.7.2'), der.wrapped(0)));
  const encrypted = { type: 'pkcs8', cipher: 'aes-256-cbc', passphrase: 'x' } as const;
  test.each<[string, string | Buffer, RegExp]>([
    ['nothing', '', /is empty/],
    ['white space', ' \n', /neither PEM nor DER/],
    ['prose', 'hello world', /neither PEM nor DER/],
    ['a private key', leaf.keyPem, /holds a private key, not a certificate/],
    ['an EC key', key.export({ type: 'sec1', format: 'pem' }).toString(), /a private key/],
    ['an encrypted key', key.export({ ...encrypted, format: 'pem' }).toString(), /an encrypted private key/],
    ['a public key', createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString(), /a public key/],
    ['a request', encodePem('CERTIFICATE REQUEST', csr), /certificate request/],
    ['a revocation list', encodePem('X509 CRL', csr), /revocation list/],
    ['PKCS#7', encodePem('PKCS7', pkcs7), /PKCS#7/],
    ['an SSH key', encodePem('OPENSSH PRIVATE KEY', Buffer.from('x')), /SSH/],
    ['key and request', leaf.keyPem + encodePem('CERTIFICATE REQUEST', csr), /a private key and a certificate request/],
    ['a label never seen', encodePem('SOMETHING', raw), /type SOMETHING/],
    ['a key in DER', keyDer, /a private key/],
    ['an encrypted key in DER', key.export({ ...encrypted, format: 'der' }), /an encrypted private key/],
    ['a public key in DER', createPublicKey(key).export({ type: 'spki', format: 'der' }), /a public key/],
    ['a request in DER', csr, /certificate request/],
    ['PKCS#12', pkcs12, /PKCS#12/],
    ['PKCS#7 in DER', pkcs7, /PKCS#7/],
    ['a cut DER certificate', raw.subarray(0, -1), /damaged or cut off/],
    ['a DER certificate with a tail', Buffer.concat([raw, Buffer.of(0)]), /damaged or cut off/],
    ['UTF-16', Buffer.from(`\uFEFF${leaf.certificatePem}`, 'utf16le'), /UTF-16/],
    ['UTF-16 without a mark', Buffer.from(leaf.certificatePem, 'utf16le'), /UTF-16/],
    ['PEM without an end', leaf.certificatePem.slice(0, -20), /damaged/],
    ['PEM with a hole', leaf.certificatePem.replace(/\n[^\n]{64}\n/, '\n'), /certificate 1 in it cannot be read/],
    ['PEM with a stray line', leaf.certificatePem.replace('\n', '\n<html>\n'), /base64/],
    ['an empty block', encodePem('CERTIFICATE', Buffer.alloc(0)), /damaged/],
    ['the second one broken', leaf.certificatePem + encodePem('CERTIFICATE', Buffer.of(1, 2)), /certificate 2 in it/],
    ['more than a mebibyte', Buffer.alloc(1_048_577, 0x30), /too large/],
  ])('%s', (_, input, message) => {
    expect(() => describeCertificate(input, now)).toThrow(UserError);
    expect(() => describeCertificate(input, now)).toThrow(message);
  });
});

test('many openings of PEM blocks without an end cost no more than one', () => {
  // Trying every opening against the whole rest takes minutes, beyond the time limit of a test.
  expect(() => describeCertificate('-----BEGIN A-----'.repeat(60_000))).toThrow(UserError);
  expect(() => describeCertificate('-----BEGIN CERTIFICATE-----\n'.repeat(37_000))).toThrow(UserError);
});

test('a chain is described in the order of the file', () => {
  const chain = describeChain(leaf.certificatePem + ca.certificatePem, now);
  expect(chain.map((one) => [one.subject, one.isCa, one.chainLength])).toEqual([
    ['CN=mcp.example.com', false, 2],
    ['CN=example CA', true, 2],
  ]);
});

test('the names that a CA may sign for are told, ranges with their mask, and null means any', async () => {
  expect(describeCertificate(leaf.certificatePem).permittedNames).toBeNull();
  expect(describeCertificate(ca.certificatePem).permittedNames).toEqual([
    'mcp.example.com',
    '192.0.2.7',
    '2001:db8::7',
  ]);
  const keys = await generateKeys('ec-p256');
  const name = distinguishedName('range');
  const subtree = (base: DerNode): DerNode => der.sequence(base);
  const permitted = [der.tagged(2, Buffer.from('a.example')), der.tagged(7, Buffer.of(10, 0, 0, 0, 255, 0, 0, 0))];
  const certificatePem = await signCertificate(
    {
      issuer: name,
      subject: name,
      notBefore: now,
      notAfter: now,
      spki: keys.spki,
      extensions: [extension(oids.nameConstraints, true, der.sequence(der.wrapped(0, ...permitted.map(subtree))))],
    },
    signerFor(keys.privateKey),
  );
  expect(describeCertificate(certificatePem).permittedNames).toEqual(['a.example', '10.0.0.0/255.0.0.0']);
});

test('days left are negative once it has expired', () => {
  const at = (iso: string): number => describeCertificate(leaf.certificatePem, new Date(iso)).daysLeft;
  expect([
    at('2027-12-22T12:00:00Z'),
    at('2027-12-23T12:00:00Z'),
    at('2027-12-23T13:00:01Z'),
    at('2027-12-26T12:00:00Z'),
  ]).toEqual([1, 0, -1, -3]);
});

test('nothing in a certificate can move the cursor of the terminal that shows it', async () => {
  const keys = await generateKeys('ec-p256');
  const hostile = '\u001b]0;owned\u0007\u202eevil\r\n';
  const name = distinguishedName(hostile);
  const san = der.sequence(
    der.tagged(2, Buffer.from(`${hostile}.example`, 'latin1')),
    der.tagged(7, Buffer.of(1, 2, 3)),
  );
  const certificatePem = await signCertificate(
    {
      issuer: name,
      subject: name,
      notBefore: now,
      notAfter: now,
      spki: keys.spki,
      extensions: [basicConstraints(false), extension(oids.subjectAltName, false, san)],
    },
    signerFor(keys.privateKey),
  );
  const [description] = describeChain(certificatePem, now);
  expect(JSON.stringify(description)).toContain('evil');
  const text = formatCertificateText(describeChain(certificatePem, now));
  expect(text.replaceAll('\n', '')).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/);
  expect(description?.names).toHaveLength(1);
});

test('an address among the DNS names does not read like an address', async () => {
  const keys = await generateKeys('ec-p256');
  const name = distinguishedName('x');
  const san = der.sequence(der.tagged(2, Buffer.from('127.0.0.1')), der.tagged(1, Buffer.from('a@example.com')));
  const certificatePem = await signCertificate(
    {
      issuer: name,
      subject: name,
      notBefore: now,
      notAfter: now,
      spki: keys.spki,
      extensions: [extension(oids.subjectAltName, false, san)],
    },
    signerFor(keys.privateKey),
  );
  expect(describeCertificate(certificatePem).names).toEqual(['DNS:127.0.0.1']);
});

test('the text of a chain is calm, complete and at most 80 columns wide', () => {
  const chain = describeChain(leaf.certificatePem + ca.certificatePem, now).map((one) => ({
    ...one,
    serial: '01BE473E4216F91D6E412E1A0B55990395',
    fingerprint256: Array.from({ length: 32 }, () => 'AB').join(':'),
  }));
  const text = formatCertificateText(chain);
  expect(text).toBe(`1 of 2: certificate
  names        mcp.example.com, *.mcp.example.com, 192.0.2.7, 2001:db8::7
  subject      CN=mcp.example.com
  issuer       CN=example CA
  valid        2026-11-21 to 2027-12-23, 397 days left
  key          EC P-256
  for          serverAuth
  serial       01BE473E4216F91D6E412E1A0B55990395
  fingerprint  AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:
               AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB

2 of 2: root certificate authority
  subject      CN=example CA
  signs for    mcp.example.com, 192.0.2.7, 2001:db8::7
  issuer       itself
  valid        2026-11-21 to 2036-11-18, 3650 days left
  key          EC P-256
  serial       01BE473E4216F91D6E412E1A0B55990395
  fingerprint  AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:
               AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB
`);
});

test.each([
  [-400, 'expired 399 days ago'],
  [-2, 'expired 1 day ago'],
  [-1, 'expired within the last day'],
  [0, 'ends within a day'],
  [1, '1 day left'],
  [30, '30 days left'],
])('%i days left reads "%s"', (daysLeft, words) => {
  const [description] = describeChain(leaf.certificatePem, now);
  if (description === undefined) throw new Error('no certificate');
  expect(formatCertificateText([{ ...description, daysLeft }])).toContain(words);
});

test('many and very long names keep to 80 columns', () => {
  const [description] = describeChain(leaf.certificatePem, now);
  if (description === undefined) throw new Error('no certificate');
  const many = [
    ...Array.from({ length: 50 }, (_, index) => `host-${index}.example.com`),
    'x'.repeat(250),
    'y'.repeat(300),
  ];
  const text = formatCertificateText([{ ...description, names: many }]);
  expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
  for (const name of many) expect(text.replaceAll(/\n {15}/g, '').replaceAll(' ', '')).toContain(name);
});
