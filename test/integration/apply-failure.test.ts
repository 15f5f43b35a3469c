import { cpSync, existsSync, renameSync, rmSync } from 'node:fs';
import { access, chmod, mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ApplyResult } from '../../src/apply/apply-plan.ts';
import type { ApplyPorts } from '../../src/apply/ports.ts';
import type { ProgressEvent } from '../../src/apply/progress-event.ts';
import { EnvironmentError } from '../../src/deployment/errors.ts';
import { createClock } from '../../src/host/clock.ts';
import { createFileSystem } from '../../src/host/files.ts';
import {
  fakeEndpoint,
  fakeIssuer,
  planOf,
  prepareFolder,
  purposes,
  runCommand,
  scenarioPaths,
  snapshotDeployment,
  type Scenario,
} from '../helpers/apply-scenarios.ts';
import { countEffects, failAtEffect, type Effect } from '../helpers/effects.ts';
import { FakeWorld } from '../helpers/fake-processes.ts';
import { runTool, testWithTools } from '../helpers/tools.ts';

let root = '';

beforeAll(async () => {
  const memory = await access('/dev/shm').then(
    () => '/dev/shm',
    () => tmpdir(),
  );
  root = await mkdtemp(join(memory, 'mcpd-failure-'));
});

afterAll(() => rm(root, { recursive: true, force: true }));

const failure = (): Error => new EnvironmentError('The test says no.', { why: 'It is a test.', next: 'Nothing.' });

describe.each(purposes)('an effect that fails in the scenario "%s"', (scenario) => {
  test('once, or in its middle: everything is undone', { timeout: 120_000 }, async () => {
    const effects = await effectsOf(scenario);
    for (let k = 0; k < effects; k += 1) {
      const site = await prepareSite(scenario);
      const before = await snapshotDeployment(site.baseDir);
      const ports = failAtEffect(site.ports, k, { error: failure, partly: k % 2 === 1 });
      const { result, error } = await tryCommand(ports, site.baseDir, scenario);
      const what = `${scenario}, effect ${k}, ${result?.outcome ?? String(error)}`;
      if (result?.outcome === 'applied') {
        // Past the commit: what could not be removed is named, or it is the lock of this process.
        expect(k, what).toBeGreaterThan(effects / 2);
        continue;
      }
      if (result === null) expect(error, what).toMatchObject({ message: 'The test says no.' });
      else {
        expect(result, what).toMatchObject({ outcome: 'undone', failure: { error: { message: 'The test says no.' } } });
      }
      expect(withoutStrays(await snapshotDeployment(site.baseDir)), what).toEqual(before);
      expect(site.isRunning(), what).toBe(scenario !== 'first');
      expect(await site.isUpToDate(), what).toBe(true);
    }
  });

  test(
    'and a disk that takes no write from then on: undone all the same, since the undo needs no space',
    { timeout: 120_000 },
    async () => {
      const effects = await effectsOf(scenario);
      const needsSpace: ReadonlySet<string> = new Set([
        'writeAtomic',
        'appendDurably',
        'createExclusive',
        'makeDirectory',
      ]);
      for (let k = 0; k < effects; k += 1) {
        const site = await prepareSite(scenario);
        const before = await snapshotDeployment(site.baseDir);
        const forever = ({ name }: Effect): boolean => needsSpace.has(name);
        const { result, error } = await tryCommand(
          failAtEffect(site.ports, k, { error: failure, forever }),
          site.baseDir,
          scenario,
        );
        const what = `${scenario}, effect ${k}, ${result?.outcome ?? String(error)}`;
        if (result?.outcome === 'applied') continue;
        // Only a folder that the plan had removed already needs space to come back.
        if (result?.outcome === 'undo-incomplete' && scenario === 'uninstall') {
          await runCommand(site.ports, site.baseDir, null);
        } else if (result !== null) expect(result.outcome, what).toBe('undone');
        expect(withoutStrays(await snapshotDeployment(site.baseDir)), what).toEqual(before);
        expect(site.isRunning(), what).toBe(scenario !== 'first');
        expect(await site.isUpToDate(), what).toBe(true);
      }
    },
  );

  test(
    'and everything after it as well: what is left over is named, and the next command mends it',
    { timeout: 120_000 },
    async () => {
      const effects = await effectsOf(scenario);
      for (let k = 0; k < effects; k += 1) {
        const site = await prepareSite(scenario);
        const before = await snapshotDeployment(site.baseDir);
        const ports = failAtEffect(site.ports, k, { error: failure, forever: () => true });
        const { result } = await tryCommand(ports, site.baseDir, scenario);
        const what = `${scenario}, effect ${k}, ${result?.outcome ?? 'thrown'}`;
        if (result?.outcome === 'applied') continue;
        if (result?.outcome === 'undo-incomplete') expect(result.leftovers?.length, what).toBeGreaterThan(0);
        site.die();
        const next = site.next();
        await runCommand(next, site.baseDir, null);
        expect(await snapshotDeployment(site.baseDir), what).toEqual(before);
        expect(site.isRunning(), what).toBe(scenario !== 'first');
        expect(await site.isUpToDate(), what).toBe(true);
      }
    },
  );
});

