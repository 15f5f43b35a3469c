import { Agent } from 'node:http';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DeploymentInput } from '../../src/deployment/schema.ts';
import { startHttpFixture } from '../fixtures/upstreams/http-servers.ts';
import { callHttp } from './http-call.ts';
import type { RealRedis } from './redis.ts';
import { buildServerBundle } from './server-bundle.ts';
import { endServed, spawnServe, type Served } from './served.ts';
import { waitUntil } from './wait-until.ts';
import { openSession, postMessage, toolCall, type PostOptions } from './workers-house.ts';

/** Two servers that share a Redis, one of each `whenDown`, an upstream whose answers are kept there, and clients that never rest. */
export interface RedisFleet {
  /** The one that is written to; after a failover another. */
  store: RealRedis;
  readonly way: SlowWay;
  readonly open: FleetServer;
  readonly closed: FleetServer;
  readonly load: MarkedLoad;
  /** Both are connected, take calls and count into the same sum, and an answer that one keeps is found by the other. */
  areTogether(): Promise<void>;
  close(): Promise<void>;
}

export interface FleetServer {
  readonly url: string;
  readonly served: Served;
  metric(line: RegExp): Promise<number>;
}

/** A way to Redis on which everything can be held up. */
export interface SlowWay {
  readonly port: number;
  delayMs: number;
  close(): Promise<void>;
}

/** What clients saw in one stretch of time. */
export interface Stretch {
  answered: number;
  /** 503 with Retry-After, which `closed` says. */
  refused: number;
  /** Anything else that is no answer. */
  readonly wrong: string[];
  /** Answers with the marker of another client or another question. */
  readonly crossed: string[];
  readonly ms: number[];
}

export interface MarkedLoad {
  /** Begins a new stretch, and gives what was seen in the one that ends. */
  next(): Readonly<Record<'open' | 'closed', Stretch>>;
  stop(): Promise<void>;
}

const keys = ['one-0f3b9c1d7e5a48c2a6d4e', 'two-8e1f7a2b3c4d5e6f7a8b9'] as const;
const modern = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientCapabilities': {},
  'io.modelcontextprotocol/clientInfo': { name: 'load', version: '1' },
};

