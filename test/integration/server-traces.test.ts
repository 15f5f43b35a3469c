import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { DeploymentInput } from '../../src/deployment/schema.ts';
import { issueSelfSigned } from '../../src/pki/issue-certificate.ts';
import { callHttp } from '../helpers/http-call.ts';
import { startCollector, type CollectedSpan, type OtlpCollector } from '../helpers/otlp-collector.ts';
import { buildServerBundle } from '../helpers/server-bundle.ts';
import { endServed, spawnServe } from '../helpers/served.ts';
import { modernRequest, startRig, type RigOptions, type ServerRig } from '../helpers/server-rig.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const program = fileURLToPath(new URL('../fixtures/upstreams/trace-echo.mjs', import.meta.url));
const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const parentId = '00f067aa0ba902b7';
const traceparent = `00-${traceId}-${parentId}-01`;

type Era = 'legacy' | 'modern';
type Seen = Record<'meta' | 'headers', { traceparent?: string; tracestate?: string }>;

let collector: OtlpCollector;
const rigs: ServerRig[] = [];
const children: ChildProcess[] = [];

beforeEach(async () => {
  collector = await startCollector();
});
afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.stop();
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await collector.close();
});

async function openRig(
  upstreams: NonNullable<DeploymentInput['server']>['upstreams'],
  traces: Partial<Exclude<RigOptions['traces'], 'off' | undefined>> | null = {},
): Promise<ServerRig> {
  const rig = await startRig({
    server: { upstreams },
    ...(traces === null ? {} : { traces: { endpoint: `${collector.url}/v1/traces`, everyMs: 20, ...traces } }),
  });
  rigs.push(rig);
  return rig;
}

async function upstreamOf(transport: 'stdio' | 'http', era: Era) {
  const args = [program, transport, era];
  if (transport === 'stdio') return { command: process.execPath, args };
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  let port = '';
  child.stdout.on('data', (chunk: Buffer) => (port += chunk.toString()));
  await waitUntil(() => port.endsWith('\n'), 10_000, 'the port of the upstream');
  return { url: `http://127.0.0.1:${port.trim()}/mcp` };
}

/** One tools/call in this era, with a trace context in `_meta` and in headers. */
async function callTool(
  rig: ServerRig,
  era: Era,
  name: string,
  given: { meta?: Record<string, string>; headers?: Record<string, string>; args?: Record<string, unknown> } = {},
) {
  const params = { name, arguments: given.args ?? {} };
  if (era === 'modern') {
    const { message, headers } = modernRequest(1, 'tools/call', params);
    const sent = message['params'] as { _meta: Record<string, unknown> };
    Object.assign(sent._meta, given.meta);
    return rig.post(message, { ...headers, ...given.headers });
  }
  const session = await rig.initialize();
  return rig.post(
    {
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: { ...params, ...(given.meta === undefined ? {} : { _meta: given.meta }) },
    },
    { 'mcp-session-id': session, ...given.headers },
  );
}

