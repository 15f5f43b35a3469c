import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect } from 'vitest';
import { UserError } from '../../src/deployment/errors.ts';
import { describeCertificate, describeChain } from '../../src/pki/describe-certificate.ts';
import { issueCertificate, issueSelfSigned } from '../../src/pki/issue-certificate.ts';
import { issuePrivateCa } from '../../src/pki/issue-private-ca.ts';
import { keyMatchesCertificate } from '../../src/pki/key-matches-certificate.ts';
import { judgeCertificate } from '../../src/pki/verify-certificate.ts';
import { asIssuer, issueOdd } from '../helpers/odd-certificates.ts';
import { runTool, testWithTools } from '../helpers/tools.ts';

const folder = mkdtempSync(join(tmpdir(), 'mcpd-openssl-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const names = ['localhost', '127.0.0.1', '::1', 'box.local', '*.box.local', '*.bücher.example'];
const ca = await issuePrivateCa({ commonName: 'CA for tests', names });
const leaf = await issueCertificate({ ca, names, validDays: 397 });
let files = 0;

function file(content: string): string {
  files += 1;
  const path = join(folder, `${files}.pem`);
  writeFileSync(path, content);
  return path;
}

function textOf(pem: string): string {
  return runTool('openssl', ['x509', '-in', file(pem), '-noout', '-text']);
}

/** Each extension with its lines: "X509v3 Key Usage: critical" -> "Digital Signature". */
function extensionsIn(text: string): Record<string, string> {
  const found = [...text.matchAll(/^ {12}(X509v3 [^:]+): ?(critical)?\n((?: {16}.*\n)+)/gm)];
  return Object.fromEntries(
    found.map(([, name = '', critical, body = '']) => [
      critical === undefined ? name : `${name}: critical`,
      body.replaceAll(/\s+/g, ' ').trim(),
    ]),
  );
}

testWithTools(['openssl'], 'openssl reads the CA with its constraints, and what must be critical is', () => {
  const text = textOf(ca.certificatePem);
  expect(extensionsIn(text)).toEqual({
    'X509v3 Basic Constraints: critical': 'CA:TRUE, pathlen:0',
    'X509v3 Key Usage: critical': 'Certificate Sign, CRL Sign',
    'X509v3 Name Constraints: critical':
      'Permitted: DNS:localhost DNS:box.local DNS:xn--bcher-kva.example IP:127.0.0.1/255.255.255.255 ' +
      'IP:0:0:0:0:0:0:0:1/FFFF:FFFF:FFFF:FFFF:FFFF:FFFF:FFFF:FFFF',
    'X509v3 Subject Key Identifier': expect.stringMatching(/^(?:[0-9A-F]{2}:){19}[0-9A-F]{2}$/),
  });
  expect(text).toContain('Version: 3 (0x2)');
  expect(text).toContain('ASN1 OID: prime256v1');
  expect(text).toContain('Signature Algorithm: ecdsa-with-SHA256');
});

testWithTools(['openssl'], 'openssl reads the leaf, and what must be critical is', () => {
  const extensions = extensionsIn(textOf(leaf.certificatePem));
  expect(extensions).toEqual({
    'X509v3 Basic Constraints: critical': 'CA:FALSE',
    'X509v3 Key Usage: critical': 'Digital Signature',
    'X509v3 Extended Key Usage': 'TLS Web Server Authentication',
    'X509v3 Subject Alternative Name':
      'DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1, DNS:box.local, DNS:*.box.local, ' +
      'DNS:*.xn--bcher-kva.example',
    'X509v3 Subject Key Identifier': expect.any(String),
    'X509v3 Authority Key Identifier': extensionsIn(textOf(ca.certificatePem))['X509v3 Subject Key Identifier'],
  });
});

testWithTools(['openssl'], 'a CA for DNS names excludes every address, one for addresses every DNS name', async () => {
  const dns = await issuePrivateCa({ commonName: 'CA', names: ['a.example'] });
  expect(extensionsIn(textOf(dns.certificatePem))['X509v3 Name Constraints: critical']).toBe(
    'Permitted: DNS:a.example Excluded: IP:0.0.0.0/0.0.0.0 IP:0:0:0:0:0:0:0:0/0:0:0:0:0:0:0:0',
  );
  const v4 = await issuePrivateCa({ commonName: 'CA', names: ['192.0.2.1'] });
  expect(extensionsIn(textOf(v4.certificatePem))['X509v3 Name Constraints: critical']).toBe(
    'Permitted: IP:192.0.2.1/255.255.255.255 Excluded: DNS: IP:0:0:0:0:0:0:0:0/0:0:0:0:0:0:0:0',
  );
});

testWithTools(['openssl'], 'an RSA leaf may encipher keys, and an empty subject makes the names critical', async () => {
  const long = `${'a'.repeat(60)}.${'b'.repeat(60)}.example`;
  const rsaCa = await issuePrivateCa({ commonName: 'CA', names: [long], algorithm: 'rsa-2048' });
  const rsa = await issueCertificate({ ca: rsaCa, names: [long], validDays: 1, algorithm: 'rsa-2048' });
  const text = textOf(rsa.certificatePem);
  expect(extensionsIn(text)).toMatchObject({
    'X509v3 Key Usage: critical': 'Digital Signature, Key Encipherment',
    'X509v3 Subject Alternative Name: critical': `DNS:${long}`,
  });
  expect(text).toContain('Signature Algorithm: sha256WithRSAEncryption');
  expect(verify(rsa.certificatePem, rsaCa.certificatePem)).toBe(true);
});

testWithTools(['openssl'], 'openssl reads the year 2050 and later', async () => {
  const now = new Date('2049-11-01T00:00:00Z');
  const { certificatePem } = await issuePrivateCa({ commonName: 'CA', names, now, validDays: 18_262 });
  expect(textOf(certificatePem)).toMatch(
    /Not Before: Oct 31 23:00:00 2049 GMT\n\s+Not After : Nov {2}1 01:00:00 2099 GMT/,
  );
  expect(describeCertificate(certificatePem).notAfter).toBe('2099-11-01T01:00:00.000Z');
});

testWithTools(['openssl'], 'keys are read by openssl and are the ones of their certificates', () => {
  const spki = runTool('openssl', ['pkey', '-in', file(leaf.keyPem), '-pubout']);
  expect(runTool('openssl', ['x509', '-in', file(leaf.certificatePem), '-noout', '-pubkey'])).toBe(spki);
  expect(keyMatchesCertificate(leaf.certificatePem, leaf.keyPem)).toBe(true);
});

describe('openssl verify -x509_strict and our judgement agree', () => {
  const inDays = (days: number): Date => new Date(Date.now() + days * 86_400_000);
  const issuer = asIssuer('CA for tests', ca);
  const rows: readonly (readonly [string, boolean, () => Promise<{ leaf: string; ca: string }>])[] = [
    ['a leaf of ours', true, async () => ({ leaf: leaf.certificatePem, ca: ca.certificatePem })],
    [
      'a self-signed leaf of ours',
      true,
      async () => {
        const { certificatePem } = await issueSelfSigned({ names, validDays: 30 });
        return { leaf: certificatePem, ca: certificatePem };
      },
    ],
    ['a DNS name outside of the constraints', false, () => outside(['outside.example'])],
    ['a name that only ends alike', false, () => outside(['xbox.local'])],
    ['a name below a permitted one', true, () => outside(['deep.below.box.local'])],
    ['a wildcard outside of the constraints', false, () => outside(['*.outside.example'])],
    ['an IPv4 address outside', false, () => outside(['127.0.0.2'])],
    ['an IPv6 address outside', false, () => outside(['::2'])],
    ['one of many names outside', false, () => outside([...names, 'outside.example'])],
    [
      'expired',
      false,
      async () => ({
        leaf: (await issueOdd({ commonName: 'x', names, issuer, notBefore: inDays(-9), notAfter: inDays(-1) }))
          .certificatePem,
        ca: ca.certificatePem,
      }),
    ],
    [
      'not yet valid',
      false,
      async () => ({
        leaf: (await issueOdd({ commonName: 'x', names, issuer, notBefore: inDays(1), notAfter: inDays(9) }))
          .certificatePem,
        ca: ca.certificatePem,
      }),
    ],
    [
      'another CA',
      false,
      async () => ({
        leaf: leaf.certificatePem,
        ca: (await issuePrivateCa({ commonName: 'other', names })).certificatePem,
      }),
    ],
    [
      'a CA below a CA that allows none',
      false,
      async () => {
        const below = await issueOdd({ commonName: 'below', ca: true, issuer });
        const deep = await issueOdd({ commonName: 'x', names: ['localhost'], issuer: below });
        return { leaf: deep.certificatePem + below.certificatePem, ca: ca.certificatePem };
      },
    ],
  ];
  for (const [title, accepted, make] of rows) {
    testWithTools(['openssl'], `${title}: ${accepted ? 'accepted' : 'refused'} by both`, async () => {
      const made = await make();
      const problems = judgeCertificate({ chainPem: made.leaf, caPem: made.ca });
      expect([verify(made.leaf, made.ca), problems.length === 0]).toEqual([accepted, accepted]);
    });
  }

  async function outside(asked: readonly string[]): Promise<{ leaf: string; ca: string }> {
    const odd = await issueOdd({ commonName: 'x', names: asked, issuer });
    return { leaf: odd.certificatePem, ca: ca.certificatePem };
  }
});

testWithTools(['openssl'], 'certificates made by openssl are described and judged', () => {
  const key = join(folder, 'theirs.key');
  const certificate = join(folder, 'theirs.crt');
  runTool('openssl', [
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-keyout',
    key,
    '-out',
    certificate,
    '-days',
    '365',

    '-subj',
    '/C=CH/O=Ünï "Ltd"/CN=localhost',
    '-utf8',
    '-addext',
    'subjectAltName=DNS:localhost,IP:::1,email:a@b.example',
  ]);
  const pem = runTool('openssl', ['x509', '-in', certificate]);
  expect(describeCertificate(pem)).toMatchObject({
    names: ['localhost', '::1'],
    keyType: 'RSA 2048',
    isCa: true,
    selfIssued: true,
    subject: expect.stringMatching(/^C=CH, O=.*Ltd.*, CN=localhost$/),
  });
  const keyPem = runTool('openssl', ['pkey', '-in', key]);
  expect(judgeCertificate({ chainPem: pem, keyPem, caPem: pem, name: 'localhost' })).toEqual([]);
  const trusted = runTool('openssl', ['x509', '-in', certificate, '-trustout']);
  expect(describeCertificate(trusted).names).toEqual(['localhost', '::1']);
});

testWithTools(['openssl'], 'requests, PKCS#12 and PKCS#7 made by openssl are called by their names', () => {
  const key = file(leaf.keyPem);
  const certificate = file(leaf.certificatePem);
  const csr = runTool('openssl', ['req', '-new', '-key', key, '-subj', '/CN=x']);
  expect(() => describeChain(csr)).toThrow(/certificate request \(CSR\)/);
  const binary = (args: readonly string[]): Buffer =>
    Buffer.from(runTool('sh', ['-c', `"$@" | base64`, 'sh', 'openssl', ...args]), 'base64');
  expect(() => describeChain(binary(['req', '-new', '-key', key, '-subj', '/CN=x', '-outform', 'DER']))).toThrow(
    /certificate request/,
  );
  expect(() =>
    describeChain(binary(['pkcs12', '-export', '-inkey', key, '-in', certificate, '-passout', 'pass:x'])),
  ).toThrow(/PKCS#12/);
  expect(() => describeChain(binary(['crl2pkcs7', '-nocrl', '-certfile', certificate, '-outform', 'DER']))).toThrow(
    /PKCS#7/,
  );
  expect(() =>
    describeChain(binary(['pkcs12', '-export', '-inkey', key, '-in', certificate, '-passout', 'pass:x'])),
  ).toThrow(UserError);
});

function verify(chainPem: string, caPem: string): boolean {
  const chain = file(chainPem);
  try {
    // Only the CA given counts: not those of the machine that runs the test.
    const trust = ['-no-CAfile', '-no-CApath', '-no-CAstore', '-trusted', file(caPem)];
    runTool('openssl', ['verify', '-x509_strict', ...trust, '-untrusted', chain, chain]);
    return true;
  } catch {
    return false;
  }
}
