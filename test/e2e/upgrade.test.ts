import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, readdir, rm, symlink, truncate, writeFile, copyFile } from 'node:fs/promises';
import { existsSync, readFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { packTar } from 'modern-tar';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { binFile, documentOf, runBin, withFolder } from '../helpers/cli.ts';
import { startLoad } from '../helpers/call-load.ts';
import { makePackage, ownVersion, packPackage } from '../helpers/other-package.ts';
import { freePorts } from '../helpers/proxy-rig.ts';
import { snapshotTree, type TreeSnapshot } from '../helpers/tree.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const newer = '99.1.0';
let shelf = '';
let own = '';
/** A later version, as npm packs it. */
let tarball = '';
/** A later version whose server does not start. */
let broken = '';

beforeAll(async () => {
  shelf = await mkdtemp(join(tmpdir(), 'mcp-deploy-shelf-'));
  own = await ownVersion();
  tarball = await packPackage(await makePackage(join(shelf, 'newer'), newer), shelf);
  broken = await makePackage(join(shelf, 'broken'), '99.2.0');
  await writeFile(join(broken, 'dist/server/serve.js'), `console.error('no such luck');process.exit(3);\n`);
});

afterAll(() => rm(shelf, { recursive: true, force: true }));

interface Deployed {
  readonly folder: string;
  readonly port: number;
  readonly cli: (...args: string[]) => ReturnType<typeof runBin>;
  /** What the endpoint itself says that it is. */
  readonly served: () => Promise<string>;
}

async function withDeployment(run: (deployed: Deployed) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    const [port = 0] = await freePorts(1);
    const cli = (...args: string[]) => runBin(args, { cwd: folder, timeoutMs: 240_000 });
    await writeFile(
      join(folder, 'mcp-deploy.yaml'),
      `version: 1\nserver: { listen: 'localhost:${port}' }\nlimits: { perKey: off, freePerKey: off }\n`,
    );
    documentOf(await cli('up', '--json'));
    await run({ folder, port, cli, served: () => servedVersion(folder, port) });
  });
}

function servedVersion(folder: string, port: number): Promise<string> {
  const body = JSON.stringify({
    jsonrpc: '2.0',
    id: 1,
    method: 'initialize',
    params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } },
  });
  return new Promise((resolve, reject) => {
    const asked = request(
      `https://localhost:${port}/mcp`,
      {
        method: 'POST',
        agent: false,
        ca: readFileSync(join(folder, '.mcp-deploy/pki/ca.crt')),
        headers: {
          authorization: `Bearer ${readFileSync(join(folder, '.mcp-deploy/keys/default.key'), 'utf8').trim()}`,
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
        },
      },
      (answer) => {
        let text = '';
        answer.on('data', (chunk: Buffer) => (text += chunk.toString()));
        answer.on('end', () => resolve(/"serverInfo":\{[^}]*"version":"([^"]+)"/.exec(text)?.[1] ?? text));
      },
    );
    asked.on('error', reject);
    asked.end(body);
  });
}

/** Everything but what a running server writes, and what taking a lock leaves. */
function stateOf(folder: string): Promise<TreeSnapshot> {
  return snapshotTree(folder, { ignore: (path) => /^\.mcp-deploy\/(?:logs|run|lock)/.test(path) });
}

