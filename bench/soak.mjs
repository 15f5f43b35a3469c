// Churn for ten minutes (or --seconds N): sessions that are abandoned, streams, a crashing upstream, SIGHUP and
// certificate swaps, while memory, descriptors, timers and processes of the server must stay flat and every answered call right.
//   npm run soak                      ten minutes, prints a table
//   npm run soak -- --seconds 60      the short form that CI runs
import { spawn } from 'node:child_process';
import { createWriteStream, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort, makeCertificate } from './local.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const seconds = Number(process.argv[process.argv.indexOf('--seconds') + 1]) || 600;
const folder = mkdtempSync(join(tmpdir(), 'mcp-deploy-soak-'));
const key = 'soak-key-0123456789abcdef0123456789abcdef';
const timersFile = join(folder, 'timers');
const counts = { calls: 0, wrong: 0, refused: 0, crashes: 0, streams: 0, reloads: 0, certificates: 0, sessions: 0 };

const { child, port, log } = await startServer();
try {
  const samples = await churn();
  report(samples);
} finally {
  child.kill('SIGTERM');
  await Promise.race([
    new Promise((resolve) => child.once('exit', resolve)),
    new Promise((resolve) => setTimeout(() => resolve(child.kill('SIGKILL')), 8_000)),
  ]);
  rmSync(folder, { recursive: true, force: true });
}

async function startServer() {
  swapCertificate();
  const port = await freePort();
  writeFileSync(
    join(folder, 'config.json'),
    JSON.stringify({
      baseDir: folder,
      keyStoreFile: null,
      deployment: {
        version: 1,
        server: {
          listen: `127.0.0.1:${port}`,
          upstreams: {
            soak: { command: process.execPath, args: [join(here, 'servers/echo-stdio.mjs')], callSeconds: 20 },
          },
          sessions: { idleSeconds: 5, max: 500 },
          drainSeconds: 3,
        },
        tls: { source: 'files', certificate: join(folder, 'tls.crt'), key: join(folder, 'tls.key') },
        limits: { perKey: { requests: 10_000_000, windowSeconds: 1, burst: 10_000_000 } },
      },
    }),
  );
  const log = join(folder, 'server.log');
  const sink = createWriteStream(log);
  const child = spawn(
    process.execPath,
    [
      '--max-semi-space-size=8',
      '--import',
      join(here, 'count-timers.mjs'),
      join(here, '../dist/server/serve.js'),
      '--config',
      join(folder, 'config.json'),
    ],
    {
      env: { ...process.env, MCP_API_KEY: key, SOAK_TIMERS_FILE: timersFile },
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  child.stderr.pipe(sink);
  const deadline = performance.now() + 15_000;
  while ((await get(port, '/readyz')) !== 200) {
    if (performance.now() > deadline || child.exitCode !== null)
      throw new Error(`the server did not start\n${readFileSync(log, 'utf8')}`);
    await sleep(50);
  }
  return { child, port, log };
}

/** Several kinds of clients at once, and a sample of the server's resources four times a second. */
async function churn() {
  const until = performance.now() + seconds * 1_000;
  const going = () => performance.now() < until;
  const samples = [];
  const loops = [
    ...Array.from({ length: 4 }, () => loop(going, sessionThatIsAbandoned)),
    ...Array.from({ length: 2 }, () => loop(going, modernCalls)),
    loop(going, streamThatIsCut),
    loop(going, async () => {
      // Longer than a child must live to be out of a crash loop, or the back-off keeps it down most of the time.
      await sleep(14_000);
      await crashUpstream();
    }),
    loop(going, async () => {
      await sleep(2_000);
      child.kill('SIGHUP');
      counts.reloads += 1;
    }),
    loop(going, async () => {
      await sleep(5_000);
      swapCertificate();
      counts.certificates += 1;
    }),
    loop(going, async () => {
      await get(port, '/metrics');
      await sleep(300);
    }),
  ];
  while (going()) {
    await sleep(250);
    samples.push({ rssMiB: rssMiB(), descriptors: descriptors(), timers: timers(), processes: childProcesses() });
    if (child.exitCode !== null)
      throw new Error(`the server ended: ${child.exitCode}\n${readFileSync(log, 'utf8').slice(-2_000)}`);
  }
  await Promise.all(loops);
  return samples;
}

async function loop(going, work) {
  while (going()) await work();
}

async function sessionThatIsAbandoned() {
  const opened = await post({
    jsonrpc: '2.0',
    id: 7,
    method: 'initialize',
    params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'soak', version: '1' } },
  });
  const session = opened?.headers['mcp-session-id'];
  if (session === undefined) {
    // The session cap or a crashed upstream: refused with a status is right, silence is not.
    if (opened === null || ![429, 503].includes(opened.status)) counts.wrong += 1;
    else counts.refused += 1;
    await sleep(100);
    return;
  }
  counts.sessions += 1;
  for (let call = 0; call < 20; call += 1)
    await checkedCall({ 'mcp-session-id': session, 'mcp-protocol-version': '2025-11-25' }, {});
}

