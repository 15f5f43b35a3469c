import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { acquireLock, type Lock } from '../../src/apply/lock.ts';
import type { ApplyPorts } from '../../src/apply/ports.ts';
import { EnvironmentError } from '../../src/deployment/errors.ts';
import { createPorts } from '../../src/host/ports.ts';
import { buildApplyChild } from '../helpers/build-apply-child.ts';
import { deadPid, interceptEffects } from '../helpers/effects.ts';

let root = '';
let child = '';
const ports = createPorts();

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mcpd-lock-'));
  child = await buildApplyChild(root);
});

afterAll(() => rm(root, { recursive: true, force: true }));

describe('one holder', () => {
  test('a second taker is told who holds it, since when, and what to do', async () => {
    const stateDir = await freshStateDir();
    const lock = await acquireLock({ ports, stateDir, purpose: 'apply' });
    const refusal = await acquireLock({ ports, stateDir, purpose: 'stop' }).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(EnvironmentError);
    expect(refusal).toMatchObject({ exitCode: 3, message: 'Another mcp-deploy is changing this deployment.' });
    expect((refusal as EnvironmentError).why).toMatch(
      new RegExp(`^Process ${process.pid} on ${hostname()} holds the lock since \\d{4}-.* UTC, for "apply"\\.$`),
    );
    expect((refusal as EnvironmentError).next).toContain(`ps -p ${process.pid}`);
    await lock.release();
    await (await acquireLock({ ports, stateDir, purpose: 'stop' })).release();
  });

  test('the state folder that the lock made goes with it, one with content stays', async () => {
    const stateDir = await freshStateDir();
    await (await acquireLock({ ports, stateDir, purpose: 'apply' })).release();
    expect(await ports.files.stat(stateDir)).toBe(null);
    await mkdir(stateDir);
    await writeFile(join(stateDir, 'server.json'), '{}');
    await (await acquireLock({ ports, stateDir, purpose: 'apply' })).release();
    expect(await readdir(stateDir)).toEqual(['server.json']);
  });

  test('waiting takes it when the holder gives it back, and says once whom it waits for', async () => {
    const stateDir = await freshStateDir();
    const first = await acquireLock({ ports, stateDir, purpose: 'apply' });
    const told: string[] = [];
    const second = acquireLock({
      ports,
      stateDir,
      purpose: 'stop',
      waitMs: 20_000,
      onWait: (holder) => {
        told.push(holder);
        // Not at once: a few rounds of waiting must not say it again.
        setTimeout(() => void first.release(), 150);
      },
    });
    await (await second).release();
    expect(told).toEqual([expect.stringMatching(`^Process ${process.pid} on .* since .* UTC, for "apply"$`)]);
  });

  test('an interrupt ends the wait', async () => {
    const stateDir = await freshStateDir();
    const lock = await acquireLock({ ports, stateDir, purpose: 'apply' });
    const stop = new AbortController();
    const waiting = acquireLock({ ports, stateDir, purpose: 'stop', waitMs: 20_000, signal: stop.signal });
    stop.abort();
    await expect(waiting).rejects.toThrow(/abort/i);
    await lock.release();
  });
});

describe('a lock that is left behind', () => {
  const holder = {
    identity: 'x',
    hostName: hostname(),
    purpose: 'apply',
    since: '2026-01-01T00:00:00.000Z',
    nonce: 'n',
  };

  test.each([
    ['of a dead process', { ...holder, pid: deadPid() }],
    ['whose pid another process has by now', { ...holder, pid: process.pid }],
  ])('%s is taken over', async (_what, left) => {
    const stateDir = await withLock(`${JSON.stringify(left)}\n`);
    const lock = await acquireLock({ ports, stateDir, purpose: 'up' });
    expect(JSON.parse(await readFile(join(stateDir, 'lock'), 'utf8'))).toMatchObject({
      pid: process.pid,
      purpose: 'up',
    });
    expect(await readdir(stateDir)).toEqual(['lock']);
    await lock.release();
  });

  test('of another machine is respected, with the way out', async () => {
    const stateDir = await withLock(JSON.stringify({ ...holder, pid: deadPid(), hostName: 'elsewhere' }));
    const refusal = await acquireLock({ ports, stateDir, purpose: 'up' }).catch((error: unknown) => error);
    expect(refusal).toMatchObject({ why: expect.stringContaining('elsewhere') as string });
    expect((refusal as EnvironmentError).next).toContain(`rm ${join(stateDir, 'lock')}`);
  });

  test.each([
    ['empty', ''],
    ['torn', '{"pid":12'],
    ['foreign', 'hello'],
  ])('that is %s is taken over once it has stayed so for two seconds', async (_what, content) => {
    const stateDir = await withLock(content);
    const start = ports.clock.elapsed();
    const lock = await acquireLock({ ports, stateDir, purpose: 'up' });
    expect(ports.clock.elapsed() - start).toBeGreaterThanOrEqual(2_000);
    await lock.release();
  });

  test('with the claim of a process that died while taking it over is still taken over', async () => {
    const folder = await mkdtemp(join(root, 'claim-'));
    const stateDir = join(folder, '.mcp-deploy');
    await mkdir(stateDir);
    await writeFile(join(stateDir, 'lock'), JSON.stringify({ ...holder, pid: deadPid() }));
    // Effects of a taker: 0 tries the lock, 1 takes the claim, 2 removes the lock, 3 drops the claim.
    for (const [k, when] of [
      [1, 'after'],
      [1, 'after'],
      [2, 'after'],
      [3, 'before'],
    ] as const) {
      expect(await runChild(['lock', folder, '1', String(k), when])).toBe('SIGKILL');
    }
    await (await acquireLock({ ports, stateDir, purpose: 'up' })).release();
    expect(await ports.files.stat(stateDir)).toBe(null);
  });
});

