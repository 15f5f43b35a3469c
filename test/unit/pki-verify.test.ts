import { generateKeyPairSync, sign, X509Certificate } from 'node:crypto';
import { rootCertificates } from 'node:tls';
import { describe, expect, test } from 'vitest';
import { UserError } from '../../src/deployment/errors.ts';
import { encodeDer, encodePem, childrenOf, decodeDer, der, bytesOf } from '../../src/pki/der.ts';
import { certificateProblemCodes } from '../../src/pki/certificate-problem.ts';
import { issueCertificate, issueSelfSigned } from '../../src/pki/issue-certificate.ts';
import { issuePrivateCa } from '../../src/pki/issue-private-ca.ts';
import type { KeyPair } from '../../src/pki/key-pair.ts';
import { oids } from '../../src/pki/oids.ts';
import { judgeCertificate, type CertificateToJudge } from '../../src/pki/verify-certificate.ts';
import { asIssuer, issueOdd } from '../helpers/odd-certificates.ts';

const names = ['localhost', '127.0.0.1', '*.box.example'];
const day = 86_400_000;
const inDays = (days: number): Date => new Date(Date.now() + days * day);

const ca = await issuePrivateCa({ commonName: 'CA', names });
const leaf = await issueCertificate({ ca, names, validDays: 30 });
const sameNameCa = await issuePrivateCa({ commonName: 'CA', names });
const otherCa = await issuePrivateCa({ commonName: 'other CA', names });
const own = await issueSelfSigned({ names, validDays: 30 });

const root = await issueOdd({ commonName: 'root', ca: true });
const middle = await issueOdd({ commonName: 'middle', ca: true, issuer: root, pathLength: 0 });
const server = await issueOdd({ commonName: 'server', names: ['server.example'], issuer: middle });
const narrow = await issueOdd({ commonName: 'narrow', ca: true, issuer: root, pathLength: 0 });
const tooDeep = await issueOdd({ commonName: 'too deep', ca: true, issuer: narrow });
const belowTooDeep = await issueOdd({ commonName: 'below', names: ['server.example'], issuer: tooDeep });
const notCa = await issueOdd({ commonName: 'not a CA', names: ['x.example'], issuer: root });
const expiredMiddle = await issueOdd({
  commonName: 'old middle',
  ca: true,
  issuer: root,
  notBefore: inDays(-30),
  notAfter: inDays(-3.5),
});
const belowExpired = await issueOdd({ commonName: 's', names: ['server.example'], issuer: expiredMiddle });

const good: CertificateToJudge = {
  chainPem: leaf.certificatePem,
  keyPem: leaf.keyPem,
  caPem: ca.certificatePem,
  name: 'localhost',
};
const viaMiddle: CertificateToJudge = {
  chainPem: server.certificatePem + middle.certificatePem,
  keyPem: server.keyPem,
  caPem: root.certificatePem,
  name: 'server.example',
};

describe('nothing is wrong with', () => {
  test.each<[string, CertificateToJudge]>([
    ['a leaf under its private CA', good],
    ['an address', { ...good, name: '127.0.0.1' }],
    ['a wildcard', { ...good, name: 'mcp.box.example' }],
    ['a file that ends with the root', { ...good, chainPem: leaf.certificatePem + ca.certificatePem }],
    ['several CAs, one of which fits', { ...good, caPem: otherCa.certificatePem + ca.certificatePem }],
    [
      'a self-signed certificate that clients are given',
      { chainPem: own.certificatePem, keyPem: own.keyPem, caPem: own.certificatePem, name: 'localhost' },
    ],
    ['a chain with an intermediate', viaMiddle],
    [
      'a chain with intermediate and root',
      { ...viaMiddle, chainPem: server.certificatePem + middle.certificatePem + root.certificatePem },
    ],
    [
      'an intermediate that clients have beside the root',
      { ...viaMiddle, chainPem: server.certificatePem, caPem: root.certificatePem + middle.certificatePem },
    ],
  ])('%s', (_, input) => {
    expect(judgeCertificate(input)).toEqual([]);
  });

  test('a public root', () => {
    const [publicRoot] = rootCertificates;
    const problems = codesOf({ chainPem: publicRoot ?? '' });
    expect(problems).not.toContain('not-trusted');
    expect(problems).not.toContain('chain-incomplete');
  });
});

