import { mkdir, mkdtemp, readFile, readdir, realpath, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { documentOf, repository, runBin, type CliResult } from '../helpers/cli.ts';
import { freePorts } from '../helpers/pebble.ts';
import { snapshotTree } from '../helpers/tree.ts';
import { waitUntil } from '../helpers/wait-until.ts';

/** One deployment for all tests of this file, and a folder of temporary files of its own, to see what is left there. */
let folder = '';
let temporary = '';
let cli: (args: readonly string[], onStart?: Parameters<typeof runBin>[1]['onStart']) => Promise<CliResult>;

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'mcp-deploy-e2e-')));
  temporary = join(folder, 'tmp');
  await mkdir(temporary);
  cli = (args, onStart) =>
    runBin(args, { cwd: folder, env: { TMPDIR: temporary }, ...(onStart === undefined ? {} : { onStart }) });
  const { recipient } = documentOf<{ recipient: string }>(await cli(['backup', 'key', '--json']));
  const [port] = await freePorts(1);
  await writeFile(
    join(folder, 'mcp-deploy.yaml'),
    `version: 1
name: drilled
server:
  listen: localhost:${port}
  tools:
    greet: { description: greets, module: { path: greet.mjs } }
logs: { audit: .mcp-deploy/logs/audit.jsonl }
backup: { recipients: [${recipient}] }
`,
  );
  await writeFile(join(folder, 'greet.mjs'), "export default () => 'hello';\n");
  documentOf(await cli(['apply', '--json']));
}, 120_000);
afterAll(async () => {
  await cli(['uninstall', '--yes']);
  await rm(folder, { recursive: true, force: true });
});

const drill = (...more: readonly string[]): Promise<CliResult> =>
  cli(['drill', 'restore', '--identity', 'backup.key', '--json', ...more]);
const eventOf = async (what: string): Promise<{ ok: boolean; said: string }> =>
  (
    JSON.parse(await readFile(join(folder, '.mcp-deploy/maintenance.json'), 'utf8')) as Record<
      string,
      { ok: boolean; said: string }
    >
  )[what] ?? { ok: false, said: 'none' };

test('what is due is done by --run where it needs nobody, and the rest is named with its command', async () => {
  const first = documentOf<{ items: { id: string; due: boolean; next: string | null }[] }>(
    await cli(['maintenance', '--json']),
    1,
  );
  const due = first.items.filter((item) => item.due);
  expect(due.map(({ id }) => id)).toEqual(['backup', 'doctor', 'audit', 'restore-drill', 'disaster-drill']);
  expect(due.every(({ next }) => next !== null)).toBe(true);

  const old = join(folder, '.mcp-deploy/logs/server.log.20200101T000000000Z');
  const half = join(folder, '.mcp-deploy/server.json.mcpd-tmp');
  const fresh = join(folder, '.mcp-deploy/keys/new.mcpd-tmp');
  const audit = join(folder, '.mcp-deploy/logs/audit.jsonl.20200101T000000000Z');
  for (const file of [old, half, fresh, audit]) {
    await writeFile(file, '');
    if (file !== fresh) await utimes(file, 1, 1);
  }
  const run = documentOf<{ due: number; done: { task: string; ok: boolean }[] }>(
    await cli(['maintenance', '--run', '--json']),
    1,
  );
  expect(run.done.map(({ task, ok }) => `${task} ${ok}`)).toEqual([
    'backup true',
    'doctor true',
    'audit true',
    'trim true',
  ]);
  expect(run.due).toBe(2);
  const there = (file: string): Promise<boolean> =>
    stat(file).then(
      () => true,
      () => false,
    );
  expect(await Promise.all([old, half, fresh, audit].map(there))).toEqual([false, false, true, true]);
  await Promise.all([fresh, audit].map((file) => rm(file)));
}, 120_000);

test('a drill restores the newest backup to a copy, proves it by clients and doctor, and leaves the live one and the disk alone', async () => {
  const status = async () => documentOf<{ server: { pid: number } }>(await cli(['status', '--json'])).server.pid;
  const ignore = (path: string): boolean => /^\.mcp-deploy\/(?:logs|run|journal|maintenance\.json|lock)/.test(path);
  const before = [await status(), await snapshotTree(folder, { ignore })];
  const done = documentOf<{
    called: { modern: boolean; legacy: boolean; tools: number };
    doctor: { errors: string[] };
  }>(await drill());
  expect(done.called).toMatchObject({ modern: true, legacy: true, tools: 1 });
  expect(done.doctor.errors).toEqual([]);
  expect(done).toMatchObject({ notTried: [], certificate: { said: expect.stringContaining('its key belongs to it') } });
  expect([await status(), await snapshotTree(folder, { ignore })]).toEqual(before);
  expect(await readdir(temporary)).toEqual([]);
  expect(await eventOf('restore-drill')).toMatchObject({ ok: true });
  expect(documentOf(await cli(['maintenance', '--json']))).toMatchObject({ ok: true, due: 0 });
}, 120_000);

