import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { runDoctor, type OwnFacts } from '../../src/doctor/run-doctor.ts';
import type { DoctorReport } from '../../src/doctor/types.ts';
import { issueCertificate } from '../../src/pki/issue-certificate.ts';
import { issuePrivateCa } from '../../src/pki/issue-private-ca.ts';
import { createLog } from '../../src/server/observe/log.ts';
import { createKeyIn } from '../../src/server/policy/key-store.ts';
import { startServer, type RunningServer } from '../../src/server/running-server.ts';
import { runProgram } from '../helpers/run-program.ts';
import { deploymentSchema, type DeploymentInput } from '../../src/deployment/schema.ts';

/** The bundled server as `apply` leaves it: private CA, certificate, key store and first key in a state folder. */
interface Deployed {
  readonly url: string;
  readonly caPem: string;
  readonly key: string;
  readonly own: OwnFacts;
  readonly server: RunningServer;
}

let folder: string;
let running: RunningServer | null = null;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mcpd-doctor-'));
});

afterEach(async () => {
  await running?.stopNow();
  running = null;
  await rm(folder, { recursive: true, force: true });
});

const names = ['localhost', '127.0.0.1'];

async function deploy(
  change: { limits?: DeploymentInput['limits']; createdAt?: string; upstream?: string[] } = {},
): Promise<Deployed> {
  const ca = await issuePrivateCa({ commonName: 'mcp-deploy test CA', names, addressesConstrained: false });
  const leaf = await issueCertificate({
    ca,
    names,
    validDays: 397,
  });
  const { storeText, key } = createKeyIn(null, { label: 'default', now: change.createdAt ?? new Date().toISOString() });
  const own: OwnFacts = {
    stateDir: folder,
    caFile: await put('ca.crt', ca.certificatePem, 0o644),
    caKeyFile: await put('ca.key', ca.keyPem, 0o400),
    certificateFile: await put('server.crt', leaf.certificatePem, 0o644),
    keyFile: await put('server.key', leaf.keyPem, 0o600),
    keyStoreFile: await put('keys.json', storeText, 0o600),
    apiKeyFile: await put('default.key', `${key}\n`, 0o600),
    logFile: null,
    serverRunning: true,
    keysRequired: true,
    machine: {
      deploymentFile: join(folder, 'mcp-deploy.yaml'),
      pid: process.pid,
      env: { HOME: folder },
      run: runProgram,
    },
  };
  const [command, ...args] = change.upstream ?? [];
  const deployment = deploymentSchema.parse({
    version: 1,
    server: { listen: '127.0.0.1:0', ...(command === undefined ? {} : { upstreams: { only: { command, args } } }) },
    tls: { source: 'files', certificate: own.certificateFile, key: own.keyFile },
    limits: change.limits,
  });
  const config = { deployment, baseDir: folder, keyStoreFile: own.keyStoreFile };
  await put('server.json', JSON.stringify(config), 0o600);
  running = await startServer(config, {
    version: '0.0.0',
    env: process.env,
    extraKeys: [],
    log: createLog({ level: 'error', write: () => {} }),
  });
  const url = (running.urls[0] ?? '').replace('127.0.0.1', 'localhost');
  return { url, caPem: ca.certificatePem, key, own, server: running };
}

async function put(name: string, text: string, mode: number): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text, { mode });
  return path;
}

function diagnose(deployed: Deployed, own: Partial<OwnFacts> = {}): Promise<DoctorReport> {
  return runDoctor({
    url: deployed.url,
    caPem: deployed.caPem,
    key: deployed.key,
    own: { ...deployed.own, ...own },
    limits: false,
    signal: new AbortController().signal,
    onProgress: () => {},
  });
}

test('nothing is found on the bundled server, and everything is judged that applies', async () => {
  // One call comes back every two seconds: that is short enough for the doctor to wait for it.
  const report = await diagnose(await deploy({ limits: { perKey: { requests: 100, windowSeconds: 200 } } }));
  expect(report.findings).toEqual([]);
  expect(report.notChecked.filter(({ kind }) => kind !== 'not-applicable')).toEqual([]);
  expect(report.notChecked.map(({ code }) => code)).toEqual([
    'tcp/every-address',
    'tls/alpn-kept',
    'health/metrics-private',
    'stream/idle',
    'cors/single-origin',
    'cors/preflight',
    'cors/methods',
    'cors/exposed',
    'http/host-refused',
    'proxy/same-server',
    'proxy/read-timeout',
    'proxy/http-version',
    'proxy/limit-status',
    'proxy/lost-headers',
    'limits/other-key',
    'host/service-steady',
    'host/service-enabled',
    'host/firewall',
    'host/audit-written',
    'host/drift',
    'host/backup-age',
    'host/backup-file',
    'host/renewal-timer',
    'host/backup-timer',
  ]);
  expect(report).toMatchObject({ ok: true, rootCause: null });
});