/** @param redis where the servers look for Redis; through a way that can be slow, without */
export async function startRedisFleet(store: RealRedis, redis?: object): Promise<RedisFleet> {
  const folder = mkdtempSync(join(tmpdir(), 'mcpd-fleet-'));
  const bundle = await buildServerBundle(folder);
  const way = await openSlowWay(store.port);
  const far = await startHttpFixture((message, response, body) => {
    const { id, method, params } = JSON.parse(body === '' ? '{}' : body) as FarMessage;
    if (message.method !== 'POST') return void response.writeHead(405).end();
    if (id === undefined) return void response.writeHead(202).end();
    const result =
      method === 'initialize'
        ? { protocolVersion: '2025-06-18', capabilities: { tools: {} }, serverInfo: { name: 'far', version: '1' } }
        : {
            content: [{ type: 'text', text: String(params?.arguments?.message) }],
            tools: [{ name: 'kept', inputSchema: { type: 'object' } }],
          };
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ jsonrpc: '2.0', id, result }));
  });
  const running: Served[] = [];
  const start = async (name: 'open' | 'closed'): Promise<FleetServer> => {
    const deployment: DeploymentInput = {
      version: 1,
      name: 'fleet',
      server: {
        listen: '127.0.0.1:0',
        drainSeconds: 5,
        upstreams: { far: { url: far.url } },
        // Longer than a busy machine may need, shorter than what would be called waiting.
        cache: { store: 'redis', storeWaitMs: 250, tools: { kept: { ttlSeconds: 600 } } },
      },
      tls: { source: 'off' },
      redis: { whenDown: name, graceSeconds: 0.3, ...(redis ?? { url: `redis://127.0.0.1:${way.port}` }) },
      limits: { perKey: { requests: 1_000_000, windowMs: 3_600_000, form: 'fixed-window' }, freePerKey: 'off' },
    };
    const config = `${name}.json`;
    writeFileSync(join(folder, config), JSON.stringify({ baseDir: folder, keyStoreFile: null, deployment }));
    const served = spawnServe(bundle, folder, ['--config', config], { MCP_API_KEYS: keys.join(',') });
    running.push(served);
    const url = await served.listening();
    return {
      url,
      served,
      async metric(line) {
        const { body } = await callHttp({ url: `${new URL(url).origin}/metrics` });
        return Number(line.exec(body)?.[1] ?? 'NaN');
      },
    };
  };
  const [open, closed] = [await start('open'), await start('closed')];
  const both = [open, closed];
  /** As `waitUntil`; what the servers said last is in the error. */
  const wait = async (...[condition, deadlineMs, what]: Parameters<typeof waitUntil>): Promise<void> =>
    waitUntil(condition, deadlineMs, what).catch((error: unknown) => {
      const said = running.map(({ output }) => output.stderr.slice(-3_000));
      throw new Error([String(error), ...said].join('\n\n'), { cause: error });
    });
  const ask = (server: FleetServer, name: string, message: string) =>
    postMessage(server.url, toolCall(name, { message }), { headers: { 'x-api-key': keys[0] } });
  let questions = 0;
  async function areTogether(): Promise<void> {
    for (const server of both) {
      await wait(async () => (await server.metric(/^mcp_redis_up (\d)$/m)) === 1, 60_000, 'Redis to be connected');
      await wait(async () => (await ask(server, 'echo', 'x')).status === 200, 30_000, 'calls to be taken');
    }
    for (const server of both) {
      const before = await sumIn(fleet.store);
      for (let count = 0; count < 3; count++) await ask(server, 'echo', 'x');
      await wait(async () => (await sumIn(fleet.store)) >= before + 3, 60_000, 'calls to be counted together');
    }
    await wait(
      async () => {
        const question = `shared ${questions++}`;
        const hits = await closed.metric(/^mcp_cache_shared_lookups_total\{result="hit"\} (\d+)$/m);
        await ask(open, 'kept', question);
        await new Promise((resolve) => setTimeout(resolve, 20));
        const answer = await ask(closed, 'kept', question);
        if (!answer.body.includes(question)) return false;
        return (await closed.metric(/^mcp_cache_shared_lookups_total\{result="hit"\} (\d+)$/m)) > hits;
      },
      30_000,
      'an answer to be found by the other server',
    );
  }
  const fleet: RedisFleet = {
    store,
    way,
    open,
    closed,
    load: startMarkedLoad({ open: open.url, closed: closed.url }),
    areTogether,
    async close() {
      await fleet.load.stop();
      await endServed(running);
      await far.stop();
      await way.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  try {
    await areTogether();
  } catch (error) {
    await fleet.close();
    throw error;
  }
  return fleet;
}

interface FarMessage {
  readonly id?: number;
  readonly method?: string;
  readonly params?: { readonly arguments?: { readonly message?: unknown } };
}

/** Six clients at each server, three of each era, with two keys; each calls again and again: every answer has to hold what its own client has just asked. */
function startMarkedLoad(urls: Readonly<Record<'open' | 'closed', string>>): MarkedLoad {
  const empty = (): Stretch => ({ answered: 0, refused: 0, wrong: [], crossed: [], ms: [] });
  let seen = { open: empty(), closed: empty() };
  const ending = new AbortController();

  async function client(where: 'open' | 'closed', number: number): Promise<void> {
    const url = urls[where];
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const isModern = number % 2 === 0;
    const headers: Record<string, string> = { 'x-api-key': keys[number % 3 === 0 ? 0 : 1] };
    const options: PostOptions = { agent, headers };
    const session = isModern ? '' : await openSession(url, options);
    for (let count = 0; !ending.signal.aborted; count++) {
      // Kept answers are asked for again, by this client alone.
      const name = count % 3 === 0 ? 'kept' : 'echo';
      const message = `<${where} ${number} ${name === 'kept' ? Math.floor(count / 6) : count}>`;
      const params = { name, arguments: { message }, ...(isModern ? { _meta: modern } : {}) };
      const own = isModern
        ? { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': name }
        : { 'mcp-protocol-version': '2025-11-25', 'mcp-session-id': session };
      const stretch = seen[where];
      const startedAt = performance.now();
      try {
        const sent = { jsonrpc: '2.0', id: `${where}-${number}-${count}`, method: 'tools/call', params };
        const answer = await postMessage(url, sent, { ...options, headers: { ...headers, ...own } });
        const isOwn = answer.body.includes(message) && answer.body.includes(sent.id);
        if (answer.status === 200 && isOwn) stretch.answered++;
        else if (answer.status === 200) stretch.crossed.push(`${message}: ${answer.body.slice(0, 200)}`);
        else if (answer.status === 503 && where === 'closed') stretch.refused++;
        else stretch.wrong.push(`${answer.status} ${answer.body.slice(0, 200)}`);
        stretch.ms.push(performance.now() - startedAt);
        // Room for others on this machine.
        await new Promise((resolve) => setTimeout(resolve, answer.status === 503 ? 20 : 4));
      } catch (error) {
        stretch.wrong.push(String(error));
      }
    }
    agent.destroy();
  }
  const clients = (['open', 'closed'] as const).flatMap((where) =>
    Array.from({ length: 6 }, (_, number) => client(where, number)),
  );
  return {
    next() {
      const before = seen;
      seen = { open: empty(), closed: empty() };
      return before;
    },
    async stop() {
      ending.abort();
      await Promise.all(clients);
    },
  };
}

async function openSlowWay(port: number): Promise<SlowWay> {
  const open = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(from);
      from.on('data', (data: Buffer) => setTimeout(() => to.write(data), way.delayMs));
      from.on('error', () => to.destroy());
      from.on('close', () => {
        open.delete(from);
        to.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const way: SlowWay = {
    port: (server.address() as AddressInfo).port,
    delayMs: 0,
    async close() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return way;
}

/** Calls that are counted there. */
export async function sumIn(store: RealRedis): Promise<number> {
  const names = (await store.ask('KEYS *:limit:window:key:*')).split('\r\n').filter((line) => line.includes(':key:'));
  let sum = 0;
  for (const name of names) sum += Number((await store.ask(`GET ${name}`)).split('\r\n')[1]);
  return sum;
}

/** One way in which Redis is of no use. */
export interface RedisTrouble {
  readonly name: string;
  /** Answers still come in time, so that calls are counted together all the while. */
  readonly isHarmless?: boolean;
  begin(fleet: RedisFleet): unknown;
  end(fleet: RedisFleet): unknown;
}

export const redisTroubles: readonly RedisTrouble[] = [
  { name: 'killed', begin: ({ store }) => store.kill(), end: ({ store }) => store.restart() },
  { name: 'stopped (SIGSTOP)', begin: ({ store }) => store.pause(), end: ({ store }) => store.resume() },
  { name: 'paused (CLIENT PAUSE)', begin: ({ store }) => store.ask('CLIENT PAUSE 3000 ALL'), end: () => {} },
  {
    name: 'full (maxmemory, noeviction)',
    begin: ({ store }) => store.ask('CONFIG SET maxmemory 1'),
    end: ({ store }) => store.ask('CONFIG SET maxmemory 0'),
  },
  {
    name: 'slow (0.6 s an answer)',
    isHarmless: true,
    begin: ({ way }) => (way.delayMs = 300),
    end: ({ way }) => (way.delayMs = 0),
  },
  {
    name: 'too slow (3 s an answer)',
    begin: ({ way }) => (way.delayMs = 1_500),
    end: ({ way }) => (way.delayMs = 0),
  },
  {
    name: 'a replica that may not be written to',
    begin: ({ store }) => store.ask('REPLICAOF 127.0.0.1 1'),
    end: ({ store }) => store.ask('REPLICAOF NO ONE'),
  },
  { name: 'emptied (FLUSHALL)', isHarmless: true, begin: ({ store }) => store.ask('FLUSHALL'), end: () => {} },
];

/** What was seen of one trouble. */
export interface TroubleFigures {
  readonly name: string;
  readonly open: Stretch;
  readonly closed: Stretch;
  /** Until calls were counted together again. */
  readonly togetherAfterMs: number;
  /** Largest resident memory of the two. */
  readonly residentBytes: number;
  readonly errors: number;
  /** What a legacy client is told that begins a session and opens its stream meanwhile, at each of the two. */
  readonly streams: readonly number[];
}

/** Makes the trouble under load, waits until it is seen and `lastsMs` more, ends it, and waits until all is as before. */
export async function goThrough(fleet: RedisFleet, trouble: RedisTrouble, lastsMs: number): Promise<TroubleFigures> {
  const both = [fleet.open, fleet.closed];
  const errorsOf = async (): Promise<number> => {
    const each = await Promise.all(both.map((server) => server.metric(/^mcp_redis_errors_total (\d+)$/m)));
    return each.reduce((sum, count) => sum + count, 0);
  };
  const before = await errorsOf();
  fleet.load.next();
  await trouble.begin(fleet);
  if (trouble.isHarmless !== true) {
    const isSeen = async (): Promise<boolean> =>
      (await postMessage(fleet.closed.url, toolCall('echo', { message: 'x' }), { headers: { 'x-api-key': keys[0] } }))
        .status === 503;
    await waitUntil(isSeen, 20_000, 'calls to be refused where they may not go on alone');
  }
  await new Promise((resolve) => setTimeout(resolve, lastsMs));
  const streams = await Promise.all(both.map(({ url }) => openStream(url)));
  const seen = fleet.load.next();
  const endedAt = performance.now();
  await trouble.end(fleet);
  await fleet.areTogether();
  const resident = await Promise.all(both.map((server) => server.metric(/^process_resident_memory_bytes (\S+)$/m)));
  return {
    name: trouble.name,
    ...seen,
    togetherAfterMs: performance.now() - endedAt,
    residentBytes: Math.max(...resident),
    errors: (await errorsOf()) - before,
    streams,
  };
}

async function openStream(url: string): Promise<number> {
  const key = { 'x-api-key': keys[0] };
  const session = await openSession(url, { headers: key });
  const answer = await fetch(url, { headers: { ...key, accept: 'text/event-stream', 'mcp-session-id': session } });
  await answer.body?.cancel();
  return answer.status;
}
