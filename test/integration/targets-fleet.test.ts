import type { ChildProcess } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import type { DeploymentInput } from '../../src/deployment/schema.ts';
import { renderTarget } from '../../src/targets/index.ts';
import { startLoad, type CallLoad } from '../helpers/call-load.ts';
import { connectLegacy, connectModern } from '../helpers/clients.ts';
import { callHttp } from '../helpers/http-call.ts';
import { freePorts, startHaproxySite, type RunningProxy } from '../helpers/proxy-rig.ts';
import { endServer, openServerHouse, type ServerHouse } from '../helpers/real-server.ts';
import { startRedis, type RealRedis } from '../helpers/redis.ts';
import { targetInput } from '../helpers/target-input.ts';
import { findProgram, testWithTools } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';

// What docs/scale.md says of copies that are killed and rolled, on three real servers behind the rendered HAProxy under load:
// the small form of bench/swarm-kills.mjs.

const tools = ['haproxy', 'redis-server'];
const names = ['r1', 'r2', 'r3'];
const clients = 4;
const initialize = JSON.stringify({
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'test', version: '1' } },
});

let house: ServerHouse;

beforeAll(async () => {
  if (tools.every((tool) => findProgram(tool) !== null)) house = await openServerHouse();
}, 60_000);

afterAll(() => house?.remove());

describe.each([
  {
    store: 'memory',
    fate: 'begin anew, once for each that was in the server that went',
    killed: ['r1'],
    rolled: ['r2'],
  },
  {
    store: 'redis',
    fate: 'go on at another server, and no client notices',
    killed: ['r1', 'r2'],
    rolled: ['r3', 'r1'],
  },
] as const)('three servers under load, sessions in $store', ({ store, fate, killed, rolled }) => {
  let redis: RealRedis | null = null;
  let proxy: RunningProxy;
  let ports: number[];
  let url: string;
  let keyFile: string;
  const servers = new Map<string, ChildProcess>();

  const deployment = (port: number): DeploymentInput => ({
    version: 1,
    name: 'fleet',
    server: {
      listen: `localhost:${port}`,
      trustedProxies: ['127.0.0.1', '::1'],
      drainSeconds: 3,
      sessions: { store },
    },
    limits: { perKey: 'off', freePerKey: 'off' },
    ...(redis === null ? {} : { redis: { url: redis.url } }),
  });
  const start = async (name: string): Promise<void> => {
    const port = ports[names.indexOf(name)] ?? 0;
    const server = await house.start(deployment(port), port, { MCP_REPLICA: name });
    servers.set(name, server);
    if (redis === null) return;
    // Only a server that is connected leaves its sessions there; it is in front of clients before that.
    const connected = async (): Promise<boolean> =>
      (await callHttp({ url: `https://localhost:${port}/metrics`, ca: house.caPem })).body.includes('mcp_redis_up 1\n');
    await waitUntil(connected, 60_000, 'Redis to be connected');
  };
  const stop = (name: string, signal: NodeJS.Signals): Promise<void> =>
    endServer(servers.get(name) as ChildProcess, signal);
  /** HAProxy has seen that it is there, and gives it new sessions. */
  const untilItServes = (name: string): Promise<void> =>
    waitUntil(
      async () => {
        const answer = await callHttp({
          url,
          ca: house.caPem,
          method: 'POST',
          headers: { 'x-api-key': house.key, 'content-type': 'application/json', accept: 'application/json' },
          body: initialize,
        });
        return String(answer.headers['mcp-session-id']).endsWith(`.${name}`);
      },
      90_000,
      `${name} to serve`,
    );

  beforeAll(async () => {
    if (tools.some((tool) => findProgram(tool) === null)) return;
    if (store === 'redis') redis = await startRedis();
    ports = await freePorts(names.length);
    await Promise.all(names.map(start));
    const [https = 0, http = 0] = await freePorts(2);
    const input = targetInput({
      ...deployment(ports[0] ?? 0),
      proxy: { servers: Object.fromEntries(names.map((name, at) => [name, `127.0.0.1:${ports[at]}`])) },
    });
    const folder = join(house.folder, `haproxy-${store}`);
    mkdirSync(folder);
    const site = join(folder, 'site');
    const paths = { ...input.paths, ...house.paths, proxyLogDir: folder };
    writeFileSync(site, renderTarget('haproxy', { ...input, paths, proxyPorts: { https, http } })[0]?.content ?? '');
    proxy = await startHaproxySite(site, folder, [https, http]);
    url = `https://localhost:${https}/mcp`;
    keyFile = join(house.folder, 'default.key');
    writeFileSync(keyFile, house.key);
    for (const name of names) await untilItServes(name);
  }, 120_000);

  afterAll(async () => {
    await proxy?.stop();
    await Promise.all([...servers.values()].map((server) => endServer(server)));
    await redis?.close();
  });

  const loadOf = (): CallLoad => startLoad({ url, ca: house.caPem, key: house.key, clients, tool: 'echo' });
  const judgeSessions = (lost: number, moves: number): void => {
    if (store === 'redis') expect(lost).toBe(0);
    // Each may have been in the one that went.
    else expect(lost).toBeLessThanOrEqual((clients / 2) * moves);
  };

  testWithTools(
    tools,
    `killed one after another: only calls inside of them are lost; legacy sessions ${fate}`,
    async () => {
      const access = { url, caFile: house.paths.caFile, keyFile };
      const legacy = store === 'redis' ? await Promise.all(names.map(() => connectLegacy(access))) : [];
      const modern = await connectModern(access);
      const load = loadOf();
      for (const name of killed) {
        const before = load.counts.calls;
        await waitUntil(() => load.counts.calls > before + 4 * clients, 60_000, 'calls');
        await stop(name, 'SIGKILL');
        const after = load.counts.calls;
        await waitUntil(() => load.counts.calls > after + 4 * clients, 60_000, 'calls after the kill');
        for (const client of [...legacy, modern]) {
          const result = await client.callTool({ name: 'echo', arguments: { message: `after ${name}` } });
          expect(JSON.stringify(result)).toContain(`after ${name}`);
        }
        await start(name);
        await untilItServes(name);
      }
      await load.stop();
      // Each client has one call at a time: more than that was not inside of the server that was killed.
      expect(load.counts.failed).toBeLessThanOrEqual(clients * killed.length);
      expect(load.counts.failed).toBeLessThan(load.counts.calls / 10);
      expect(load.problems.filter((text) => !/: 50[234] |Error: /.test(text))).toEqual([]);
      judgeSessions(load.counts.sessionsLost, killed.length);
      for (const client of [...legacy, modern]) await client.close();
    },
    300_000,
  );

  testWithTools(
    tools,
    `rolled one after another: no call of the stateless era is lost; legacy sessions ${fate}`,
    async () => {
      const load = loadOf();
      for (const name of rolled) {
        const before = load.counts.calls;
        await waitUntil(() => load.counts.calls > before + 4 * clients, 60_000, 'calls');
        await stop(name, 'SIGTERM');
        await start(name);
        await untilItServes(name);
      }
      await load.stop();
      expect([load.counts.failedModern, load.problems.filter((text) => !text.startsWith('legacy: 503'))]).toEqual([
        0,
        [],
      ]);
      judgeSessions(load.counts.sessionsLost, rolled.length);
    },
    300_000,
  );
});