test('a second look right after the first, with the limit used up, finds nothing either', async () => {
  const deployed = await deploy();
  await diagnose(deployed);
  expect(await diagnose(deployed)).toMatchObject({ ok: true, findings: [] });
});

test('a limit that is far above what is sent is no finding', async () => {
  const report = await diagnose(await deploy({ limits: { perKey: { requests: 100_000 } } }));
  expect(report).toMatchObject({ ok: true, findings: [] });
  expect(report.notChecked).toContainEqual(expect.objectContaining({ code: 'limits/answers-429', kind: 'unknown' }));
});

test('a limit that its owner has switched off is no finding', async () => {
  const report = await diagnose(await deploy({ limits: { perKey: 'off' } }));
  expect(report).toMatchObject({ ok: true, findings: [] });
});

test('keys that others may read are named with the command that closes them', async () => {
  const deployed = await deploy();
  await chmod(join(folder, 'server.key'), 0o644);
  const report = await diagnose(deployed);
  expect(report.findings).toMatchObject([
    { code: 'host/file-modes', hop: 'host', fix: { commands: [`chmod 600 ${join(folder, 'server.key')}`] } },
  ]);
});

test('a renewed certificate that was not loaded is told from the one that is served', async () => {
  const deployed = await deploy();
  const ca = await issuePrivateCa({ commonName: 'x', names });
  const renewed = await issueCertificate({
    ca,
    names,
    validDays: 397,
  });
  await put('server.crt', renewed.certificatePem, 0o644);
  await put('server.key', renewed.keyPem, 0o600);
  const report = await diagnose(deployed);
  expect(report.findings).toMatchObject([{ code: 'tls/served-matches-file', hop: 'tls' }]);
});

test('a key of another certificate is named before what follows from it', async () => {
  const deployed = await deploy();
  const other = await issuePrivateCa({ commonName: 'x', names });
  await put('server.key', other.keyPem, 0o600);
  await deployed.server.stopNow();
  running = null;
  const report = await diagnose(deployed, { serverRunning: false });
  expect(report).toMatchObject({ rootCause: 'tls/key-matches', findings: [{ hop: 'host' }] });
  expect(report.notChecked).toContainEqual({
    code: 'host/server-running',
    kind: 'follows',
    reason: 'follows from tls/key-matches',
  });
});

test('a stopped server is named as such, not as a closed port', async () => {
  const deployed = await deploy();
  await deployed.server.stopNow();
  running = null;
  const report = await diagnose(deployed, { serverRunning: false });
  expect(report).toMatchObject({
    rootCause: 'host/server-running',
    findings: [{ fix: { commands: ['mcp-deploy logs', 'mcp-deploy start'] } }],
  });
});

test('another program on the port of a stopped server is said', async () => {
  const report = await diagnose(await deploy(), { serverRunning: false });
  expect(report.findings[0]).toMatchObject({
    code: 'host/server-running',
    cause: expect.stringContaining('another program listens'),
  });
});

test('a key of half a year is a warning', async () => {
  const createdAt = new Date(Date.now() - 180 * 86_400_000).toISOString();
  const report = await diagnose(await deploy({ createdAt }));
  expect(report).toMatchObject({
    ok: true,
    findings: [{ code: 'host/key-age', fix: { commands: ['mcp-deploy keys rotate default'] } }],
  });
});

test('an upstream that cannot start is named with its reason', async () => {
  const report = await diagnose(await deploy({ upstream: [process.execPath, '-e', 'process.exit(3)'] }));
  expect(report.findings[0], JSON.stringify(report.findings, null, 1)).toMatchObject({
    code: 'health/ready',
    hop: 'server',
    cause: expect.stringContaining('upstream "only"'),
  });
  expect(report.findings).toHaveLength(1);
});