describe('an interrupt', () => {
  test.each(purposes)('at each step of "%s" undoes everything', { timeout: 60_000 }, async (scenario) => {
    const steps = (await prepareSite(scenario).then(({ baseDir }) => planOf(scenario, baseDir))).steps.length;
    for (let at = 0; at < steps; at += 1) {
      const site = await prepareSite(scenario);
      const before = await snapshotDeployment(site.baseDir);
      const stop = new AbortController();
      let started = 0;
      const { result } = await runCommand(site.ports, site.baseDir, planOf(scenario, site.baseDir), {
        signal: stop.signal,
        onProgress: (event) => {
          if (event.type === 'step-start' && started++ === at) stop.abort();
        },
      });
      expect(result, `step ${at}`).toMatchObject({ outcome: 'interrupted' });
      expect(result?.failure).toBe(undefined);
      expect(await snapshotDeployment(site.baseDir), `step ${at}`).toEqual(before);
      expect(site.isRunning()).toBe(scenario !== 'first');
    }
  });

  test('while it waits for the server, or verifies, is heard at once', async () => {
    for (const hanging of ['ready', 'verify'] as const) {
      const site = await prepareSite('first');
      const before = await snapshotDeployment(site.baseDir);
      const stop = new AbortController();
      const endpoint = {
        ready: () => {
          if (hanging === 'ready') setTimeout(() => stop.abort(), 5);
          return Promise.resolve(hanging === 'ready' ? null : { status: 200, body: '' });
        },
        portHolder: () => Promise.resolve({ taken: false, holder: null }),
        freePort: () => Promise.resolve(1),
        servedFingerprint: () => Promise.resolve({ problem: 'nobody listens' }),
        verify: (_spec: unknown, signal: AbortSignal) =>
          new Promise<never>((_resolve, reject) => {
            signal.addEventListener('abort', () => reject(new Error('aborted')));
            stop.abort();
          }),
      };
      const plan = planOf('first', site.baseDir);
      const { result } = await runCommand({ ...site.ports, endpoint }, site.baseDir, plan, { signal: stop.signal });
      expect(result?.outcome).toBe('interrupted');
      expect(await snapshotDeployment(site.baseDir)).toEqual(before);
    }
  });
});

