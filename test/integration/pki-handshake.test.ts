import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkServerIdentity, connect, createServer, type Server, type TlsOptions } from 'node:tls';
import { isIP, type AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { issueCertificate, issueSelfSigned } from '../../src/pki/issue-certificate.ts';
import { issuePrivateCa } from '../../src/pki/issue-private-ca.ts';
import { oids } from '../../src/pki/oids.ts';
import { judgeCertificate } from '../../src/pki/verify-certificate.ts';
import { asIssuer, issueOdd } from '../helpers/odd-certificates.ts';
import { findProgram, runTool, testWithTools } from '../helpers/tools.ts';

const names = ['localhost', '127.0.0.1', '::1', 'box.example', '*.wild.example', 'bücher.example'];
const longName = `${'a'.repeat(60)}.${'b'.repeat(60)}.long.example`;
const inDays = (days: number): Date => new Date(Date.now() + days * 86_400_000);
const folder = mkdtempSync(join(tmpdir(), 'mcpd-pki-'));
const servers: Server[] = [];

interface Served {
  readonly certificatePem: string;
  readonly keyPem: string;
}

const ca = await issuePrivateCa({ commonName: 'handshake CA', names: [...names, longName] });
const good = await issueCertificate({ ca, names, validDays: 397 });
const both = await issueCertificate({ ca, names, validDays: 30, usages: ['serverAuth', 'clientAuth'] });
const clientOnly = await issueCertificate({ ca, names, validDays: 30, usages: ['clientAuth'] });
const long = await issueCertificate({ ca, names: [longName, 'localhost'], validDays: 30 });
const sameNameCa = await issuePrivateCa({ commonName: 'handshake CA', names });
const issuer = asIssuer('handshake CA', ca);
const outside = await issueOdd({ commonName: 'x', names: ['localhost', 'outside.example'], issuer });
const dnsOnlyCa = await issuePrivateCa({ commonName: 'DNS only', names: ['localhost'] });
const outsideIp = await issueOdd({
  commonName: 'x',
  names: ['localhost', '127.0.0.1'],
  issuer: asIssuer('DNS only', dnsOnlyCa),
});
const expired = await issueOdd({ commonName: 'x', names, issuer, notBefore: inDays(-9), notAfter: inDays(-1) });
const early = await issueOdd({ commonName: 'x', names, issuer, notBefore: inDays(1), notAfter: inDays(9) });
const clientOdd = await issueOdd({ commonName: 'x', names, issuer, usageOids: [oids.clientAuth] });
const own = await issueSelfSigned({ names, validDays: 397 });
const rsaCa = await issuePrivateCa({ commonName: 'RSA CA', names, algorithm: 'rsa-2048' });
const rsaLeaf = await issueCertificate({ ca: rsaCa, names, validDays: 30, algorithm: 'rsa-2048' });
const p384Ca = await issuePrivateCa({ commonName: 'P-384 CA', names, algorithm: 'ec-p384' });
const p384Leaf = await issueCertificate({ ca: p384Ca, names, validDays: 30, algorithm: 'ec-p384' });
const root = await issueOdd({ commonName: 'root', ca: true });
const middle = await issueOdd({ commonName: 'middle', ca: true, pathLength: 0, issuer: root });
const viaMiddle = await issueCertificate({ ca: middle, names: ['localhost'], validDays: 30 });
const gap = {
  certificatePem: viaMiddle.certificatePem.split(/(?<=-----END CERTIFICATE-----\n)/)[0] ?? '',
  keyPem: viaMiddle.keyPem,
};

/** Title, what the server shows, the CA that the client is given, the name it dials, whether it must be accepted. */
const cases: readonly (readonly [string, Served, string, string, boolean])[] = [
  ['the right name', good, ca.certificatePem, 'localhost', true],
  ['another right name', good, ca.certificatePem, 'box.example', true],
  ['the right IPv4 address', good, ca.certificatePem, '127.0.0.1', true],
  ['the right IPv6 address', good, ca.certificatePem, '::1', true],
  ['a name under a wildcard', good, ca.certificatePem, 'mcp.wild.example', true],
  ['an internationalised name', good, ca.certificatePem, 'xn--bcher-kva.example', true],
  ['a name too long for a common name', long, ca.certificatePem, longName, true],
  ['usages for both sides', both, ca.certificatePem, 'localhost', true],
  ['RSA 2048 under RSA 2048', rsaLeaf, rsaCa.certificatePem, 'localhost', true],
  ['P-384 under P-384', p384Leaf, p384Ca.certificatePem, 'localhost', true],
  ['a chain with an intermediate', viaMiddle, root.certificatePem, 'localhost', true],
  ['self-signed and known', own, own.certificatePem, 'localhost', true],
  ['self-signed, known, an address', own, own.certificatePem, '127.0.0.1', true],
  ['a wrong name', good, ca.certificatePem, 'other.example', false],
  ['a name below one that is no wildcard', good, ca.certificatePem, 'sub.box.example', false],
  ['a wrong IPv4 address', good, ca.certificatePem, '127.0.0.2', false],
  ['a wrong IPv6 address', good, ca.certificatePem, '::2', false],
  ['two labels under a wildcard', good, ca.certificatePem, 'a.b.wild.example', false],
  ['the bare domain of a wildcard', good, ca.certificatePem, 'wild.example', false],
  ['a certificate that expired yesterday', expired, ca.certificatePem, 'localhost', false],
  ['a certificate valid from tomorrow', early, ca.certificatePem, 'localhost', false],
  ['a name outside of the CA’s constraints beside the right one', outside, ca.certificatePem, 'localhost', false],
  ['that name itself', outside, ca.certificatePem, 'outside.example', false],
  ['an address from a CA for DNS names', outsideIp, dnsOnlyCa.certificatePem, '127.0.0.1', false],
  ['a certificate for clients only', clientOdd, ca.certificatePem, 'localhost', false],
  ['a certificate for clients only, issued by us', clientOnly, ca.certificatePem, 'localhost', false],
  ['a client without this CA', good, rsaCa.certificatePem, 'localhost', false],
  ['a client with an older CA of the same name', good, sameNameCa.certificatePem, 'localhost', false],
  ['self-signed and unknown', own, ca.certificatePem, 'localhost', false],
  ['a missing intermediate', gap, root.certificatePem, 'localhost', false],
];

const ports: number[] = [];
beforeAll(async () => {
  for (const [, served] of cases) ports.push(await listen({ cert: served.certificatePem, key: served.keyPem }));
});
afterAll(() => {
  for (const server of servers) server.close();
  rmSync(folder, { recursive: true, force: true });
});

describe.each(cases.map((one, index) => [...one, index] as const))(
  '%s',
  (title, served, caPem, name, accepted, index) => {
    const verdict = accepted ? 'accepted' : 'refused';
    const caFile = join(folder, `ca-${index}.pem`);
    writeFileSync(caFile, caPem);

    test(`is ${verdict} by Node`, async () => {
      expect(await nodeAccepts(ports[index] ?? 0, name, caPem)).toBe(accepted);
    });

    test(`is ${verdict} by our own judgement`, () => {
      const problems = judgeCertificate({ chainPem: served.certificatePem, keyPem: served.keyPem, caPem, name });
      expect(problems.length === 0, JSON.stringify(problems)).toBe(accepted);
    });

    testWithTools(['curl'], `${title}: is ${verdict} by curl`, async () => {
      const host = isIP(name) === 6 ? `[${name}]` : name;
      const port = String(ports[index]);
      const result = await run('curl', [
        '-sS',
        '--noproxy',
        '*',
        '--max-time',
        '20',
        '--cacert',
        caFile,
        '--connect-to',
        `${host}:${port}:127.0.0.1:${port}`,
        `https://${host}:${port}/`,
      ]);
      // 60: the certificate was refused; anything else would be a failure of the test itself
      expect([result.code, result.stderr]).toEqual(accepted ? [0, ''] : [60, expect.stringContaining('SSL')]);
    });

    testWithTools(['openssl'], `${title}: is ${verdict} by openssl`, async () => {
      const result = await run('openssl', [
        's_client',
        '-connect',
        `127.0.0.1:${ports[index]}`,
        '-CAfile',
        caFile,
        '-verify_return_error',
        isIP(name) === 0 ? '-verify_hostname' : '-verify_ip',
        name,
      ]);
      expect(result.code === 0, result.stderr).toBe(accepted);
      expect(result.stdout.includes('Verify return code: 0 (ok)') || result.stdout.includes('Verification: OK')).toBe(
        accepted,
      );
    });
  },
);

describe('a server that asks for client certificates', () => {
  const options: TlsOptions = {
    cert: good.certificatePem,
    key: good.keyPem,
    ca: ca.certificatePem,
    requestCert: true,
    rejectUnauthorized: true,
  };
  test.each<[string, Served | null, boolean]>([
    ['with clientAuth is let in', clientOnly, true],
    ['with both usages is let in', both, true],
    ['for servers only is kept out', good, false],
    ['of another CA is kept out', rsaLeaf, false],
    ['is missing: kept out', null, false],
  ])('a client whose certificate %s', async (_, client, accepted) => {
    const port = await listen(options);
    expect(await nodeAccepts(port, 'localhost', ca.certificatePem, client)).toBe(accepted);
  });
});

testWithTools(
  ['java', 'keytool'],
  'Java accepts and refuses the same certificates, name constraints of a root apart',
  async () => {
    const source = join(folder, 'Dial.java');
    writeFileSync(source, dialJava);
    const stores = new Map<string, string>();
    for (const [, , caPem] of cases) {
      if (stores.has(caPem)) continue;
      const certificate = join(folder, `java-${stores.size}.pem`);
      const store = join(folder, `java-${stores.size}.p12`);
      writeFileSync(certificate, caPem);
      runTool('keytool', [
        '-importcert',
        '-noprompt',
        '-alias',
        'ca',
        '-file',
        certificate,
        '-keystore',
        store,
        '-storetype',
        'PKCS12',
        '-storepass',
        'changeit',
      ]);
      stores.set(caPem, store);
    }
    const rows = cases
      .map(([title, , caPem, name, accepted], index) => ({
        title,
        accepted,
        args: [String(ports[index]), name, stores.get(caPem) ?? ''],
      }))
      // Java 17 takes a root for its name and key alone and accepts these three.
      .filter((row) => !/constraints|that name itself|CA for DNS names/.test(row.title));
    const result = await run('java', ['-Xshare:auto', source, ...rows.flatMap((row) => row.args)]);
    const lines = result.stdout.trim().split('\n');
    expect(rows.map((row, index) => [row.title, lines[index]])).toEqual(
      rows.map((row) => [row.title, row.accepted ? 'accepted' : 'refused']),
    );
  },
  240_000,
);

async function listen(options: TlsOptions): Promise<number> {
  const server = createServer(options, (socket) => {
    socket.on('error', () => socket.destroy());
    socket.once('data', () => socket.end('HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n'));
  });
  server.on('tlsClientError', () => {});
  servers.push(server);
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return (server.address() as AddressInfo).port;
}

/** One request: in TLS 1.3 a refused client certificate shows only after the handshake. */
function nodeAccepts(port: number, name: string, caPem: string, client: Served | null = null): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({
      host: '127.0.0.1',
      port,
      ca: caPem,
      ...(client === null ? {} : { cert: client.certificatePem, key: client.keyPem }),
      ...(isIP(name) === 0 ? { servername: name } : {}),
      checkServerIdentity: (_, certificate) => checkServerIdentity(name, certificate),
    });
    let answer = '';
    socket.on('secureConnect', () => socket.write('GET / HTTP/1.1\r\n\r\n'));
    socket.on('data', (chunk) => (answer += chunk.toString()));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => resolve(answer.startsWith('HTTP/1.1 204')));
  });
}

