import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { echoBackend } from '../helpers/fake-backend.ts';
import { callHttp } from '../helpers/http-call.ts';
import { buildServerBundle } from '../helpers/server-bundle.ts';
import { endServed, spawnServe } from '../helpers/served.ts';
import { firstKey, startRig, type RigOptions, type ServerRig } from '../helpers/server-rig.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const cleanUps: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0)) await cleanUp();
});

async function start(server: RigOptions['server']): Promise<ServerRig> {
  const rig = await startRig({ backends: [echoBackend()], ...(server === undefined ? {} : { server }) });
  cleanUps.push(() => rig.stop());
  return rig;
}

const statusOf = async (url: string, headers: Record<string, string> = {}, method = 'GET'): Promise<number> =>
  (await callHttp({ url, headers, method })).status;

test('each kind of page answers at its own address, and nothing else does there, least of all the endpoint', async () => {
  const [metricsListen, statusListen, healthListen] = ['127.0.0.1:0', '[::1]:0', 'localhost:0'];
  const rig = await start({ metricsListen, statusListen, healthListen, behindProxy: true });
  const [metrics = '', status = '', health = ''] = rig.server.pageOrigins;
  const paths = [
    '/metrics',
    '/status',
    '/health',
    '/livez',
    '/readyz',
    '/mcp',
    '/',
    '/.well-known/oauth-protected-resource',
  ];
  const seen = async (origin: string) => Promise.all(paths.map((path) => statusOf(origin + path)));
  expect(await seen(metrics)).toEqual([200, 404, 404, 404, 404, 404, 404, 404]);
  expect(await seen(status)).toEqual([404, 200, 404, 404, 404, 404, 404, 404]);
  expect(await seen(health)).toEqual([404, 404, 200, 200, 200, 404, 404, 404]);
  expect(await statusOf(`${metrics}/mcp`, { authorization: `Bearer ${firstKey}` }, 'POST')).toBe(404);
  // The endpoint keeps its pages, but for the metrics, which have moved.
  expect(await statusOf(`${rig.origin}/metrics`, { authorization: `Bearer ${firstKey}` })).toBe(404);
  expect(await statusOf(`${rig.origin}/health`)).toBe(200);
});

test('pages that name one address share it', async () => {
  const rig = await start({ metricsListen: '127.0.0.1:0', statusListen: '127.0.0.1:0' });
  expect(rig.server.pageOrigins).toHaveLength(1);
  const [origin = ''] = rig.server.pageOrigins;
  expect(await Promise.all(['/metrics', '/status', '/health'].map((path) => statusOf(origin + path)))).toEqual([
    200, 200, 404,
  ]);
});

test('keys do not count there, the lists of addresses do, and no page of a browser comes by another name', async () => {
  const rig = await start({ metricsListen: '127.0.0.1:0', metricsFrom: ['192.0.2.1'] });
  const [origin = ''] = rig.server.pageOrigins;
  expect(await statusOf(`${origin}/metrics`, { authorization: `Bearer ${firstKey}` })).toBe(403);
  const open = await start({ metricsListen: '127.0.0.1:0', statusListen: '127.0.0.1:0' });
  const [pages = ''] = open.server.pageOrigins;
  expect(await statusOf(`${pages}/metrics`, { host: 'evil.example' })).toBe(403);
  expect(await statusOf(`${pages}/metrics`, { host: '10.9.8.7:9090' })).toBe(200);
  expect(await statusOf(`${pages}/metrics`, { host: '10.9.8.7:9090', origin: 'https://evil.example' })).toBe(403);
  expect(await statusOf(`${pages}/status`, { 'x-forwarded-for': '127.0.0.1' })).toBe(401);
});

test('an address that is taken ends the start, and nothing is left listening', async () => {
  const rig = await start({ metricsListen: '127.0.0.1:0' });
  const taken = new URL(rig.server.pageOrigins[0] ?? '').host;
  await expect(start({ metricsListen: taken })).rejects.toThrow(`port ${taken.split(':')[1]}`);
});

test('with workers the addresses belong to the process above them, and the pages speak for all', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mcpd-pages-'));
  writeFileSync(
    join(folder, 'server.json'),
    JSON.stringify({
      baseDir: folder,
      keyStoreFile: null,
      deployment: {
        version: 1,
        server: { listen: '127.0.0.1:0', workers: 2, metricsListen: '127.0.0.1:0', healthListen: '127.0.0.1:0' },
        tls: { source: 'off' },
        auth: { required: false },
      },
    }),
  );
  const served = spawnServe(await buildServerBundle(folder), folder, ['--config', 'server.json']);
  cleanUps.push(async () => {
    await endServed([served]);
    rmSync(folder, { recursive: true, force: true });
  });
  const url = await served.listening();
  const pages = () => /"pages":\["([^"]+)"\]/.exec(served.output.stderr)?.[1];
  await waitUntil(() => pages() !== undefined, 5_000, 'the line that says where');
  const origin = pages() ?? '';
  const metrics = await callHttp({ url: `${origin}/metrics` });
  expect(metrics.status).toBe(200);
  expect(metrics.body).toMatch(/mcp_worker_up\{worker="0"\} 1[^]*mcp_worker_up\{worker="1"\} 1/);
  for (let n = 0; n < 6; n++) expect(await statusOf(`${origin}/health`)).toBe(200);
  expect(await statusOf(`${origin}/mcp`)).toBe(404);
  expect(await statusOf(`${new URL(url).origin}/metrics`)).toBe(404);
});
