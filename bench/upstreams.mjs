// What the bridge to stdio upstreams costs in two places that throughput does not show: memory and the latency of others
// while results of 10 MB pass, and the first call of a session with and without warm processes.
//   node bench/upstreams.mjs            prints a table and writes bench/upstreams.md
//   node bench/upstreams.mjs --large    the large results only, writes nothing
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'mcp-deploy-bench-upstreams-'));
const bytes = 10 * 1_048_576;
const running = [];

try {
  const lines = [
    '# Large results and warm processes',
    '',
    `Node.js ${process.version}, \`node bench/upstreams.mjs\`. The machine is noisy: read the ratios.`,
    '',
    ...(await measureLargeResults()),
    '',
    ...(process.argv.includes('--large') ? [] : await measureFirstCalls()),
  ];
  const report = `${lines.join('\n')}\n`;
  process.stdout.write(report);
  if (!process.argv.includes('--large')) writeFileSync(join(here, 'upstreams.md'), report);
} finally {
  for (const child of running) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
}

async function measureLargeResults() {
  const { child, url } = await startServer({ instances: 'shared' }, 'on');
  const session = await initialize(url);
  for (let i = 0; i < 500; i++) await callTool(url, session, 'builtin__echo', { message: 'x' });
  await callTool(url, session, 'big__big', { bytes });
  const quiet = await latencies(url, session, async () => {
    for (let i = 0; i < 400; i++) await callTool(url, session, 'builtin__echo', { message: 'x' });
  });
  await pause(3_000);
  // 5: the highest resident size is counted anew (proc_pid_clear_refs(5)).
  writeFileSync(`/proc/${child.pid}/clear_refs`, '5');
  const before = readStatus(child.pid, 'VmRSS');
  await callTool(url, session, 'big__big', { bytes });
  const one = readStatus(child.pid, 'VmHWM') - before;
  const busy = await latencies(url, session, async () => {
    for (let i = 0; i < 20; i++) await callTool(url, session, 'big__big', { bytes });
  });
  const twenty = readStatus(child.pid, 'VmHWM') - before;
  child.kill('SIGTERM');
  const times = (size) => `${(size / bytes).toFixed(1)} x`;
  return [
    '## A result of 10 MB through the bridge',
    '',
    '| figure | value |',
    '|---|--:|',
    `| memory above idle during one result, in results | ${times(one)} |`,
    `| the same over 20 results in a row | ${times(twenty)} |`,
    `| p50 and p99 of calls of a built-in tool, quiet | ${show(quiet.p50)}, ${show(quiet.p99)} ms |`,
    `| p50 and p99 of the same meanwhile | ${show(busy.p50)}, ${show(busy.p99)} ms |`,
    `| slowest of them | ${show(busy.most)} ms |`,
  ];
}

async function measureFirstCalls() {
  const rows = [];
  for (const { name, ...upstream } of [
    { name: 'per-session', instances: 'per-session' },
    { name: 'per-session, warm: 2', instances: 'per-session', warm: 2 },
    { name: 'per-key', instances: 'per-key' },
    { name: 'per-key, warm: 2', instances: 'per-key', warm: 2 },
  ]) {
    const samples = [];
    // A key has one process, so that each sample needs a server of its own there.
    const servers = upstream.instances === 'per-key' ? 5 : 1;
    for (let round = 0; round < servers; round++) {
      const { child, url } = await startServer(upstream);
      for (let i = 0; i < 5 / servers; i++) {
        await pause(1_500);
        const session = await initialize(url);
        const startedAt = performance.now();
        await callTool(url, session, 'echo', { message: 'x' });
        samples.push(performance.now() - startedAt);
      }
      child.kill('SIGTERM');
    }
    rows.push(`| ${name} | ${show(samples.toSorted((a, b) => a - b)[2])} |`);
  }
  return [
    '## The first call of a session',
    '',
    'An upstream on SDK 1.x; median of five. Warm processes of `per-session` are started but not initialised, those of `per-key` are both.',
    '',
    '| instances | ms |',
    '|---|--:|',
    ...rows,
  ];
}

async function startServer(upstream, builtinTools = 'off') {
  const file = join(folder, `${running.length}.json`);
  const big = { command: process.execPath, args: [join(here, 'servers/big-stdio.mjs')], ...upstream };
  const server = { listen: '127.0.0.1:0', upstreams: { big }, builtinTools };
  const limits = { perKey: 'off' };
  const deployment = { version: 1, server, limits, auth: { required: false }, tls: { source: 'off' } };
  writeFileSync(file, JSON.stringify({ deployment, baseDir: folder, keyStoreFile: null }));
  const flags = ['--max-semi-space-size=8', join(here, '../dist/server/serve.js'), '--config', file];
  const child = spawn(process.execPath, flags, { stdio: ['ignore', 'pipe', 'inherit'] });
  running.push(child);
  const url = await new Promise((resolve) => {
    let output = '';
    child.stdout.on('data', (text) => {
      output += text;
      const found = /http:\S+/.exec(output)?.[0];
      if (found !== undefined) resolve(found);
    });
  });
  while ((await fetch(url.replace(/mcp$/, 'readyz'))).status !== 200) await pause(20);
  return { child, url };
}

async function initialize(url) {
  const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'bench', version: '1' } };
  const { headers } = await post(url, { jsonrpc: '2.0', id: 0, method: 'initialize', params }, {});
  return { 'mcp-session-id': headers['mcp-session-id'] };
}

async function callTool(url, session, name, args) {
  const params = { name, arguments: args };
  const { size } = await post(url, { jsonrpc: '2.0', id: 1, method: 'tools/call', params }, session);
  if (name === 'big__big' && size < bytes) throw new Error(`a result of ${size} bytes`);
}

function post(url, message, headers) {
  return new Promise((resolve, reject) => {
    const accept = 'application/json, text/event-stream';
    const sent = request(
      url,
      { method: 'POST', headers: { 'content-type': 'application/json', accept, ...headers } },
      (response) => {
        let size = 0;
        response.on('data', (chunk) => (size += chunk.length));
        response.on('end', () => resolve({ headers: response.headers, size }));
      },
    );
    sent.on('error', reject);
    sent.end(JSON.stringify(message));
  });
}

/** Latencies of small calls, one after the other, while something else runs. */
async function latencies(url, session, run) {
  const samples = [];
  const state = { done: false };
  const other = (async () => {
    while (!state.done) {
      const startedAt = performance.now();
      await callTool(url, session, 'builtin__echo', { message: 'x' });
      samples.push(performance.now() - startedAt);
    }
  })();
  await run();
  state.done = true;
  await other;
  samples.sort((a, b) => a - b);
  const at = (part) => samples[Math.min(samples.length - 1, Math.floor(samples.length * part))];
  return { p50: at(0.5), p99: at(0.99), most: samples.at(-1) };
}

function readStatus(pid, name) {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1]) * 1_024;
}

function pause(milliseconds) {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });
}

function show(milliseconds) {
  return milliseconds < 10 ? milliseconds.toFixed(1) : String(Math.round(milliseconds));
}