describe('two that have seen the same dead lock', () => {
  const holder = { pid: deadPid(), identity: 'x', hostName: hostname(), purpose: 'x', since: 'x', nonce: 'x' };

  /** Ports that stop before the k-th effect until `go` is called. */
  function pausedAt(k: number): { slow: ApplyPorts; reached: Promise<void>; go: () => void } {
    let go: () => void = () => {};
    let arrive: () => void = () => {};
    const gate = new Promise<void>((resolve) => {
      go = resolve;
    });
    const reached = new Promise<void>((resolve) => {
      arrive = resolve;
    });
    const slow = interceptEffects(createPorts(), async (effect) => {
      if (effect.index === k) {
        arrive();
        await gate;
      }
      return effect.run();
    });
    return { slow, reached, go: () => go() };
  }

  // Effects of a taker: 0 tries the lock, 1 takes the claim, 2 removes the dead lock, 3 drops the claim, 4 takes the lock.
  test.each([1, 4])(
    'the slow one, held up before its effect %i, does not touch the lock of the quick one',
    async (k) => {
      const stateDir = await withLock(JSON.stringify(holder));
      const { slow, reached, go } = pausedAt(k);
      const late = acquireLock({ ports: slow, stateDir, purpose: 'slow' }).catch((error: unknown) => error);
      await reached;
      const quick = await acquireLock({ ports, stateDir, purpose: 'quick' });
      go();
      expect(await late).toMatchObject({ why: expect.stringContaining('"quick"') as string });
      expect(await readFile(join(stateDir, 'lock'), 'utf8')).toContain('"quick"');
      await quick.release();
      expect(await ports.files.stat(stateDir)).toBe(null);
    },
  );

  test.each([2, 3])('the quick one waits while the slow one clears away, before its effect %i', async (k) => {
    const stateDir = await withLock(JSON.stringify(holder));
    const { slow, reached, go } = pausedAt(k);
    const first = acquireLock({ ports: slow, stateDir, purpose: 'slow', waitMs: 20_000 });
    await reached;
    const second = acquireLock({ ports, stateDir, purpose: 'quick', waitMs: 20_000 });
    let holders = 0;
    const inside = async (taken: Promise<Lock>): Promise<void> => {
      const lock = await taken;
      holders += 1;
      expect(holders).toBe(1);
      await ports.clock.sleep(20);
      holders -= 1;
      await lock.release();
    };
    const both = Promise.all([inside(first), inside(second)]);
    await ports.clock.sleep(60);
    go();
    await both;
  });
});

describe('twenty processes at once', () => {
  test('never are two inside, from a dead lock on, and each gets its turn', { timeout: 120_000 }, async () => {
    const folder = await mkdtemp(join(root, 'many-'));
    await mkdir(join(folder, '.mcp-deploy'));
    const dead = { pid: deadPid(), identity: 'x', hostName: hostname(), purpose: 'x', since: 'x', nonce: 'x' };
    await writeFile(join(folder, '.mcp-deploy/lock'), JSON.stringify(dead));
    const ends = await Promise.all(Array.from({ length: 20 }, () => runChild(['lock', folder, '10'])));
    expect(ends).toEqual(Array.from({ length: 20 }, () => 0));
    await expectNoOverlap(folder, 200);
  });

  test('nor when each one dies inside and leaves its lock to the others', { timeout: 120_000 }, async () => {
    const folder = await mkdtemp(join(root, 'abandoned-'));
    const ends = await Promise.all(Array.from({ length: 20 }, () => runChild(['abandon', folder, '15'])));
    expect(ends).toEqual(Array.from({ length: 20 }, () => 0));
    await expectNoOverlap(folder, 300);
  });

  test(
    'nor when some of them are killed while they take it, hold it or take it over',
    { timeout: 120_000 },
    async () => {
      const folder = await mkdtemp(join(root, 'killed-'));
      const killed = Array.from({ length: 10 }, (_, index) =>
        runChild([
          'lock',
          folder,
          '5',
          String(index * 2),
          index % 3 === 0 ? 'during' : index % 3 === 1 ? 'after' : 'before',
        ]),
      );
      const living = Array.from({ length: 10 }, () => runChild(['lock', folder, '5']));
      expect(await Promise.all(living)).toEqual(Array.from({ length: 10 }, () => 0));
      expect(new Set(await Promise.all(killed))).toContain('SIGKILL');
      await expectNoOverlap(folder, 50);
    },
  );
});

async function expectNoOverlap(folder: string, atLeastRounds: number): Promise<void> {
  expect(await readFile(join(folder, 'overlaps'), 'utf8').catch(() => '')).toBe('');
  const rounds = (await readFile(join(folder, 'rounds'), 'utf8')).trim().split('\n');
  expect(rounds.length).toBeGreaterThanOrEqual(atLeastRounds);
}

async function freshStateDir(): Promise<string> {
  return join(await mkdtemp(join(root, 'fresh-')), '.mcp-deploy');
}

async function withLock(content: string): Promise<string> {
  const stateDir = await freshStateDir();
  await mkdir(stateDir);
  await writeFile(join(stateDir, 'lock'), content);
  return stateDir;
}

function runChild(args: readonly string[]): Promise<number | NodeJS.Signals | null> {
  return new Promise((resolve) => {
    const running = spawn(process.execPath, [child, ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
    running.on('close', (code, signal) => resolve(code ?? signal));
  });
}
