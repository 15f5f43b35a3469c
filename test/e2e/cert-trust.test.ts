import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, readdir, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { planTrustStores, trustName } from '../../src/pki/trust-stores.ts';
import { binFile, documentOf, runBin, runProgram } from '../helpers/cli.ts';
import { listen, tls } from '../helpers/tls-server.ts';
import { runTool, testWithTools } from '../helpers/tools.ts';

let folder = '';
let fingerprint = '';
beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'mcp-deploy-trust-')));
  const made = await runBin(['cert', 'ca', 'localhost', '127.0.0.1', '--out', 'ca', '--json'], { cwd: folder });
  fingerprint = documentOf<{ certificate: { fingerprint256: string } }>(made).certificate.fingerprint256;
  await runBin(['cert', 'issue', 'localhost', '127.0.0.1', '--ca', 'ca', '--out', 'tls'], { cwd: folder });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const facts = { platform: 'linux', nssDatabases: [], javaKeystore: null, root: '' } as const;
test.each([
  ['/usr/local/share/ca-certificates', 'update-ca-certificates', 'system:debian', ['update-ca-certificates']],
  ['/etc/pki/ca-trust/source/anchors', 'update-ca-trust', 'system:rhel', ['update-ca-trust', 'extract']],
  ['/etc/pki/trust/anchors', 'update-ca-certificates', 'system:suse', ['update-ca-certificates']],
  ['/etc/ca-certificates/trust-source/anchors', 'trust', 'system:arch', ['trust', 'extract-compat']],
])('the store in %s is served by %s', (path, program, id, argv) => {
  const [store] = planTrustStores({ ...facts, folders: new Set([path]), programs: new Set([program]) }, '/ca.crt', 'x');
  expect(store).toMatchObject({ id, install: [{ argv }], needsRoot: true });
  expect(store?.anchorFile).toMatch(new RegExp(`^${path}/x\\.(?:crt|pem)$`));
});

test('macOS and Windows are served by their own programs, and said to be untested', () => {
  const none = { ...facts, folders: new Set<string>(), programs: new Set<string>() };
  const [mac] = planTrustStores({ ...none, platform: 'darwin' }, '/ca.crt', 'x');
  expect(mac?.install[0]?.argv.slice(0, 2)).toEqual(['security', 'add-trusted-cert']);
  const [windows] = planTrustStores({ ...none, platform: 'win32' }, 'C:\\ca.crt', 'x');
  expect(windows?.install[0]?.argv).toEqual(['certutil.exe', '-user', '-addstore', 'Root', 'C:\\ca.crt']);
  expect([mac?.untested, windows?.untested]).toEqual([true, true]);
});

test('below --root the file alone is written and removed, and a changed one stays', async () => {
  const anchors = join(folder, 'image/usr/local/share/ca-certificates');
  await mkdir(anchors, { recursive: true });
  await writeFile(join(anchors, 'theirs.crt'), 'theirs');
  const given = ['ca/ca.crt', '--root', 'image', '--only', 'system', '--yes', '--json'];
  const own = join(anchors, `${trustName(fingerprint)}.crt`);
  expect(documentOf(await runBin(['cert', 'trust', ...given], { cwd: folder }))).toMatchObject({ changed: true });
  expect(await readFile(own, 'utf8')).toBe(await readFile(join(folder, 'ca/ca.crt'), 'utf8'));
  expect(documentOf(await runBin(['cert', 'trust', ...given], { cwd: folder }))).toMatchObject({ changed: false });
  expect(documentOf(await runBin(['cert', 'untrust', ...given], { cwd: folder }))).toMatchObject({ changed: true });
  expect(await readdir(anchors)).toEqual(['theirs.crt']);
  await runBin(['cert', 'trust', ...given], { cwd: folder });
  await writeFile(own, await readFile(join(folder, 'tls/server.crt')));
  const kept = await runBin(['cert', 'untrust', ...given], { cwd: folder });
  expect(kept.stderr).toContain('another certificate');
  expect(await readdir(anchors)).toHaveLength(2);
  expect(documentOf(await runBin(['cert', 'untrust', ...given], { cwd: folder }))).toMatchObject({ changed: false });
});

