import { once } from 'node:events';
import { copyFile, mkdtemp, mkdir, readFile, readdir, realpath, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { documentOf, runBin, withFolder, type CliResult } from '../helpers/cli.ts';
import { freePorts } from '../helpers/pebble.ts';
import { seededRandom } from '../helpers/seeded-random.ts';
import { snapshotTree } from '../helpers/tree.ts';

/** A run in earnest: MCP_DEPLOY_KILLS=100. */
const kills = Number(process.env['MCP_DEPLOY_KILLS'] ?? 12);

let keep = '';
let identity = '';
let recipient = '';
beforeAll(async () => {
  keep = await realpath(await mkdtemp(join(tmpdir(), 'mcpd-kept-')));
  identity = join(keep, 'backup.key');
  ({ recipient } = documentOf<{ recipient: string }>(
    await runBin(['backup', 'key', '--out', identity, '--json'], { cwd: keep }),
  ));
}, 120_000);
afterAll(() => rm(keep, { recursive: true, force: true }));

/** A deployment that runs, with a module tool, and a backup of it outside of its folder. */
async function deployAndKeep(folder: string): Promise<{ file: string; listen: string }> {
  const [port] = await freePorts(1);
  const listen = `localhost:${port}`;
  await mkdir(join(folder, 'tools'));
  await writeFile(join(folder, 'tools/greet.mjs'), "export default () => 'hello from a backup';\n");
  await writeFile(
    join(folder, 'mcp-deploy.yaml'),
    `version: 1\nname: kept\nserver:\n  listen: ${listen}\n  tools:\n    greet:\n      description: greets\n      module: { path: tools/greet.mjs }\nlogs:\n  audit: .mcp-deploy/logs/audit.jsonl\n`,
  );
  documentOf(await runBin(['apply', '--json'], { cwd: folder }));
  const created = await runBin(['backup', 'create', '--recipient', recipient, '--logs', '--json'], { cwd: folder });
  const { file } = documentOf<{ file: string }>(created);
  const away = join(keep, `${port}.tar.gz.age`);
  await copyFile(file, away);
  return { file: away, listen };
}

const restore = (file: string, cwd: string, more: readonly string[] = []): Promise<CliResult> =>
  runBin(['restore', file, '--identity', identity, '--yes', '--json', ...more], { cwd });

test('onto an empty folder a restore serves the same keys and the same certificate, and doctor is content', async () => {
  await withFolder(async (folder) => {
    const { file, listen } = await deployAndKeep(folder);
    const [key, certificate] = await Promise.all(
      ['keys/default.key', 'pki/server.crt'].map((name) => readFile(join(folder, '.mcp-deploy', name), 'utf8')),
    );
    documentOf(await runBin(['uninstall', '--yes', '--json'], { cwd: folder }));
    await withFolder(async (empty) => {
      const done = documentOf<{ verified: { tools: number } }>(await restore(file, empty, ['--logs-to', 'old-logs']));
      expect(done.verified.tools).toBe(1);
      expect(await readFile(join(empty, '.mcp-deploy/keys/default.key'), 'utf8')).toBe(key);
      expect(await readFile(join(empty, '.mcp-deploy/pki/server.crt'), 'utf8')).toBe(certificate);
      expect(await readFile(join(empty, 'tools/greet.mjs'), 'utf8')).toContain('hello from a backup');
      expect((await readdir(join(empty, 'old-logs'))).toSorted()).toEqual(['audit.jsonl', 'server.log']);
      expect((await restore(file, empty, ['--logs-to', 'old-logs'])).exitCode).toBe(3);
      expect(documentOf(await runBin(['doctor', '--json'], { cwd: empty }))).toMatchObject({ ok: true });
      expect(documentOf(await runBin(['plan', '--check', '--json'], { cwd: empty }))).toMatchObject({ ok: true });
      // Once more changes nothing.
      const again = documentOf<{ changed: boolean }>(await restore(file, empty, ['--listen', listen]));
      expect(again.changed).toBe(false);
    });
  });
}, 120_000);

test('over a deployment a restore asks first, names keys that come back to life, and is undone when the old one does not start', async () => {
  await withFolder(async (folder) => {
    const { file } = await deployAndKeep(folder);
    const cwd = folder;
    expect((await runBin(['keys', 'rotate', 'default', '--overlap', '0', '--json'], { cwd })).exitCode).toBe(0);
    await writeFile(join(folder, 'tools/greet.mjs'), "export default () => 'newer';\n");
    const before = await snapshotTree(folder, { ignore: isVolatile });

    const unasked = await runBin(['restore', file, '--identity', identity], { cwd });
    expect(unasked.exitCode).toBe(2);
    expect(unasked.stderr).toContain('--yes');
    const rehearsed = documentOf<{ changed: boolean }>(await restore(file, folder, ['--dry-run']));
    expect(rehearsed.changed).toBe(false);
    expect(await snapshotTree(folder, { ignore: isVolatile })).toEqual(before);

    const holder = createServer().listen(0, '127.0.0.1');
    await once(holder, 'listening');
    const { port } = holder.address() as AddressInfo;
    const taken = await restore(file, folder, ['--listen', `127.0.0.1:${port}`]);
    holder.close();
    expect([taken.exitCode, taken.stderr]).toEqual([3, expect.stringContaining(`Port ${port} is taken`)]);
    expect(await snapshotTree(folder, { ignore: isVolatile })).toEqual(before);

    const done = await restore(file, folder);
    const { notices } = documentOf<{ notices: { text: string }[] }>(done);
    expect(notices.map(({ text }) => text).join('\n')).toMatch(
      /revoked since then work again|made since then work no more/,
    );
    expect(await readFile(join(folder, 'tools/greet.mjs'), 'utf8')).toContain('hello from a backup');
    expect(documentOf(await runBin(['doctor', '--json'], { cwd }))).toMatchObject({ ok: true });
  });
}, 120_000);

test('a wrong identity, a cut file and a file that is none are refused, and nothing is changed', async () => {
  await withFolder(async (folder) => {
    const { file } = await deployAndKeep(folder);
    const before = await snapshotTree(folder, { ignore: isVolatile });
    const other = join(keep, 'other.key');
    await runBin(['backup', 'key', '--out', other], { cwd: keep });
    const cut = join(keep, 'cut.tar.gz.age');
    await writeFile(cut, (await readFile(file)).subarray(0, 3_000));
    const note = join(keep, 'note.tar.gz');
    await writeFile(note, 'hello');
    for (const args of [
      ['restore', file, '--identity', other, '--yes'],
      ['restore', cut, '--identity', identity, '--yes'],
      ['restore', note, '--yes'],
      ['restore', '/nowhere.tar.gz', '--yes'],
      ['backup', 'verify', cut, '--identity', identity],
      ['restore', '/etc/passwd', '--yes'],
    ]) {
      const refused = await runBin(args, { cwd: folder });
      expect([2, 3], refused.stderr).toContain(refused.exitCode);
      expect(refused.stderr).toMatch(/error {3}.+\n/);
      if (args[1] === '/etc/passwd' || args[1] === note) expect(refused.stderr).toContain('is no backup of mcp-deploy');
      expect(await snapshotTree(folder, { ignore: isVolatile })).toEqual(before);
    }
  });
}, 120_000);

test('old backups go, the newest stays; nothing is written in clear unasked; a program takes it away', async () => {
  await withFolder(async (folder) => {
    const cwd = folder;
    documentOf(await runBin(['up', '--json'], { cwd }));
    const unsaid = await runBin(['backup', 'create'], { cwd });
    expect(unsaid.exitCode).toBe(2);
    expect(unsaid.stderr).toContain('--recipient');
    const yaml = join(folder, 'mcp-deploy.yaml');
    const fine = await readFile(yaml, 'utf8');
    const mistyped = recipient.replace(/.$/, (last) => (last === 'q' ? 'p' : 'q'));
    await writeFile(yaml, `${fine}\nbackup: { recipients: [${mistyped}] }\n`);
    for (const [flags, where] of [
      [['--recipient', mistyped], '--recipient'],
      [[], 'backup.recipients'],
    ] as const) {
      const refused = await runBin(['backup', 'create', ...flags], { cwd });
      expect([refused.exitCode, refused.stderr]).toEqual([
        2,
        expect.stringContaining(`${where} ${mistyped} is no public key`),
      ]);
      expect(await readdir(folder)).not.toContain('.mcp-deploy-backups');
    }
    await writeFile(yaml, fine);
    await writeFile(
      yaml,
      `${await readFile(yaml, 'utf8')}\nbackup:\n  keep: 2\n  recipients: [${recipient}]\n  afterwards: [cp, -t, away]\n`,
    );
    await mkdir(join(folder, 'away'));
    await mkdir(join(folder, '.mcp-deploy-backups'), { mode: 0o700 });
    const name = (await readFile(yaml, 'utf8')).match(/^name: (\S+)/m)?.[1] ?? '';
    for (const old of ['20200101T000000Z', '20210101T000000Z']) {
      await writeFile(join(folder, `.mcp-deploy-backups/${name}-${old}.tar.gz.age`), 'old');
    }
    await writeFile(join(folder, '.mcp-deploy-backups/half.tar.gz.age.mcpd-tmp'), 'left by a kill');
    const { removed, file } = documentOf<{ removed: string[]; file: string }>(
      await runBin(['backup', 'create', '--json'], { cwd }),
    );
    expect(removed).toEqual([`${name}-20200101T000000Z.tar.gz.age`]);
    expect(await readdir(join(folder, 'away'))).toEqual([file.split('/').at(-1)]);
    const left = await readdir(join(folder, '.mcp-deploy-backups'));
    expect(left.filter((each) => each.includes('.tar.gz')).length).toBe(2);
    expect(left.some((each) => each.endsWith('.mcpd-tmp'))).toBe(false);
    expect(documentOf(await runBin(['plan', '--check', '--json'], { cwd }))).toMatchObject({ ok: true });
    const clear = documentOf<{ file: string }>(
      await runBin(['backup', 'create', '--without-secrets', '--out', keep, '--json'], { cwd }),
    );
    const { files } = documentOf<{ files: { path: string }[] }>(
      await runBin(['backup', 'verify', clear.file, '--json'], { cwd }),
    );
    expect(files.map(({ path }) => path).filter((path) => /key/.test(path))).toEqual([]);
    const gone = documentOf<{ backups: string }>(await runBin(['uninstall', '--yes', '--json'], { cwd }));
    expect(gone.backups).toBe(join(folder, '.mcp-deploy-backups'));
    expect((await readdir(gone.backups)).length).toBeGreaterThan(1);
  });
}, 120_000);

test(
  `killed at ${kills} moments of a backup: a file under its name is whole, and the next one leaves no half`,
  async () => {
    await withFolder(async (folder) => {
      const cwd = folder;
      await deployAndKeep(folder);
      const startedAt = performance.now();
      documentOf(await runBin(['backup', 'create', '--recipient', recipient, '--json'], { cwd }));
      let tookMs = performance.now() - startedAt;
      await rm(join(folder, '.mcp-deploy-backups'), { recursive: true });
      const random = seededRandom(3);
      let killed = 0;
      for (let round = 0; round < kills; round++) {
        const afterMs = (0.3 + random.below(900) / 1_000) * tookMs;
        const began = performance.now();
        const one = await runBin(['backup', 'create', '--recipient', recipient], {
          cwd,
          onStart: (child) => void setTimeout(() => child.kill('SIGKILL'), afterMs),
        });
        if (one.signal === 'SIGKILL') killed += 1;
        // The machine is quicker now than when it was measured, or the moment was past the end.
        else tookMs = Math.min(tookMs, performance.now() - began);
      }
      expect(killed).toBeGreaterThan(kills / 6);
      documentOf(await runBin(['backup', 'create', '--recipient', recipient, '--json'], { cwd }));
      const names = (await readdir(join(folder, '.mcp-deploy-backups'))).filter((name) => name !== '.gitignore');
      expect(names.filter((name) => name.endsWith('.mcpd-tmp'))).toEqual([]);
      for (const name of names)
        documentOf(await runBin(['backup', 'verify', name, '--identity', identity, '--json'], { cwd }));
    });
  },
  60_000 + kills * 5_000,
);

test(
  `killed at ${kills} moments of a restore: the next command puts everything back as it was, or it is finished`,
  async () => {
    await withFolder(async (source) => {
      const { file } = await deployAndKeep(source);
      documentOf(await runBin(['uninstall', '--yes', '--json'], { cwd: source }));
      await withFolder(async (folder) => {
        await writeFile(join(folder, 'mine.txt'), 'mine\n');
        const before = await snapshotTree(folder);
        const startedAt = performance.now();
        documentOf(await restore(file, folder));
        let tookMs = performance.now() - startedAt;
        documentOf(await runBin(['uninstall', '--yes', '--json'], { cwd: folder }));
        const clean = await snapshotTree(folder);
        const random = seededRandom(5);
        let undone = 0;
        for (let round = 0; round < kills; round++) {
          const afterMs = (0.2 + random.below(800) / 1_000) * tookMs;
          const began = performance.now();
          const one = await runBin(['restore', file, '--identity', identity, '--yes'], {
            cwd: folder,
            onStart: (child) => void setTimeout(() => child.kill('SIGKILL'), afterMs),
          });
          if (one.signal !== 'SIGKILL') tookMs = Math.min(tookMs, performance.now() - began);
          // Whatever takes the lock puts things right first.
          documentOf(await restore(file, folder, ['--dry-run']));
          const now = await snapshotTree(folder);
          if (Object.keys(now).length === Object.keys(before).length) {
            expect(now).toEqual(before);
            undone += 1;
          } else documentOf(await runBin(['status', '--json'], { cwd: folder }));
          documentOf(await runBin(['uninstall', '--yes', '--json'], { cwd: folder }));
          expect(withoutEmptied(await snapshotTree(folder))).toEqual(withoutEmptied(clean));
        }
        expect(undone).toBeGreaterThan(kills / 8);
      });
    });
  },
  60_000 + kills * 30_000,
);

/** Folders of the user's that a restore made stay when they are no longer empty; here they are. */
function withoutEmptied(tree: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(tree).filter(([, what]) => !what.startsWith('directory')));
}

/** What a running server writes by itself, and the records of runs. */
function isVolatile(path: string): boolean {
  return /^(?:audit\.jsonl|\.mcp-deploy\/(?:logs|run|journal|backup\.json|lock.*)|\.mcp-deploy-backups)/.test(path);
}
