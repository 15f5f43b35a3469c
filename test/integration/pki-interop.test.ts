import { spawnSync } from 'node:child_process';
import { createPrivateKey } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect } from 'vitest';
import { createRequest } from '../../src/pki/create-request.ts';
import { issueCertificate } from '../../src/pki/issue-certificate.ts';
import { issueIntermediateCa, issuePrivateCa } from '../../src/pki/issue-private-ca.ts';
import { parseCertificates } from '../../src/pki/parse-certificates.ts';
import { parseRequest } from '../../src/pki/parse-request.ts';
import { encryptPrivateKey } from '../../src/pki/password-encryption.ts';
import { decodePkcs12, encodePkcs12, randomPassword } from '../../src/pki/pkcs12.ts';
import { issueRevocationList, isSignedBy, parseRevocationList } from '../../src/pki/revocation-list.ts';
import { runTool, testWithTools } from '../helpers/tools.ts';

const folder = mkdtempSync(join(tmpdir(), 'mcpd-interop-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
function file(content: string | Buffer): string {
  files += 1;
  const path = join(folder, String(files));
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}

const names = ['mcp.example.com', '127.0.0.1'];
const root = await issuePrivateCa({ commonName: 'root', names, pathLength: 1 });
const middle = await issueIntermediateCa({ commonName: 'middle', names, ca: root });
const leaf = await issueCertificate({ ca: middle, names, validDays: 30 });
const key = createPrivateKey(leaf.keyPem);
const openssl = (args: readonly string[], env: NodeJS.ProcessEnv = {}): string =>
  runTool('openssl', args, { env: { ...process.env, ...env } });

describe('PKCS#12', () => {
  const password = randomPassword();
  const made = encodePkcs12({ privateKey: key, chainPem: leaf.certificatePem, password, label: 'mcp ü' });

  testWithTools(['openssl'], 'openssl opens it, sees AES-256 and SHA-256, key and chain', async () => {
    const path = file(await made);
    const run = spawnSync('openssl', ['pkcs12', '-in', path, '-info', '-noenc', '-passin', 'env:P12'], {
      env: { ...process.env, P12: password },
      encoding: 'utf8',
    });
    expect(run.status, run.stderr).toBe(0);
    expect(run.stderr).toMatch(/MAC: sha256, Iteration 10000/);
    expect(run.stderr.match(/PBES2, PBKDF2, AES-256-CBC, Iteration 100000, PRF hmacWithSHA256/g)).toHaveLength(2);
    expect(run.stdout.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    const pem = /-----BEGIN PRIVATE KEY-----[^]+?END PRIVATE KEY-----/.exec(run.stdout)?.[0] ?? '';
    expect(createPrivateKey(pem).equals(key)).toBe(true);
  });

  testWithTools(['keytool'], 'keytool of Java lists its one entry with the whole chain', async () => {
    const listing = runTool(
      'keytool',
      ['-list', '-v', '-keystore', file(await made), '-storetype', 'PKCS12', '-storepass:env', 'P12'],
      {
        env: { ...process.env, P12: password, LC_ALL: 'C' },
      },
    );
    expect(listing).toContain('Entry type: PrivateKeyEntry');
    expect(listing).toContain('Certificate chain length: 2');
  });

  testWithTools(['openssl'], 'what openssl writes today, and what it wrote before 3.0 with 3DES, is read', async () => {
    const [keyFile, chainFile] = [file(leaf.keyPem), file(leaf.certificatePem)];
    const older = ['-keypbe', 'PBE-SHA1-3DES', '-certpbe', 'PBE-SHA1-3DES', '-macalg', 'sha1'];
    for (const options of [[], older, ['-certpbe', 'AES-128-CBC', '-macalg', 'sha512'], ['-certpbe', 'NONE']]) {
      const out = file('');
      openssl(
        ['pkcs12', '-export', '-inkey', keyFile, '-in', chainFile, '-passout', 'env:P12', '-out', out, ...options],
        {
          P12: 'pässword',
        },
      );
      const read = await decodePkcs12(readFileSync(out), 'pässword');
      expect(read.privateKey?.equals(key)).toBe(true);
      expect(read.certificatesPem).toBe(leaf.certificatePem);
    }
  });

  testWithTools(['keytool'], 'what keytool of Java writes is read', async () => {
    const path = join(folder, 'java.p12');
    runTool(
      'keytool',
      [
        '-genkeypair',
        '-alias',
        'a',
        '-keyalg',
        'EC',
        '-dname',
        'CN=java',
        '-keystore',
        path,
        '-storetype',
        'PKCS12',
        '-storepass:env',
        'P12',
      ],
      { env: { ...process.env, P12: password } },
    );
    const read = await decodePkcs12(readFileSync(path), password);
    expect(parseCertificates(read.certificatesPem)[0].subject).toBe('CN=java');
    expect(read.privateKey).not.toBeNull();
  });
});

testWithTools(['openssl'], 'an encrypted key opens in openssl with its passphrase only', async () => {
  const pem = await encryptPrivateKey(key.export({ type: 'pkcs8', format: 'der' }), 'open sesame');
  const path = file(pem);
  expect(openssl(['pkey', '-in', path, '-passin', 'env:PASS', '-noout', '-text'], { PASS: 'open sesame' })).toContain(
    'P-256',
  );
  expect(() => openssl(['pkey', '-in', path, '-passin', 'env:PASS', '-noout'], { PASS: 'wrong' })).toThrow();
});

describe('requests', () => {
  testWithTools(['openssl'], 'openssl verifies ours and reads names and usages', async () => {
    for (const algorithm of ['ec-p256', 'rsa-2048'] as const) {
      const { requestPem } = await createRequest({ names, usages: ['serverAuth', 'clientAuth'], algorithm });
      const text = openssl(['req', '-in', file(requestPem), '-verify', '-noout', '-text']);
      expect(text).toContain('DNS:mcp.example.com, IP Address:127.0.0.1');
      expect(text).toContain('TLS Web Server Authentication, TLS Web Client Authentication');
    }
  });

  testWithTools(['openssl'], 'one made with openssl is read', () => {
    const out = file('');
    openssl([
      'req',
      '-new',
      '-newkey',
      'rsa:2048',
      '-noenc',
      '-keyout',
      file(''),
      '-subj',
      '/CN=x',
      '-out',
      out,
      '-addext',
      'subjectAltName=DNS:mcp.example.com',
    ]);
    expect(parseRequest(readFileSync(out))).toMatchObject({ names: ['mcp.example.com'], isRsa: true });
  });
});

describe('revocation lists', () => {
  const now = new Date();
  const entry = { serial: parseCertificates(leaf.certificatePem)[0].x509.serialNumber, revokedAt: now } as const;

  testWithTools(
    ['openssl'],
    'openssl reads number, reason and date, and refuses the revoked certificate alone',
    async () => {
      const other = await issueCertificate({ ca: middle, names, validDays: 30 });
      const crl = await issueRevocationList({
        ca: middle,
        revoked: [{ ...entry, reason: 'superseded' }],
        number: 129,
        validDays: 7,
      });
      const text = openssl(['crl', '-in', file(crl), '-noout', '-text', '-CAfile', file(middle.certificatePem)]);
      expect(text).toContain('X509v3 CRL Number: \n                129');
      expect(text).toContain('Superseded');
      const verify = (pem: string): number | null =>
        spawnSync('openssl', [
          'verify',
          '-crl_check',
          '-CAfile',
          file(root.certificatePem),
          '-untrusted',
          file(middle.certificatePem),
          '-CRLfile',
          file(crl),
          file(pem),
        ]).status;
      expect(verify(other.certificatePem)).toBe(0);
      expect(verify(leaf.certificatePem)).not.toBe(0);
    },
  );

  testWithTools(['openssl'], 'one made with openssl is read and its signature checked', async () => {
    const ca = await issuePrivateCa({ commonName: 'ssl', names });
    const index = file(`R\t300101000000Z\t260101000000Z,keyCompromise\t0ABC\tunknown\t/CN=x\n`);
    const config = file(
      `[ca]\ndefault_ca=d\n[d]\ndatabase=${index}\ndefault_md=sha256\ncrlnumber=${file('07\n')}\ndefault_crl_days=3\n`,
    );
    const out = file('');
    openssl([
      'ca',
      '-gencrl',
      '-config',
      config,
      '-cert',
      file(ca.certificatePem),
      '-keyfile',
      file(ca.keyPem),
      '-out',
      out,
    ]);
    const list = parseRevocationList(readFileSync(out));
    expect(list).toMatchObject({ number: 7, revoked: [{ serial: '0ABC', reason: 'key-compromise' }] });
    expect(isSignedBy(list, parseCertificates(ca.certificatePem)[0])).toBe(true);
  });
});