test('upgrade --to brings a packed version under load, rollback the former build, and no call fails; an older tool does not go back by itself', async () => {
  await withDeployment(async ({ folder, port, cli, served }) => {
    expect(await served()).toBe(own);
    const before = await stateOf(folder);
    const planned = documentOf(await cli('upgrade', '--to', tarball, '--dry-run', '--json'));
    expect(planned).toMatchObject({ dryRun: true, from: own, to: newer, settings: [] });
    const check = await cli('upgrade', '--to', tarball, '--check');
    expect([check.exitCode, check.stdout]).toEqual([1, expect.stringContaining(`${own} runs, ${newer} is newer`)]);
    expect(await stateOf(folder)).toEqual(before);

    const load = startLoad({
      url: `https://localhost:${port}/mcp`,
      key: readFileSync(join(folder, '.mcp-deploy/keys/default.key'), 'utf8').trim(),
      ca: readFileSync(join(folder, '.mcp-deploy/pki/ca.crt'), 'utf8'),
      tool: 'echo',
      clients: 2,
    });
    const integrity = `sha512-${createHash('sha512')
      .update(await readFile(tarball))
      .digest('base64')}`;
    const upgraded = documentOf(await cli('upgrade', '--to', tarball, '--integrity', integrity, '--json'));
    expect(upgraded).toMatchObject({ ok: true, changed: true, from: own, to: newer, release: 2 });
    expect(upgraded['verified']).toMatchObject({ modern: true, legacy: true });
    expect(await served()).toBe(newer);
    const { calls } = load.counts;
    expect(calls).toBeGreaterThan(10);
    await waitUntil(() => load.counts.calls > calls + 20, 20_000, 'calls to the new one');
    expect((await readdir(join(folder, '.mcp-deploy/packages'))).map((name) => name.split('-')[0])).toEqual([newer]);

    // The tool of before would go back without a word.
    for (const command of ['apply', 'up', 'upgrade', 'plan']) {
      const refused = await cli(command);
      expect([refused.exitCode, refused.stderr]).toEqual([3, expect.stringContaining(`runs mcp-deploy ${newer}`)]);
    }
    expect((await cli('upgrade', '--check')).exitCode).toBe(0);

    expect((await cli('rollback', '--json')).exitCode).toBe(0);
    expect(await served()).toBe(own);
    await load.stop();
    // A server in a folder keeps legacy sessions in its memory; their clients begin anew, and no call fails.
    expect([load.counts.failed, load.problems.slice(0, 3)]).toEqual([0, []]);
    expect(await cli('plan', '--check')).toMatchObject({ exitCode: 0 });
  });
}, 600_000);

test('a build that does not start is undone: the former one goes on, and nothing of the package is left', async () => {
  await withDeployment(async ({ folder, cli, served }) => {
    const before = await stateOf(folder);
    const failed = await cli('upgrade', '--to', broken);
    expect([failed.exitCode, failed.stderr]).toEqual([4, expect.stringContaining('no such luck')]);
    expect(await served()).toBe(own);
    const after = await stateOf(folder);
    expect(Object.keys(after).filter((path) => !path.includes('journal'))).toEqual(
      Object.keys(before).filter((path) => !path.includes('journal')),
    );
    expect(await cli('plan', '--check')).toMatchObject({ exitCode: 0 });
  });
}, 300_000);

