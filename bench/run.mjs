// One table: the bundled server with every policy on, a bare node:http server and the peers, on the same echo work.
//   npm run bench                         all rows, writes bench/results.md
//   npm run bench -- --quick              ours and bare only, short rounds, writes nothing
//   npm run bench -- --rounds 3 --seconds 2
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { measureCertificates } from './certificates.mjs';
import { measureCommands } from './commands.mjs';
import { contestants } from './contestants.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const quick = process.argv.includes('--quick');
const rounds = numberOf('--rounds', quick ? 3 : 5);
const seconds = numberOf('--seconds', quick ? 2 : 3);
const connectionCounts = quick ? [32] : [1, 32, 128];
const idleSessions = quick ? 0 : 1_000;
const text = 'x'.repeat(100);

const folder = mkdtempSync(join(tmpdir(), 'mcp-deploy-bench-'));
const running = [];
// Ended from outside, it takes its servers with it.
process.once('SIGTERM', () => {
  for (const server of running) server.stop();
  process.exit(143);
});
try {
  if (!quick && !existsSync(join(here, 'peers/node_modules'))) {
    execFileSync('npm', ['ci', '--ignore-scripts', '--silent'], { cwd: join(here, 'peers'), stdio: 'inherit' });
  }
  const rows = await measureServers();
  const commands = quick ? [] : await measureCommands();
  const certificates = quick ? '' : `\n${await measureCertificates()}`;
  const report = `${format(rows, commands).trimEnd()}\n${certificates}`;
  process.stdout.write(`${report}\n`);
  if (!quick) writeFileSync(join(here, 'results.md'), report);
} finally {
  for (const server of running) server.stop();
  rmSync(folder, { recursive: true, force: true });
}

function numberOf(flag, otherwise) {
  const at = process.argv.indexOf(flag);
  return at === -1 ? otherwise : Number(process.argv[at + 1]);
}

/** Starts everybody, then interleaves the rounds, so that noise of the machine falls on all alike. */
async function measureServers() {
  const rows = [];
  for (const contestant of await contestants({ folder, quick })) {
    const server = await start(contestant);
    running.push(server);
    rows.push({ ...contestant, server, samples: new Map(), startMs: server.startMs });
  }
  for (const connections of connectionCounts) {
    for (let round = 0; round < rounds; round += 1) {
      for (const row of rows) {
        const sample = load(row, connections);
        const samples = row.samples.get(connections) ?? [];
        row.samples.set(connections, [...samples, sample]);
        process.stderr.write(
          `${row.name}, ${connections} connections, round ${round + 1}: ${Math.round(sample.callsPerSecond)} calls/s\n`,
        );
      }
    }
  }
  for (const row of rows) row.idle = idleSessions > 0 && row.sessions ? await idleMemory(row) : null;
  return rows;
}

async function start(contestant) {
  const startedAt = performance.now();
  const child = spawn(process.execPath, contestant.args, {
    cwd: contestant.cwd ?? here,
    env: { ...process.env, ...contestant.env, NODE_ENV: 'production' },
    stdio: ['ignore', 'ignore', 'ignore'],
    detached: true,
  });
  const stop = () => {
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      // ended already
    }
  };
  for (;;) {
    const session = await initialize(contestant);
    if (session !== null) return { child, stop, session, startMs: performance.now() - startedAt };
    if (child.exitCode !== null || performance.now() - startedAt > 30_000) {
      stop();
      throw new Error(`${contestant.name} did not start`);
    }
    await new Promise((resolve) => setTimeout(resolve, 4));
  }
}

/** One initialize; the session id ('' when there is none), or null while nothing answers. */
async function initialize(contestant) {
  const curl = spawnCurl(contestant, {
    jsonrpc: '2.0',
    id: 7,
    method: 'initialize',
    params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'bench', version: '1' } },
  });
  const response = await curl;
  if (response === null || response.status !== 200 || !response.body.includes('protocolVersion')) return null;
  return response.session;
}

async function spawnCurl(contestant, message) {
  const { request } = contestant.url.startsWith('https') ? await import('node:https') : await import('node:http');
  return new Promise((resolve) => {
    const outgoing = request(
      contestant.url,
      {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
          ...contestant.headers,
        },
        rejectUnauthorized: false,
        agent: false,
        timeout: 5_000,
      },
      (incoming) => {
        let body = '';
        incoming.setEncoding('utf8').on('data', (chunk) => {
          body += chunk;
          // An event stream may stay open behind its one answer.
          if (body.includes('protocolVersion')) finish();
        });
        incoming.on('end', finish);
        function finish() {
          resolve({ status: incoming.statusCode, session: incoming.headers['mcp-session-id'] ?? '', body });
          outgoing.destroy();
        }
      },
    );
    outgoing.on('error', () => resolve(null));
    outgoing.on('timeout', () => outgoing.destroy());
    outgoing.end(JSON.stringify(message));
  });
}

