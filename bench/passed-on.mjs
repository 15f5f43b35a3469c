// What a call costs that comes in at another worker than its session's: CPU time of the workers per call, passed on and
// not, with the same connections, sessions and work. CPU time, because it says the same on a busy machine.
//   node bench/passed-on.mjs [--rounds 5] [--calls 2000]
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const number = (flag, otherwise) => Number(process.argv[process.argv.indexOf(flag) + 1]) || otherwise;
const rounds = number('--rounds', 5);
const callsPerRound = number('--calls', 2_000);
const ticksPerSecond = 100;

const folder = mkdtempSync(join(tmpdir(), 'mcp-deploy-passed-on-'));
const child = await startServer();
const agents = [];
try {
  const lanes = await openLanes(8);
  const ways = { own: [], passed: [] };
  for (const way of ['own', 'passed']) await measure(lanes, way, 500);
  for (let round = 0; round < rounds; round += 1) {
    for (const way of ['own', 'passed']) ways[way].push(await measure(lanes, way, callsPerRound));
  }
  const [own, passed] = [median(ways.own), median(ways.passed)];
  process.stdout.write(`own        ${own.toFixed(3)} CPU ms per call\n`);
  process.stdout.write(`passed on  ${passed.toFixed(3)} CPU ms per call\n`);
  process.stdout.write(`ratio      ${(passed / own).toFixed(2)}\n`);
} finally {
  for (const agent of agents) agent.destroy();
  child.process.kill('SIGTERM');
  await new Promise((resolve) => child.process.once('exit', resolve));
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
        server: { listen: '127.0.0.1:0', workers: 2 },
        tls: { source: 'off' },
        auth: { required: false },
        limits: { perKey: 'off', freePerKey: 'off' },
        logs: { audit: join(folder, 'audit.jsonl') },
      },
    }),
  );
  const server = spawn(process.execPath, [join(here, '../dist/server/serve.js'), '--config', 'server.json'], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let said = '';
  server.stdout.on('data', (text) => (said += text));
  while (!/^listening \S+/m.test(said)) {
    if (server.exitCode !== null) throw new Error(`the server ended with ${server.exitCode}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { process: server, url: /^listening (\S+)/m.exec(said)[1] };
}

/** Connections that stay open. The session that the first request on one opens says at which worker it is. */
async function openLanes(count) {
  const lanes = [];
  for (let lane = 0; lane < count; lane += 1) {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    agents.push(agent);
    const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'b', version: '1' } };
    const { session } = await post(agent, { jsonrpc: '2.0', id: 0, method: 'initialize', params });
    lanes.push({ agent, session, worker: session.slice(0, 2) });
  }
  if (new Set(lanes.map(({ worker }) => worker)).size !== 2) throw new Error('all connections went to one worker');
  return lanes;
}

async function measure(lanes, way, calls) {
  const before = cpuMs();
  await Promise.all(
    lanes.map(async ({ agent, worker }) => {
      const { session } = lanes.find((other) => (other.worker === worker) === (way === 'own'));
      for (let call = 0; call < calls / lanes.length; call += 1) {
        const message = `call ${call} ${'x'.repeat(90)}`;
        const params = { name: 'echo', arguments: { message } };
        const { body } = await post(agent, { jsonrpc: '2.0', id: call, method: 'tools/call', params }, session);
        if (!body.includes(message)) throw new Error(`wrong answer: ${body}`);
      }
    }),
  );
  return (cpuMs() - before) / calls;
}

/** Of both workers. */
function cpuMs() {
  const { pid } = child.process;
  const workers = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
  const ticks = workers.map((worker) => {
    const fields = readFileSync(`/proc/${worker}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ');
    return Number(fields[11]) + Number(fields[12]);
  });
  return (ticks.reduce((sum, each) => sum + each, 0) / ticksPerSecond) * 1_000;
}

function post(agent, message, session) {
  return new Promise((resolve, reject) => {
    const headers = {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...(session === undefined ? {} : { 'mcp-session-id': session }),
    };
    const outgoing = request(child.url, { method: 'POST', headers, agent }, (incoming) => {
      let body = '';
      incoming.setEncoding('utf8').on('data', (text) => (body += text));
      incoming.on('end', () => resolve({ body, session: String(incoming.headers['mcp-session-id'] ?? '') }));
    });
    outgoing.on('error', reject);
    outgoing.end(JSON.stringify(message));
  });
}

function median(values) {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}
