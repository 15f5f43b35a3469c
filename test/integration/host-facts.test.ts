import { chmod, copyFile, cp, mkdir, mkdtemp, readFile, rm, unlink, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { deploymentSchema } from '../../src/deployment/schema.ts';
import { EnvironmentError } from '../../src/deployment/errors.ts';
import { createPorts } from '../../src/host/ports.ts';
import { readHostFacts } from '../../src/host/read-facts.ts';
import { fakeEndpoint, planOf, prepareFolder, runCommand, scenarioPaths } from '../helpers/apply-scenarios.ts';
import { failAtEffect } from '../helpers/effects.ts';
import { snapshotTree } from '../helpers/tree.ts';
import { waitUntil } from '../helpers/wait-until.ts';

/** The real issuer and key store; only the endpoint is a fake. */
const ports = { ...createPorts(), endpoint: fakeEndpoint };
let root = '';
let template = '';
let folder = '';
const servers: Server[] = [];

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mcpd-facts-'));
  template = join(root, 'template');
  await mkdir(template);
  await prepareFolder(template);
  // Keys and certificates only: a server belongs to one folder.
  const plan = planOf('first', template);
  const steps = plan.steps.filter(({ group, id }) => group !== 'server' && group !== 'verified' && id !== 'run-folder');
  await runCommand(ports, template, { ...plan, steps });
});

beforeEach(async () => {
  folder = join(await mkdtemp(join(root, 'case-')), 'project');
  await cp(template, folder, { recursive: true, verbatimSymlinks: true });
});

afterAll(async () => {
  for (const server of servers) server.close();
  await rm(root, { recursive: true, force: true });
});

function look(baseDir = folder, listen = 'localhost:1', tls: object = { source: 'private-ca' }) {
  return readHostFacts({
    baseDir,
    nodePath: '/usr/bin/node',
    serverFile: '/opt/serve.js',
    serverVersion: '1.2.3',
    deployment: deploymentSchema.parse({ version: 1, server: { listen }, tls }),
    now: new Date(),
    ports,
  });
}

test('an untouched folder: nothing is there, and looking leaves nothing', async () => {
  const empty = await mkdtemp(join(root, 'empty-'));
  const facts = await look(empty);
  expect(facts).toMatchObject({
    hostName: hostname(),
    deploymentFile: { path: join(empty, 'mcp-deploy.yaml'), text: null },
    files: {},
    directories: [],
    caCertificate: null,
    serverCertificate: null,
    activeKeyLabels: [],
    server: { state: 'stopped' },
    release: null,
    unfinishedJournal: null,
  });
  expect(Object.keys(await snapshotTree(empty))).toEqual(['.']);
});

test('an applied folder: files with hash and mode, certificates, keys, release', async () => {
  const facts = await look(template);
  const paths = scenarioPaths(template);
  expect(Object.keys(facts.files)).toEqual(
    expect.arrayContaining([
      paths.deploymentFile,
      paths.config,
      paths.caKey,
      paths.key,
      paths.keyStore,
      paths.firstKey,
    ]),
  );
  expect(facts.files[paths.caKey]?.mode).toBe(0o400);
  expect(facts.files[paths.config]).toMatchObject({ mode: 0o600, text: '{"n":1}\n' });
  expect(facts.files[paths.key]?.text).toBe(undefined);
  expect(facts.caCertificate).toMatchObject({ names: ['localhost'], keyMatches: true, issuedByCa: true });
  expect(facts.serverCertificate).toMatchObject({ names: ['localhost'], keyMatches: true, issuedByCa: true });
  expect(facts.activeKeyLabels).toEqual(['default']);
  expect(facts.release?.files[paths.config]?.sha256).toBe(facts.files[paths.config]?.sha256);
  expect(JSON.stringify(facts)).not.toContain((await readFile(paths.firstKey, 'utf8')).trim());
});

test('the record in a copied folder does not reach back into the original', async () => {
  const facts = await look();
  expect(facts.release).toMatchObject({ release: 1, files: {}, directories: [] });
});

describe('broken files', () => {
  test.each([
    ['garbage', 'hello'],
    ['empty', ''],
    ['cut off', '-----BEGIN CERTIFICATE-----\nMIIB'],
    ['binary', '\u0000\u0001\u0002'],
  ])('a certificate that is %s counts as none', async (_what, content) => {
    const paths = scenarioPaths(folder);
    await writeFile(paths.certificate, content);
    await writeFile(paths.caCertificate, content);
    const facts = await look();
    expect(facts.serverCertificate).toBe(null);
    expect(facts.caCertificate).toBe(null);
    expect(facts.files[paths.certificate]).toBeDefined();
  });

  test('a key that is missing, garbage or of another certificate does not match', async () => {
    const paths = scenarioPaths(folder);
    await unlink(paths.key);
    await copyFile(paths.caKey, paths.key);
    expect((await look()).serverCertificate?.keyMatches).toBe(false);
    await rm(paths.key, { force: true });
    await writeFile(paths.key, 'garbage');
    expect((await look()).serverCertificate?.keyMatches).toBe(false);
    await unlink(paths.key);
    expect((await look()).serverCertificate?.keyMatches).toBe(false);
  });

  test('a certificate of another CA is not issued by ours', async () => {
    const paths = scenarioPaths(folder);
    const other = await ports.issuer.privateCa({ commonName: 'test', names: ['localhost'] });
    await writeFile(paths.caCertificate, other.certificatePem);
    expect((await look()).serverCertificate?.issuedByCa).toBe(false);
  });

  test.each([
    ['cut off', '{"version":1,'],
    ['of something else', '[]'],
    ['empty', ''],
  ])('a key store that is %s is an error, never overwritten', async (_what, content) => {
    const { keyStore } = scenarioPaths(folder);
    await writeFile(keyStore, content);
    const error = await look().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(EnvironmentError);
    expect(error).toMatchObject({ exitCode: 3, message: `The key store ${keyStore} cannot be read.` });
  });

  test('a release record that is cut off is passed over', async () => {
    await writeFile(join(folder, '.mcp-deploy/releases/2.json'), '{"release":2');
    expect((await look()).release?.release).toBe(1);
  });

  test.each(['{', 'null', '[]', ''])('a pid file with %j tells of no server', async (content) => {
    await mkdir(join(folder, '.mcp-deploy/run'));
    await writeFile(scenarioPaths(folder).pidFile, content);
    expect((await look()).server).toEqual({ state: 'stopped' });
  });
});

