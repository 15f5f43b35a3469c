import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request as requestPlain } from 'node:http';
import { request as requestTls } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { callHttp } from './http-call.ts';
import { endServed, spawnServe, type Served } from './served.ts';
import { waitUntil } from './wait-until.ts';

/** Echoes after a while; says on standard error when a call is cancelled; asks its client with the tool `ask`. */
const slowServer = `
  const lines = require('node:readline').createInterface({ input: process.stdin });
  const send = (message) => process.stdout.write(JSON.stringify({ jsonrpc: '2.0', ...message }) + '\\n');
  const text = (text) => ({ content: [{ type: 'text', text }] });
  const asked = new Map();
  lines.on('line', (line) => {
    const { id, method, params, result } = JSON.parse(line);
    if (method === 'initialize') send({ id, result: { protocolVersion: params.protocolVersion, capabilities: { tools: {} }, serverInfo: { name: 'slow', version: '1' } } });
    else if (method === 'tools/call' && params.name === 'ask') {
      asked.set('q' + id, id);
      send({ id: 'q' + id, method: 'elicitation/create', params: { message: 'your name?', requestedSchema: { type: 'object', properties: { name: { type: 'string' } } } } });
    }
    else if (method === 'tools/call') setTimeout(() => send({ id, result: text(params.arguments.text) }), params.arguments.ms);
    else if (method === 'notifications/cancelled') process.stderr.write('CANCELLED ' + params.reason + '\\n');
    else if (asked.has(id)) send({ id: asked.get(id), result: text('hello ' + result.content.name) });
    else if (id !== undefined) send({ id, result: { tools: ['slow', 'ask'].map((name) => ({ name, inputSchema: { type: 'object' } })) } });
  });
`;

export interface WorkersRig {
  readonly served: Served;
  readonly url: string;
}

/** Starts servers with several workers in a folder of their own. */
export interface WorkersHouse {
  readonly folder: string;
  serve(workers: number, more?: Record<string, unknown>, slow?: boolean): Promise<WorkersRig>;
  spawn(args: readonly string[]): Served;
  /** Ends what was started. */
  close(): Promise<void>;
}

/** @param bundle the server as it is shipped */
export function openWorkersHouse(bundle: string): WorkersHouse {
  const folder = mkdtempSync(join(tmpdir(), 'mcpd-workers-'));
  writeFileSync(join(folder, 'slow.cjs'), slowServer);
  const running: Served[] = [];

  function spawn(args: readonly string[]): Served {
    const served = spawnServe(bundle, folder, args);
    running.push(served);
    return served;
  }

  return {
    folder,
    spawn,
    async serve(workers, more = {}, slow = false) {
      const { server = {}, keyStoreFile = null, ...rest } = more as { server?: object; keyStoreFile?: string | null };
      const upstreams = slow ? { upstreams: { slow: { command: process.execPath, args: ['slow.cjs'] } } } : {};
      writeFileSync(
        join(folder, 'server.json'),
        JSON.stringify({
          baseDir: folder,
          keyStoreFile,
          deployment: {
            version: 1,
            server: { listen: '127.0.0.1:0', workers, drainSeconds: 10, ...upstreams, ...server },
            tls: { source: 'off' },
            auth: { required: false },
            limits: { perKey: 'off', freePerKey: 'off' },
            ...rest,
          },
        }),
      );
      const served = spawn(['--config', 'server.json']);
      return { served, url: await served.listening() };
    },
    async close() {
      await endServed(running.splice(0));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export interface WorkerAnswer {
  readonly status: number;
  readonly session: string;
  readonly body: string;
}

export interface PostOptions {
  readonly session?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly agent?: Agent;
  readonly ca?: string;
  /** In place of the port of the URL. */
  readonly socketPath?: string;
  readonly signal?: AbortSignal;
}

/** Without an agent each message has a connection of its own, so that any worker may get it. */
export function postMessage(url: string, message: unknown, options: PostOptions = {}): Promise<WorkerAnswer> {
  const { session, agent = false, ca, socketPath, signal } = options;
  return new Promise((resolve, reject) => {
    const headers = {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...(session === undefined ? {} : { 'mcp-session-id': session }),
      ...options.headers,
    };
    const send = url.startsWith('https:') ? requestTls : requestPlain;
    const more = { ...(ca === undefined ? {} : { ca }), ...(socketPath === undefined ? {} : { socketPath }) };
    const outgoing = send(
      url,
      { method: 'POST', headers, agent, ...more, ...(signal === undefined ? {} : { signal }) },
      (incoming) => {
        let body = '';
        incoming.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
        incoming.on('error', reject);
        incoming.on('end', () =>
          resolve({
            status: incoming.statusCode ?? 0,
            session: String(incoming.headers['mcp-session-id'] ?? ''),
            body,
          }),
        );
      },
    );
    outgoing.on('error', reject);
    outgoing.end(JSON.stringify(message));
  });
}

export const toolCall = (name: string, args: object, id: number | string = 1): object => ({
  jsonrpc: '2.0',
  id,
  method: 'tools/call',
  params: { name, arguments: args },
});

export async function openSession(url: string, options: PostOptions = {}): Promise<string> {
  const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 't', version: '1' } };
  return (await postMessage(url, { jsonrpc: '2.0', id: 0, method: 'initialize', params }, options)).session;
}

/** A session in each worker, by worker. */
export async function sessionsOfAll(url: string, workers: number, options: PostOptions = {}): Promise<string[]> {
  const found: string[] = [];
  await waitUntil(async () => {
    const session = await openSession(url, options);
    found[Number(/^w(\d+)-/.exec(session)?.[1])] = session;
    return found.filter(Boolean).length === workers;
  }, 10_000);
  return found;
}

/** A session in each worker, by worker, with the one connection that reaches that worker. */
export async function connectionsOfAll(url: string, workers: number): Promise<{ session: string; agent: Agent }[]> {
  const found: { session: string; agent: Agent }[] = [];
  await waitUntil(async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const session = await openSession(url, { agent });
    const worker = Number(/^w(\d+)-/.exec(session)?.[1]);
    if (found[worker] === undefined) found[worker] = { session, agent };
    else agent.destroy();
    return found.filter(Boolean).length === workers;
  }, 10_000);
  return found;
}

export interface WorkersStatus {
  readonly sessions: number;
  readonly upstreams: readonly { readonly inFlight: number; readonly state: string }[];
  readonly workers: readonly { readonly pid: number; readonly restarts: number; readonly status: string }[];
}

export async function workersStatus(url: string): Promise<WorkersStatus> {
  return JSON.parse((await callHttp({ url: `${new URL(url).origin}/status` })).body) as WorkersStatus;
}

export async function workersMetrics(url: string): Promise<string> {
  return (await callHttp({ url: `${new URL(url).origin}/metrics` })).body;
}

/** A process that has ended and was not collected yet does not count. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

export function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
}
