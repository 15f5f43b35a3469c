import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { request, Agent } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { DeploymentInput } from '../../src/deployment/schema.ts';
import { parseCertificates } from '../../src/pki/parse-certificates.ts';
import { subjectNames } from '../../src/server/http/client-certificates.ts';
import { echoBackend } from '../helpers/fake-backend.ts';
import { spawnServe } from '../helpers/served.ts';
import { buildServerBundle } from '../helpers/server-bundle.ts';
import { firstKey, startRig, type ServerRig } from '../helpers/server-rig.ts';
import { runTool, testWithTools } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';

type Mtls = NonNullable<NonNullable<DeploymentInput['auth']>['mtls']>;

let folder: string;
let rig: ServerRig | null = null;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mcpd-mtls-'));
});
afterEach(async () => {
  await rig?.stop();
  rig = null;
  rmSync(folder, { recursive: true, force: true });
});

const list = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list' });

/** A CA as administrators have one, by openssl alone. */
function openCa() {
  const run = (text: string): void => void runTool('openssl', text.split(' '), { cwd: folder });
  const newKey = '-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes';
  for (const name of ['index.txt', 'index.txt.attr']) writeFileSync(join(folder, name), '');
  for (const name of ['serial', 'crlnumber']) writeFileSync(join(folder, name), '1000\n');
  writeFileSync(
    join(folder, 'ca.cnf'),
    `[ca]\ndefault_ca=own\n[own]\ndatabase=index.txt\nserial=serial\ncrlnumber=crlnumber\nnew_certs_dir=.\ncertificate=ca.crt
private_key=ca.key\ndefault_md=sha256\ndefault_days=5\ndefault_crl_days=5\npolicy=any\nunique_subject=no\n[any]\ncommonName=supplied\n`,
  );
  const makeRoot = (name: string): void => {
    const usages = '-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign';
    run(`req -x509 ${newKey} -subj /CN=${name} -days 9 -keyout ${name}.key -out ${name}.crt ${usages}`);
  };
  const issue = (name: string, options: string): void => {
    run(`req ${newKey} -subj /CN=${name} -keyout ${name}.key -out ${name}.csr`);
    run(`ca -batch -config ca.cnf -in ${name}.csr -out ${name}.crt -notext ${options}`);
  };
  makeRoot('ca');
  return {
    makeRoot,
    issue(name: string, extensions = 'extendedKeyUsage=clientAuth'): void {
      writeFileSync(join(folder, 'ext.cnf'), extensions);
      issue(name, '-extfile ext.cnf');
    },
    issueExpired: (name: string): void => issue(name, '-startdate 20200101000000Z -enddate 20200102000000Z'),
    revoke: (name: string): void => run(`ca -config ca.cnf -revoke ${name}.crt`),
    writeList(): void {
      run('ca -config ca.cnf -gencrl -out new.crl');
      renameSync(join(folder, 'new.crl'), join(folder, 'ca.crl'));
    },
  };
}

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly reused: boolean;
}

/** One request with the certificate of this name. */
function call(name: string | null, headers: Record<string, string> = {}, agent?: Agent, body = list): Promise<Answer> {
  const { url, ca } = rig as ServerRig;
  const shown =
    name === null
      ? {}
      : { cert: readFileSync(join(folder, `${name}.crt`)), key: readFileSync(join(folder, `${name}.key`)) };
  return new Promise((done, fail) => {
    const asked = request(
      url,
      {
        method: 'POST',
        ca,
        agent: agent ?? new Agent({ keepAlive: false }),
        headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...headers },
        ...shown,
      },
      (response) => {
        let text = '';
        response.on('data', (chunk: Buffer) => (text += chunk.toString()));
        response.on('end', () => done({ status: response.statusCode ?? 0, body: text, reused: asked.reusedSocket }));
      },
    );
    asked.on('error', fail);
    asked.end(body);
  });
}

const start = async (mtls: Partial<Mtls>, audit?: string): Promise<void> => {
  rig = await startRig({
    tls: true,
    backends: [echoBackend()],
    auth: { mtls: { ca: join(folder, 'ca.crt'), ...mtls } },
    ...(audit === undefined ? {} : { audit }),
  });
};
const bearer = { authorization: `Bearer ${firstKey}` };

describe('a mapped certificate', () => {
  testWithTools(
    ['openssl'],
    'lets its holder in without a key, by CN, DNS or URI, with its label in the audit',
    async () => {
      const ca = openCa();
      ca.issue('robot');
      ca.issue('named', 'subjectAltName=DNS:worker-7.example.com,URI:spiffe://example.com/worker/7');
      ca.issue('stranger');
      const audit = join(folder, 'audit.jsonl');
      await start(
        {
          subjects: [
            { match: 'CN=robot', label: 'the robot', tools: ['a*'] },
            { match: 'URI:spiffe://example.com/*' },
            { match: 'DNS:*.example.com' },
          ],
        },
        audit,
      );
      const run = { jsonrpc: '2.0', id: 2, method: 'tools/call', params: { name: 'a', arguments: {} } };
      expect((await call('robot', {}, undefined, JSON.stringify(run))).status).toBe(200);
      expect((await call('named')).status).toBe(200);
      const refused = await call('stranger');
      expect(refused.status).toBe(401);
      const lines = (): string => readFileSync(audit, 'utf8');
      await waitUntil(() => lines().includes('"key":"the robot"'), 5_000, 'the audit line');
      expect((await call('stranger', bearer)).status).toBe(200);
      expect((await call(null)).status).toBe(401);
      expect((await call(null, bearer)).status).toBe(200);
      expect((await call('robot', { authorization: 'Bearer wrong-key-0123456789' })).status).toBe(401);
    },
  );
});