function seenBy(answer: { readonly body: string }): Seen {
  const json = answer.body.startsWith('{') ? answer.body : (/^data: (\{.*)$/m.exec(answer.body)?.[1] ?? '');
  const { result } = JSON.parse(json) as { result: { content: { text: string }[] } };
  return JSON.parse(result.content[0]?.text ?? '') as Seen;
}

async function spansOf(method: string, count: number): Promise<CollectedSpan[]> {
  const found = () => collector.spans.filter(({ attributes }) => attributes['mcp.method.name'] === method);
  await waitUntil(() => found().length >= count, 10_000, `${count} spans of ${method}`);
  return found();
}

describe.each(['legacy', 'modern'] as const)('a %s client', (era) => {
  describe.each(['legacy', 'modern'] as const)('and a %s upstream', (upstreamEra) => {
    test.each(['stdio', 'http'] as const)('over %s are in one trace: caller, server, upstream', async (transport) => {
      const rig = await openRig({ echo: await upstreamOf(transport, upstreamEra) });
      await waitUntil(() => rig.server.registry.ready(), 10_000, 'the upstream');
      const seen = seenBy(await callTool(rig, era, 'echo', { meta: { traceparent, tracestate: 'vendor=1' } }));
      const spans = await spansOf('tools/call', 2);
      const server = spans.find(({ kind }) => kind === 2);
      const client = spans.find(({ kind }) => kind === 3);
      expect(spans).toHaveLength(2);
      expect(server).toMatchObject({ traceId, parentSpanId: parentId, traceState: 'vendor=1', failed: false });
      expect(client).toMatchObject({ traceId, parentSpanId: server?.spanId, traceState: 'vendor=1', failed: false });
      const passedOn = { traceparent: `00-${traceId}-${client?.spanId}-01`, tracestate: 'vendor=1' };
      expect(seen.meta).toEqual(passedOn);
      expect(seen.headers).toEqual(transport === 'http' ? passedOn : {});
      expect(client?.attributes).toMatchObject({
        'mcp_deploy.upstream': 'echo',
        'network.transport': transport === 'http' ? 'tcp' : 'pipe',
      });
      expect(server?.duration).toBeGreaterThanOrEqual(client?.duration ?? Number.NaN);
    });
  });

  test('may bring the context in headers; the one in the message goes first and the other is linked', async () => {
    const rig = await openRig({ echo: await upstreamOf('stdio', 'modern') });
    await waitUntil(() => rig.server.registry.ready(), 10_000, 'the upstream');
    const other = 'a'.repeat(32);
    await callTool(rig, era, 'echo', { headers: { traceparent, tracestate: 'vendor=2' } });
    expect((await spansOf('tools/call', 2)).find(({ kind }) => kind === 2)).toMatchObject({
      traceId,
      traceState: 'vendor=2',
      links: [],
    });
    collector.spans.length = 0;
    await callTool(rig, era, 'echo', { headers: { traceparent: `00-${other}-${parentId}-01` }, meta: { traceparent } });
    const server = (await spansOf('tools/call', 2)).find(({ kind }) => kind === 2);
    expect(server).toMatchObject({ traceId, links: [{ traceId: other, spanId: parentId }] });
  });
});

describe('a span', () => {
  test('says that a tool failed, that a call was refused and that it was cancelled, and nothing of arguments or keys', async () => {
    const rig = await openRig({ echo: await upstreamOf('stdio', 'legacy') });
    await waitUntil(() => rig.server.registry.ready(), 10_000, 'the upstream');
    const secret = 'canary-of-an-argument';
    await callTool(rig, 'modern', 'fail', { args: { secret } });
    await callTool(rig, 'modern', 'refuse', { args: { secret } });
    const { message, headers } = modernRequest(1, 'tools/call', { name: 'wait', arguments: { secret } });
    const gone = new AbortController();
    const waiting = fetch(rig.url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        authorization: `Bearer first-0f3b9c1d7e5a48c2a6d4`,
        ...headers,
      },
      body: JSON.stringify(message),
      signal: gone.signal,
    }).catch(() => null);
    await waitUntil(() => (rig.server.registry.backends[0]?.inFlight ?? 0) > 0, 10_000, 'the call in flight');
    gone.abort();
    await waiting;
    const spans = await spansOf('tools/call', 6);
    const failures = (kind: number) =>
      spans.filter((span) => span.kind === kind).map(({ attributes, failed }) => [attributes['error.type'], failed]);
    for (const kind of [2, 3]) {
      expect(failures(kind).sort()).toEqual([
        ['-32602', true],
        ['cancelled', true],
        ['tool_error', true],
      ]);
    }
    const texts = collector.requests.map(({ text }) => text).join('\n');
    expect(texts).not.toContain(secret);
    expect(texts).not.toContain('first-0f3b9c1d7e5a48c2a6d4');
    const refused = spans.find(({ kind, attributes }) => kind === 2 && attributes['error.type'] === '-32602');
    expect(refused?.attributes).toMatchObject({
      'mcp.method.name': 'tools/call',
      'gen_ai.tool.name': 'refuse',
      'gen_ai.operation.name': 'execute_tool',
      'rpc.response.status_code': '-32602',
      'mcp_deploy.key.label': 'first',
      'client.address': '127.0.0.1',
    });
  });

  test('has no name that a client invented', async () => {
    const rig = await openRig({ echo: await upstreamOf('stdio', 'legacy') });
    await waitUntil(() => rig.server.registry.ready(), 10_000, 'the upstream');
    await callTool(rig, 'modern', 'echo');
    await callTool(rig, 'modern', 'no-such-tool-7f3a');
    const spans = await spansOf('tools/call', 4);
    expect(spans.map(({ name }) => name).sort()).toEqual([
      'tools/call',
      'tools/call',
      'tools/call echo',
      'tools/call echo',
    ]);
    expect(JSON.stringify(spans)).not.toContain('no-such-tool');
  });
});

