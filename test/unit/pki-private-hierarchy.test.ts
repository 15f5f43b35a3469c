import { createPrivateKey } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { UserError } from '../../src/deployment/errors.ts';
import { arrangeChain } from '../../src/pki/arrange-chain.ts';
import { createRequest } from '../../src/pki/create-request.ts';
import { describeCertificate, describeChain } from '../../src/pki/describe-certificate.ts';
import { issueCertificate, issueForRequest } from '../../src/pki/issue-certificate.ts';
import { issueIntermediateCa, issuePrivateCa } from '../../src/pki/issue-private-ca.ts';
import { judgeClientCertificate } from '../../src/pki/judge-client-certificate.ts';
import { parseCertificates } from '../../src/pki/parse-certificates.ts';
import { parseRequest } from '../../src/pki/parse-request.ts';
import { encryptPrivateKey } from '../../src/pki/password-encryption.ts';
import { decodePkcs12, encodePkcs12, isPkcs12, randomPassword } from '../../src/pki/pkcs12.ts';
import { issueRevocationList, isSignedBy, parseRevocationList } from '../../src/pki/revocation-list.ts';
import { judgeCertificate } from '../../src/pki/verify-certificate.ts';

const names = ['mcp.example.com', '127.0.0.1'];
const root = await issuePrivateCa({ commonName: 'root', names, pathLength: 1 });
const middle = await issueIntermediateCa({ commonName: 'middle', names, ca: root });
const leaf = await issueCertificate({ ca: middle, names, validDays: 30 });
const client = await issueCertificate({
  ca: middle,
  names: [],
  commonName: 'alice laptop',
  usages: ['clientAuth'],
  validDays: 30,
});
const codes = (input: Parameters<typeof judgeCertificate>[0]): string[] =>
  judgeCertificate(input).map((problem) => problem.code);

describe('an intermediate CA', () => {
  test('signs certificates that carry it, and the root alone makes clients accept them', () => {
    expect(describeChain(leaf.certificatePem).map((one) => one.subject)).toEqual(['CN=mcp.example.com', 'CN=middle']);
    expect(codes({ chainPem: leaf.certificatePem, caPem: root.certificatePem, name: 'mcp.example.com' })).toEqual([]);
  });

  test('is refused by a root without room below it', async () => {
    const short = await issuePrivateCa({ commonName: 'short', names });
    await expect(issueIntermediateCa({ commonName: 'x', names, ca: short })).rejects.toThrow('allows 0 CAs below it');
  });

  test('cannot be made for names that the root may not sign for', async () => {
    await expect(issueIntermediateCa({ commonName: 'x', names: ['other.example'], ca: root })).rejects.toThrow(
      'may not sign for other.example',
    );
  });

  test('ends with its root', async () => {
    const brief = await issuePrivateCa({ commonName: 'brief', names, pathLength: 1, validDays: 10 });
    const below = await issueIntermediateCa({ commonName: 'x', names, ca: brief, validDays: 100 });
    expect(describeCertificate(below.certificatePem).notAfter).toBe(describeCertificate(brief.certificatePem).notAfter);
  });
});

test('a CA without constraints is only made when asked for', async () => {
  const free = await issuePrivateCa({ commonName: 'free', names: [], constrained: false });
  expect(describeCertificate(free.certificatePem).permittedNames).toBeNull();
  await expect(issuePrivateCa({ commonName: 'CA', names: [] })).rejects.toThrow(UserError);
});

test('a CA that leaves addresses alone still holds its DNS names', async () => {
  const ca = await issuePrivateCa({ commonName: 'CA', names, addressesConstrained: false });
  expect(describeCertificate(ca.certificatePem).permittedNames).toEqual(['mcp.example.com']);
  const other = ['192.0.2.1', 'mcp.example.com'];
  const issued = await issueCertificate({ ca, names: other, validDays: 30 });
  expect(codes({ chainPem: issued.certificatePem, caPem: ca.certificatePem, name: '192.0.2.1' })).toEqual([]);
  await expect(issueCertificate({ ca, names: ['other.example'], validDays: 30 })).rejects.toThrow('other.example');
  const addresses = await issuePrivateCa({ commonName: 'CA', names: ['127.0.0.1'], addressesConstrained: false });
  await expect(issueCertificate({ ca: addresses, names: ['a.example'], validDays: 30 })).rejects.toThrow('a.example');
});

test.each([-1, 6, 0.5])('a path length of %d is refused', async (pathLength) => {
  await expect(issuePrivateCa({ commonName: 'CA', names, pathLength })).rejects.toThrow('whole number from 0 to 5');
});

