import { access, cp, lstat, mkdtemp, readFile, readdir, readlink, rm, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { applyPlan } from '../../src/apply/apply-plan.ts';
import { recoverUnfinished } from '../../src/apply/recover.ts';
import type { ApplyPorts } from '../../src/apply/ports.ts';
import { deploymentSchema } from '../../src/deployment/schema.ts';
import { createClock } from '../../src/host/clock.ts';
import { createFileSystem } from '../../src/host/files.ts';
import { createIssuer } from '../../src/host/issuer.ts';
import { readHostFacts } from '../../src/host/read-facts.ts';
import { planRenewal } from '../../src/plan/plan-renewal.ts';
import { deploymentPaths } from '../../src/plan/deployment-paths.ts';
import { readCertificate } from '../../src/server/http/certificate-files.ts';
import { fakeEndpoint } from '../helpers/apply-scenarios.ts';
import { countEffects, failAtEffect, freezeAtEffect, interceptEffects, type Moment } from '../helpers/effects.ts';
import { FakeWorld } from '../helpers/fake-processes.ts';
import { runTool, testWithTools } from '../helpers/tools.ts';
import { snapshotTree } from '../helpers/tree.ts';

/**
 * Key and certificate change in one instant: real certificates, the renewal as `cert renew` plans it, and between any two
 * effects, after a kill at any of them, and on a disk that is full, what a server reads that starts just then.
 */
const deployment = deploymentSchema.parse({ version: 1, tls: { source: 'private-ca' } });
let root = '';
let template = '';
let plain = '';

beforeAll(async () => {
  // fsync on a memory disk costs nothing, and there are thousands of them here.
  const memory = await access('/dev/shm').then(
    () => '/dev/shm',
    () => tmpdir(),
  );
  root = await mkdtemp(join(memory, 'mcpd-pair-'));
  template = join(root, 'template');
  await files.makeDirectory(template, 0o755);
  expect(await renew(template, portsOf())).toMatchObject({ outcome: 'applied' });
  plain = join(root, 'plain');
  await cp(template, plain, { recursive: true, verbatimSymlinks: true });
  await makePlain(plain);
});

afterAll(() => rm(root, { recursive: true, force: true }));

const files = createFileSystem();

function portsOf(): ApplyPorts {
  const { processes } = new FakeWorld().command();
  const clock = createClock();
  return { clock, files: createFileSystem(), processes, issuer: createIssuer(clock), endpoint: fakeEndpoint };
}

/** As a version before these links left it, or a backup that follows links. */
async function makePlain(baseDir: string): Promise<void> {
  const { pkiDir, serverCertificate, serverKey } = deploymentPaths(join(baseDir, '.mcp-deploy'));
  const found = { [serverCertificate]: await readFile(serverCertificate), [serverKey]: await readFile(serverKey) };
  for (const name of await readdir(pkiDir))
    if (name.startsWith('live-')) await rm(join(pkiDir, name), { recursive: true });
  await unlink(join(pkiDir, 'live'));
  for (const [path, bytes] of Object.entries(found)) {
    await unlink(path);
    await writeFile(path, bytes, { mode: path === serverKey ? 0o600 : 0o644 });
  }
}

async function renew(baseDir: string, ports: ApplyPorts) {
  const stateDir = join(baseDir, '.mcp-deploy');
  const facts = await readHostFacts({
    baseDir,
    nodePath: '/node',
    serverFile: '/serve.js',
    serverVersion: '0',
    deployment,
    now: new Date(),
    ports,
  });
  const { plan } = planRenewal(deployment, facts, { force: true, window: null });
  const signal = new AbortController().signal;
  return applyPlan(plan, { ports, stateDir, baseDir, toolVersion: '0', signal, onProgress: () => {} });
}

let sites = 0;
async function siteLike(from: string): Promise<{ baseDir: string; stateDir: string; fingerprint: () => string }> {
  sites += 1;
  const baseDir = join(root, `site-${sites}`);
  await cp(from, baseDir, { recursive: true, verbatimSymlinks: true });
  // Journals and records say where they belong.
  for (const name of ['journal', 'releases'])
    await rm(join(baseDir, '.mcp-deploy', name), { recursive: true, force: true });
  const stateDir = join(baseDir, '.mcp-deploy');
  const { serverCertificate: certificate, serverKey: key } = deploymentPaths(stateDir);
  // Throws when the two do not belong together: what a server that starts now would do.
  return { baseDir, stateDir, fingerprint: () => readCertificate({ certificate, key }).fingerprint };
}

const ignore = (path: string): boolean => path.includes('.mcp-deploy/journal');

describe.each([
  ['linked', () => template],
  ['plain', () => plain],
] as const)('a renewal of a %s pair', (kind, from) => {
  test('never shows a key of one and a certificate of the other, between any two effects', async () => {
    const site = await siteLike(from());
    const seen: string[] = [site.fingerprint()];
    const look = (): void => {
      const now = site.fingerprint();
      if (seen.at(-1) !== now) seen.push(now);
    };
    const ports = interceptEffects(portsOf(), async (effect) => {
      look();
      const result = await effect.run();
      look();
      return result;
    });
    expect(await renew(site.baseDir, ports)).toMatchObject({ outcome: 'applied' });
    expect(seen).toHaveLength(2);
    const pki = join(site.stateDir, 'pki');
    expect(await readlink(join(pki, 'server.key'))).toBe('live/server.key');
    expect((await readdir(pki)).filter((name) => name.startsWith('live-'))).toEqual([
      await readlink(join(pki, 'live')),
    ]);
    expect((await lstat(join(pki, 'live/server.key'))).mode & 0o777).toBe(0o600);
  });

  test(
    'killed at any effect: a server may start at once, and the next command puts all back',
    { timeout: 120_000 },
    async () => {
      const probe = await siteLike(from());
      const effects = await countEffects(portsOf(), (ports) => renew(probe.baseDir, ports));
      expect(effects).toBeGreaterThan(12);
      const ends = new Set<string>();
      for (let k = 0; k < effects; k += 1) {
        for (const when of ['before', 'during', 'after'] satisfies Moment[]) {
          const site = await siteLike(from());
          const [first, before] = [site.fingerprint(), await snapshotTree(site.baseDir, { ignore })];
          const frozen = freezeAtEffect(portsOf(), k, when);
          await Promise.race([renew(site.baseDir, frozen.ports), frozen.crashed]);
          const what = `${kind}, killed ${when} effect ${k}`;
          expect(() => site.fingerprint(), what).not.toThrow();
          await recoverUnfinished({ ports: portsOf(), stateDir: site.stateDir });
          const after = await snapshotTree(site.baseDir, { ignore });
          if (site.fingerprint() === first) {
            ends.add('undone');
            expect(after, what).toEqual(before);
          } else ends.add('renewed');
          expect(
            Object.keys(after).filter((path) => /mcpd-tmp/.test(path)),
            what,
          ).toEqual([]);
          expect(Object.keys(after).filter((path) => /pki\/live-\d+$/.test(path)).length, what).toBeLessThan(2);
          await rm(site.baseDir, { recursive: true });
        }
      }
      expect([...ends].toSorted()).toEqual(['renewed', 'undone']);
    },
  );

  test('that fails at any effect, or has no disk from then on, leaves the former pair in use', async () => {
    const probe = await siteLike(from());
    const effects = await countEffects(portsOf(), (ports) => renew(probe.baseDir, ports));
    const needsSpace = new Set(['writeAtomic', 'appendDurably', 'createExclusive', 'makeDirectory', 'linkAtomic']);
    for (const forever of [false, true]) {
      for (let k = 0; k < effects; k += 1) {
        const site = await siteLike(from());
        const first = site.fingerprint();
        const ports = failAtEffect(portsOf(), k, {
          error: () => new Error('the test says no'),
          ...(forever ? { forever: ({ name }) => needsSpace.has(name) } : {}),
        });
        const done = await renew(site.baseDir, ports).catch(() => null);
        const what = `${kind}, effect ${k}, ${done?.outcome ?? 'refused'}`;
        expect(['applied', 'undone', undefined], what).toContain(done?.outcome);
        expect(site.fingerprint() === first, what).toBe(done?.outcome !== 'applied');
        await rm(site.baseDir, { recursive: true });
      }
    }
  });
});

test('a disk without symbolic links gets the two files, one after the other', async () => {
  const site = await siteLike(plain);
  const ports = portsOf();
  const without = Object.assign(Object.create(ports.files) as ApplyPorts['files'], {
    linkAtomic: () => Promise.resolve(false),
  });
  const first = site.fingerprint();
  expect(await renew(site.baseDir, { ...ports, files: without })).toMatchObject({ outcome: 'applied' });
  expect(site.fingerprint()).not.toBe(first);
  expect((await readdir(join(site.stateDir, 'pki'))).toSorted()).toEqual([
    'ca.crt',
    'ca.key',
    'server.crt',
    'server.key',
  ]);
});

test('a link that somebody else made is never replaced', async () => {
  const site = await siteLike(plain);
  const { serverKey } = deploymentPaths(site.stateDir);
  const theirs = join(site.baseDir, 'theirs.key');
  await writeFile(theirs, await readFile(serverKey), { mode: 0o600 });
  await unlink(serverKey);
  await files.linkAtomic(serverKey, theirs);
  const { outcome, failure } = await renew(site.baseDir, portsOf());
  expect(outcome).toBe('undone');
  expect(String(failure?.error)).toContain('is not a plain file');
  expect(await readlink(serverKey)).toBe(theirs);
});

testWithTools(
  ['mount', 'umount'],
  'a disk that is full at any moment leaves the former pair in use, or has the new one',
  async (context) => {
    if (process.getuid?.() !== 0) return context.skip('mount needs root');
    const outcomes = new Set<string>();
    for (let spareKb = 0; spareKb <= 80; spareKb += 4) {
      const disk = await mkdtemp(join(root, 'disk-'));
      runTool('mount', ['-t', 'tmpfs', '-o', 'size=1m,mode=0755', 'tmpfs', disk]);
      try {
        const baseDir = join(disk, 'site');
        await cp(template, baseDir, { recursive: true, verbatimSymlinks: true });
        const { serverCertificate: certificate, serverKey: key } = deploymentPaths(join(baseDir, '.mcp-deploy'));
        await rm(join(baseDir, '.mcp-deploy/journal'), { recursive: true });
        const first = readCertificate({ certificate, key }).fingerprint;
        await fillDisk(disk, spareKb);
        const done = await renew(baseDir, portsOf()).catch(() => null);
        outcomes.add(done?.outcome ?? 'refused');
        expect(readCertificate({ certificate, key }).fingerprint === first, `${spareKb} kB`).toBe(
          done?.outcome !== 'applied',
        );
        if (done?.outcome === 'applied') break;
      } finally {
        runTool('umount', [disk]);
      }
    }
    expect([...outcomes]).toEqual(expect.arrayContaining(['undone', 'applied']));
  },
  60_000,
);

testWithTools(
  ['strace'],
  'what a power cut could lose is on the disk before the one link is renamed',
  async () => {
    const site = await siteLike(plain);
    const child = join(site.baseDir, 'serve-pair.mjs');
    await build({
      stdin: {
        contents: `import { servePair } from ${JSON.stringify(new URL('../../src/apply/act-pair.ts', import.meta.url).pathname)};
import { createFileSystem } from ${JSON.stringify(new URL('../../src/host/files.ts', import.meta.url).pathname)};
const pki = ${JSON.stringify(join(site.stateDir, 'pki'))};
await servePair({ certificateFile: pki + '/server.crt', keyFile: pki + '/server.key', folder: pki + '/live-7' },
  { keyPem: 'key', certificatePem: 'certificate' }, createFileSystem());`,
        resolveDir: site.baseDir,
        loader: 'ts',
      },
      outfile: child,
      bundle: true,
      platform: 'node',
      format: 'esm',
      logLevel: 'error',
      banner: { js: `import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);` },
    });
    const trace = join(site.baseDir, 'trace');
    runTool('strace', [
      '-f',
      '-y',
      '-qq',
      '-o',
      trace,
      '-e',
      'trace=fsync,rename,renameat,renameat2',
      process.execPath,
      child,
    ]);
    const calls = (await readFile(trace, 'utf8')).split('\n');
    const at = (pattern: RegExp): number => calls.findIndex((line) => pattern.test(line));
    const switched = at(/rename.*live\.mcpd-tmp/);
    expect(switched).toBeGreaterThan(0);
    for (const synced of [
      /fsync\(.*live-7\/server\.key\.mcpd-tmp>/,
      /fsync\(.*live-7\/server\.crt\.mcpd-tmp>/,
      /fsync\(.*live-7>/,
      /fsync\(.*\/pki>/,
    ]) {
      expect(at(synced), String(synced)).toBeGreaterThanOrEqual(0);
      expect(at(synced), String(synced)).toBeLessThan(switched);
    }
    const last = calls.findLastIndex((line) => /fsync\(.*\/pki>/.test(line));
    expect(last, 'the rename itself is flushed').toBeGreaterThan(switched);
  },
  60_000,
);

/** Page by page until nothing more goes in, then as much back as shall be free. */
async function fillDisk(disk: string, freeKb: number): Promise<void> {
  const pages: string[] = [];
  for (;;) {
    const page = join(disk, `page-${pages.length}`);
    try {
      await writeFile(page, Buffer.alloc(4_096));
      pages.push(page);
    } catch {
      await rm(page, { force: true });
      break;
    }
  }
  for (const page of pages.slice(pages.length - freeKb / 4)) await rm(page);
}