describe('sampling', () => {
  test('a ratio of 0 records only what its caller records, and tells upstreams not to', async () => {
    const rig = await openRig({ echo: await upstreamOf('stdio', 'legacy') }, { sampleRatio: 0 });
    await waitUntil(() => rig.server.registry.ready(), 10_000, 'the upstream');
    expect(seenBy(await callTool(rig, 'modern', 'echo')).meta.traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
    await callTool(rig, 'modern', 'echo', { meta: { traceparent } });
    const spans = await spansOf('tools/call', 2);
    expect(new Set(spans.map((span) => span.traceId))).toEqual(new Set([traceId]));
    expect(spans).toHaveLength(2);
  });

  test('a caller that does not record is followed', async () => {
    const rig = await openRig({ echo: await upstreamOf('stdio', 'legacy') });
    await waitUntil(() => rig.server.registry.ready(), 10_000, 'the upstream');
    const seen = seenBy(
      await callTool(rig, 'legacy', 'echo', { headers: { traceparent: traceparent.replace(/01$/, '00') } }),
    );
    expect(seen.meta.traceparent).toMatch(new RegExp(`^00-${traceId}-[0-9a-f]{16}-00$`));
    await callTool(rig, 'modern', 'echo');
    await spansOf('tools/call', 2);
    expect(collector.spans.some((span) => span.traceId === traceId)).toBe(false);
  });
});

test('without traces the context of a caller goes on to upstreams as it came', async () => {
  const rig = await openRig({ echo: await upstreamOf('http', 'legacy') }, null);
  await waitUntil(() => rig.server.registry.ready(), 10_000, 'the upstream');
  const given = { traceparent, tracestate: 'vendor=3' };
  expect(seenBy(await callTool(rig, 'modern', 'echo', { headers: given }))).toEqual({ meta: given, headers: given });
  expect(seenBy(await callTool(rig, 'legacy', 'echo', { meta: given }))).toEqual({ meta: given, headers: given });
  const broken = { traceparent: 'nonsense', tracestate: 'x' };
  expect(seenBy(await callTool(rig, 'legacy', 'echo', { headers: broken }))).toEqual({ meta: {}, headers: {} });
});

describe('a collector', () => {
  test('that hangs holds no call up, and the log says that spans are lost', async () => {
    collector.status = 0;
    const rig = await openRig({ echo: await upstreamOf('stdio', 'legacy') });
    await waitUntil(() => rig.server.registry.ready(), 10_000, 'the upstream');
    for (let round = 0; round < 50; round++) expect((await callTool(rig, 'modern', 'echo')).status).toBe(200);
    collector.status = 400;
    await waitUntil(() => collector.requests.length > 0, 10_000, 'a first batch');
    await waitUntil(() => rig.log.some((line) => line.includes('"traces.not-taken"')), 20_000, 'the warning');
  }, 30_000);

  test('with a certificate of a private CA is trusted with caFile alone', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mcpd-traces-'));
    const issued = await issueSelfSigned({ names: ['127.0.0.1'], validDays: 3 });
    const caFile = join(folder, 'ca.crt');
    writeFileSync(caFile, issued.certificatePem);
    const safe = await startCollector({ cert: issued.certificatePem, key: issued.keyPem });
    try {
      const endpoint = `${safe.url}/v1/traces`;
      const upstreams = { echo: await upstreamOf('stdio', 'legacy') };
      const distrusting = await openRig(upstreams, { endpoint });
      const trusting = await openRig(upstreams, { endpoint, caFile });
      for (const rig of [distrusting, trusting]) {
        await waitUntil(() => rig.server.registry.ready(), 10_000, 'the upstream');
        expect((await callTool(rig, 'modern', 'echo')).status).toBe(200);
      }
      await waitUntil(() => safe.spans.length >= 2, 10_000, 'the spans');
      await waitUntil(() => distrusting.log.some((line) => line.includes('"traces.not-taken"')), 20_000, 'the warning');
      expect(safe.spans).toHaveLength(2);
    } finally {
      await safe.close();
      rmSync(folder, { recursive: true, force: true });
    }
  }, 30_000);
});