test('a backup that does not restore, and an interrupted drill, leave nothing but a note', async () => {
  const { backups } = documentOf<{ backups: { name: string }[] }>(await cli(['backup', 'list', '--json']));
  const whole = await readFile(join(folder, '.mcp-deploy-backups', backups[0]?.name ?? ''));
  await writeFile(join(folder, 'cut.age'), whole.subarray(0, whole.length - 200));
  const refused = await drill('cut.age');
  expect([refused.exitCode, refused.stderr]).toEqual([3, expect.stringContaining('damaged')]);
  expect(await readdir(temporary)).toEqual([]);
  expect(await eventOf('restore-drill')).toMatchObject({ ok: false });
  expect((await drill('nothing.age')).exitCode).toBe(2);

  const interrupted = await cli(['drill', 'restore', '--identity', 'backup.key'], (child) => {
    void untilCopy().then(() => child.kill('SIGINT'));
  });
  expect(interrupted.exitCode, interrupted.stderr).toBe(130);
  expect(await readdir(temporary)).toEqual([]);
}, 120_000);

test('what a killed drill left is removed by the next one, with its server', async () => {
  const killed = await cli(['drill', 'restore', '--identity', 'backup.key'], (child) => {
    void untilCopy().then(() => child.kill('SIGKILL'));
  });
  expect(killed.signal).toBe('SIGKILL');
  const [left = ''] = await readdir(temporary);
  expect(left).toMatch(/^mcp-deploy-drill-/);
  documentOf(await drill());
  expect(await readdir(temporary)).toEqual([]);
}, 120_000);

/** The copy has a server that was started. */
async function untilCopy(): Promise<void> {
  await waitUntil(
    async () => {
      const [copy = ''] = await readdir(temporary);
      return stat(join(temporary, copy, '.mcp-deploy/run/server.json')).then(
        () => copy !== '',
        () => false,
      );
    },
    60_000,
    'a copy that runs',
  );
}

test('a failover drill kills what a copy could lose, and measures when clients are served again', async () => {
  const failover = () => cli(['drill', 'failover', '--json']);
  const nothing = await failover();
  expect([nothing.exitCode, nothing.stderr]).toEqual([3, expect.stringContaining('could fail alone')]);
  const yaml = join(folder, 'mcp-deploy.yaml');
  const text = await readFile(yaml, 'utf8');
  const everything = join(repository, 'node_modules/@modelcontextprotocol/server-everything/dist/index.js');
  const upstreams = `  upstreams:\n    main: { command: ${process.execPath}, args: [${everything}] }\n`;
  await writeFile(yaml, text.replace('server:\n', `server:\n${upstreams}`));
  try {
    const { recoveries } = documentOf<{ recoveries: { what: string; backMs: number | null }[] }>(await failover());
    expect(recoveries.some(({ what }) => what.startsWith(process.execPath))).toBe(true);
    expect(recoveries.filter(({ backMs }) => backMs === null)).toEqual([]);
  } finally {
    await writeFile(yaml, text);
  }
  expect(await readdir(temporary)).toEqual([]);
  expect(await eventOf('failover-drill')).toMatchObject({ ok: true });
}, 180_000);

test('a rotation is proven by calls to the running server; without one nothing is changed', async () => {
  const rotate = (...more: readonly string[]) => cli(['keys', 'rotate', 'default', '--prove', '--json', ...more]);
  const long = documentOf<{ proof: { what: string; ok: boolean }[] }>(await rotate('--overlap', '1h'));
  expect(long.proof.length).toBeGreaterThan(4);
  expect(long.proof.filter(({ ok }) => !ok)).toEqual([]);
  const atOnce = documentOf<{ proof: { what: string }[] }>(await rotate('--overlap', '0'));
  expect(atOnce.proof.map(({ what }) => what)).toContain('the old key is refused after the overlap');
  const keys = async () => readFile(join(folder, '.mcp-deploy/keys/keys.json'), 'utf8');
  const before = await keys();
  expect(before).not.toContain('rotation-proof');
  documentOf(await cli(['stop', '--json']));
  const refused = await rotate();
  expect([refused.exitCode, refused.stderr]).toEqual([3, expect.stringContaining('does not run')]);
  expect(await keys()).toBe(before);
}, 120_000);
