import type { ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect } from 'vitest';
import type { DeploymentInput } from '../../src/deployment/schema.ts';
import { renderTarget } from '../../src/targets/index.ts';
import { callHttp, openStream, type HttpAnswer } from '../helpers/http-call.ts';
import { freePorts, startCaddy, startHaproxySite, startNginx, type RunningProxy } from '../helpers/proxy-rig.ts';
import { endServer, openServerHouse, type ServerHouse } from '../helpers/real-server.ts';
import { targetInput } from '../helpers/target-input.ts';
import { findProgram, testWithTools } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';

// Three real servers, each with its own sessions in memory, behind each real proxy.

const replicas = ['r1', 'r2', 'r3'];
let house: ServerHouse;
let ports: number[] = [];
const servers = new Map<string, ChildProcess>();

beforeAll(async () => {
  house = await openServerHouse();
  ports = await freePorts(replicas.length);
  await Promise.all(replicas.map(startReplica));
}, 60_000);

afterAll(async () => {
  await Promise.all([...servers.values()].map((server) => endServer(server)));
  house.remove();
});

const common = (port: number): DeploymentInput => ({
  version: 1,
  server: {
    listen: `localhost:${port}`,
    trustedProxies: ['127.0.0.1', '::1'],
    legacySse: { sse: '/sse', messages: '/messages' },
    aliases: ['/message'],
  },
  limits: { perKey: 'off' },
});

async function startReplica(name: string): Promise<void> {
  const port = ports[replicas.indexOf(name)] ?? 0;
  servers.set(name, await house.start(common(port), port, { MCP_REPLICA: name }));
}