function load(row, connections) {
  const headers = {
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
    ...row.headers,
    ...(row.era === 'modern'
      ? { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'echo' }
      : {
          'mcp-protocol-version': '2025-06-18',
          ...(row.server.session === '' ? {} : { 'mcp-session-id': row.server.session }),
        }),
  };
  const meta =
    row.era === 'modern'
      ? {
          _meta: {
            'io.modelcontextprotocol/protocolVersion': '2026-07-28',
            'io.modelcontextprotocol/clientCapabilities': {},
            'io.modelcontextprotocol/clientInfo': { name: 'bench', version: '1' },
          },
        }
      : {};
  const body = JSON.stringify({
    jsonrpc: '2.0',
    id: 7,
    method: 'tools/call',
    params: { name: 'echo', arguments: { message: text }, ...meta },
  });
  const cpuBefore = cpuSeconds(row.server.child.pid);
  const output = execFileSync(
    'wrk',
    [
      '-t',
      '1',
      '-c',
      String(connections),
      '-d',
      `${seconds}s`,
      '--timeout',
      '10s',
      '-s',
      join(here, 'load.lua'),
      row.url,
    ],
    {
      encoding: 'utf8',
      env: {
        ...process.env,
        BENCH_BODY: body,
        BENCH_TEXT: text,
        BENCH_HEADERS: Object.entries(headers)
          .map(([name, value]) => `${name}: ${value}`)
          .join('\n'),
      },
    },
  );
  const cpu = cpuSeconds(row.server.child.pid) - cpuBefore;
  const result = JSON.parse(/BENCH (.*)/.exec(output)[1]);
  if (result.wrong > 0 || result.requests === 0) {
    throw new Error(`${row.name}: ${result.wrong} of ${result.requests} answers were wrong`);
  }
  return {
    callsPerSecond: result.requests / (result.durationUs / 1e6),
    p50Ms: result.p50Us / 1_000,
    p99Ms: result.p99Us / 1_000,
    cpuPer1000: (cpu / result.requests) * 1_000,
    socketErrors: result.socketErrors,
  };
}

/** User and system seconds of the process group: a bridge is charged for its children too. */
function cpuSeconds(group) {
  let ticks = 0;
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const fields = readFileSync(`/proc/${name}/stat`, 'utf8')
        .replace(/^.*\) /, '')
        .split(' ');
      // pgrp, or a child that made a group of its own under us: both count, found by the environment mark or parentage.
      if (Number(fields[2]) === group || descendsFrom(Number(name), group))
        ticks += Number(fields[11]) + Number(fields[12]);
    } catch {
      // ended meanwhile
    }
  }
  return ticks / 100;
}

function descendsFrom(pid, ancestor) {
  for (let at = pid, depth = 0; at > 1 && depth < 10; depth += 1) {
    if (at === ancestor) return true;
    try {
      at = Number(
        readFileSync(`/proc/${at}/stat`, 'utf8')
          .replace(/^.*\) /, '')
          .split(' ')[1],
      );
    } catch {
      return false;
    }
  }
  return false;
}

function rssKiB(pid) {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
}

/** Opens sessions and leaves them idle: KiB of RSS each, of the serving process. */
async function idleMemory(row) {
  const before = rssKiB(row.server.child.pid);
  for (let opened = 0; opened < idleSessions; opened += 1) {
    if ((await initialize(row)) === null) return null;
  }
  return (rssKiB(row.server.child.pid) - before) / idleSessions;
}

function format(rows, commands) {
  const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
  const lines = [
    '# Bench',
    '',
    `Node.js ${process.version}, ${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'}), medians of ${rounds} interleaved rounds of ${seconds} s. Work: \`tools/call\` of an echo`,
    'tool with a 100-byte text; every answer checked. Ours: key check, rate limit, metrics and audit on. Only ratios within one run',
    'mean something; the machine is noisy. Bare is node:http that parses the body and answers the right JSON-RPC, without policy.',
    'Rows of 2 workers are compared with one process of ours in place of bare. The load generator runs on the same cores, so with two',
    'cores they share what it leaves; all legacy calls are of one session, so half of them are passed on to the other worker.',
    '',
  ];
  for (const connections of connectionCounts) {
    lines.push(
      `## ${connections} connection${connections === 1 ? '' : 's'}`,
      '',
      '| server | calls/s | x bare | p50 ms | p99 ms | CPU s per 1,000 calls | x bare |',
      '|---|--:|--:|--:|--:|--:|--:|',
    );
    for (const row of rows) {
      const of = (each, key) => median(each.samples.get(connections).map((sample) => sample[key]));
      const base = rows.find((each) => each.name === row.base) ?? rows[0];
      const ratio = median(
        row.samples
          .get(connections)
          .map((sample, round) => sample.callsPerSecond / base.samples.get(connections)[round].callsPerSecond),
      );
      lines.push(
        `| ${row.name} | ${Math.round(of(row, 'callsPerSecond'))} | ${ratio.toFixed(2)} | ${of(row, 'p50Ms').toFixed(2)} | ${of(row, 'p99Ms').toFixed(2)} | ${of(row, 'cpuPer1000').toFixed(3)} | ${(of(row, 'cpuPer1000') / of(base, 'cpuPer1000')).toFixed(2)} |`,
      );
    }
    lines.push('');
  }
  if (!quick) {
    lines.push(
      '## Start and idle sessions',
      '',
      '| server | start to first answered initialize, ms | RSS per idle session, KiB |',
      '|---|--:|--:|',
    );
    for (const row of rows) {
      lines.push(
        `| ${row.name} | ${Math.round(row.startMs)} | ${row.idle === null || row.idle === undefined ? '' : row.idle.toFixed(1)} |`,
      );
    }
    lines.push('', '## Commands', '', '| command | median ms | compared with |', '|---|--:|---|');
    for (const command of commands)
      lines.push(`| ${command.name} | ${command.medianMs.toFixed(0)} | ${command.compared} |`);
    lines.push('');
  }
  return lines.join('\n');
}
