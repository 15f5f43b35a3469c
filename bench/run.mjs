// One table: the bundled server with every policy on, a bare node:http server and the peers, on the same echo work.
//   npm run bench                         all rows, writes bench/results.md; about 17 minutes
//   npm run bench -- --quick              ours and bare only, short rounds, writes nothing
//   npm run bench -- --rounds 3 --seconds 2
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { measureCertificates } from './certificates.mjs';
import { measureCommands } from './commands.mjs';
import { contestants } from './contestants.mjs';
import { judgeGoals, median, ratio } from './goals.mjs';
import { initialize, loadAlone, rssKiB, start } from './measure-server.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const quick = process.argv.includes('--quick');
const rounds = numberOf('--rounds', quick ? 3 : 5);
const seconds = numberOf('--seconds', quick ? 2 : 3);
const warmUps = quick ? 3 : 6;
const connectionCounts = quick ? [32] : [1, 32, 128];

const folder = mkdtempSync(join(tmpdir(), 'mcp-deploy-bench-'));
const running = [];
const rows = [];
// Ended from outside, it takes its servers with it and keeps what it has seen.
process.once('SIGTERM', () => {
  for (const server of running) server.stop();
  write(report([], '', true));
  process.exit(143);
});
try {
  if (!quick && !existsSync(join(here, 'peers/node_modules'))) {
    execFileSync('npm', ['ci', '--ignore-scripts', '--silent'], { cwd: join(here, 'peers'), stdio: 'inherit' });
  }
  await measureServers();
  const commands = quick ? [] : await measureCommands();
  const certificates = quick ? '' : `\n${await measureCertificates()}`;
  write(report(commands, certificates, false));
} finally {
  for (const server of running) server.stop();
  rmSync(folder, { recursive: true, force: true });
}

function write(text) {
  process.stdout.write(`${text}\n`);
  if (!quick) writeFileSync(join(here, 'results.md'), text);
}

function numberOf(flag, otherwise) {
  const at = process.argv.indexOf(flag);
  return at === -1 ? otherwise : Number(process.argv[at + 1]);
}

/**
 * Starts everybody, then interleaves the rounds, so that noise of the machine falls on all alike. Who is not asked is
 * stopped meanwhile, so that nobody's timers and caches are in the way of another. A row of ours is measured right
 * after the one that it is held against, whose second measurement in the round is for that alone.
 */
async function measureServers() {
  for (const contestant of await contestants({ folder, quick })) {
    const server = await start(contestant);
    running.push(server);
    rows.push({ ...contestant, server, samples: new Map(), against: new Map(), startMs: server.startMs });
    server.pause();
  }
  // Each run of the load generator orders its headers anew, and V8 compiles for each order until it has seen about five.
  for (let warmUp = 0; warmUp < warmUps; warmUp += 1) for (const row of rows) await loadOnceMore(row, 32, 1);
  for (const connections of connectionCounts) {
    for (let round = 0; round < rounds; round += 1) {
      for (const row of rows) {
        const base = rows.find(({ name }) => name === row.base);
        if (row.isOurs && base !== undefined)
          keep(row.against, connections, await loadOnceMore(base, connections, seconds));
        const sample = await loadOnceMore(row, connections, seconds);
        keep(row.samples, connections, sample);
        process.stderr.write(
          `${row.name}, ${connections} connections, round ${round + 1}: ${Math.round(sample.callsPerSecond)} calls/s\n`,
        );
      }
    }
  }
  if (!quick) for (const row of rows) row.idle = row.sessions > 0 ? await idleMemory(row) : null;
}

function keep(samples, connections, sample) {
  samples.set(connections, [...(samples.get(connections) ?? []), sample]);
}

/** Some of the peers answer nothing for a whole round now and then; twice in a row ends the bench. */
async function loadOnceMore(row, connections, forSeconds) {
  try {
    return await loadAlone(row, connections, forSeconds);
  } catch (error) {
    process.stderr.write(`${error.message}: once more\n`);
    return loadAlone(row, connections, forSeconds);
  }
}