describe('a certificate of the user’s own', () => {
  const tls = { source: 'files', certificate: 'tls/site.crt', key: 'tls/site.key' };

  test('is looked at where mcp-deploy.yaml says', async () => {
    const paths = scenarioPaths(folder);
    await mkdir(join(folder, 'tls'));
    await copyFile(paths.certificate, join(folder, 'tls/site.crt'));
    await copyFile(paths.key, join(folder, 'tls/site.key'));
    expect((await look(folder, 'localhost:1', tls)).serverCertificate).toMatchObject({
      names: ['localhost'],
      keyMatches: true,
    });
  });

  test('that is missing, broken or has another key is an error that names the file', async () => {
    const paths = scenarioPaths(folder);
    const messageOf = async (): Promise<string> =>
      look(folder, 'localhost:1', tls).then(
        () => 'no error',
        (error: unknown) => (error instanceof EnvironmentError ? error.message : 'a bug'),
      );
    expect(await messageOf()).toBe(`The file of tls.certificate is not there: ${join(folder, 'tls/site.crt')}`);
    await mkdir(join(folder, 'tls'));
    await writeFile(join(folder, 'tls/site.crt'), 'garbage');
    expect(await messageOf()).toBe(`The file of tls.certificate is no certificate: ${join(folder, 'tls/site.crt')}`);
    await copyFile(paths.certificate, join(folder, 'tls/site.crt'));
    expect(await messageOf()).toBe(`The file of tls.key is not there: ${join(folder, 'tls/site.key')}`);
    await copyFile(paths.caKey, join(folder, 'tls/site.key'));
    await chmod(join(folder, 'tls/site.key'), 0o600);
    expect(await messageOf()).toContain('does not belong to the certificate');
  });
});

describe('server and ports', () => {
  test('a port that another program holds is named', async () => {
    const server = createServer();
    servers.push(server);
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    const { port } = server.address() as AddressInfo;
    const { takenPorts } = await look(folder, `localhost:${port}`);
    expect(takenPorts).toMatchObject([{ port }]);
    if (process.platform === 'linux') expect(takenPorts[0]?.holder).toContain(`pid ${process.pid}`);
  });

  test('a port that our own server holds is not taken', async () => {
    await mkdir(join(folder, '.mcp-deploy/run'));
    const { pidFile, logFile } = scenarioPaths(folder);
    const listen = `require('net').createServer().listen(0, '127.0.0.1', function () { console.log(this.address().port) })`;
    const argv = [process.execPath, '-e', listen, '--', '--pid-file', pidFile];
    await ports.processes.startServer({ type: 'start-server', argv, cwd: folder, pidFile, logFile });
    try {
      let port = 0;
      await waitUntil(async () => (port = Number(await readFile(logFile, 'utf8'))) > 0, 10_000);
      const facts = await look(folder, `localhost:${port}`);
      expect(facts.server.state).toBe('running');
      expect(facts.takenPorts).toEqual([]);
    } finally {
      await ports.processes.stopServer(pidFile, 5_000);
    }
  });

  test('a running server is known with what it noted about itself', async () => {
    await mkdir(join(folder, '.mcp-deploy/run'));
    const { pidFile, logFile } = scenarioPaths(folder);
    const argv = ['/bin/sh', scenarioPaths(folder).script, '--pid-file', pidFile];
    const { pid } = await ports.processes.startServer({ type: 'start-server', argv, cwd: folder, pidFile, logFile });
    try {
      const before = (await look()).server;
      expect(before).toMatchObject({ state: 'running', pid });
      await writeFile(pidFile, JSON.stringify({ pid, configSha256: 'abc', version: '9' }));
      expect((await look()).server).toEqual({ state: 'running', pid, configSha256: 'abc', version: '9' });
      await writeFile(pidFile, JSON.stringify({ pid: 1, configSha256: 'abc', version: '9' }));
      expect((await look()).server).toEqual({ state: 'running', pid, configSha256: '', version: '' });
    } finally {
      await ports.processes.stopServer(pidFile, 5_000);
    }
  });

  test('a journal without an ending is a fact', async () => {
    const fresh = await mkdtemp(join(root, 'unfinished-'));
    await prepareFolder(fresh);
    const broken = failAtEffect(ports, 20, { error: () => new Error('no'), forever: () => true });
    await runCommand(broken, fresh, planOf('first', fresh)).catch(() => null);
    expect((await look(fresh)).unfinishedJournal).toEqual({
      file: join(fresh, '.mcp-deploy/journal/1-apply.jsonl'),
      purpose: 'apply',
    });
  });
});