describe('an encrypted CA key', () => {
  test('signs with its passphrase, and says what is wrong with another one', { timeout: 30_000 }, async () => {
    const der = createPrivateKey(middle.keyPem).export({ type: 'pkcs8', format: 'der' });
    const keyPem = await encryptPrivateKey(der, 'correct horse ünïcode');
    expect(keyPem).toMatch(/^-----BEGIN ENCRYPTED PRIVATE KEY-----\n/);
    const ca = { certificatePem: middle.certificatePem, keyPem };
    const issued = await issueCertificate({ ca: { ...ca, passphrase: 'correct horse ünïcode' }, names, validDays: 1 });
    expect(codes({ chainPem: issued.certificatePem, caPem: root.certificatePem })).toEqual([]);
    const wrong = issueCertificate({ ca: { ...ca, passphrase: 'secret-word' }, names, validDays: 1 });
    await expect(wrong).rejects.toThrow('passphrase does not open the CA key');
    await expect(wrong).rejects.not.toThrow(/secret-word/);
    await expect(issueCertificate({ ca, names, validDays: 1 })).rejects.toThrow('encrypted with a passphrase');
  });
});

describe('a client certificate', () => {
  test('needs no names, and is judged as one', () => {
    expect(describeCertificate(client.certificatePem)).toMatchObject({
      subject: 'CN=alice laptop',
      names: [],
      usages: ['clientAuth'],
    });
    expect(codes({ chainPem: client.certificatePem, caPem: root.certificatePem, usage: 'clientAuth' })).toEqual([]);
    expect(codes({ chainPem: client.certificatePem, caPem: root.certificatePem })).toContain('wrong-usage');
  });

  test('whose name reads like a DNS name is held against the constraints, as OpenSSL does', async () => {
    const spec = { ca: middle, names: [], usages: ['clientAuth' as const], validDays: 1 };
    await expect(issueCertificate({ ...spec, commonName: 'alice.example.net' })).rejects.toThrow('may not sign for');
    await expect(issueCertificate({ ...spec, commonName: 'a.mcp.example.com' })).resolves.toBeDefined();
    await expect(issueCertificate({ ...spec, commonName: ' ' })).rejects.toThrow('1 to 64 printable');
  });
});

describe('a request', () => {
  test('asks for names and usages, and is signed as asked', async () => {
    const made = await createRequest({ names: ['mcp.example.com', '127.0.0.1'], usages: ['serverAuth', 'clientAuth'] });
    const request = parseRequest(Buffer.from(made.requestPem));
    expect(request).toMatchObject({ names, usages: ['serverAuth', 'clientAuth'], isRsa: false });
    const chainPem = await issueForRequest({ ca: middle, names: request.names, validDays: 30, request });
    expect(codes({ chainPem, keyPem: made.keyPem, caPem: root.certificatePem, name: '127.0.0.1' })).toEqual([]);
  });

  test('whose content was changed is refused', async () => {
    const { requestPem } = await createRequest({ names });
    const [, body = ''] = /-----\n([^-]+)-----END/.exec(requestPem) ?? [];
    const bytes = Buffer.from(body, 'base64');
    bytes[bytes.indexOf('mcp.example.com', 60)] = 0x6e;
    expect(() => parseRequest(bytes)).toThrow('damaged');
    expect(() => parseRequest(Buffer.from(root.certificatePem))).toThrow(
      'holds certificate, not a certificate request',
    );
  });
});

describe('a chain that came in the wrong order', () => {
  const parts = (pem: string): string[] => pem.match(/-----BEGIN[^]+?END CERTIFICATE-----\n/g) ?? [];
  test('is put right, without the root and what does not belong to it', async () => {
    const [own = '', above = ''] = parts(leaf.certificatePem);
    const stranger = await issuePrivateCa({ commonName: 'stranger', names });
    const arranged = arrangeChain(root.certificatePem + above + stranger.certificatePem + own, leaf.keyPem, null);
    expect(arranged).toMatchObject({ chainPem: own + above, reordered: true });
    expect(arranged.rootPem).toContain(root.certificatePem);
    expect(arrangeChain(leaf.certificatePem, leaf.keyPem, null)).toEqual({
      chainPem: leaf.certificatePem,
      rootPem: '',
      reordered: false,
      leftOut: [],
    });
  });

  test('gets an intermediate that only the CA file holds', () => {
    const [own = ''] = parts(leaf.certificatePem);
    const caPem = parts(middle.certificatePem).join('') + root.certificatePem;
    expect(arrangeChain(own, leaf.keyPem, caPem).chainPem).toBe(leaf.certificatePem);
  });
});

describe('PKCS#12', () => {
  const privateKey = createPrivateKey(leaf.keyPem);
  test('comes back as it went in, and only with its password', { timeout: 30_000 }, async () => {
    const password = randomPassword();
    expect(password.length).toBeGreaterThanOrEqual(32);
    const bytes = await encodePkcs12({ privateKey, chainPem: leaf.certificatePem, password, label: 'mcp' });
    expect(isPkcs12(bytes)).toBe(true);
    const read = await decodePkcs12(bytes, password);
    expect(read.certificatesPem).toBe(leaf.certificatePem);
    expect(read.privateKey?.equals(privateKey)).toBe(true);
    await expect(decodePkcs12(bytes, 'not-the-password')).rejects.toThrow('password does not open');
    await expect(decodePkcs12(bytes, 'not-the-password')).rejects.not.toThrow(/not-the-password/);
    await expect(decodePkcs12(Buffer.from(leaf.certificatePem), password)).rejects.toThrow('damaged or no PKCS#12');
    expect(isPkcs12(Buffer.from(leaf.certificatePem))).toBe(false);
  });
});

