// What the policies cost: CPU of the server for each 1,000 calls with all of them on, with each alone, and with none.
//   node bench/policies.mjs [--rounds 9] [--seconds 1]     prints the tables and writes bench/policies-served.md
// CPU and not calls per second, because it says more on a busy machine; the ratio is the median of those of each round.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { median } from './goals.mjs';
import { freePort } from './local.mjs';
import { loadAlone, start } from './measure-server.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const rounds = numberOf('--rounds', 9);
const seconds = numberOf('--seconds', 1);
const folder = mkdtempSync(join(tmpdir(), 'mcp-deploy-policies-'));
const key = randomBytes(32).toString('base64url');

// Never reached, and counted all the same.
const rate = { requests: 100_000_000, windowSeconds: 1, burst: 100_000_000 };
const none = {
  auth: { required: false },
  limits: { perKey: 'off', freePerKey: 'off', global: 'off', perAddress: 'off' },
  logs: { audit: 'off' },
};
const policies = {
  key: { auth: { required: true } },
  limits: {
    limits: { perKey: rate, freePerKey: rate, global: rate, perAddress: rate, perTool: { echo: { rate, of: 'key' } } },
  },
  // Each server has a file of its own.
  audit: { logs: { audit: join(folder, 'PORT.jsonl') } },
};
const everything = { ...policies.key, ...policies.limits, ...policies.audit };
const breaker = { failures: 5, resetSeconds: 30, trials: 1 };
const child = (more = {}) => ({
  upstreams: {
    echo: { command: process.execPath, args: [join(here, 'servers/echo-stdio.mjs')], breaker: 'off', ...more },
  },
});
// Another tool has the rule: every call looks for one and finds none.
const cacheBeside = { tools: { other: { ttlSeconds: 60 } } };
const cacheHit = { tools: { echo: { ttlSeconds: 60 } } };

const builtIn = [
  ['none', { ...none }],
  ['key check', { ...none, ...policies.key }],
  ['limits: key, address, tool, all keys together', { ...none, ...policies.limits }],
  ['audit', { ...none, ...policies.audit }],
  ['all', { ...none, ...everything }],
];
const bridged = [
  ['none', { ...none, server: child() }],
  ['breaker', { ...none, server: child({ breaker }) }],
  ['cache, with a rule for another tool', { ...none, server: { ...child(), cache: cacheBeside } }],
  [
    'limits, breaker, cache, audit and key check',
    { ...none, ...everything, server: { ...child({ breaker }), cache: cacheBeside } },
  ],
  ['the same, and the answer is kept', { ...none, ...everything, server: { ...child({ breaker }), cache: cacheHit } }],
];

const running = [];
try {
  const tables = [
    ['built-in tool', await open(builtIn)],
    ['tool of a stdio upstream, one shared process', await open(bridged)],
  ];
  const rows = tables.flatMap(([, each]) => each);
  // Each run of the load generator orders its headers anew, and V8 compiles for each order until it has seen about five.
  for (let warmUp = 0; warmUp < 6; warmUp += 1) for (const row of rows) await loadAlone(row, 32, 1);
  for (let round = 0; round < rounds; round += 1) {
    for (const row of rows) row.samples.push((await loadAlone(row, 32, seconds, { withChildren: false })).cpuPer1000);
    process.stderr.write(`round ${round + 1} of ${rounds}\n`);
  }
  const lines = [
    '# What policies cost',
    '',
    `Node.js ${process.version}, \`node bench/policies.mjs --rounds ${rounds} --seconds ${seconds}\`, 32 connections, legacy sessions, \`tools/call\` of an`,
    'echo tool with a 100-byte text, every answer checked. CPU of the server process alone, without its upstream: median of',
    'interleaved rounds, and median of the ratios of each round. Metrics are always on.',
    '',
    ...tables.flatMap(([title, each]) => render(title, each)),
  ];
  const report = `${lines.join('\n').trimEnd()}\n`;
  process.stdout.write(report);
  writeFileSync(join(here, 'policies-served.md'), report);
} finally {
  for (const server of running) server.stop();
  rmSync(folder, { recursive: true, force: true });
}

function numberOf(flag, otherwise) {
  const at = process.argv.indexOf(flag);
  return at === -1 ? otherwise : Number(process.argv[at + 1]);
}

async function open(variants) {
  const rows = [];
  for (const [name, { server: more = {}, ...deployment }] of variants) {
    const port = await freePort();
    const config = join(folder, `${port}.json`);
    const server = { listen: `127.0.0.1:${port}`, ...more };
    const settings = { version: 1, server, tls: { source: 'off' }, ...deployment };
    writeFileSync(
      config,
      JSON.stringify({ baseDir: folder, keyStoreFile: null, deployment: settings }).replace('PORT', String(port)),
    );
    const contestant = {
      name,
      args: [join(here, '../dist/server/serve.js'), '--config', config],
      url: `http://127.0.0.1:${port}/mcp`,
      headers: { authorization: `Bearer ${key}` },
      ...(deployment.auth.required ? { env: { MCP_API_KEY: key } } : {}),
    };
    const started = await start(contestant);
    running.push(started);
    started.pause();
    rows.push({ ...contestant, server: started, samples: [] });
  }
  return rows;
}

function render(title, rows) {
  const base = rows[0].samples;
  return [
    `## A ${title}`,
    '',
    '| policies | CPU s per 1,000 calls | x none |',
    '|---|--:|--:|',
    ...rows.map(
      (row) =>
        `| ${row.name} | ${median(row.samples).toFixed(4)} | ${median(row.samples.map((sample, round) => sample / base[round])).toFixed(2)} |`,
    ),
    '',
  ];
}
