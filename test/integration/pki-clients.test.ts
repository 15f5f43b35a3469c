import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type Server } from 'node:tls';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { issueCertificate, issueSelfSigned } from '../../src/pki/issue-certificate.ts';
import { issueIntermediateCa, issuePrivateCa } from '../../src/pki/issue-private-ca.ts';
import { judgeClientCertificate } from '../../src/pki/judge-client-certificate.ts';
import { parseCertificates } from '../../src/pki/parse-certificates.ts';
import { issueRevocationList, parseRevocationList } from '../../src/pki/revocation-list.ts';
import { judgeCertificate } from '../../src/pki/verify-certificate.ts';
import { asIssuer, issueOdd } from '../helpers/odd-certificates.ts';
import { listen, tls } from '../helpers/tls-server.ts';
import { runProgram } from '../helpers/cli.ts';
import { testWithTools } from '../helpers/tools.ts';

const folder = mkdtempSync(join(tmpdir(), 'mcpd-clients-'));
const day = 86_400_000;
const names = ['localhost', '127.0.0.1'];
const root = await issuePrivateCa({ commonName: 'table root', names, pathLength: 1 });
const middle = await issueIntermediateCa({ commonName: 'table middle', names, ca: root });
const stranger = await issuePrivateCa({ commonName: 'stranger', names });
const rsaRoot = await issuePrivateCa({ commonName: 'rsa root', names, algorithm: 'rsa-2048' });
const p384Root = await issuePrivateCa({ commonName: 'p384 root', names, algorithm: 'ec-p384' });
const serverAuth = ['1.3.6.1.5.5.7.3.1'];
const odd = async (spec: Partial<Parameters<typeof issueOdd>[0]>) => {
  const issuer = asIssuer('table middle', middle);
  const made = await issueOdd({ commonName: 'localhost', issuer, names, usageOids: serverAuth, ...spec });
  return { ...made, certificatePem: made.certificatePem + middle.certificatePem };
};

interface Case {
  readonly title: string;
  readonly pair: { readonly certificatePem: string; readonly keyPem: string };
  readonly ca?: string;
  /** What every client must say. */
  readonly accepted: boolean;
  /** Clients that are known to answer otherwise, and why. */
  readonly except?: Readonly<Record<string, string>>;
  readonly judged: readonly string[];
}

const addresses = ['127.0.0.1', '::1'];
const addressRoot = await issuePrivateCa({ commonName: 'addresses only', names: addresses });
const good = await issueCertificate({ ca: middle, names, validDays: 30 });
const withoutMiddle = { ...good, certificatePem: good.certificatePem.split(/(?=-----BEGIN)/)[0] ?? '' };
const cases: readonly Case[] = [
  { title: 'EC P-256 below an intermediate', pair: good, accepted: true, judged: [] },
  {
    title: 'EC P-384 below EC P-384',
    pair: await issueCertificate({ ca: p384Root, names, validDays: 30, algorithm: 'ec-p384' }),
    ca: p384Root.certificatePem,
    accepted: true,
    judged: [],
  },
  {
    title: 'RSA 2048 below RSA 2048',
    pair: await issueCertificate({ ca: rsaRoot, names, validDays: 30, algorithm: 'rsa-2048' }),
    ca: rsaRoot.certificatePem,
    accepted: true,
    judged: [],
  },
  {
    title: 'for servers and clients',
    pair: await issueCertificate({ ca: middle, names, validDays: 30, usages: ['serverAuth', 'clientAuth'] }),
    accepted: true,
    judged: [],
  },
  { title: 'without its intermediate', pair: withoutMiddle, accepted: false, judged: ['chain-incomplete'] },
  {
    title: 'of another CA',
    pair: await issueCertificate({ ca: stranger, names, validDays: 30 }),
    accepted: false,
    judged: ['not-trusted', 'chain-incomplete'],
  },
  {
    title: 'self-signed',
    pair: await issueSelfSigned({ names, validDays: 30 }),
    accepted: false,
    judged: ['not-trusted'],
  },
  {
    title: 'for another name that the CA permits',
    pair: await issueCertificate({ ca: middle, names: ['sub.localhost'], validDays: 30 }),
    accepted: false,
    judged: ['name-mismatch'],
  },
  {
    title: 'with a name outside of the constraints beside the right one',
    pair: await odd({ names: [...names, 'evil.example'] }),
    accepted: false,
    judged: ['name-not-permitted'],
  },
  {
    title: 'with an address outside of the constraints beside the right one',
    pair: await odd({ names: [...names, '192.0.2.1'] }),
    accepted: false,
    judged: ['name-not-permitted'],
  },
  {
    title: 'with a name outside of the constraints of the root that issued it',
    pair: await issueOdd({
      commonName: 'localhost',
      issuer: asIssuer('table root', root),
      names: [...names, 'evil.example'],
      usageOids: serverAuth,
    }),
    accepted: false,
    except: { java: 'Java 17 does not read the constraints of a trusted root' },
    judged: ['name-not-permitted'],
  },
  {
    title: 'expired',
    pair: await odd({ notBefore: new Date(Date.now() - 9 * day), notAfter: new Date(Date.now() - day) }),
    accepted: false,
    judged: ['expired'],
  },
  {
    title: 'not yet valid',
    pair: await odd({ notBefore: new Date(Date.now() + day) }),
    accepted: false,
    judged: ['not-yet-valid'],
  },
  {
    title: 'for clients only',
    pair: await issueCertificate({ ca: middle, names, validDays: 30, usages: ['clientAuth'] }),
    accepted: false,
    judged: ['wrong-usage'],
  },
];