interface ProgramResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Not the synchronous runTool: the server answers in this very process. */
function run(program: string, args: readonly string[]): Promise<ProgramResult> {
  return new Promise((resolve) => {
    const child = execFile(findProgram(program) ?? program, args, { encoding: 'utf8' }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? -1), stdout, stderr });
    });
    child.stdin?.end('GET / HTTP/1.1\r\n\r\n');
  });
}

const dialJava = `
import java.io.FileInputStream;
import java.net.Socket;
import java.security.KeyStore;
import javax.net.ssl.*;

public class Dial {
  public static void main(String[] args) throws Exception {
    for (int at = 0; at < args.length; at += 3) System.out.println(dial(args[at], args[at + 1], args[at + 2]));
  }

  static String dial(String port, String name, String storeFile) throws Exception {
    KeyStore store = KeyStore.getInstance("PKCS12");
    try (FileInputStream in = new FileInputStream(storeFile)) { store.load(in, "changeit".toCharArray()); }
    TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
    trust.init(store);
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(null, trust.getTrustManagers(), null);
    Socket plain = new Socket("127.0.0.1", Integer.parseInt(port));
    try (SSLSocket socket = (SSLSocket) context.getSocketFactory().createSocket(plain, name, Integer.parseInt(port), true)) {
      SSLParameters parameters = socket.getSSLParameters();
      parameters.setEndpointIdentificationAlgorithm("HTTPS");
      socket.setSSLParameters(parameters);
      socket.startHandshake();
      return "accepted";
    } catch (SSLException refused) {
      return "refused";
    }
  }
}
`;