test('without --yes and a terminal nothing is installed', async () => {
  await mkdir(join(folder, 'image2/usr/local/share/ca-certificates'), { recursive: true });
  const refused = await runBin(['cert', 'trust', 'ca/ca.crt', '--root', 'image2'], { cwd: folder });
  expect(refused.exitCode).toBe(2);
  expect(refused.stderr).toContain('--yes');
  const plan = await runBin(['cert', 'trust', 'ca/ca.crt', '--root', 'image2', '--dry-run'], { cwd: folder });
  expect(plan.exitCode).toBe(0);
  expect(plan.stderr).toContain('/usr/local/share/ca-certificates/mcp-deploy-');
  expect(plan.stdout).toMatch(/Codex CLI +.*CODEX_CA_CERTIFICATE/);
  expect(await readdir(join(folder, 'image2/usr/local/share/ca-certificates'))).toEqual([]);
});

testWithTools(
  ['certutil', 'keytool'],
  'NSS and Java get the CA and lose it again, and nothing else',
  async () => {
    const database = join(folder, 'nssdb');
    await mkdir(database);
    runTool('certutil', ['-d', `sql:${database}`, '-N', '--empty-password']);
    const keystore = join(folder, 'cacerts');
    runTool('keytool', [
      '-genkeypair',
      '-alias',
      'theirs',
      '-keyalg',
      'EC',
      '-dname',
      'CN=theirs',
      '-storepass',
      'changeit',
      '-keystore',
      keystore,
    ]);
    await mkdir(join(folder, 'image3'));
    const given = [
      'ca/ca.crt',
      '--root',
      'image3',
      '--nss',
      database,
      '--java',
      keystore,
      '--only',
      'nss,java',
      '--yes',
      '--json',
    ];
    const name = trustName(fingerprint);
    const aliases = (): string => runTool('keytool', ['-list', '-storepass', 'changeit', '-keystore', keystore]);
    expect(documentOf(await runBin(['cert', 'trust', ...given], { cwd: folder }))).toMatchObject({ changed: true });
    expect(runTool('certutil', ['-d', `sql:${database}`, '-L'])).toMatch(new RegExp(`${name} +C,,`));
    expect(aliases()).toContain(name);
    expect(documentOf(await runBin(['cert', 'untrust', ...given], { cwd: folder }))).toMatchObject({ changed: true });
    expect(runTool('certutil', ['-d', `sql:${database}`, '-L'])).not.toContain(name);
    expect(aliases()).not.toContain(name);
    expect(aliases()).toContain('theirs');
  },
  150_000,
);

/** A script that runs where the trust store and our record of it are copies that vanish with it. */
function inPrivate(script: string): string {
  return `
    set -e
    mount --make-rprivate /
    copy=$1/copy; mkdir -p $copy/certs $copy/anchors; cp -a /etc/ssl/certs/. $copy/certs/
    mount --bind $copy/certs /etc/ssl/certs
    mount --bind $copy/anchors /usr/local/share/ca-certificates
    mount -t tmpfs none /var/lib
    ${script}`;
}

const canMount = process.getuid?.() === 0 && spawnSync('unshare', ['--mount', 'true']).status === 0;
test.skipIf(!canMount)(
  'on a real Debian, curl accepts the server while the CA is trusted, and not before or after',
  async () => {
    const anchors = await readdir('/usr/local/share/ca-certificates');
    const bundle = await readFile('/etc/ssl/certs/ca-certificates.crt', 'utf8');
    const server = tls({
      key: await readFile(join(folder, 'tls/server.key')),
      cert: await readFile(join(folder, 'tls/server.crt')),
    });
    const port = await listen(server);
    const node = process.execPath;
    const script = `
    curl() { command curl -s -o /dev/null https://localhost:${port}/ && echo accepted || echo refused; }
    cd ${folder}; curl
    ${node} ${binFile} cert trust ca/ca.crt --only system --yes --quiet >/dev/null; curl
    ${node} ${binFile} cert untrust ca/ca.crt --only system --yes --quiet >/dev/null; curl
    ls /usr/local/share/ca-certificates /var/lib/mcp-deploy`;
    try {
      const args = ['--mount', 'sh', '-c', inPrivate(script), 'sh', folder];
      const run = await runProgram('unshare', args, { cwd: folder, timeoutMs: 120_000 });
      expect(run.exitCode, run.stderr).toBe(0);
      expect(run.stdout.split('\n').slice(0, 3)).toEqual(['refused', 'accepted', 'refused']);
      expect(run.stdout).not.toContain('.crt');
    } finally {
      server.close();
    }
    // The machine itself is as it was.
    expect(await readdir('/usr/local/share/ca-certificates')).toEqual(anchors);
    expect(await readFile('/etc/ssl/certs/ca-certificates.crt', 'utf8')).toBe(bundle);
  },
  150_000,
);