describe('what the interpreter says', () => {
  test('a plan without steps touches nothing', async () => {
    const site = await prepareSite('first');
    const before = await snapshotDeployment(site.baseDir);
    const { result } = await runCommand(site.ports, site.baseDir, { ...planOf('first', site.baseDir), steps: [] });
    expect(result).toEqual({ outcome: 'nothing-to-do' });
    expect(await snapshotDeployment(site.baseDir)).toEqual(before);
  });

  test('an apply tells each step with its fact, and leaves a release record without secrets or copies', async () => {
    const site = await prepareSite('first');
    const events: ProgressEvent[] = [];
    const { result } = await runCommand(site.ports, site.baseDir, planOf('first', site.baseDir), {
      onProgress: (event) => events.push(event),
    });
    expect(result).toMatchObject({ outcome: 'applied', verified: { tools: 3 } });
    expect(
      events.flatMap((event) => (event.type === 'step-done' && event.detail !== null ? [event.detail] : [])),
    ).toEqual([
      'mcp-deploy.yaml',
      '1 key "default", hash stored, key in .mcp-deploy/keys/default.key (0600)',
      'private CA',
      'localhost; 397 days',
      '.mcp-deploy/server.json',
      expect.stringMatching(/^started, pid \d+$/),
      expect.stringMatching(/^ready in \d+ ms$/),
      'modern and legacy client, 3 tools, echo answered in 4 ms',
    ]);
    const { stateDir, firstKey, deploymentFile } = scenarioPaths(site.baseDir);
    expect(await readdir(join(stateDir, 'journal'))).toEqual(['1-apply.jsonl']);
    const record = await readFile(join(stateDir, 'releases/1.json'), 'utf8');
    expect(Object.keys((JSON.parse(record) as { files: object }).files)).toEqual(
      expect.arrayContaining([deploymentFile, firstKey]),
    );
    const key = (await readFile(firstKey, 'utf8')).trim();
    expect(record).not.toContain(key);
    expect(await readFile(join(stateDir, 'journal/1-apply.jsonl'), 'utf8')).not.toContain(key);
  });

  test('an apply over files that are there keeps no copy of them once it is committed', async () => {
    const site = await prepareSite('second');
    const { result } = await runCommand(site.ports, site.baseDir, planOf('second', site.baseDir));
    expect(result?.outcome).toBe('applied');
    const journal = join(scenarioPaths(site.baseDir).stateDir, 'journal');
    expect(await readdir(journal)).toEqual(['1-apply.jsonl', '2-apply.jsonl']);
  });

  test('a failed step keeps what its error said, and the undo is told', async () => {
    const site = await prepareSite('first');
    const events: ProgressEvent['type'][] = [];
    const endpoint = { ...fakeEndpoint, verify: () => Promise.reject(failure()) };
    const { result } = await runCommand({ ...site.ports, endpoint }, site.baseDir, planOf('first', site.baseDir), {
      onProgress: ({ type }) => events.push(type),
    });
    expect(result).toMatchObject({
      outcome: 'undone',
      failure: { step: { id: 'verify-endpoint' }, error: { why: 'It is a test.', next: 'Nothing.' } },
    });
    expect(events).toEqual(expect.arrayContaining(['step-failed', 'undo-start', 'undo-step', 'undo-done']));
  });

  test('a symbolic link in the way is refused, not replaced', async () => {
    const site = await prepareSite('first');
    const { deploymentFile } = scenarioPaths(site.baseDir);
    await symlink('src/theirs.txt', deploymentFile);
    const before = await snapshotDeployment(site.baseDir);
    const { result } = await runCommand(site.ports, site.baseDir, planOf('first', site.baseDir));
    expect(result).toMatchObject({
      outcome: 'undone',
      failure: { error: { message: `${deploymentFile} is not a plain file.` } },
    });
    expect(await snapshotDeployment(site.baseDir)).toEqual(before);
  });

  test('a file of theirs in a folder of ours outside of the state folder is kept, and named', async () => {
    const site = await prepareSite('first');
    const folder = join(site.baseDir, 'outside');
    const plan = planOf('first', site.baseDir);
    const makeFolder = {
      id: 'outside',
      title: 'make outside',
      why: 'test',
      group: 'configuration',
      action: { type: 'make-directory', path: folder, mode: 0o755 },
      undo: { type: 'restore' },
    } as const;
    const { result } = await runCommand(
      {
        ...site.ports,
        endpoint: {
          ...fakeEndpoint,
          verify: async () => {
            await writeFile(join(folder, 'precious'), 'mine');
            throw failure();
          },
        },
      },
      site.baseDir,
      { ...plan, steps: [makeFolder, ...plan.steps] },
    );
    expect(result).toMatchObject({ outcome: 'undo-incomplete', leftovers: [`${folder} (not empty)`] });
    expect(await readFile(join(folder, 'precious'), 'utf8')).toBe('mine');
    // The next command tries again, says the same, and changes nothing; once it is out of the way, all is well.
    await expect(runCommand(site.ports, site.baseDir, plan)).rejects.toMatchObject({ exitCode: 5 });
    await rm(join(folder, 'precious'));
    const { recovery } = await runCommand(site.ports, site.baseDir, null);
    expect(recovery?.outcome).toBe('undone');
    expect(await readdir(site.baseDir)).toEqual(['fake-server.sh', 'src']);
  });

  test('a copy of a folder with an unfinished plan does not reach back into the original', async () => {
    const site = await prepareSite('first');
    const ports = failAtEffect(site.ports, 20, { error: failure, forever: () => true });
    await tryCommand(ports, site.baseDir, 'first');
    site.die();
    const original = await snapshotDeployment(site.baseDir);
    const copy = join(root, 'copy');
    cpSync(site.baseDir, copy, { recursive: true });
    await expect(runCommand(site.next(), copy, null)).rejects.toMatchObject({
      message: expect.stringContaining(site.baseDir) as string,
    });
    expect(await snapshotDeployment(site.baseDir)).toEqual(original);
  });
});