const codeless = await issueOdd({ commonName: 'mcp.example.com' });
const weakKeys = rsaKeys(1024);
const oddCurve = ecKeys('secp256k1');
const constrained = await issuePrivateCa({ commonName: 'constrained', names: ['inside.example'] });

const cases: readonly (readonly [string, CertificateToJudge, readonly string[], RegExp])[] = [
  ['expired', { ...good, now: inDays(33.5) }, ['expired'], /the certificate for localhost expired on .*, 3 days ago/],
  ['expired this hour', { ...good, now: inDays(30.1) }, ['expired'], /less than a day ago/],
  ['not yet valid', { ...good, now: inDays(-1) }, ['not-yet-valid', 'not-yet-valid'], /valid only from/],
  [
    'an expired intermediate',
    { chainPem: belowExpired.certificatePem + expiredMiddle.certificatePem, caPem: root.certificatePem },
    ['expired'],
    /the CA CN=old middle expired/,
  ],
  [
    'another name',
    { ...good, name: 'mcp.example.com' },
    ['name-mismatch'],
    /the certificate is for localhost, 127\.0\.0\.1, \*\.box\.example/,
  ],
  ['another address', { ...good, name: '127.0.0.2' }, ['name-mismatch'], /is for localhost/],
  ['a wildcard two labels up', { ...good, name: 'a.b.box.example' }, ['name-mismatch'], /is for/],
  [
    'a common name alone',
    { chainPem: codeless.certificatePem, caPem: codeless.certificatePem, name: 'mcp.example.com' },
    ['no-names'],
    /no DNS name or address/,
  ],
  ['the key of another', { ...good, keyPem: ca.keyPem }, ['key-mismatch'], /belongs to another certificate/],
  ['a key that is none', { ...good, keyPem: 'x' }, ['key-unreadable'], /no readable key/],
  [
    'a missing intermediate',
    { ...viaMiddle, chainPem: server.certificatePem },
    ['chain-incomplete'],
    /was signed by CN=middle, which is neither in the file nor among the CA given/,
  ],
  [
    'a chain upside down',
    { ...viaMiddle, chainPem: middle.certificatePem + server.certificatePem },
    ['chain-order'],
    /the CA CN=middle, then the certificate for server\.example/,
  ],
  [
    'a root before the leaf',
    { ...good, chainPem: ca.certificatePem + leaf.certificatePem },
    ['chain-order'],
    /the CA CN=CA, then the certificate for localhost/,
  ],
  [
    'a certificate twice',
    { ...good, chainPem: leaf.certificatePem + leaf.certificatePem },
    ['chain-order'],
    /localhost, then the certificate for localhost/,
  ],
  [
    'an intermediate of another',
    { ...viaMiddle, chainPem: server.certificatePem + middle.certificatePem + narrow.certificatePem },
    ['chain-unrelated'],
    /also holds the CA CN=narrow/,
  ],
  ['another CA', { ...good, caPem: otherCa.certificatePem }, ['chain-incomplete'], /was signed by CN=CA/],
  [
    'a CA of the same name',
    { ...good, caPem: sameNameCa.certificatePem },
    ['not-trusted'],
    /not signed with the key of the CA given/,
  ],
  [
    'a private root where only public ones are known',
    { chainPem: leaf.certificatePem + ca.certificatePem },
    ['not-trusted'],
    /not a public root/,
  ],
  [
    'a private leaf where only public roots are known',
    { chainPem: leaf.certificatePem },
    ['chain-incomplete'],
    /nor a public root/,
  ],
  ['self-signed where only public roots are known', { chainPem: own.certificatePem }, ['not-trusted'], /self-signed/],
  [
    'an intermediate given as the CA',
    { ...viaMiddle, caPem: middle.certificatePem },
    ['chain-incomplete'],
    /the CA CN=middle was signed by CN=root/,
  ],
  [
    'too many intermediates',
    {
      chainPem: belowTooDeep.certificatePem + tooDeep.certificatePem + narrow.certificatePem,
      caPem: root.certificatePem,
    },
    ['not-trusted'],
    /allows 0 intermediate CAs below it, and there are 1/,
  ],
  [
    'a CA served as the server',
    { chainPem: middle.certificatePem, caPem: root.certificatePem },
    ['no-names', 'wrong-usage'],
    /CN=middle/,
  ],
];