async function modernCalls() {
  const meta = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientCapabilities': {},
    'io.modelcontextprotocol/clientInfo': { name: 'soak', version: '1' },
  };
  for (let call = 0; call < 20; call += 1) {
    await checkedCall(
      { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'echo' },
      { _meta: meta },
    );
  }
}

async function checkedCall(headers, params) {
  const text = `soak ${counts.calls} ${Math.random()}`;
  const answer = await post(
    {
      jsonrpc: '2.0',
      id: counts.calls,
      method: 'tools/call',
      params: { name: 'echo', arguments: { message: text }, ...params },
    },
    headers,
  );
  counts.calls += 1;
  if (answer === null) counts.wrong += 1;
  else if (answer.status !== 200) counts.refused += 1;
  else if (answer.body.includes('"error"')) counts.refused += 1;
  else if (!answer.body.includes(text)) counts.wrong += 1;
}

/** Opens a listen stream and drops the connection: what clients do when a laptop sleeps. */
async function streamThatIsCut() {
  counts.streams += 1;
  const meta = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientCapabilities': {},
    'io.modelcontextprotocol/clientInfo': { name: 'soak', version: '1' },
  };
  await new Promise((resolve) => {
    const outgoing = request(
      options('POST', '/mcp', { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'subscriptions/listen' }),
      (incoming) => {
        incoming.on('error', () => {});
        incoming.once('data', () => outgoing.destroy());
        incoming.once('close', resolve);
      },
    );
    outgoing.on('error', resolve);
    outgoing.setTimeout(3_000, () => outgoing.destroy());
    outgoing.end(
      JSON.stringify({
        jsonrpc: '2.0',
        id: 1,
        method: 'subscriptions/listen',
        params: { notifications: { toolsListChanged: true }, _meta: meta },
      }),
    );
  });
  await sleep(50);
}

/** Ends the upstream's process from outside, as the kernel does when memory is short. */
async function crashUpstream() {
  for (const pid of childPids()) {
    if (!readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('echo-stdio')) continue;
    process.kill(pid, 'SIGKILL');
    counts.crashes += 1;
    return;
  }
}

