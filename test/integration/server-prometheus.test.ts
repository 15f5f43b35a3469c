import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { callHttp } from '../helpers/http-call.ts';
import { buildServerBundle } from '../helpers/server-bundle.ts';
import { endServed, spawnServe } from '../helpers/served.ts';
import { findProgram, testWithTools } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const key = 'prometheus-5d1b7f3a9c2e4860';
let bundle: string;
beforeAll(async () => {
  bundle = await buildServerBundle();
});
afterAll(() => rmSync(dirname(bundle), { recursive: true, force: true }));

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => {
    probe.listen(0, '127.0.0.1', resolve);
  });
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => {
    probe.close(resolve);
  });
  return port;
}

const post = (url: string, method: string, params: unknown, bearer = key) =>
  callHttp({
    url,
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${bearer}` },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
  });

/** Names of metrics that docs/metrics.md promises. */
const documented = new Set(
  readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8')
    .split('\n')
    .map((line) => /^\| `([a-z_0-9]+)` \| (?:counter|gauge|histogram) \|/.exec(line)?.[1]),
);

for (const workers of ['1', '2']) {
  testWithTools(
    ['prometheus', 'promtool'],
    `the real Prometheus scrapes ${workers} worker(s), promtool has nothing to say, and a flood of invented names makes no series`,
    async () => {
      const folder = mkdtempSync(join(tmpdir(), 'mcpd-prometheus-'));
      const served = spawnServe(bundle, folder, ['--listen', '127.0.0.1:0', '--workers', workers], {
        MCP_API_KEY: key,
        MCP_RATE_LIMIT: '0',
      });
      let prometheus: ReturnType<typeof spawn> | null = null;
      try {
        const url = await served.listening();
        const target = new URL(url).host;
        const scrape = async (): Promise<string> => (await callHttp({ url: `http://${target}/metrics` })).body;
        for (let call = 0; call < 8; call++) await post(url, 'tools/call', { name: 'server_info', arguments: {} });
        await flood(url, 0);
        const before = seriesOf(await scrape());
        await flood(url, 1);
        expect(seriesOf(await scrape())).toEqual(before);

        const complaints = execFileSync(findProgram('promtool') ?? '', ['check', 'metrics'], {
          input: await scrape(),
          encoding: 'utf8',
          stdio: ['pipe', 'pipe', 'pipe'],
        });
        expect(complaints).toBe('');

        const port = await freePort();
        const config = {
          global: { scrape_interval: '1s' },
          scrape_configs: [{ job_name: 'mcp', static_configs: [{ targets: [target] }] }],
        };
        writeFileSync(join(folder, 'prometheus.yml'), JSON.stringify(config));
        prometheus = spawn(
          findProgram('prometheus') ?? '',
          [
            `--config.file=${join(folder, 'prometheus.yml')}`,
            `--storage.tsdb.path=${join(folder, 'data')}`,
            `--web.listen-address=127.0.0.1:${port}`,
            '--log.level=error',
          ],
          { stdio: 'ignore' },
        );
        const query = async (text: string): Promise<{ metric: Record<string, string>; value: number }[]> => {
          const asked = `http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(text)}`;
          const answer = await callHttp({ url: asked }).catch(() => null);
          if (answer === null || answer.status !== 200) return [];
          const { data } = JSON.parse(answer.body) as {
            data: { result: { metric: Record<string, string>; value: [number, string] }[] };
          };
          return data.result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }));
        };
        await waitUntil(async () => (await query('up'))[0]?.value === 1, 60_000, 'a first scrape');
        const total = async (text: string): Promise<number | undefined> => (await query(text))[0]?.value;
        expect(await total('sum(mcp_requests_total{method="tools/call",tool="server_info",status="ok"})')).toBe(8);
        expect(await total('sum(mcp_request_duration_seconds_count{method="tools/call"})')).toBeGreaterThanOrEqual(8);
        expect(
          await total('histogram_quantile(0.99, sum by (le) (mcp_request_duration_seconds_bucket))'),
        ).toBeGreaterThan(0);
        expect(await total('count(mcp_worker_up == 1)')).toBe(Number(workers));
        expect(await total('process_resident_memory_bytes')).toBeGreaterThan(10_000_000);
        expect(await total('max(nodejs_eventloop_lag_max_seconds)')).toBeGreaterThanOrEqual(0);
        const names = new Set(
          (await query('{job="mcp"}')).map(({ metric }) =>
            (metric['__name__'] ?? '').replace(/_(?:bucket|sum|count)$/, ''),
          ),
        );
        const undocumented = [...names].filter((name) => !documented.has(name) && !/^(?:up|scrape_)/.test(name));
        expect(undocumented).toEqual([]);
      } finally {
        prometheus?.kill('SIGKILL');
        await endServed([served]);
        rmSync(folder, { recursive: true, force: true });
      }
    },
    120_000,
  );
}

/** Invented tools, methods, prompts and keys, none of them twice. */
async function flood(url: string, round: number): Promise<void> {
  for (let at = 0; at < 60; at++) {
    const word = `invented-${round}-${at}`;
    await post(url, 'tools/call', { name: word, arguments: {} });
    await post(url, word, {});
    await post(url, 'prompts/get', { name: word });
  }
  // Few: wrong keys of one address are slowed down.
  for (let at = 0; at < 3; at++) await post(url, 'tools/list', {}, `invented-key-${round}-${at}-0123456789`);
}

/** Every series without its value. */
function seriesOf(text: string): string[] {
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.slice(0, line.lastIndexOf(' ')))
    .toSorted();
}