describe('every problem is named by its code', () => {
  test.each(cases)('%s', (_, input, codes, observed) => {
    const problems = judgeCertificate(input);
    expect(problems.map((problem) => problem.code)).toEqual(codes);
    expect(problems.map((problem) => problem.observed).join('\n')).toMatch(observed);
    for (const problem of problems) {
      expect(problem.expected).not.toBe('');
      expect(problem.observed).not.toBe(problem.expected);
    }
  });
});

test('a leaf for clients only does not serve, a leaf for anything does', async () => {
  const judge = async (
    usageOids: readonly string[],
    usage: 'serverAuth' | 'clientAuth' = 'serverAuth',
  ): Promise<string[]> => {
    const odd = await issueOdd({ commonName: 'x', names: ['x.example'], issuer: root, usageOids });
    return codesOf({ chainPem: odd.certificatePem, caPem: root.certificatePem, usage });
  };
  expect(await judge([oids.clientAuth])).toEqual(['wrong-usage']);
  expect(await judge(['1.3.6.1.5.5.7.3.3'])).toEqual(['wrong-usage']);
  expect(await judge([oids.serverAuth], 'clientAuth')).toEqual(['wrong-usage']);
  expect(await judge([oids.clientAuth], 'clientAuth')).toEqual([]);
  expect(await judge([oids.anyExtendedKeyUsage])).toEqual([]);
  expect(await judge([])).toEqual([]);
});

test('keys that clients refuse are weak, also in an intermediate, and ordinary RSA keys are not', async () => {
  const judge = async (keys: KeyPair): Promise<string[]> => {
    const odd = await issueOdd({ commonName: 'x', names: ['x.example'], issuer: root, keys });
    return codesOf({ chainPem: odd.certificatePem, caPem: root.certificatePem });
  };
  expect(await judge(weakKeys)).toEqual(['weak-key']);
  expect(await judge(oddCurve)).toEqual(['weak-key']);
  expect(await judge(rsaKeys(2048))).toEqual([]);
  expect(await judge(ecKeys('secp384r1'))).toEqual([]);
  const weakMiddle = await issueOdd({ commonName: 'weak', ca: true, issuer: root, keys: weakKeys });
  const under = await issueOdd({ commonName: 'x', names: ['x.example'], issuer: weakMiddle });
  const [problem, ...more] = judgeCertificate({
    chainPem: under.certificatePem + weakMiddle.certificatePem,
    caPem: root.certificatePem,
  });
  expect(problem).toMatchObject({ code: 'weak-key', observed: 'the CA CN=weak has a key of type RSA 1024' });
  expect(more).toEqual([]);
});

test('SHA-1 signatures are weak on a leaf, and nobody checks them on a root', async () => {
  const sha1 = {
    algorithmIdentifier: der.sequence(der.oid('1.2.840.10045.4.1')),
    sign: async (bytes: Buffer): Promise<Buffer> => sign('sha1', bytes, root.keys.privateKey),
  };
  const byRoot = await issueOdd({ commonName: 'x', names: ['x.example'], issuer: root, signer: sha1 });
  expect(codesOf({ chainPem: byRoot.certificatePem, caPem: root.certificatePem })).toEqual(['weak-signature']);
  const sha1Root = await issueOdd({ commonName: 'root', ca: true, keys: root.keys, signer: sha1 });
  expect(codesOf({ chainPem: middle.certificatePem + sha1Root.certificatePem })).toEqual([
    'not-trusted',
    'no-names',
    'wrong-usage',
  ]);
  const under = await issueOdd({ commonName: 'x', names: ['x.example'], issuer: root });
  expect(codesOf({ chainPem: under.certificatePem, caPem: sha1Root.certificatePem })).toEqual([]);
});

test('a life of 825 days or more is too long for Apple, 824 is not', async () => {
  const judge = async (days: number): Promise<string[]> => {
    const notBefore = inDays(-1);
    const notAfter = new Date(notBefore.getTime() + days * day);
    const odd = await issueOdd({ commonName: 'x', names: ['x.example'], issuer: root, notBefore, notAfter });
    return codesOf({ chainPem: odd.certificatePem, caPem: root.certificatePem });
  };
  expect(await judge(825)).toEqual(['validity-too-long']);
  expect(await judge(3_650)).toEqual(['validity-too-long']);
  expect(await judge(824)).toEqual([]);
});