describe('a revocation list', () => {
  const now = new Date();
  const [shownLeaf, ...shownRest] = parseCertificates(client.certificatePem);
  const authorities = [...parseCertificates(root.certificatePem)];
  const entry = { serial: shownLeaf.x509.serialNumber, revokedAt: now, reason: 'key-compromise' as const };
  const judge = (
    lists: readonly ReturnType<typeof parseRevocationList>[],
    at = now,
    shown = [shownLeaf, ...shownRest],
  ) => judgeClientCertificate(shown, { authorities, revocationLists: lists }, at);

  test('is read back with number, dates, serials and reasons', async () => {
    const pem = await issueRevocationList({ ca: middle, revoked: [entry], number: 300, validDays: 7, now });
    const list = parseRevocationList(Buffer.from(pem));
    expect(list).toMatchObject({ number: 300, revoked: [{ serial: entry.serial, reason: 'key-compromise' }] });
    expect(isSignedBy(list, parseCertificates(middle.certificatePem)[0])).toBe(true);
    expect(isSignedBy(list, parseCertificates(root.certificatePem)[0])).toBe(false);
    expect(() => parseRevocationList(Buffer.from(leaf.keyPem))).toThrow('holds a private key, not a revocation list');
  });

  test('keeps out who is in it, and nobody else', async () => {
    const list = parseRevocationList(
      Buffer.from(await issueRevocationList({ ca: middle, revoked: [entry], number: 2, validDays: 7, now })),
    );
    const before = parseRevocationList(
      Buffer.from(await issueRevocationList({ ca: middle, revoked: [], number: 1, validDays: 7, now })),
    );
    expect(judge([])).toMatchObject({ accepted: true, subject: 'CN=alice laptop' });
    expect(judge([before])).toMatchObject({ accepted: true });
    expect(judge([list])).toMatchObject({ accepted: false, code: 'revoked' });
    // The older list does not bring anyone back.
    expect(judge([before, list])).toMatchObject({ accepted: false, code: 'revoked' });
    const other = await issueCertificate({
      ca: middle,
      names: [],
      commonName: 'bob',
      usages: ['clientAuth'],
      validDays: 9,
    });
    expect(judge([list], now, [...parseCertificates(other.certificatePem)])).toMatchObject({ accepted: true });
  });

  test('of the root keeps out everyone below a revoked intermediate', async () => {
    const serial = parseCertificates(middle.certificatePem)[0].x509.serialNumber;
    const pem = await issueRevocationList({
      ca: root,
      revoked: [{ ...entry, serial }],
      number: 1,
      validDays: 7,
      now,
    });
    expect(judge([parseRevocationList(Buffer.from(pem))])).toMatchObject({ accepted: false, code: 'revoked' });
  });

  test('that is out of date, or from another CA, lets nobody in', async () => {
    const pem = await issueRevocationList({ ca: middle, revoked: [], number: 1, validDays: 1, now });
    const list = parseRevocationList(Buffer.from(pem));
    expect(judge([list], new Date(now.getTime() + 2 * 86_400_000))).toMatchObject({ code: 'list-expired' });
    const stranger = await issuePrivateCa({ commonName: 'middle', names });
    const forged = await issueRevocationList({ ca: stranger, revoked: [], number: 9, validDays: 7, now });
    expect(judge([parseRevocationList(Buffer.from(forged))])).toMatchObject({ code: 'list-not-genuine' });
  });

  test('or none: a client is refused for each other reason by its name', async () => {
    const stranger = await issuePrivateCa({ commonName: 'root', names });
    const foreign = await issueCertificate({ ca: stranger, names, usages: ['clientAuth'], validDays: 9 });
    expect(judge([], now, [])).toMatchObject({ code: 'no-certificate' });
    expect(judge([], now, [...parseCertificates(foreign.certificatePem)])).toMatchObject({ code: 'not-trusted' });
    expect(judge([], now, [...parseCertificates(leaf.certificatePem)])).toMatchObject({ code: 'wrong-usage' });
    expect(judge([], now, [...parseCertificates(middle.certificatePem)])).toMatchObject({ code: 'wrong-usage' });
    expect(judge([], new Date(now.getTime() + 40 * 86_400_000))).toMatchObject({ code: 'expired' });
    expect(judge([], new Date(now.getTime() - 86_400_000))).toMatchObject({ code: 'not-yet-valid' });
  });
});
