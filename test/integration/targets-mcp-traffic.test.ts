import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { renderTarget } from '../../src/targets/index.ts';
import { connectLegacy, connectModern } from '../helpers/clients.ts';
import { callHttp, openStream } from '../helpers/http-call.ts';
import { freePorts, startCaddy, startHaproxySite, startNginx, type RunningProxy } from '../helpers/proxy-rig.ts';
import { endServer, openServerHouse, type ServerHouse } from '../helpers/real-server.ts';
import { targetInput } from '../helpers/target-input.ts';
import { testWithTools } from '../helpers/tools.ts';

// The real bundled server behind the real proxies, called by the official clients of both eras.

let house: ServerHouse;

beforeAll(async () => {
  house = await openServerHouse();
  writeFileSync(join(house.folder, 'default.key'), house.key, { mode: 0o600 });
});

afterAll(() => house.remove());

interface Endpoint {
  readonly url: string;
  readonly origin: string;
  readonly plainUrl: string;
}

describe.each([
  { target: 'nginx', start: startNginx },
  { target: 'caddy', start: startCaddy },
  { target: 'haproxy', start: startHaproxySite },
])('MCP through $target', ({ target, start }) => {
  async function withEndpoint(run: (endpoint: Endpoint) => Promise<void>): Promise<void> {
    const [https = 0, http = 0, port = 0] = await freePorts(3);
    const input = targetInput({
      version: 1,
      server: { listen: `localhost:${port}`, trustedProxies: ['127.0.0.1', '::1'] },
    });
    const server = await house.start(input.deployment, port);
    const own = mkdtempSync(join(house.folder, `${target}-`));
    const site = join(own, 'site');
    const paths = { ...input.paths, ...house.paths, proxyLogDir: own };
    writeFileSync(site, renderTarget(target, { ...input, paths, proxyPorts: { https, http } })[0]?.content ?? '');
    let proxy: RunningProxy | null = null;
    try {
      proxy = await start(site, own, [https, http]);
      await run({
        url: `https://localhost:${https}/mcp`,
        origin: `https://localhost:${https}`,
        plainUrl: `http://localhost:${http}/mcp`,
      });
    } finally {
      await proxy?.stop();
      await endServer(server);
    }
  }

  const access = (url: string) => ({
    url,
    caFile: house.paths.caFile,
    keyFile: join(house.folder, 'default.key'),
  });

  testWithTools(
    [target],
    'carries a tool call of the 2.x client, modern era, and of the 1.x client, legacy era',
    async () => {
      await withEndpoint(async ({ url }) => {
        for (const connect of [connectModern, connectLegacy]) {
          const client = await connect(access(url));
          try {
            const { tools } = await client.listTools();
            expect(tools.map(({ name }) => name)).toContain('echo');
            const result = await client.callTool({ name: 'echo', arguments: { message: 'through the proxy' } });
            expect(JSON.stringify(result)).toContain('through the proxy');
          } finally {
            await client.close();
          }
        }
      });
    },
  );

  testWithTools([target], 'opens the legacy stream at once, although nothing happens on it', async () => {
    await withEndpoint(async ({ url }) => {
      const headers = {
        authorization: `Bearer ${house.key}`,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
      };
      const started = await callHttp({
        url,
        ca: house.caPem,
        method: 'POST',
        headers,
        body: JSON.stringify({
          jsonrpc: '2.0',
          id: 1,
          method: 'initialize',
          params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'test', version: '1' } },
        }),
      });
      expect(started.status).toBe(200);
      const session = String(started.headers['mcp-session-id']);
      const stream = await openStream({
        url,
        ca: house.caPem,
        headers: {
          ...headers,
          accept: 'text/event-stream',
          'mcp-session-id': session,
          'mcp-protocol-version': '2025-06-18',
        },
      });
      try {
        expect(stream.status).toBe(200);
        // The first keep-alive is due after 15 s; the comment that opens the stream has to be there long before.
        const first = await Promise.race([stream.first, rejectAfter(5_000, 'no first line within 5 s')]);
        expect(first).toMatch(/^:/);
      } finally {
        stream.close();
      }
    });
  });

  testWithTools([target], 'leaves the server’s own answers alone and shows metrics on this machine', async () => {
    await withEndpoint(async ({ url, origin, plainUrl }) => {
      const withoutKey = await callHttp({
        url,
        ca: house.caPem,
        method: 'POST',
        body: '{}',
        headers: { 'content-type': 'application/json' },
      });
      expect(withoutKey.status).toBe(401);
      expect(withoutKey.headers['www-authenticate']).toMatch(/^Bearer/);
      expect(() => JSON.parse(withoutKey.body) as unknown).not.toThrow();

      const plain = await callHttp({ url: plainUrl, method: 'POST', body: '{}' });
      expect([plain.status, plain.headers.location]).toEqual([308, url]);

      expect((await callHttp({ url: `${origin}/health`, ca: house.caPem })).body).toBe('{"status":"ok"}');
      const metrics = await callHttp({ url: `${origin}/metrics`, ca: house.caPem });
      expect([metrics.status, metrics.body]).toEqual([200, expect.stringContaining('mcp_requests_total')]);
      // Through a proxy nobody is local to the server: its details need a key.
      expect((await callHttp({ url: `${origin}/status`, ca: house.caPem })).status).toBe(401);
      const status = await callHttp({
        url: `${origin}/status`,
        ca: house.caPem,
        headers: { authorization: `Bearer ${house.key}` },
      });
      expect(status.status).toBe(200);

      // Announced and not sent: who sends it all may meet a closed connection before the answer.
      const large = await callHttp({
        url,
        ca: house.caPem,
        method: 'POST',
        headers: {
          authorization: `Bearer ${house.key}`,
          'content-type': 'application/json',
          'content-length': String(11 * 1_048_576),
        },
        body: '{',
      });
      expect([large.status, large.headers['content-type']]).toEqual([413, 'application/problem+json']);
    });
  });
});

function rejectAfter(milliseconds: number, message: string): Promise<never> {
  return new Promise((_resolve, reject) => {
    setTimeout(() => reject(new Error(message)), milliseconds).unref();
  });
}
