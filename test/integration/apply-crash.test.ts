import { cpSync, existsSync, renameSync, rmSync } from 'node:fs';
import { access, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ApplyPorts } from '../../src/apply/ports.ts';
import { createClock } from '../../src/host/clock.ts';
import { createFileSystem } from '../../src/host/files.ts';
import {
  fakeEndpoint,
  fakeIssuer,
  planOf,
  prepareFolder,
  runCommand,
  scenarioPaths,
  snapshotDeployment,
  type Scenario,
} from '../helpers/apply-scenarios.ts';
import { countEffects, freezeAtEffect, type Moment } from '../helpers/effects.ts';
import { FakeWorld } from '../helpers/fake-processes.ts';
import type { TreeSnapshot } from '../helpers/tree.ts';

/**
 * A kill at every effect, without a process: from that effect on nothing
 * happens any more. Thousands of them take seconds this way; the same with a
 * real SIGKILL is in apply-kill.test.ts.
 */
let root = '';

beforeAll(async () => {
  // fsync on a memory disk costs nothing, and there are some ten thousand of them here.
  const memory = await access('/dev/shm').then(
    () => '/dev/shm',
    () => tmpdir(),
  );
  root = await mkdtemp(join(memory, 'mcpd-crash-'));
});

afterAll(() => rm(root, { recursive: true, force: true }));

const moments: readonly Moment[] = ['before', 'during', 'after'];

describe.each<Scenario>(['first', 'second', 'restart', 'uninstall'])('a kill in the scenario "%s"', (scenario) => {
  test('at any effect: the next command puts the folder back as it was', { timeout: 120_000 }, async () => {
    const effects = await effectsOf(scenario);
    expect(effects).toBeGreaterThan(12);
    for (let k = 0; k < effects; k += 1) {
      for (const when of moments) {
        const site = await prepareSite(scenario);
        await crash(site, scenario, k, when);
        await recover(site);
        await expectAsBefore(site, `killed ${when} effect ${k}`);
      }
    }
  });

  test('and one in the recovery at any of its effects: the command after that does', { timeout: 240_000 }, async () => {
    const effects = await effectsOf(scenario);
    // Eight places spread over the run; each has a recovery of up to a hundred effects.
    for (let place = 1; place <= 8; place += 1) {
      const k = Math.floor((place * (effects - 1)) / 8);
      const moment = moments[place % moments.length] ?? 'after';
      const probe = await prepareSite(scenario);
      await crash(probe, scenario, k, moment);
      const recoveryEffects = await countEffects(command(probe).ports, (ports) =>
        runCommand(ports, probe.baseDir, null),
      );
      for (let j = 0; j < recoveryEffects; j += 1) {
        const site = await prepareSite(scenario);
        await crash(site, scenario, k, moment);
        const life = command(site);
        const frozen = freezeAtEffect(life.ports, j, j % 2 === 0 ? 'during' : 'after');
        await Promise.race([runCommand(frozen.ports, site.baseDir, null), frozen.crashed]);
        life.die();
        await recover(site);
        await expectAsBefore(site, `killed ${moment} effect ${k}, the recovery at ${j}`);
      }
    }
  });
});

test('a recovery that is killed after each single effect that changes something still comes to an end', async () => {
  const site = await prepareSite('second');
  const effects = await effectsOf('second');
  await crash(site, 'second', effects - 6, 'after');
  for (let life = 0; life < 120; life += 1) {
    const now = command(site);
    const frozen = freezeAtEffect(now.ports, life % 40, 'after');
    const end = await Promise.race([runCommand(frozen.ports, site.baseDir, null), frozen.crashed]);
    now.die();
    if (end !== 'crashed') break;
  }
  await recover(site);
  await expectAsBefore(site, 'after many killed recoveries');
});

interface Site {
  readonly baseDir: string;
  readonly world: FakeWorld;
  readonly before: TreeSnapshot;
  readonly ranBefore: boolean;
}