/**
 * OpenSSL holds a common name that reads like a DNS name against the constraints as one, whenever the SAN has no DNS
 * name: `127.0.0.1` as a common name would then fall under "no DNS name at all".
 */
describe('a CA made for addresses alone', () => {
  testWithTools([], 'signs for its address what Node accepts, for every address it has', async () => {
    for (const address of addresses) {
      const pair = await issueCertificate({ ca: addressRoot, names: [address], validDays: 30 });
      const server = tls({ key: pair.keyPem, cert: pair.certificatePem });
      const port = await listen(server);
      const said = await new Promise<string>((resolve) => {
        const socket = connect({
          host: '127.0.0.1',
          port,
          ca: addressRoot.certificatePem,
          checkServerIdentity: () => undefined,
        });
        socket.once('secureConnect', () => resolve(socket.authorized ? 'accepted' : 'refused'));
        socket.once('error', (error) => resolve(error.message));
        socket.once('secureConnect', () => socket.destroy());
      });
      server.close();
      expect(said, address).toBe('accepted');
      const judged = judgeCertificate({
        chainPem: pair.certificatePem,
        keyPem: pair.keyPem,
        caPem: addressRoot.certificatePem,
        name: address,
      });
      expect(judged, address).toEqual([]);
    }
  });

  testWithTools(['openssl', 'curl'], 'and what openssl and curl accept', async () => {
    const pair = await issueCertificate({ ca: addressRoot, names: ['127.0.0.1'], validDays: 30 });
    const [ca, certificate] = [file(addressRoot.certificatePem), file(pair.certificatePem)];
    const verified = await runProgram('openssl', ['verify', '-purpose', 'sslserver', '-CAfile', ca, certificate], {
      cwd: folder,
      timeoutMs: 20_000,
    });
    expect(verified.exitCode, verified.stderr).toBe(0);
    const server = tls({ key: pair.keyPem, cert: pair.certificatePem });
    // A connection that is closed with a request unread is reset, and curl would be right to complain.
    server.on('secureConnection', (socket) =>
      socket.once('data', () => socket.end('HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n')),
    );
    const port = await listen(server);
    const curled = await runProgram('curl', ['-sS', '--noproxy', '*', '--cacert', ca, `https://127.0.0.1:${port}/`], {
      cwd: folder,
      timeoutMs: 20_000,
    });
    server.close();
    expect(curled.exitCode, curled.stderr).toBe(0);
  });

  testWithTools(['openssl'], 'refuses a client whose common name OpenSSL would take for a DNS name', async () => {
    for (const commonName of ['127.0.0.1', 'a_b.c', 'Alice.Laptop']) {
      const client = { ca: addressRoot, names: [], commonName, usages: ['clientAuth'] as const, validDays: 30 };
      await expect(issueCertificate(client), commonName).rejects.toThrow(/may not sign for/);
    }
  });
});