test('one name outside of the constraints of the CA spoils the certificate', async () => {
  const odd = await issueOdd({
    commonName: 'x',
    names: ['inside.example', 'outside.example', '192.0.2.1'],
    issuer: asIssuer('constrained', constrained),
  });
  const problems = judgeCertificate({
    chainPem: odd.certificatePem,
    caPem: constrained.certificatePem,
    name: 'inside.example',
  });
  expect(problems).toMatchObject([
    {
      code: 'name-not-permitted',
      observed: 'the name constraints of the CA CN=constrained do not permit outside.example, 192.0.2.1',
    },
  ]);
});

test('an issuer that is no CA is not trusted, whatever its key may do', async () => {
  const child = await issueOdd({ commonName: 'child', names: ['x.example'], issuer: notCa });
  const chainPem = child.certificatePem + notCa.certificatePem;
  expect(codesOf({ chainPem, caPem: root.certificatePem })).toContain('chain-incomplete');
  const pretender = await issueOdd({ commonName: 'pretender', issuer: root, keyUsages: ['keyCertSign'] });
  const under = await issueOdd({ commonName: 'child', names: ['x.example'], issuer: pretender });
  const problems = judgeCertificate({
    chainPem: under.certificatePem + pretender.certificatePem,
    caPem: root.certificatePem,
  });
  expect(problems).toMatchObject([
    { code: 'not-trusted', observed: expect.stringMatching(/is no certificate authority/) },
  ]);
});

test('the walk along a chain ends after ten certificates', async () => {
  let issuer = root;
  const chain: string[] = [];
  for (let depth = 0; depth < 12; depth += 1) {
    issuer = await issueOdd({ commonName: `CA ${depth}`, ca: true, pathLength: 20, issuer });
    chain.unshift(issuer.certificatePem);
  }
  const deep = await issueOdd({ commonName: 'x', names: ['x.example'], issuer });
  const codes = codesOf({ chainPem: deep.certificatePem + chain.join(''), caPem: root.certificatePem });
  expect(codes).toContain('chain-incomplete');
});

test('a changed byte in the signed part is noticed', () => {
  const node = decodeDer(new X509Certificate(leaf.certificatePem).raw);
  const [toBeSigned, algorithm, signature] = childrenOf(node);
  const content = encodeDer(toBeSigned ?? der.none());
  const at = content.indexOf('localhost');
  content[at] = (content[at] ?? 0) ^ 1;
  const forged = der.sequence(
    decodeDer(content),
    algorithm ?? der.none(),
    der.bitString(bytesOf(signature).subarray(1)),
  );
  const chainPem = encodePem('CERTIFICATE', encodeDer(forged));
  const codes = codesOf({ ...good, chainPem, name: '127.0.0.1' });
  expect(codes).toContain('not-trusted');
});

test('files without a certificate are refused with their name', () => {
  expect(() => judgeCertificate({ chainPem: leaf.keyPem })).toThrow(/^The certificate file holds a private key/);
  expect(() => judgeCertificate({ ...good, caPem: '' })).toThrow(/^The CA file is empty/);
  expect(() => judgeCertificate({ ...good, caPem: '' })).toThrow(UserError);
});

test('codes are permanent', () => {
  expect([...certificateProblemCodes].sort()).toEqual([
    'chain-incomplete',
    'chain-order',
    'chain-unrelated',
    'expired',
    'key-mismatch',
    'key-unreadable',
    'list-expired',
    'list-not-genuine',
    'name-mismatch',
    'name-not-permitted',
    'no-names',
    'not-trusted',
    'not-yet-valid',
    'revoked',
    'validity-too-long',
    'weak-key',
    'weak-signature',
    'wrong-usage',
  ]);
});

function codesOf(input: CertificateToJudge): string[] {
  return judgeCertificate(input).map((problem) => problem.code);
}

function rsaKeys(modulusLength: number): KeyPair {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength });
  return { privateKey, spki: publicKey.export({ type: 'spki', format: 'der' }), isRsa: true };
}

function ecKeys(namedCurve: string): KeyPair {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve });
  return { privateKey, spki: publicKey.export({ type: 'spki', format: 'der' }), isRsa: false };
}