testWithTools(
  ['mount', 'umount'],
  'a disk that is full at any moment: undone, and the message says so',
  async (context) => {
    if (process.getuid?.() !== 0) return context.skip('mount needs root');
    for (const scenario of ['first', 'second'] as const) {
      const outcomes = new Map<string, number>();
      for (let freeKb = 0; freeKb <= 180; freeKb += scenario === 'first' ? 4 : 8) {
        const disk = await mkdtemp(join(tmpdir(), 'mcpd-disk-'));
        runTool('mount', ['-t', 'tmpfs', '-o', 'size=1m,mode=0755', 'tmpfs', disk]);
        try {
          const site = siteIn(join(disk, 'project'));
          await mkdir(site.baseDir);
          await prepareFolder(site.baseDir);
          if (scenario === 'second') await runCommand(site.ports, site.baseDir, planOf('first', site.baseDir));
          await fillDisk(disk, freeKb);
          const before = await snapshotDeployment(site.baseDir);
          const { result, error } = await tryCommand(site.ports, site.baseDir, scenario);
          const said = result === null ? error : (result.failure?.error ?? null);
          const outcome = result?.outcome ?? 'refused';
          outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
          if (outcome === 'applied') break;
          // A fake server of this test may itself find the disk full; everything of ours explains it.
          if (said instanceof EnvironmentError) expect(said.why, `${freeKb} kB free`).toBe('The disk is full.');
          expect(['refused', 'undone'], `${freeKb} kB free`).toContain(outcome);
          expect(await snapshotDeployment(site.baseDir), `${scenario}, ${freeKb} kB free`).toEqual(before);
        } finally {
          runTool('umount', [disk]);
          await rm(disk, { recursive: true });
        }
      }
      expect([...outcomes.keys()], scenario).toEqual(expect.arrayContaining(['undone', 'applied']));
    }
  },
  120_000,
);

test('a folder that cannot be written to is refused, named, and left alone', async () => {
  const folder = await mkdtemp(join(root, 'closed-'));
  await prepareFolder(folder);
  await chmod(root, 0o755);
  await chmod(folder, 0o555);
  const before = await snapshotDeployment(folder);
  const { error } = await asNobody(() => tryCommand(siteIn(folder).ports, folder, 'first'));
  expect(error).toBeInstanceOf(EnvironmentError);
  expect(error).toMatchObject({ exitCode: 3, message: `Cannot make ${join(folder, '.mcp-deploy')}.` });
  expect((error as EnvironmentError).why).toContain('no permission');
  expect(await snapshotDeployment(folder)).toEqual(before);
});

