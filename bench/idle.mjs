// What clients cost that do nothing: memory of 10,000 idle legacy sessions, then of 1,000 open event streams among them, and
// whether calls get slower meanwhile.
//   node bench/idle.mjs [--sessions 10000] [--streams 1000]
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const number = (flag, otherwise) => Number(process.argv[process.argv.indexOf(flag) + 1]) || otherwise;
const sessionCount = number('--sessions', 10_000);
const streamCount = number('--streams', 1_000);

const folder = mkdtempSync(join(tmpdir(), 'mcp-deploy-idle-'));
const agent = new Agent({ keepAlive: true, maxSockets: 32 });
const { child, url } = await startServer();
const streams = [];
try {
  const warm = await open();
  await callMany(warm, 3_000);
  const alone = await callMany(warm, 3_000);
  const before = rssKiB();
  const sessions = [];
  while (sessions.length < sessionCount)
    sessions.push(...(await Promise.all(Array.from({ length: Math.min(250, sessionCount - sessions.length) }, open))));
  const withSessions = rssKiB();
  for (const session of sessions.slice(0, streamCount)) streams.push(await openStream(session));
  const withStreams = rssKiB();
  const among = await callMany(warm, 3_000);
  const per = (kib, count) => (kib / count).toFixed(1);
  process.stdout.write(`at rest                  ${(before / 1_024).toFixed(0)} MiB RSS\n`);
  process.stdout.write(
    `${sessionCount} idle sessions     ${(withSessions / 1_024).toFixed(0)} MiB, ${per(withSessions - before, sessionCount)} KiB each\n`,
  );
  process.stdout.write(
    `${streamCount} open streams more  ${(withStreams / 1_024).toFixed(0)} MiB, ${per(withStreams - withSessions, streamCount)} KiB each\n`,
  );
  process.stdout.write(
    `CPU ms per call          alone ${alone.toFixed(3)}, among them ${among.toFixed(3)}, ratio ${(among / alone).toFixed(2)}\n`,
  );
} finally {
  for (const stream of streams) stream.destroy();
  agent.destroy();
  child.kill('SIGTERM');
  await new Promise((resolve) => child.once('exit', resolve));
  rmSync(folder, { recursive: true, force: true });
}

async function startServer() {
  writeFileSync(
    join(folder, 'server.json'),
    JSON.stringify({
      baseDir: folder,
      keyStoreFile: null,
      deployment: {
        version: 1,
        server: { listen: '127.0.0.1:0', sessions: { max: 2 * sessionCount, idleSeconds: 3_600 } },
        tls: { source: 'off' },
        auth: { required: false },
        limits: { perKey: 'off', freePerKey: 'off', streamsPerKey: 2 * streamCount },
        logs: { audit: join(folder, 'audit.jsonl') },
      },
    }),
  );
  const child = spawn(process.execPath, [join(here, '../dist/server/serve.js'), '--config', 'server.json'], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let said = '';
  child.stdout.on('data', (text) => (said += text));
  while (!/^listening \S+/m.test(said)) {
    if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { child, url: /^listening (\S+)/m.exec(said)[1] };
}

async function open() {
  const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'idle', version: '1' } };
  const { session, status } = await post({ jsonrpc: '2.0', id: 0, method: 'initialize', params });
  if (status !== 200) throw new Error(`initialize was answered with ${status}`);
  await post({ jsonrpc: '2.0', method: 'notifications/initialized' }, session);
  return session;
}

/** CPU time of the server for each call. */
async function callMany(session, count) {
  const before = cpuMs();
  await Promise.all(
    Array.from({ length: 8 }, async (_, lane) => {
      for (let call = 0; call < count / 8; call += 1) {
        const message = `lane ${lane} call ${call} ${'x'.repeat(80)}`;
        const params = { name: 'echo', arguments: { message } };
        const { body } = await post({ jsonrpc: '2.0', id: call, method: 'tools/call', params }, session);
        if (!body.includes(message)) throw new Error(`wrong answer: ${body}`);
      }
    }),
  );
  return (cpuMs() - before) / count;
}

function cpuMs() {
  const fields = readFileSync(`/proc/${child.pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function rssKiB() {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))[1]);
}

function post(message, session) {
  return new Promise((resolve, reject) => {
    const headers = {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...(session === undefined ? {} : { 'mcp-session-id': session }),
    };
    const outgoing = request(url, { method: 'POST', headers, agent }, (incoming) => {
      let body = '';
      incoming.setEncoding('utf8').on('data', (text) => (body += text));
      const session = String(incoming.headers['mcp-session-id'] ?? '');
      incoming.on('end', () => resolve({ status: incoming.statusCode, body, session }));
    });
    outgoing.on('error', reject);
    outgoing.end(JSON.stringify(message));
  });
}

function openStream(session) {
  return new Promise((resolve, reject) => {
    const headers = { accept: 'text/event-stream', 'mcp-session-id': session };
    const outgoing = request(url, { headers, agent: false }, (incoming) => {
      if (incoming.statusCode !== 200) reject(new Error(`the stream was answered with ${incoming.statusCode}`));
      incoming.on('error', () => {});
      incoming.once('data', () => resolve(outgoing));
    });
    outgoing.on('error', reject);
    outgoing.end();
  });
}
