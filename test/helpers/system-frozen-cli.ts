import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstatSync, readFileSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import type { ApplyPorts } from '../../src/apply/ports.ts';
import { runCli } from '../../src/cli/main.ts';
import type { World } from '../../src/cli/world.ts';
import { createPorts } from '../../src/host/ports.ts';
import { deadPid, freezeAtEffect, interceptEffects, type Moment } from './effects.ts';
import { waitUntil } from './wait-until.ts';

/**
 * An upgrade that ends at each of its effects, and an undo that does: from that effect on nothing happens any more, as after a
 * kill, but in one process, so that a case takes no start-up of a program. Bundled and run on a host, in the folder of the
 * deployment: node FILE WANTED-YAML some|all
 *
 * `all` tries each effect before, during and after it; `some` one of these in turn, and of the lines of the journal, around
 * which nothing else changes, a few. What was not as it has to be is told on standard output.
 */
export interface FrozenReport {
  readonly effects: number;
  readonly cases: number;
  readonly undoCases: number;
  readonly problems: readonly string[];
}

const file = join(process.cwd(), 'mcp-deploy.yaml');
const live = readFileSync(file, 'utf8');
const [wanted = '', choice = 'some'] = process.argv.slice(2);
const moments: readonly Moment[] = ['before', 'during', 'after'];
const problems: string[] = [];
const hashes = new Map<string, string>();

const effects = await countEffectsOfUpgrade();
let before = snapshot();
let cases = 0;
for (const [k, effect] of effects.entries()) {
  if (choice !== 'all' && effect.startsWith('appendDurably') && k % 8 !== 0) continue;
  for (const when of choice === 'all' ? moments : [moments[cases % moments.length] ?? 'after']) {
    await tryUpgrade(k, when, `cut off ${when} effect ${k} (${effect})`);
    cases += 1;
  }
}
const undoCases = await tryUndos();
process.stdout.write(JSON.stringify({ effects: effects.length, cases, undoCases, problems } satisfies FrozenReport));
// Commands that are frozen wait for ever.
process.exit(0);

async function countEffectsOfUpgrade(): Promise<readonly string[]> {
  const names: string[] = [];
  writeFileSync(file, wanted);
  await mustApply(
    'the upgrade',
    interceptEffects(createPorts(), (effect) => {
      names[effect.index] = `${effect.name} ${String(effect.args[0])}`;
      return effect.run();
    }),
  );
  writeFileSync(file, live);
  await mustApply('the way back');
  return names;
}

async function tryUpgrade(k: number, when: Moment, what: string): Promise<void> {
  writeFileSync(file, wanted);
  await frozenApply(k, when);
  await expectServing(what);
  const wasMadeFinal = /^{"type":"commit".*}\n/m.test(lastJournal());
  writeFileSync(file, live);
  const said = await mustApply(what);
  const now = snapshot();
  if (!wasMadeFinal) expectSame(what, before, now);
  else {
    if (said.includes('was undone')) problems.push(`${what}: what was final has been undone`);
    expectSame(what, withoutReleases(before), withoutReleases(now));
    before = now;
  }
  await expectServing(`${what}, afterwards`);
}

/** The longest way back, from where all is done but the record. */
async function tryUndos(): Promise<number> {
  const last = effects.findLastIndex((name) => name.startsWith('run systemctl'));
  let tried = 0;
  for (let j = 0; ; j += choice === 'all' ? 1 : 12) {
    const when = moments[tried % moments.length] ?? 'after';
    writeFileSync(file, wanted);
    await frozenApply(last, 'after');
    writeFileSync(file, live);
    if ((await frozenApply(j, when)) === 'ended') break;
    const what = `the undo cut off ${when} its effect ${j}`;
    await expectServing(what);
    await mustApply(what);
    expectSame(what, before, snapshot());
    await expectServing(`${what}, afterwards`);
    tried += 1;
  }
  expectSame('after all undos', before, snapshot());
  return tried;
}

async function mustApply(what: string, ports: ApplyPorts = createPorts()): Promise<string> {
  const { exitCode, said } = await apply(ports);
  if (exitCode !== 0) problems.push(`${what}: the next apply ended with ${exitCode}\n${said}`);
  return said;
}