/** Root may write everywhere, so the test is nobody for a moment. */
async function asNobody<T>(run: () => Promise<T>): Promise<T> {
  if (process.getuid?.() !== 0) return run();
  process.seteuid?.(65_534);
  try {
    return await run();
  } finally {
    process.seteuid?.(0);
  }
}

async function fillDisk(disk: string, freeKb: number): Promise<void> {
  const balloon = join(disk, 'balloon');
  // Page by page, until nothing more goes in, then as much back as shall be free.
  let pages = 0;
  const page = Buffer.alloc(4_096);
  for (;;) {
    try {
      await writeFile(`${balloon}-${pages}`, page);
      pages += 1;
    } catch {
      break;
    }
  }
  await rm(`${balloon}-${pages}`, { force: true });
  for (let freed = 0; freed < freeKb / 4; freed += 1) await rm(`${balloon}-${pages - 1 - freed}`, { force: true });
}

interface Site {
  readonly baseDir: string;
  readonly ports: ApplyPorts;
  /** The command has ended. */
  readonly die: () => void;
  /** Ports of a later command in the same world. */
  readonly next: () => ApplyPorts;
  readonly isRunning: () => boolean;
  /** Whether the server runs with the configuration that is there now. */
  readonly isUpToDate: () => Promise<boolean>;
}

function siteIn(baseDir: string, world = new FakeWorld()): Site {
  const portsOf = (command: ReturnType<FakeWorld['command']>): ApplyPorts => ({
    clock: createClock(),
    files: createFileSystem(),
    processes: command.processes,
    issuer: fakeIssuer,
    endpoint: fakeEndpoint,
  });
  const command = world.command();
  return {
    baseDir,
    ports: portsOf(command),
    die: command.die,
    next: () => portsOf(world.command()),
    isRunning: () => world.isRunning(scenarioPaths(baseDir).pidFile),
    isUpToDate: () => world.isUpToDate(scenarioPaths(baseDir).pidFile),
  };
}

async function prepareSite(scenario: Scenario): Promise<Site> {
  const world = new FakeWorld();
  const site = siteIn(join(root, 'site'), world);
  const { baseDir } = site;
  rmSync(baseDir, { recursive: true, force: true });
  if (scenario === 'first') {
    await prepareFolder(baseDir);
    return site;
  }
  const template = join(root, 'applied');
  if (!existsSync(template)) {
    await prepareFolder(baseDir);
    await runCommand(siteIn(baseDir).ports, baseDir, planOf('first', baseDir));
    renameSync(baseDir, template);
  }
  cpSync(template, baseDir, { recursive: true, verbatimSymlinks: true });
  const { pidFile, logFile } = scenarioPaths(baseDir);
  await site.ports.processes.startServer({ type: 'start-server', argv: [], cwd: baseDir, pidFile, logFile });
  return site;
}

async function effectsOf(scenario: Scenario): Promise<number> {
  const site = await prepareSite(scenario);
  return countEffects(site.ports, (ports) => runCommand(ports, site.baseDir, planOf(scenario, site.baseDir)));
}

async function tryCommand(
  ports: ApplyPorts,
  baseDir: string,
  scenario: Scenario,
): Promise<{ result: ApplyResult | null; error: unknown }> {
  try {
    const { result } = await runCommand(ports, baseDir, planOf(scenario, baseDir));
    return { result, error: null };
  } catch (error) {
    return { result: null, error };
  }
}

/** What a failed removal may leave until the next command: the lock itself, and half-written files beside it. */
function withoutStrays(tree: Readonly<Record<string, string>>): Record<string, string> {
  const kept = Object.entries(tree).filter(([path]) => !/\.mcp-deploy\/lock|mcpd-tmp$/.test(path));
  const onlyFolder = kept.filter(([path]) => path.startsWith('.mcp-deploy')).length === 1;
  return Object.fromEntries(onlyFolder ? kept.filter(([path]) => path !== '.mcp-deploy') : kept);
}