/** A program that asks once whether it would talk to the server; its answer is its exit code. */
const java = `
import java.io.*; import java.net.*; import java.security.*; import java.security.cert.*; import javax.net.ssl.*;
public class Dial {
  public static void main(String[] a) throws Exception {
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
    for (String line; (line = in.readLine()) != null;) {
      String[] w = line.split(" ");
      KeyStore store = KeyStore.getInstance("PKCS12"); store.load(null, null);
      try (InputStream ca = new FileInputStream(w[1])) {
        store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(ca));
      }
      TrustManagerFactory t = TrustManagerFactory.getInstance("PKIX"); t.init(store);
      SSLContext c = SSLContext.getInstance("TLS"); c.init(null, t.getTrustManagers(), null);
      HttpsURLConnection h = (HttpsURLConnection) new URL("https://localhost:" + w[0] + "/").openConnection();
      h.setSSLSocketFactory(c.getSocketFactory());
      try { h.getResponseCode(); System.out.println("accepted"); }
      catch (SSLException e) { System.out.println("refused"); }
      catch (Exception e) { System.out.println("broken " + e); }
      System.out.flush();
    }
  }
}`;

let dial: ChildProcess | null = null;
const servers: Server[] = [];
const ports = new Map<Case, number>();
let files = 0;
function file(content: string): string {
  files += 1;
  const path = join(folder, `${files}.pem`);
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}
beforeAll(async () => {
  for (const each of cases) {
    const server = tls({ key: each.pair.keyPem, cert: each.pair.certificatePem });
    servers.push(server);
    ports.set(each, await listen(server));
  }
});
afterAll(() => {
  for (const server of servers) server.close();
  dial?.kill();
  rmSync(folder, { recursive: true, force: true });
});

const portOf = (each: Case): string => String(ports.get(each) ?? 0);
const caOf = (each: Case): string => each.ca ?? root.certificatePem;

function expectAnswers(client: string, answers: readonly (readonly [Case, boolean])[]): void {
  const expected = cases.map((each) => [each.title, each.accepted !== (each.except?.[client] !== undefined)]);
  expect(answers.map(([each, accepted]) => [each.title, accepted])).toEqual(expected);
}

async function ask(client: string, dialOne: (each: Case) => Promise<boolean>): Promise<void> {
  const answers: (readonly [Case, boolean])[] = [];
  for (const each of cases) answers.push([each, await dialOne(each)]);
  expectAnswers(client, answers);
}