async function frozenApply(k: number, when: Moment): Promise<'crashed' | 'ended'> {
  const real = createPorts();
  // A process that has ended: nobody waits for its lock.
  const self = { ...real.processes.self, pid: deadPid(), identity: 'ended' };
  const ports = { ...real, processes: Object.assign(Object.create(real.processes) as typeof real.processes, {}) };
  Object.defineProperty(ports.processes, 'self', { value: self });
  const frozen = freezeAtEffect(ports, k, when);
  return Promise.race([frozen.crashed, apply(frozen.ports).then(() => 'ended' as const)]);
}

async function apply(ports: ApplyPorts): Promise<{ readonly exitCode: number; readonly said: string }> {
  let said = '';
  const sink = (): Writable =>
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        said += chunk.toString();
        done();
      },
    });
  const world: World = {
    stdin: Readable.from([]),
    stdout: sink(),
    stderr: sink(),
    env: process.env,
    cwd: process.cwd(),
    platform: process.platform,
    onInterrupt: () => () => {},
  };
  return { exitCode: await runCli(['apply'], world, { ports }), said };
}

async function expectServing(what: string): Promise<void> {
  let last = 'nothing';
  await waitUntil(
    async () => {
      last = await ask();
      return last === '401';
    },
    20_000,
    what,
  ).catch(() => problems.push(`${what}: nobody serves (${last})`));
}

/** Through nginx, as far as somebody without a key comes. */
function ask(): Promise<string> {
  return new Promise((resolve) => {
    const asked = request(
      'https://localhost/mcp',
      { method: 'POST', rejectUnauthorized: false, agent: false, timeout: 5_000 },
      (answer) => {
        answer.resume();
        answer.on('end', () => resolve(String(answer.statusCode)));
      },
    );
    asked.on('error', (error) => resolve(error.message));
    asked.on('timeout', () => asked.destroy(new Error('no answer')));
    asked.end();
  });
}

function expectSame(what: string, wished: ReadonlyMap<string, string>, found: ReadonlyMap<string, string>): void {
  const paths = new Set([...wished.keys(), ...found.keys()]);
  const others = [...paths].filter((path) => wished.get(path) !== found.get(path));
  for (const path of others.slice(0, 5)) {
    problems.push(`${what}: ${path} was ${wished.get(path) ?? 'absent'}, is ${found.get(path) ?? 'absent'}`);
  }
}

function withoutReleases(all: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  return new Map([...all].filter(([path]) => !/^\/opt\/mcp-deploy\/notes\/(?:releases|current)/.test(path)));
}

function lastJournal(): string {
  const folder = '/opt/mcp-deploy/notes/journal';
  const name = readdirSync(folder)
    .filter((each) => each.endsWith('.jsonl'))
    .toSorted()
    .at(-1);
  return name === undefined ? '' : readFileSync(join(folder, name), 'utf8');
}

/** Each path with kind, mode, owner, and what is in it; each unit with what systemd says of it. */
function snapshot(): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  const visit = (path: string): void => {
    const stat = lstatSync(path, { bigint: true });
    const about = `${(Number(stat.mode) & 0o177777).toString(8)} ${stat.uid}:${stat.gid}`;
    if (stat.isSymbolicLink()) found.set(path, `${about} -> ${readlinkSync(path)}`);
    else if (stat.isDirectory()) {
      found.set(path, about);
      for (const name of readdirSync(path))
        if (name !== 'journal' || !path.includes('mcp-deploy')) visit(join(path, name));
    } else if (path !== file) {
      const version = `${path} ${stat.ino} ${stat.ctimeNs} ${stat.size}`;
      let hash = hashes.get(version);
      if (hash === undefined) {
        hash = createHash('sha256').update(readFileSync(path)).digest('hex');
        hashes.set(version, hash);
      }
      found.set(path, `${about} ${hash}`);
    }
  };
  for (const root of ['/etc', '/opt', '/srv', '/run/systemd/system']) visit(root);
  const units = ['mcp-notes.service', 'mcp-notes.socket', 'mcp-notes-trial.service', 'nginx.service'];
  const states = execFileSync('systemctl', ['show', '--property=Id,LoadState,ActiveState,UnitFileState', ...units], {
    encoding: 'utf8',
  });
  for (const [at, state] of states.trim().split('\n\n').entries()) found.set(units[at] ?? '', state);
  return found;
}