describe('a certificate that is not good', () => {
  testWithTools(['openssl'], 'is refused with the reason: another CA, expired, for servers only', async () => {
    const ca = openCa();
    ca.makeRoot('evil');
    ca.issue('server', 'extendedKeyUsage=serverAuth');
    ca.issueExpired('old');
    await start({ subjects: [{ match: 'CN=*' }] });
    for (const [name, says] of [
      ['evil', /refused: .+/],
      ['old', /refused: .*expired on 2020/],
      ['server', /refused: it is for .* only/],
    ] as const) {
      const answer = await call(name);
      expect(answer.status, name).toBe(403);
      expect(JSON.parse(answer.body), name).toMatchObject({ error_description: expect.stringMatching(says) as string });
      // Where certificates are not required a key is enough.
      expect((await call(name, bearer)).status, name).toBe(200);
    }
  });

  testWithTools(
    ['openssl'],
    'and none at all, is refused where certificates are required, whatever key comes with it',
    async () => {
      const ca = openCa();
      ca.makeRoot('evil');
      ca.issue('robot');
      await start({ required: true });
      for (const name of [null, 'evil']) {
        const answer = await call(name, bearer);
        expect(answer.status).toBe(403);
        expect(answer.body).toMatch(name === null ? /certificate is needed/ : /certificate is refused/);
      }
      expect((await call('robot', bearer)).status).toBe(200);
      expect((await call('robot')).status).toBe(401);
    },
  );
});

testWithTools(
  ['openssl'],
  'a revoked certificate is refused within seconds, also on an open connection and by resumption',
  async () => {
    const ca = openCa();
    ca.issue('robot');
    ca.issue('other');
    ca.writeList();
    await start({ crl: join(folder, 'ca.crl'), subjects: [{ match: 'CN=*' }] });
    const agents = { robot: new Agent({ keepAlive: true }), other: new Agent({ keepAlive: true }) };
    for (const name of ['robot', 'other'] as const) {
      expect((await call(name, {}, agents[name])).status).toBe(200);
      expect(await call(name, {}, agents[name])).toMatchObject({ status: 200, reused: true });
    }
    ca.revoke('robot');
    ca.writeList();
    const cut = (): boolean => (rig as ServerRig).log.some((line) => line.includes('"connectionsCut":1'));
    await waitUntil(cut, 10_000, 'the reading of the list');
    // Until it has seen the end of the connection, the client would call on it.
    await waitUntil(() => Object.keys(agents.robot.freeSockets).length === 0, 10_000, 'the end of the connection');
    const refused = await call('robot', {}, agents.robot);
    expect(refused.status).toBe(403);
    expect(refused.body).toMatch(/revoked/);
    expect(await call('other', {}, agents.other)).toMatchObject({ status: 200, reused: true });

    // A list that cannot be read leaves the one before in force.
    writeFileSync(join(folder, 'ca.crl'), '-----BEGIN X509 CRL-----\nbroken');
    await waitUntil(
      () => (rig as ServerRig).log.join().includes('client-certificates.refused'),
      10_000,
      'the complaint',
    );
    expect((await call('robot')).status).toBe(403);
    expect((await call('other')).status).toBe(200);
    for (const agent of Object.values(agents)) agent.destroy();
  },
  60_000,
);

testWithTools(['openssl'], 'a name that looks like two names stays one', () => {
  const ca = openCa();
  ca.issue('odd', 'subjectAltName=@names\n[names]\nURI.1=http://a/, DNS:admin.example.com');
  const [certificate] = parseCertificates(runTool('cat', [join(folder, 'odd.crt')]));
  expect(subjectNames(certificate)).toEqual(['CN=odd', 'URI:http://a/, DNS:admin.example.com']);
});

test('several workers are refused: what one passes on to another comes without the certificate', async () => {
  const bundle = await buildServerBundle(folder);
  const file = {
    version: 1,
    server: { listen: '127.0.0.1:0' },
    tls: { source: 'off' },
    auth: { mtls: { ca: 'ca.pem' } },
  };
  writeFileSync(join(folder, 'mcp-deploy.yaml'), JSON.stringify(file));
  const served = spawnServe(bundle, folder, ['--config', 'mcp-deploy.yaml', '--workers', '2', '--check'], {
    MCP_API_KEY: 'workers-5b8e2f1c9a7d4e60b1c3',
  });
  expect([await served.exit, served.output.stderr]).toEqual([2, expect.stringContaining('auth.mtls')]);
});
