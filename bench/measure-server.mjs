// Starts a server, waits for its first answer, puts load on it, and reads what it used.
import { execFile, spawn } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const here = dirname(fileURLToPath(import.meta.url));
const text = 'x'.repeat(100);
// Not in one go: who ends the bench meanwhile is heard.
const run = promisify(execFile);

/** Starts a contestant; `session` is that of its first initialize. */
export async function start(contestant) {
  const startedAt = performance.now();
  const child = spawn(process.execPath, contestant.args, {
    cwd: contestant.cwd ?? here,
    env: { ...process.env, ...contestant.env, NODE_ENV: 'production' },
    stdio: ['ignore', 'ignore', 'ignore'],
    detached: true,
  });
  const signal = (name) => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, name);
    } catch {
      // ended already
    }
  };
  const [stop, pause, resume] = ['SIGKILL', 'SIGSTOP', 'SIGCONT'].map((name) => () => signal(name));
  for (;;) {
    const session = await initialize(contestant);
    if (session !== null) return { child, stop, pause, resume, session, startMs: performance.now() - startedAt };
    if (child.exitCode !== null || performance.now() - startedAt > 30_000) {
      stop();
      throw new Error(`${contestant.name} did not start`);
    }
    await new Promise((resolve) => setTimeout(resolve, 4));
  }
}

/** One initialize; the session id ('' when there is none), or null while nothing answers. */
export async function initialize(contestant) {
  const response = await post(contestant, {
    jsonrpc: '2.0',
    id: 7,
    method: 'initialize',
    params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'bench', version: '1' } },
  });
  if (response === null || response.status !== 200 || !response.body.includes('protocolVersion')) return null;
  return response.session;
}

async function post(contestant, message) {
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

/**
 * Load of `connections` connections for `seconds`, every answer checked.
 * @returns calls per second, latencies in ms, CPU seconds per 1,000 calls
 */
export async function load(row, connections, seconds, { withChildren = true } = {}) {
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
  const cpuBefore = cpuSeconds(row.server.child.pid, withChildren);
  const { stdout: output } = await run(
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
  const cpu = cpuSeconds(row.server.child.pid, withChildren) - cpuBefore;
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

/** As `load`, for one of several servers of which the others are stopped meanwhile: nobody's timers and caches are in its way. */
export async function loadAlone(row, ...rest) {
  row.server.resume();
  try {
    return await load(row, ...rest);
  } finally {
    row.server.pause();
  }
}

/**
 * Seconds that the processors worked for this process, in nanoseconds as the scheduler counts them: of every thread, and
 * of the processes that it started, since a bridge is charged for its children too.
 */
export function cpuSeconds(pid, withChildren = true) {
  let nanoseconds = 0;
  try {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
    }
    if (withChildren) for (const child of childrenOf(pid)) nanoseconds += cpuSeconds(child) * 1e9;
  } catch {
    // ended meanwhile
  }
  return nanoseconds / 1e9;
}

/** Resident memory of a process and of those that it started. */
export function rssKiB(pid) {
  try {
    let sum = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
    for (const child of childrenOf(pid)) sum += rssKiB(child);
    return sum;
  } catch {
    // ended meanwhile
    return 0;
  }
}

function childrenOf(pid) {
  return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8')
      .trim()
      .split(' ')
      .filter((child) => child !== ''),
  );
}