describe('servers’ certificates', () => {
  testWithTools([], 'our own judgement says why each one is refused', () => {
    for (const each of cases) {
      const found = judgeCertificate({
        chainPem: each.pair.certificatePem,
        keyPem: each.pair.keyPem,
        caPem: caOf(each),
        name: 'localhost',
      });
      const codes = found.map(({ code }) => code);
      expect(
        codes.every((code) => each.judged.includes(code)) && codes.length > 0 === each.judged.length > 0,
        `${each.title}: ${codes.join()}`,
      ).toBe(true);
    }
  });

  testWithTools([], 'Node', async () => {
    await ask(
      'node',
      (each) =>
        new Promise((resolve) => {
          const socket = connect({
            host: '127.0.0.1',
            servername: 'localhost',
            port: Number(portOf(each)),
            ca: caOf(each),
          });
          socket.once('secureConnect', () => resolve(true));
          socket.once('error', () => resolve(false));
          socket.once('close', () => resolve(false));
          socket.setTimeout(5_000, () => socket.destroy());
          socket.once('secureConnect', () => socket.destroy());
        }),
    );
  });

  testWithTools(
    ['openssl'],
    'openssl s_client',
    async () => {
      await ask('openssl', async (each) => {
        const args = [
          's_client',
          '-connect',
          `127.0.0.1:${portOf(each)}`,
          '-servername',
          'localhost',
          '-verify_return_error',
        ];
        const run = await runProgram(
          'openssl',
          [...args, '-verify_hostname', 'localhost', '-purpose', 'sslserver', '-CAfile', file(caOf(each))],
          { cwd: folder, timeoutMs: 20_000 },
        );
        return run.exitCode === 0;
      });
    },
    60_000,
  );

  testWithTools(
    ['curl'],
    'curl',
    async () => {
      await ask('curl', async (each) => {
        const run = await runProgram(
          'curl',
          ['-sS', '--noproxy', '*', '--cacert', file(caOf(each)), `https://localhost:${portOf(each)}/`],
          { cwd: folder, timeoutMs: 20_000 },
        );
        // 60: the certificate is not trusted, or not for this name. Anything else would be a broken test.
        expect([0, 60]).toContain(run.exitCode);
        return run.exitCode === 0;
      });
    },
    60_000,
  );

  testWithTools(
    ['java'],
    'HttpsURLConnection of Java',
    async () => {
      const source = join(folder, 'Dial.java');
      writeFileSync(source, java);
      // One process for all: the start of Java is the slow part.
      const child = spawn('java', ['-Xshare:auto', '-XX:TieredStopAtLevel=1', source], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      dial = child;
      let text = '';
      child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      const ended = new Promise((resolve) => child.on('close', resolve));
      child.stdin.end(cases.map((each) => `${portOf(each)} ${file(caOf(each))}\n`).join(''));
      await ended;
      const words = text.trim().split('\n');
      expect(words.filter((word) => word !== 'accepted' && word !== 'refused')).toEqual([]);
      expectAnswers(
        'java',
        cases.map((each, index) => [each, words[index] === 'accepted']),
      );
    },
    120_000,
  );
});

describe('clients’ certificates', () => {
  testWithTools(
    ['openssl'],
    'openssl verify -crl_check and our own judgement let in the same ones',
    async () => {
      const issue = (commonName: string) =>
        issueCertificate({ ca: root, names: [], commonName, usages: ['clientAuth'], validDays: 30 });
      const [alice, bob] = [await issue('alice'), await issue('bob')];
      const serial = parseCertificates(bob.certificatePem)[0].x509.serialNumber;
      const crl = await issueRevocationList({
        ca: root,
        revoked: [{ serial, revokedAt: new Date(), reason: 'key-compromise' }],
        number: 1,
        validDays: 7,
      });
      const expired = await issueOdd({
        commonName: 'old',
        issuer: asIssuer('table root', root),
        usageOids: ['1.3.6.1.5.5.7.3.2'],
        notBefore: new Date(Date.now() - 9 * day),
        notAfter: new Date(Date.now() - day),
      });
      const rows = [
        { title: 'alice', pair: alice, accepted: true },
        { title: 'bob, revoked', pair: bob, accepted: false },
        {
          title: 'of another CA',
          pair: await issueCertificate({
            ca: stranger,
            names: [],
            commonName: 'eve',
            usages: ['clientAuth'],
            validDays: 9,
          }),
          accepted: false,
        },
        {
          title: 'for servers only',
          pair: await issueCertificate({ ca: root, names, validDays: 30 }),
          accepted: false,
        },
        { title: 'expired', pair: expired, accepted: false },
      ];
      const trust = {
        authorities: parseCertificates(root.certificatePem),
        revocationLists: [parseRevocationList(Buffer.from(crl))],
      };
      for (const { title, pair, accepted } of rows) {
        expect(judgeClientCertificate(parseCertificates(pair.certificatePem), trust, new Date()).accepted, title).toBe(
          accepted,
        );
        const args = [
          'verify',
          '-purpose',
          'sslclient',
          '-crl_check',
          '-CAfile',
          file(root.certificatePem),
          '-CRLfile',
          file(crl),
          file(pair.certificatePem),
        ];
        expect((await runProgram('openssl', args, { cwd: folder })).exitCode === 0, title).toBe(accepted);
      }
    },
    60_000,
  );
});
