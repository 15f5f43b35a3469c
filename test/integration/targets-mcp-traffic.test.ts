import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { stringify } from 'yaml';
import { issueCertificate } from '../../src/pki/issue-certificate.ts';
import { issuePrivateCa } from '../../src/pki/issue-private-ca.ts';
import { createKeyIn } from '../../src/server/policy/key-store.ts';
import { renderTarget } from '../../src/targets/index.ts';
import { connectLegacy, connectModern } from '../helpers/clients.ts';
import { callHttp, openStream } from '../helpers/http-call.ts';
import { freePorts, startCaddy, startHaproxySite, startNginx, type RunningProxy } from '../helpers/proxy-rig.ts';
import { buildServerBundle } from '../helpers/server-bundle.ts';
import { targetInput } from '../helpers/target-input.ts';
import { testWithTools } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';

// The real bundled server behind the real proxies, called by the official clients of both eras.

let folder = '';
let serverFile = '';
let key = '';
let caPem = '';
const state = (): string => join(folder, '.mcp-deploy');
const names = ['localhost', '127.0.0.1', '::1'];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mcp-traffic-'));
  serverFile = await buildServerBundle(folder);
  for (const name of ['pki', 'keys']) mkdirSync(join(state(), name), { recursive: true });
  const ca = await issuePrivateCa({ commonName: 'test CA', names });
  const leaf = await issueCertificate({ ca, names, validDays: 30 });
  caPem = ca.certificatePem;
  writeFileSync(join(state(), 'pki/ca.crt'), ca.certificatePem);
  writeFileSync(join(state(), 'pki/server.crt'), leaf.certificatePem);
  writeFileSync(join(state(), 'pki/server.key'), leaf.keyPem, { mode: 0o600 });
  const made = createKeyIn(null, { label: 'default', now: new Date().toISOString() });
  key = made.key;
  writeFileSync(join(state(), 'keys/keys.json'), made.storeText, { mode: 0o600 });
  writeFileSync(join(state(), 'keys/default.key'), key, { mode: 0o600 });
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

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
    const config = join(folder, `deployment-${port}.yaml`);
    writeFileSync(config, stringify(input.deployment));
    const server = await startRealServer(config, port);
    const own = mkdtempSync(join(folder, `${target}-`));
    const site = join(own, 'site');
    const paths = {
      ...input.paths,
      caFile: join(state(), 'pki/ca.crt'),
      certificateFile: join(state(), 'pki/server.crt'),
      keyFile: join(state(), 'pki/server.key'),
      proxyLogDir: own,
    };
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
      await end(server);
    }
  }

  const access = (url: string) => ({
    url,
    caFile: join(state(), 'pki/ca.crt'),
    keyFile: join(state(), 'keys/default.key'),
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
        authorization: `Bearer ${key}`,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
      };
      const started = await callHttp({
        url,
        ca: caPem,
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
        ca: caPem,
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
        ca: caPem,
        method: 'POST',
        body: '{}',
        headers: { 'content-type': 'application/json' },
      });
      expect(withoutKey.status).toBe(401);
      expect(withoutKey.headers['www-authenticate']).toMatch(/^Bearer/);
      expect(() => JSON.parse(withoutKey.body) as unknown).not.toThrow();

      const plain = await callHttp({ url: plainUrl, method: 'POST', body: '{}' });
      expect([plain.status, plain.headers.location]).toEqual([308, url]);

      expect((await callHttp({ url: `${origin}/health`, ca: caPem })).body).toBe('{"status":"ok"}');
      const metrics = await callHttp({ url: `${origin}/metrics`, ca: caPem });
      expect([metrics.status, metrics.body]).toEqual([200, expect.stringContaining('mcp_requests_total')]);
      // Through a proxy nobody is local to the server: its details need a key.
      expect((await callHttp({ url: `${origin}/status`, ca: caPem })).status).toBe(401);
      const status = await callHttp({
        url: `${origin}/status`,
        ca: caPem,
        headers: { authorization: `Bearer ${key}` },
      });
      expect(status.status).toBe(200);

      // Announced and not sent: who sends it all may meet a closed connection before the answer.
      const large = await callHttp({
        url,
        ca: caPem,
        method: 'POST',
        headers: {
          authorization: `Bearer ${key}`,
          'content-type': 'application/json',
          'content-length': String(11 * 1_048_576),
        },
        body: '{',
      });
      expect([large.status, large.headers['content-type']]).toEqual([413, 'application/problem+json']);
    });
  });
});

async function startRealServer(config: string, port: number): Promise<ChildProcess> {
  const child = spawn(process.execPath, [serverFile, '--config', config], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    // What the configuration says is not changed by the developer's own environment.
    env: { PATH: process.env['PATH'] ?? '' },
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await waitUntil(
    async () => {
      if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}:\n${output}`);
      return callHttp({ url: `https://localhost:${port}/readyz`, ca: caPem }).then(
        ({ status }) => status === 200,
        () => false,
      );
    },
    20_000,
    'the server to be ready',
  );
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 5_000);
  await gone;
  clearTimeout(timer);
}

function rejectAfter(milliseconds: number, message: string): Promise<never> {
  return new Promise((_resolve, reject) => {
    setTimeout(() => reject(new Error(message)), milliseconds).unref();
  });
}
