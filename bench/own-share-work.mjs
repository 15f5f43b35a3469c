// One variant of own-share.mjs; bundled by it, since it takes the gateway from its source.
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { createBuiltinBackend } from '../src/server/backends/builtin-backend.ts';
import { cacheBackend } from '../src/server/backends/cached-backend.ts';
import { guardBackend } from '../src/server/backends/guarded-backend.ts';
import { KeptAnswers } from '../src/server/backends/kept-answers.ts';
import { createGateway } from '../src/server/gateway.ts';
import { serverConfigSchema } from '../src/server/server-config.ts';

const [variant, era, bursts, folder] = process.argv.slice(2);
const callsPerBurst = 100;
const has = (policy) => variant === policy || variant.startsWith('all');
const key = randomBytes(32).toString('base64url');
const rate = { requests: 100_000_000, windowSeconds: 1, burst: 100_000_000 };
const silent = { info() {}, warn() {}, error() {}, debug() {}, writes: () => false };

const config = serverConfigSchema.parse({
  baseDir: folder,
  keyStoreFile: null,
  deployment: {
    version: 1,
    server: { listen: '127.0.0.1:1234' },
    tls: { source: 'off' },
    auth: { required: has('key') },
    limits: has('limits')
      ? { perKey: rate, freePerKey: rate, global: rate, perAddress: rate, perTool: { echo: { rate, of: 'key' } } }
      : { perKey: 'off', freePerKey: 'off', global: 'off', perAddress: 'off' },
    logs: { audit: has('audit') ? join(folder, 'audit.jsonl') : 'off' },
  },
});
const gateway = createGateway(
  config,
  { version: '1', env: {}, log: silent, extraKeys: [{ label: 'bench', key }], backends: [openBackend()] },
  () => null,
);
gateway.registry.start();

const modern = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'echo' };
const meta = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientCapabilities': {},
  'io.modelcontextprotocol/clientInfo': { name: 'bench', version: '1' },
};
const message = 'x'.repeat(100);
const params = { name: 'echo', arguments: { message }, ...(era === 'modern' ? { _meta: meta } : {}) };
const body = Buffer.from(JSON.stringify({ jsonrpc: '2.0', id: 7, method: 'tools/call', params }));
const headers = {
  host: '127.0.0.1:1234',
  'content-type': 'application/json',
  accept: 'application/json, text/event-stream',
  authorization: `Bearer ${key}`,
  'content-length': String(body.length),
  ...(era === 'modern' ? modern : { 'mcp-protocol-version': '2025-06-18' }),
};

const socket = { remoteAddress: '127.0.0.1' };
let answered = 0;
let last = { head: [], body: '' };

class SilentRequest {
  method = 'POST';
  url = '/mcp';
  socket = socket;
  reading = null;
  data = null;
  end = null;
  constructor(own) {
    this.headers = own;
  }
  on(event, listener) {
    this[event] = listener;
  }
  once() {}
  off() {}
}

class SilentResponse {
  headersSent = false;
  destroyed = false;
  exchange = null;
  close = null;
  constructor(req) {
    this.req = req;
  }
  on(event, listener) {
    this[event] = listener;
  }
  once() {}
  writeHead(_status, head) {
    this.headersSent = true;
    last.head = head;
  }
  end(text) {
    answered++;
    last.body = text;
  }
}

function send(own, bytes) {
  const req = new SilentRequest(own);
  const res = new SilentResponse(req);
  gateway.front.handle(req, res);
  req.data?.(bytes);
  req.end?.();
  return res;
}

if (era === 'legacy') {
  const initialize = { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'bench', version: '1' } };
  send(headers, Buffer.from(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'initialize', params: initialize })));
  await new Promise((resolve) => setTimeout(resolve, 20));
  headers['mcp-session-id'] = last.head[last.head.indexOf('Mcp-Session-Id') + 1];
}
/** New texts for what every request brings anew. */
const fresh = () =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, Buffer.from(value).latin1Slice()]));

const times = [];
for (let burst = 0; burst < Number(bursts); burst += 1) {
  const each = Array.from({ length: callsPerBurst }, fresh);
  answered = 0;
  const startedAt = performance.now();
  for (const own of each) {
    const res = send(own, body);
    for (let turn = 0; turn < 3 && !res.headersSent; turn += 1) await Promise.resolve();
    res.close?.();
  }
  times.push(((performance.now() - startedAt) / callsPerBurst) * 1_000);
  if (answered !== callsPerBurst || !last.body.includes(message)) throw new Error(`${answered}: ${last.body}`);
  if (burst % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
}
const steady = times.slice(times.length / 4).toSorted((a, b) => a - b);
process.stdout.write(`${steady[Math.floor(steady.length / 10)].toFixed(2)}\n`);
gateway.closeClients();
await gateway.closeAudit();
process.exit(0);

function openBackend() {
  let backend = createBuiltinBackend({ serverVersion: '1', describe: () => ({}) });
  if (has('breaker')) backend = guardBackend(backend, { failures: 5, resetSeconds: 30, trials: 1 }, silent);
  if (!has('cache beside')) return backend;
  const tool = variant.endsWith('kept') ? 'echo' : 'other';
  const kept = new KeptAnswers(1_048_576, 1_000);
  return cacheBackend(
    backend,
    { tools: { [tool]: { ttlSeconds: 600, public: false } }, resources: {} },
    kept.shelf(),
    false,
  );
}