test('kill -9 anywhere in an upgrade: the next command has the old one serving, or the new one whole', async () => {
  await withDeployment(async ({ folder, cli, served }) => {
    const journal = join(folder, '.mcp-deploy/journal');
    // Until the fetch; then after each of these numbers of journal lines.
    for (const lines of [-1, 1, 4, 9]) {
      const child = spawn(process.execPath, [binFile, 'upgrade', '--to', tarball, '--json'], {
        cwd: folder,
        detached: true,
        stdio: 'ignore',
      });
      const ended = new Promise((resolve) => child.once('close', resolve));
      const isThere = (): boolean =>
        lines < 0 ? existsSync(join(folder, '.mcp-deploy/packages')) : linesOf(join(journal, '2-apply.jsonl')) > lines;
      await waitUntil(() => isThere() || child.exitCode !== null, 60_000, `${lines} lines of the journal`);
      // The command and the one that it handed over to.
      if (child.exitCode === null && child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      await ended;

      await cli('status');
      const next = await cli('apply', '--json');
      if (next.exitCode === 3) {
        expect(next.stderr).toContain(newer);
        expect(await served()).toBe(newer);
        documentOf(await cli('rollback', '--json'));
      } else documentOf(next);
      expect(await served()).toBe(own);
      await rm(journal, { recursive: true, force: true });
    }
    expect(
      (await readdir(join(folder, '.mcp-deploy/packages'))).filter((name) => name.startsWith('.')).length,
    ).toBeLessThan(2);
  });
}, 600_000);

function linesOf(file: string): number {
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').length - 1 : 0;
}

test('what is no package, or no way to it, is refused with a sentence, and not a byte is changed', async () => {
  await withDeployment(async ({ folder, cli, served }) => {
    const file = (name: string): string => join(shelf, name);
    await copyFile(tarball, file('cut.tgz'));
    await truncate(file('cut.tgz'), 500_000);
    await writeFile(file('text.tgz'), 'no archive\n');
    await writeFile(file('outside.tgz'), gzipSync(await packTar([tarFile('package/../../outside', 'x')])));
    const link = { header: { name: 'package/dist', type: 'symlink' as const, size: 0, linkname: '/etc' } };
    await writeFile(file('link.tgz'), gzipSync(await packTar([link])));
    await writeFile(
      file('other.tgz'),
      gzipSync(await packTar([tarFile('package/package.json', '{"name":"left-pad"}')])),
    );
    const linked = await makePackage(file('linked'), '99.3.0');
    await rm(join(linked, 'bin'), { recursive: true });
    await symlink('/usr/bin', join(linked, 'bin'));
    const older = await makePackage(file('older'), '0.0.1');

    const before = await stateOf(folder);
    const cases: readonly [number, RegExp, ...string[]][] = [
      [2, /is not there/, '--to', './nothing.tgz'],
      [2, /no version, no \.tgz/, '--to', 'Not A Version'],
      [3, /cannot be unpacked/, '--to', file('cut.tgz')],
      [3, /is no package of mcp-deploy/, '--to', file('text.tgz')],
      [3, /is no package of mcp-deploy[^]*outside/, '--to', file('outside.tgz')],
      [3, /is no package of mcp-deploy[^]*symlink/, '--to', file('link.tgz')],
      [3, /There is no bin/, '--to', file('other.tgz')],
      [3, /is a link or a device/, '--to', linked],
      [3, /is not the package that was asked for/, '--to', tarball, '--integrity', 'sha512-AAAA'],
      [2, /is not what npm writes/, '--to', tarball, '--integrity', 'md5-AAAA'],
      [3, /this is the older 0\.0\.1/, '--to', older],
      [2, /--registry belongs to --check/, '--registry'],
    ];
    for (const [exitCode, sentence, ...args] of cases) {
      const refused = await cli('upgrade', ...args);
      expect([args, refused.exitCode, refused.stderr]).toEqual([args, exitCode, expect.stringMatching(sentence)]);
      expect(refused.stderr).toContain('next');
    }
    const noNpm = { cwd: folder, env: { PATH: '/nowhere' } };
    for (const args of [
      ['--to', '1.2.3'],
      ['--check', '--registry'],
    ]) {
      const refused = await runBin(['upgrade', ...args], noNpm);
      expect([refused.exitCode, refused.stderr]).toEqual([3, expect.stringContaining('There is no npm')]);
    }
    expect(await stateOf(folder)).toEqual(before);

    // State of a later version, of each kind.
    const state = (name: string): string => join(folder, '.mcp-deploy', name);
    for (const name of ['releases/1.json', 'keys/keys.json', 'journal/1-apply.jsonl']) {
      const text = await readFile(state(name), 'utf8');
      await writeFile(state(name), text.replace(/"(schemaVersion|version)": ?1\b/, '"$1":9'));
      const changed = await stateOf(folder);
      const refused = await cli('upgrade', '--to', tarball);
      expect([name, refused.exitCode, refused.stderr]).toEqual([
        name,
        3,
        expect.stringMatching(/newer|reads versions? 1/),
      ]);
      expect(await stateOf(folder)).toEqual(changed);
      await writeFile(state(name), text);
    }
    const config = await readFile(join(folder, 'mcp-deploy.yaml'), 'utf8');
    await writeFile(join(folder, 'mcp-deploy.yaml'), config.replace('version: 1', 'version: 2'));
    const future = await cli('upgrade', '--to', tarball);
    expect([future.exitCode, future.stderr]).toEqual([2, expect.stringMatching(/version/)]);
    await writeFile(join(folder, 'mcp-deploy.yaml'), config);
    expect(await stateOf(folder)).toEqual(before);
    expect(await served()).toBe(own);
  });
}, 600_000);

function tarFile(name: string, text: string) {
  return { header: { name, type: 'file' as const, size: Buffer.byteLength(text) }, body: text };
}

test('without a deployment there is nothing to upgrade', async () => {
  await withFolder(async (folder) => {
    const refused = await runBin(['upgrade'], { cwd: folder });
    expect([refused.exitCode, refused.stderr]).toEqual([
      2,
      expect.stringContaining('There is nothing to upgrade here'),
    ]);
    expect(await readdir(folder)).toEqual([]);
  });
});