/**
 * Opens sessions in a fresh server and leaves them idle: KiB of RSS each, of the serving process and of the children that it
 * starts for them. One that has been under load gives memory back meanwhile; one that has not yet opened a session makes
 * room for its code.
 */
async function idleMemory(row) {
  process.stderr.write(`${row.name}: ${row.sessions} idle sessions\n`);
  const ended = new Promise((resolve) => row.server.child.once('exit', resolve));
  row.server.stop();
  await ended;
  row.server = await start(row);
  running.push(row.server);
  const until = performance.now() + 20_000;
  await openSessions(row, row.sessions / 4, until);
  const before = rssKiB(row.server.child.pid);
  const opened = await openSessions(row, row.sessions, until);
  const after = rssKiB(row.server.child.pid);
  row.server.stop();
  return opened === 0 ? null : (after - before) / opened;
}

/** Some take seconds for one session once they hold hundreds: what they opened by then says enough. */
async function openSessions(row, count, until) {
  let opened = 0;
  while (opened < count && performance.now() < until && (await initialize(row)) !== null) opened += 1;
  return opened;
}

function report(commands, certificates, isPart) {
  const lines = [
    '# Bench',
    '',
    `Node.js ${process.version}, ${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'}), medians of ${rounds} interleaved rounds of ${seconds} s. Work: \`tools/call\` of an echo`,
    'tool with a 100-byte text; every answer checked. Ours: key check, rate limit, metrics and audit on. Only ratios within one run',
    'mean something; the machine is noisy. Bare is node:http that parses the body and answers the right JSON-RPC, without policy.',
    'A row of ours is held against bare as it was measured right before it; all other servers are stopped meanwhile (SIGSTOP).',
    'Rows of 2 workers are compared with one process of ours in place of bare. The load generator runs on the same cores, so with two',
    'cores they share what it leaves; all legacy calls are of one session, so half of them are passed on to the other worker.',
    'CPU is that of the server and of the processes that it started.',
    '',
    'Where the time of a call goes, before and after what was done for speed, and why what falls short does: [profile](profile.md).',
    'What each policy costs: [policies](policies.md). Clients that do nothing: [idle](idle.md).',
    '',
    ...(isPart ? ['The run was ended from outside: what is here is what it had seen by then.', ''] : []),
  ];
  for (const connections of connectionCounts) {
    const measured = rows.filter((row) => row.samples.has(connections));
    if (measured.length > 0) lines.push(...tableOf(measured, connections));
  }
  if (rows.length > 0) lines.push(...judgeGoals(rows));
  if (!quick && !isPart) {
    lines.push(
      '## Start and idle sessions',
      '',
      '| server | start to first answered initialize, ms | RSS per idle session, KiB |',
      '|---|--:|--:|',
      ...rows.map(({ name, startMs, idle }) => `| ${name} | ${Math.round(startMs)} | ${idle?.toFixed(1) ?? ''} |`),
      '',
      '## Commands',
      '',
      '| command | median ms | compared with |',
      '|---|--:|---|',
      ...commands.map(({ name, medianMs, compared }) => `| ${name} | ${medianMs.toFixed(0)} | ${compared} |`),
      '',
    );
  }
  return `${lines.join('\n').trimEnd()}\n${certificates}`;
}

function tableOf(measured, connections) {
  const cells = ({ name, base, samples }) => {
    const of = (key) => median(samples.get(connections).map((sample) => sample[key]));
    const against = rows.some((each) => each.name === base) ? base : rows[0].name;
    const times = (key) => ratio(rows, name, against, connections, key)?.toFixed(2) ?? '';
    return [
      name,
      Math.round(of('callsPerSecond')),
      times('callsPerSecond'),
      of('p50Ms').toFixed(2),
      of('p99Ms').toFixed(2),
      of('cpuPer1000').toFixed(3),
      times('cpuPer1000'),
    ];
  };
  return [
    `## ${connections} connection${connections === 1 ? '' : 's'}`,
    '',
    '| server | calls/s | x bare | p50 ms | p99 ms | CPU s per 1,000 calls | x bare |',
    '|---|--:|--:|--:|--:|--:|--:|',
    ...measured.map((row) => `| ${cells(row).join(' | ')} |`),
    '',
  ];
}