function report(samples) {
  const errors = readFileSync(log, 'utf8')
    .split('\n')
    .filter((line) => line.includes('"server.bug"') || line.includes('UnhandledPromise'));
  const quarter = Math.floor(samples.length / 4);
  // The median: a burst of new connections is no leak, a floor that rises is.
  const typical = (key, from, to) => {
    const values = samples
      .slice(from, to)
      .map((sample) => sample[key])
      .toSorted((a, b) => a - b);
    return values[Math.floor(values.length / 2)] ?? 0;
  };
  const rows = ['rssMiB', 'descriptors', 'timers', 'processes'].map((key) => ({
    key,
    // The first quarter fills pools and compiles code; the second and the last are compared.
    second: typical(key, quarter, quarter * 2),
    last: typical(key, quarter * 3, samples.length),
  }));
  process.stdout.write(`${seconds} s of churn: ${JSON.stringify(counts)}\n`);
  for (const { key, second, last } of rows)
    process.stdout.write(`${key.padEnd(12)} second quarter ${second.toFixed(1)}, last quarter ${last.toFixed(1)}\n`);
  const grown = rows.filter(({ key, second, last }) => last > second * 1.25 + (key === 'rssMiB' ? 16 : 12));
  const problems = [
    ...grown.map(({ key, second, last }) => `${key} grew from ${second.toFixed(1)} to ${last.toFixed(1)}`),
    ...(counts.wrong > 0 ? [`${counts.wrong} answers were wrong or missing`] : []),
    ...(counts.calls - counts.refused < seconds * 4
      ? [`only ${counts.calls - counts.refused} calls were answered`]
      : []),
    ...(counts.refused > counts.calls / 4 ? [`${counts.refused} of ${counts.calls} calls were refused`] : []),
    ...(samples.every((sample) => sample.timers === 0) ? ['timers were not counted'] : []),
    ...(counts.crashes === 0 || counts.certificates === 0 ? ['the churn did not happen'] : []),
    ...errors.map((line) => `unhandled: ${line.slice(0, 300)}`),
  ];
  for (const problem of problems) process.stdout.write(`NOT FLAT: ${problem}\n`);
  if (problems.length === 0) process.stdout.write('flat\n');
  process.exitCode = problems.length === 0 ? 0 : 1;
}

function options(method, path, headers) {
  return {
    host: '127.0.0.1',
    port,
    path,
    method,
    agent: false,
    rejectUnauthorized: false,
    headers: {
      authorization: `Bearer ${key}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...headers,
    },
  };
}

async function post(message, headers = {}) {
  return new Promise((resolve) => {
    const outgoing = request(options('POST', '/mcp', headers), (incoming) => {
      let body = '';
      incoming.setEncoding('utf8').on('data', (text) => (body += text));
      incoming.on('end', () => resolve({ status: incoming.statusCode, headers: incoming.headers, body }));
      incoming.on('error', () => resolve(null));
    });
    outgoing.on('error', () => resolve(null));
    outgoing.setTimeout(30_000, () => outgoing.destroy());
    outgoing.end(JSON.stringify(message));
  });
}

async function get(port, path) {
  return new Promise((resolve) => {
    const outgoing = request({ host: '127.0.0.1', port, path, agent: false, rejectUnauthorized: false }, (incoming) => {
      incoming.resume().on('end', () => resolve(incoming.statusCode));
    });
    outgoing.on('error', () => resolve(null));
    outgoing.end();
  });
}

/** Both files aside, then both renamed: what a renewal does. */
function swapCertificate() {
  const [certificate, tlsKey] = [join(folder, 'tls.crt'), join(folder, 'tls.key')];
  makeCertificate(`${certificate}.new`, `${tlsKey}.new`);
  renameSync(`${tlsKey}.new`, tlsKey);
  renameSync(`${certificate}.new`, certificate);
}

function rssMiB() {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1] ?? 0) / 1_024;
}

function descriptors() {
  return readdirSync(`/proc/${child.pid}/fd`).length;
}

/** As the server said it last, at most a second ago. */
function timers() {
  try {
    return Number(readFileSync(timersFile, 'utf8'));
  } catch {
    return 0;
  }
}

function childPids() {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        return (
          readFileSync(`/proc/${name}/stat`, 'utf8')
            .replace(/^.*\) /, '')
            .split(' ')[1] === String(child.pid)
        );
      } catch {
        return false;
      }
    })
    .map(Number);
}

function childProcesses() {
  return childPids().length;
}

function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