/** A fresh folder; one with `first` applied is copied, which is quicker than to apply it a thousand times. */
async function prepareSite(scenario: Scenario): Promise<Site> {
  const world = new FakeWorld();
  const baseDir = join(root, 'site');
  rmSync(baseDir, { recursive: true, force: true });
  if (scenario === 'first') await prepareFolder(baseDir);
  else {
    const template = join(root, 'applied');
    if (!existsSync(template)) {
      await prepareFolder(baseDir);
      await runCommand(command({ world }).ports, baseDir, planOf('first', baseDir));
      renameSync(baseDir, template);
    }
    cpSync(template, baseDir, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
    const { pidFile, logFile } = scenarioPaths(baseDir);
    if (!world.isRunning(pidFile))
      await world.command().processes.startServer({ type: 'start-server', argv: [], cwd: baseDir, pidFile, logFile });
  }
  return {
    baseDir,
    world,
    before: await snapshotDeployment(baseDir),
    ranBefore: world.isRunning(scenarioPaths(baseDir).pidFile),
  };
}

function command({ world }: Pick<Site, 'world'>): { ports: ApplyPorts; die: () => void } {
  const { processes, die } = world.command();
  const clock = createClock();
  return {
    ports: { clock, files: createFileSystem(), processes, issuer: fakeIssuer, endpoint: fakeEndpoint },
    die,
  };
}

async function effectsOf(scenario: Scenario): Promise<number> {
  const site = await prepareSite(scenario);
  return countEffects(command(site).ports, (ports) => runCommand(ports, site.baseDir, planOf(scenario, site.baseDir)));
}

async function crash(site: Site, scenario: Scenario, k: number, when: Moment): Promise<void> {
  const life = command(site);
  const frozen = freezeAtEffect(life.ports, k, when);
  const end = await Promise.race([
    runCommand(frozen.ports, site.baseDir, planOf(scenario, site.baseDir)),
    frozen.crashed,
  ]);
  expect(end, `effect ${k} was reached`).toBe('crashed');
  life.die();
}

async function recover(site: Site): Promise<void> {
  const life = command(site);
  await runCommand(life.ports, site.baseDir, null);
  life.die();
}

/** As before, or, past its commit, as the plan wants it: then nothing of it may be half. */
async function expectAsBefore(site: Site, what: string): Promise<void> {
  const paths = scenarioPaths(site.baseDir);
  const now = await snapshotDeployment(site.baseDir);
  const committed = await isCommitted(site, now);
  expect(await site.world.isUpToDate(paths.pidFile), `configuration of the server, ${what}`).toBe(true);
  if (!committed) {
    expect(now, what).toEqual(site.before);
    expect(site.world.isRunning(paths.pidFile), `server, ${what}`).toBe(site.ranBefore);
  }
  expect(
    Object.keys(now).filter((path) => /mcpd-tmp|lock/.test(path)),
    what,
  ).toEqual([]);
  const journal = await readdir(join(paths.stateDir, 'journal')).catch(() => []);
  expect(
    journal.filter((name) => !/^\d+-\w+\.jsonl$/.test(name)),
    `copies of secrets, ${what}`,
  ).toEqual([]);
  await rm(site.baseDir, { recursive: true });
}

async function isCommitted(site: Site, now: TreeSnapshot): Promise<boolean> {
  if (site.before['.mcp-deploy'] !== undefined && now['.mcp-deploy'] === undefined) {
    // The uninstall went through: nothing of ours is left, all of theirs is.
    expect(Object.keys(now).toSorted()).toEqual(['.', 'fake-server.sh', 'src', 'src/theirs.txt']);
    return true;
  }
  const journals = await readdir(join(site.baseDir, '.mcp-deploy/journal')).catch(() => []);
  const releases = Object.keys(now).filter((path) => path.startsWith('.mcp-deploy/releases/'));
  const before = Object.keys(site.before).filter((path) => path.startsWith('.mcp-deploy/releases/'));
  return journals.length > 0 && releases.length > before.length;
}
