import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createProcesses } from '../../src/host/processes.ts';
import { prepareFolder, scenarioPaths, snapshotDeployment, type Scenario } from '../helpers/apply-scenarios.ts';
import { buildApplyChild } from '../helpers/build-apply-child.ts';
import type { Moment } from '../helpers/effects.ts';
import type { TreeSnapshot } from '../helpers/tree.ts';

/** Real processes, real files, a real SIGKILL. The thousands of cases in between are in apply-crash.test.ts. */
let root = '';
let child = '';
const processes = createProcesses();

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mcpd-kill-'));
  child = await buildApplyChild(root);
});

afterAll(() => rm(root, { recursive: true, force: true }));

test(
  'killed right before and right after every effect of a first apply, the next command leaves no trace',
  { timeout: 240_000 },
  () => killEverywhere('first', 1),
);

test(
  'killed at effects all over a second apply, the next command brings files and server back',
  { timeout: 240_000 },
  () => killEverywhere('second', 5),
);

test('killed at effects all over an uninstall, the next command undoes or finishes it', { timeout: 240_000 }, () =>
  killEverywhere('uninstall', 9),
);

test('a recovery killed at effects all over it is finished by the next one', { timeout: 240_000 }, async () => {
  const baseDir = await prepare('second');
  const effects = await countOn(baseDir, 'second');
  await cleanUp(baseDir);
  for (let j = 0, more = true; more; j += 5) {
    const site = await prepare('second');
    const before = await snapshotDeployment(site);
    const running = await isRunning(site);
    // Late, when the new server runs: the longest way back.
    await expectKilled(site, ['run', 'second', site, String(effects - 8), 'after']);
    more = (await run(['run', 'recover', site, String(j), j % 2 === 0 ? 'after' : 'before'])).signal === 'SIGKILL';
    await expectRecovered(site, { before, running, what: `recovery killed at ${j}` });
    await cleanUp(site);
  }
});

async function killEverywhere(scenario: Scenario, stride: number): Promise<void> {
  const probe = await prepare(scenario);
  const effects = await countOn(probe, scenario);
  await cleanUp(probe);
  expect(effects).toBeGreaterThan(30);
  const cases: { k: number; when: Moment }[] = [];
  for (let k = 0; k < effects; k += stride) cases.push({ k, when: 'before' }, { k, when: 'after' });
  // Two at a time: that many cores is what one may count on.
  await Promise.all(
    [0, 1].map((lane) =>
      killAll(
        scenario,
        cases.filter((_, index) => index % 2 === lane),
      ),
    ),
  );
}

async function killAll(scenario: Scenario, cases: readonly { k: number; when: Moment }[]): Promise<void> {
  for (const { k, when } of cases) {
    const site = await prepare(scenario);
    const before = await snapshotDeployment(site);
    const running = await isRunning(site);
    await expectKilled(site, ['run', scenario, site, String(k), when]);
    await expectRecovered(site, { before, running, what: `${scenario} killed ${when} effect ${k}` });
    await cleanUp(site);
  }
}

async function prepare(scenario: Scenario): Promise<string> {
  const baseDir = await mkdtemp(join(root, `${scenario}-`));
  await prepareFolder(baseDir);
  if (scenario !== 'first') expect((await run(['run', 'first', baseDir])).output).toContain('"applied"');
  return baseDir;
}

async function countOn(baseDir: string, scenario: Scenario): Promise<number> {
  const { output } = await run(['run', scenario, baseDir]);
  expect(output).toContain('"applied"');
  return Number(output.trim().split('\n').at(-1));
}

async function expectKilled(site: string, args: readonly string[]): Promise<void> {
  const { signal, output } = await run(args);
  expect(signal, `${site}: ${output}`).toBe('SIGKILL');
}

async function expectRecovered(
  site: string,
  { before, running, what }: { before: TreeSnapshot; running: boolean; what: string },
): Promise<void> {
  const { output, signal } = await run(['run', 'recover', site]);
  expect(signal, `${what}: ${output}`).toBe(null);
  const now = await snapshotDeployment(site);
  const isUninstalled = running && now['.mcp-deploy'] === undefined;
  const isApplied = Object.keys(now).filter(isRelease).length > Object.keys(before).filter(isRelease).length;
  if (isUninstalled) {
    expect(Object.keys(now), what).toEqual(['.', 'fake-server.sh', 'src', 'src/theirs.txt']);
    expect(await isRunning(site), what).toBe(false);
  } else if (isApplied) expect(await isRunning(site), what).toBe(true);
  else {
    expect(now, what).toEqual(before);
    expect(await isRunning(site), `server, ${what}`).toBe(running);
  }
  expect(
    Object.keys(now).filter((path) => /mcpd-tmp|lock/.test(path)),
    what,
  ).toEqual([]);
  const journal = await readdir(join(site, '.mcp-deploy/journal')).catch(() => []);
  expect(
    journal.filter((name) => !name.endsWith('.jsonl')),
    `copies, ${what}`,
  ).toEqual([]);
}

function isRelease(path: string): boolean {
  return path.startsWith('.mcp-deploy/releases/');
}

async function isRunning(site: string): Promise<boolean> {
  return (await processes.serverState(scenarioPaths(site).pidFile)).state === 'running';
}

async function cleanUp(site: string): Promise<void> {
  await processes.stopServer(scenarioPaths(site).pidFile, 2_000);
  await rm(site, { recursive: true, force: true });
}

function run(args: readonly string[]): Promise<{ signal: NodeJS.Signals | null; output: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [child, ...args], (error, stdout, stderr) => {
      resolve({ signal: error?.signal ?? null, output: `${stderr}${stdout}` });
    });
  });
}