describe('a refused request', () => {
  const limits = { perKey: { requests: 1, windowMs: 600_000, form: 'fixed-window' } } as const;
  const call = { jsonrpc: '2.0', id: 'c-1', method: 'tools/call', params: { name: 'server_info', arguments: {} } };
  const refusedSpans = () => collector.spans.filter(({ name }) => name === 'refused');

  test('has one span with the reason; who has a key stays in the trace, who has none is linked to it', async () => {
    const traces = { endpoint: `${collector.url}/v1/traces`, everyMs: 20 };
    const rig = await startRig({ limits, traces });
    rigs.push(rig);
    const wrong = 'wrong-key-canary-0123456789';
    expect((await rig.post(call, { traceparent, authorization: `Bearer ${wrong}` })).status).toBe(401);
    expect((await rig.post(call)).status).toBe(200);
    expect((await rig.post(call, { traceparent })).status).toBe(429);
    expect((await rig.post(call, { origin: 'https://evil-canary.example' })).status).toBe(403);
    expect((await rig.post(call, { 'mcp-session-id': 'session-canary' })).status).toBe(404);
    await waitUntil(() => refusedSpans().length === 4, 10_000, 'four spans');
    const [key, rate, origin, session] = refusedSpans();
    expect(key).toMatchObject({
      kind: 2,
      failed: true,
      parentSpanId: undefined,
      links: [{ traceId, spanId: parentId }],
      attributes: { 'error.type': 'key_invalid', 'http.response.status_code': 401 },
    });
    expect(key?.traceId).not.toBe(traceId);
    expect(rate).toMatchObject({
      traceId,
      parentSpanId: parentId,
      attributes: {
        'error.type': 'rate_limit',
        'http.response.status_code': 429,
        'mcp.method.name': 'tools/call',
        'mcp_deploy.key.label': 'first',
      },
    });
    expect(origin?.attributes).toMatchObject({ 'error.type': 'origin', 'http.response.status_code': 403 });
    expect(session?.attributes).toMatchObject({ 'error.type': 'unknown_session', 'http.response.status_code': 404 });
    expect(collector.requests.map(({ text }) => text).join()).not.toContain('canary');
  });

  test('without a key is recorded as sampleRatio says, whatever the caller has decided, and a flood is bounded', async () => {
    const quiet = await openRig({}, { sampleRatio: 0 });
    await quiet.post(call, { traceparent, authorization: 'Bearer wrong-key-0123456789' });
    const rig = await openRig({});
    for (let count = 0; count < 60; count++) await rig.post(call, { authorization: 'Bearer wrong-key-0123456789' });
    await rig.post(call);
    await spansOf('tools/call', 1);
    await waitUntil(() => refusedSpans().length > 0, 10_000, 'spans');
    expect(refusedSpans().every(({ links }) => links.length === 0)).toBe(true);
    expect(refusedSpans().length).toBeLessThan(60);
  });
});

test('the variables of OpenTelemetry start it in the built server; its last spans are sent on SIGTERM, with one worker and with two', async () => {
  const bundle = await buildServerBundle();
  const folder = dirname(bundle);
  const key = 'traces-3d9f1b7c5a2e4860';
  try {
    for (const workers of ['1', '2']) {
      collector.spans.length = 0;
      const served = spawnServe(bundle, folder, ['--listen', '127.0.0.1:0', '--workers', workers], {
        MCP_API_KEY: key,
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
        OTEL_EXPORTER_OTLP_HEADERS: 'x-tenant=blue%20one',
        OTEL_SERVICE_NAME: 'tools-gateway',
        OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
      });
      try {
        const url = await served.listening();
        const { message, headers } = modernRequest(1, 'tools/call', { name: 'server_info', arguments: {} });
        const answer = await callHttp({
          url,
          method: 'POST',
          headers: {
            'content-type': 'application/json',
            accept: 'application/json, text/event-stream',
            authorization: `Bearer ${key}`,
            ...headers,
          },
          body: JSON.stringify(message),
        });
        expect(answer.status).toBe(200);
        served.child.kill('SIGTERM');
        expect(await served.exit).toBe(0);
        expect(collector.spans.map(({ name, kind }) => [name, kind])).toEqual([['tools/call server_info', 2]]);
        expect(collector.spans[0]?.resource).toMatchObject({
          'service.name': 'tools-gateway',
          'deployment.environment.name': 'test',
        });
        expect(collector.requests.at(-1)).toMatchObject({ path: '/v1/traces', headers: { 'x-tenant': 'blue one' } });
      } finally {
        await endServed([served]);
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, 60_000);