describe.each([
  { target: 'nginx', start: startNginx },
  { target: 'caddy', start: startCaddy },
  { target: 'haproxy', start: startHaproxySite },
])('three servers behind $target', ({ target, start }) => {
  let proxy: RunningProxy | null = null;
  let origin = '';

  beforeEach(async () => {
    if (findProgram(target) === null) return;
    const [https = 0, http = 0] = await freePorts(2);
    const input = targetInput({
      ...common(ports[0] ?? 0),
      proxy: { servers: Object.fromEntries(replicas.map((name, at) => [name, `127.0.0.1:${ports[at]}`])) },
    });
    const own = mkdtempSync(join(house.folder, `${target}-`));
    const site = join(own, 'site');
    const paths = { ...input.paths, ...house.paths, proxyLogDir: own };
    writeFileSync(site, renderTarget(target, { ...input, paths, proxyPorts: { https, http } })[0]?.content ?? '');
    proxy = await start(site, own, [https, http]);
    origin = `https://localhost:${https}`;
    // HAProxy and Caddy ask every server first; until then one of them may be taken to be away.
    await waitUntil(
      async () => (await callHttp({ url: `${origin}/readyz`, ca: house.caPem })).status === 200,
      10_000,
      'a server',
    );
  }, 30_000);

  afterEach(async () => {
    await proxy?.stop();
    proxy = null;
  });

  const post = (body: unknown, headers: Record<string, string> = {}, path = '/mcp'): Promise<HttpAnswer> =>
    callHttp({
      url: origin + path,
      ca: house.caPem,
      method: 'POST',
      headers: { 'x-api-key': house.key, ...jsonHeaders, ...headers },
      body: JSON.stringify(body),
    });

  async function beginSession(): Promise<string> {
    const answer = await post({
      jsonrpc: '2.0',
      id: 1,
      method: 'initialize',
      params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'test', version: '1' } },
    });
    expect([answer.status, answer.body]).toEqual([200, expect.any(String)]);
    return String(answer.headers['mcp-session-id']);
  }

  const echo = (text: string) => ({
    jsonrpc: '2.0',
    id: 2,
    method: 'tools/call',
    params: { name: 'echo', arguments: { message: text } },
  });
  const legacyCall = (session: string, text: string): Promise<HttpAnswer> =>
    post(echo(text), { 'mcp-session-id': session, 'mcp-protocol-version': '2025-06-18' });
  const modernCall = (text: string): Promise<HttpAnswer> => {
    const call = echo(text);
    return post(
      { ...call, params: { ...call.params, _meta: modernMeta } },
      { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'echo' },
    );
  };

  testWithTools(
    [target],
    '60 of 60 legacy calls reach the server of their session, each on a connection of its own',
    async () => {
      const sessions = await Promise.all(Array.from({ length: 20 }, beginSession));
      // Not one server alone: otherwise nothing would be proven.
      const owners = new Set(sessions.map((session) => session.split('.').at(-1)));
      expect(owners.size).toBeGreaterThan(1);
      const calls = sessions.flatMap((session, at) => [1, 2, 3].map((turn) => ({ session, text: `${at}-${turn}` })));
      const answers = await Promise.all(calls.map(({ session, text }) => legacyCall(session, text)));
      const right = answers.filter(({ status, body }, at) => status === 200 && body.includes(calls[at]?.text ?? '-'));
      expect(right.length).toBe(60);

      // The same for what stays open, and on another path of the endpoint.
      for (const session of sessions.slice(0, 6)) {
        const stream = await openStream({
          url: `${origin}/message/`,
          ca: house.caPem,
          headers: { 'x-api-key': house.key, accept: 'text/event-stream', 'mcp-session-id': session },
        });
        expect(stream.status).toBe(200);
        await stream.first;
        stream.close();
      }
    },
    60_000,
  );

  testWithTools(
    [target],
    'the older transport finds the server of its stream by the query',
    async () => {
      for (let turn = 0; turn < 4; turn++) {
        const stream = await openStream({
          url: `${origin}/sse`,
          ca: house.caPem,
          headers: { 'x-api-key': house.key, accept: 'text/event-stream' },
        });
        await waitUntil(() => /data: \S+\n/.test(stream.received()), 10_000, 'the endpoint event');
        const path = /data: (\S+)\n/.exec(stream.received())?.[1] ?? '';
        const answers = await Promise.all(
          [1, 2, 3].map((id) => post({ jsonrpc: '2.0', id, method: 'ping' }, {}, path)),
        );
        expect(answers.map(({ status }) => status)).toEqual([202, 202, 202]);
        stream.close();
      }
    },
    60_000,
  );

  testWithTools(
    [target],
    'a killed server costs its own sessions alone, which begin anew; calls of the modern era all succeed',
    async () => {
      const sessions = await Promise.all(Array.from({ length: 18 }, beginSession));
      const lost = sessions.filter((session) => session.endsWith('.r2'));
      expect(lost.length).toBeGreaterThan(0);
      await endServer(servers.get('r2') as ChildProcess, 'SIGKILL');
      try {
        // A call written to a connection that dies in that moment fails, since it may have run: none of them is counted.
        for (let turn = 0; turn < 10; turn++) {
          expect((await callHttp({ url: `${origin}/livez`, ca: house.caPem })).status).toBe(200);
        }
        const modern = await Promise.all(Array.from({ length: 30 }, (_, at) => modernCall(`modern ${at}`)));
        expect(modern.map(({ status, body }) => (status === 200 ? 200 : body))).toEqual(modern.map(() => 200));
        // 404 is what tells a client to begin a new session.
        const answers = await Promise.all(sessions.map((session) => legacyCall(session, 'still here')));
        expect(answers.map(({ status }) => status)).toEqual(
          sessions.map((session) => (session.endsWith('.r2') ? 404 : 200)),
        );
        const again = await Promise.all(lost.map(beginSession));
        const anew = await Promise.all(again.map((session) => legacyCall(session, 'anew')));
        expect(anew.map(({ status }) => status)).toEqual(lost.map(() => 200));
      } finally {
        await startReplica('r2');
      }
    },
    90_000,
  );

  /** Renders a site in front of servers of the test's own, which speak plain HTTP. */
  async function withServers(
    handlers: readonly RequestListener[],
    balance: 'least' | 'address',
    run: (url: string) => Promise<void>,
  ): Promise<void> {
    const own = await Promise.all(handlers.map(listen));
    const [https = 0, http = 0] = await freePorts(2);
    const input = targetInput({
      version: 1,
      tls: { source: 'off' },
      server: { listen: '127.0.0.1:8080' },
      proxy: {
        serverName: 'localhost',
        certificate: house.paths.certificateFile,
        key: house.paths.keyFile,
        balance,
        servers: own.map((server) => `127.0.0.1:${(server.address() as AddressInfo).port}`),
      },
    });
    const folder = mkdtempSync(join(house.folder, `${target}-own-`));
    const site = join(folder, 'site');
    const paths = { ...input.paths, proxyLogDir: folder };
    writeFileSync(site, renderTarget(target, { ...input, paths, proxyPorts: { https, http } })[0]?.content ?? '');
    const other = await start(site, folder, [https, http]);
    try {
      await run(`https://localhost:${https}/mcp`);
    } finally {
      await other.stop();
      for (const server of own) server.close().closeAllConnections();
    }
  }

  const postTo = (url: string, more: Partial<Parameters<typeof callHttp>[0]> = {}): Promise<HttpAnswer> =>
    callHttp({ url, ca: house.caPem, method: 'POST', headers: jsonHeaders, body: '{}', ...more });

  testWithTools([target], 'a POST whose server broke off is not sent to another one', async () => {
    let seen = 0;
    const brittle: RequestListener = (request, response) => {
      if (request.url === '/readyz') return void response.end('{}');
      request.resume().on('end', () => {
        seen++;
        request.socket.destroy();
      });
    };
    await withServers([brittle, brittle, brittle], 'least', async (url) => {
      const answer = await postTo(url);
      expect([answer.status, answer.headers['content-type']]).toEqual([502, 'application/problem+json']);
      expect(seen).toBe(1);
    });
  });

  testWithTools([target], 'with proxy.balance address, an address comes to the same server every time', async () => {
    const named = ['a', 'b', 'c'].map(
      (name): RequestListener =>
        (_request, response) =>
          void response.end(name),
    );
    await withServers(named, 'address', async (url) => {
      const chosen = new Set<string>();
      for (let at = 1; at <= 24; at++) {
        // Caddy and nginx look at the first three numbers of an address as well as at the last.
        const from = { connectTo: '127.0.0.1', connectFrom: `127.${at}.${at}.${at}` };
        const answers = await Promise.all([1, 2, 3].map(() => postTo(url, from)));
        const names = new Set(answers.map(({ body }) => body));
        expect(names.size).toBe(1);
        for (const name of names) chosen.add(name);
      }
      expect(chosen.size).toBeGreaterThan(1);
    });
  });

  if (target !== 'haproxy') return;
  testWithTools([target], 'HAProxy finds servers without a name by the answers that it has seen', async () => {
    const handlers = [1, 2, 3].map((): RequestListener => {
      const sessions = new Set<string>();
      return (request, response) => {
        const id = request.headers['mcp-session-id'];
        if (request.url === '/readyz') return void response.end('{}');
        if (id !== undefined) return void response.writeHead(sessions.has(String(id)) ? 200 : 404).end();
        const made = randomUUID();
        sessions.add(made);
        response.setHeader('Mcp-Session-Id', made).end('{}');
      };
    });
    await withServers(handlers, 'least', async (url) => {
      const begun = await Promise.all(Array.from({ length: 20 }, () => postTo(url)));
      const calls = begun.flatMap(({ headers }) => [1, 2, 3].map(() => String(headers['mcp-session-id'])));
      const answers = await Promise.all(
        calls.map((id) => postTo(url, { headers: { ...jsonHeaders, 'mcp-session-id': id } })),
      );
      expect(answers.map(({ status }) => status)).toEqual(calls.map(() => 200));
    });
  });
});

function listen(handler: RequestListener): Promise<Server> {
  const server = createServer(handler);
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve(server));
  });
}

const jsonHeaders = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
const modernMeta = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientCapabilities': {},
  'io.modelcontextprotocol/clientInfo': { name: 'test', version: '1' },
};
