import { appendFileSync, closeSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { acquireLock } from '../../src/apply/lock.ts';
import type { ApplyPorts } from '../../src/apply/ports.ts';
import { createClock } from '../../src/host/clock.ts';
import { createFileSystem } from '../../src/host/files.ts';
import { createProcesses } from '../../src/host/processes.ts';
import { fakeEndpoint, fakeIssuer, planOf, runCommand, type Scenario } from './apply-scenarios.ts';
import { deadPid, interceptEffects, killAtEffect, type Moment } from './effects.ts';

/**
 * A command in a process of its own, to be killed: real files, real processes,
 * the real interpreter. Built with esbuild by the tests that need it.
 *
 *   apply-child.mjs run SCENARIO|recover FOLDER [K MOMENT]
 *   apply-child.mjs lock FOLDER ROUNDS [K MOMENT]
 *   apply-child.mjs abandon FOLDER ROUNDS
 *
 * The last line of output of `run` is the number of effects.
 */
const ports: ApplyPorts = {
  clock: createClock(),
  files: createFileSystem(),
  processes: createProcesses(),
  issuer: fakeIssuer,
  endpoint: fakeEndpoint,
};

const [mode, ...rest] = process.argv.slice(2);
if (mode === 'run') {
  const [scenario = '', folder = '', ...kill] = rest;
  let effects = 0;
  const counted = interceptEffects(withKill(kill), (effect) => {
    effects = effect.index + 1;
    return effect.run();
  });
  const plan = scenario === 'recover' ? null : planOf(scenario as Scenario, folder);
  const { result, recovery } = await runCommand(counted, folder, plan);
  process.stdout.write(`${JSON.stringify({ outcome: result?.outcome ?? null, recovery })}\n${effects}\n`);
} else {
  const [folder = '', rounds = '1', ...kill] = rest;
  await competeForLock(withKill(kill), folder, { rounds: Number(rounds), abandon: mode === 'abandon' });
}

function withKill([k, when]: readonly string[]): ApplyPorts {
  return k === undefined ? ports : killAtEffect(ports, Number(k), when as Moment);
}

/**
 * Takes the lock again and again. Inside, a file that only one process can
 * have created proves that nobody else is there; a second one is noted. With
 * `abandon` the lock is not given back but left as one of a dead process.
 */
async function competeForLock(
  ports: ApplyPorts,
  folder: string,
  { rounds, abandon }: { rounds: number; abandon: boolean },
): Promise<void> {
  const inside = join(folder, 'inside');
  const stateDir = join(folder, '.mcp-deploy');
  const dead = abandon ? deadPid() : 0;
  for (let round = 0; round < rounds; round += 1) {
    const lock = await acquireLock({ ports, stateDir, purpose: 'test', waitMs: 60_000 });
    try {
      closeSync(openSync(inside, 'wx'));
    } catch {
      appendFileSync(join(folder, 'overlaps'), `${process.pid}\n`);
    }
    await new Promise((resolve) => {
      setTimeout(resolve, Math.random() * 3);
    });
    appendFileSync(join(folder, 'rounds'), `${process.pid}\n`);
    rmSync(inside, { force: true });
    if (abandon) leaveAsDead(join(stateDir, 'lock'), dead);
    else await lock.release();
  }
}

/** In one step, as a kill is: nobody ever sees the lock absent or half. */
function leaveAsDead(path: string, dead: number): void {
  const holder: object = JSON.parse(readFileSync(path, 'utf8')) as object;
  writeFileSync(`${path}.${process.pid}-dead`, JSON.stringify({ ...holder, pid: dead }));
  renameSync(`${path}.${process.pid}-dead`, path);
}
