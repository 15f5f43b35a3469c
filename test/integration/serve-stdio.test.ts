import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client as ModernClient } from '@modelcontextprotocol/client';
import { StdioClientTransport as ModernTransport } from '@modelcontextprotocol/client/stdio';
import { Client as LegacyClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport as LegacyTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { CreateMessageRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { buildServerBundle } from '../helpers/server-bundle.ts';
import { endServed, spawnServe, type Served } from '../helpers/served.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const everything = fileURLToPath(
  new URL('../../node_modules/@modelcontextprotocol/server-everything/dist/index.js', import.meta.url),
);
let bundle: string;
let folder: string;
const running: Served[] = [];
const clients: { close(): Promise<void> }[] = [];

beforeAll(async () => {
  bundle = await buildServerBundle();
});
afterAll(() => rmSync(dirname(bundle), { recursive: true, force: true }));
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mcpd-stdio-'));
});
afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
  await endServed(running.splice(0));
  rmSync(folder, { recursive: true, force: true });
});

function serve(args: readonly string[], env: Record<string, string> = {}): Served {
  const served = spawnServe(bundle, folder, ['--stdio', ...args], env);
  running.push(served);
  return served;
}

const stdio = (args: readonly string[]) => ({
  command: process.execPath,
  args: [bundle, '--stdio', ...args],
  cwd: folder,
  stderr: 'ignore' as const,
});

const messages = ({ output }: Served): Record<string, unknown>[] =>
  output.stdout
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Record<string, unknown>);

const call = (id: number, message: string) =>
  JSON.stringify({
    jsonrpc: '2.0',
    id,
    method: 'tools/call',
    params: { name: 'echo', arguments: { message } },
  });

describe('the gateway on standard input and output', () => {
  test('serves the 1.x client: tools of an upstream, progress, a question to the client', async () => {
    const client = new LegacyClient({ name: 'legacy', version: '1' }, { capabilities: { sampling: {} } });
    client.setRequestHandler(CreateMessageRequestSchema, () => ({
      role: 'assistant',
      model: 'none',
      content: { type: 'text', text: 'sampled-by-test' },
    }));
    await client.connect(new LegacyTransport(stdio(['--', process.execPath, everything])));
    clients.push(client);
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toContain('echo');
    expect(JSON.stringify(await client.callTool({ name: 'echo', arguments: { message: 'äöü' } }))).toContain('äöü');
    const progress: number[] = [];
    await client.callTool(
      { name: 'trigger-long-running-operation', arguments: { duration: 0.4, steps: 2 } },
      undefined,
      { onprogress: (step) => progress.push(step.progress) },
    );
    // The last step and the result come in one piece, and the client forgets the step then.
    expect(progress[0]).toBe(1);
    const sampled = await client.callTool({
      name: 'trigger-sampling-request',
      arguments: { prompt: 'x', maxTokens: 5 },
    });
    expect(JSON.stringify(sampled)).toContain('sampled-by-test');
  }, 60_000);

  test('serves the 2.x client in the modern era', async () => {
    const client = new ModernClient(
      { name: 'modern', version: '1' },
      { versionNegotiation: { mode: { pin: '2026-07-28' } }, capabilities: {} },
    );
    await client.connect(new ModernTransport(stdio([])));
    clients.push(client);
    expect((await client.listTools()).tools.map(({ name }) => name)).toContain('current_time');
    const answer = await client.callTool({ name: 'echo', arguments: { message: 'hello' } });
    expect(JSON.stringify(answer)).toContain('hello');
  }, 60_000);

  test('serves the 2.x client in the legacy era too', async () => {
    const client = new ModernClient({ name: 'older', version: '1' }, { capabilities: {} });
    await client.connect(new ModernTransport(stdio([])));
    clients.push(client);
    expect(JSON.stringify(await client.callTool({ name: 'echo', arguments: { message: 'old' } }))).toContain('old');
  }, 60_000);

  test('writes nothing but messages to standard output, its log to standard error', async () => {
    const server = serve([], { LOG_LEVEL: 'debug' });
    server.child.stdin?.end(`${call(1, 'a')}\n\n${call(2, 'b')}\r\n`);
    expect(await server.exit).toBe(0);
    expect(messages(server).map(({ id }) => id)).toEqual([1, 2]);
    expect(server.output.stderr).toContain('"event":"server.on-stdio"');
  });

  test('answers what came before the end of the input, also from an upstream that is still starting', async () => {
    const server = serve(['--', process.execPath, everything]);
    server.child.stdin?.end(`${call(1, 'late')}\n`);
    expect(await server.exit).toBe(0);
    expect(JSON.stringify(messages(server))).toContain('late');
  }, 30_000);

  test('answers broken and oversized lines as JSON-RPC errors and goes on', async () => {
    writeFileSync(
      join(folder, 'a.yaml'),
      'version: 1\nlimits: { bodyBytes: 2048, perKey: { requests: 1, windowSeconds: 60 } }\n',
    );
    const server = serve(['--config', 'a.yaml']);
    server.child.stdin?.write(
      `no json\n[]\n${call(1, 'x'.repeat(3_000))}\n${call(2, 'fits')}\n${call(3, 'too many')}\n`,
    );
    await waitUntil(() => messages(server).length >= 5, 10_000, 'five answers');
    expect(messages(server).map(({ id, error }) => [id, (error as { code: number } | undefined)?.code])).toEqual(
      expect.arrayContaining([
        [null, -32_700],
        [null, -32_600],
        [null, -32_600],
        [2, undefined],
        [3, 429],
      ]),
    );
  });

  test('cancels a modern call when its client says so', async () => {
    writeFileSync(
      join(folder, 'slow.cjs'),
      `const lines = require('node:readline').createInterface({ input: process.stdin });
       const send = (message) => process.stdout.write(JSON.stringify({ jsonrpc: '2.0', ...message }) + '\\n');
       lines.on('line', (line) => {
         const { id, method, params } = JSON.parse(line);
         if (method === 'initialize') send({ id, result: { protocolVersion: params.protocolVersion, capabilities: { tools: {} }, serverInfo: { name: 's', version: '1' } } });
         else if (method === 'tools/list') send({ id, result: { tools: [] } });
         else require('node:fs').appendFileSync('seen', method + '\\n');
       });`,
    );
    const server = serve(['--', process.execPath, 'slow.cjs']);
    const meta = {
      'io.modelcontextprotocol/protocolVersion': '2026-07-28',
      'io.modelcontextprotocol/clientCapabilities': {},
    };
    const send = (message: object) => server.child.stdin?.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
    const file = join(folder, 'seen');
    const seen = () => (existsSync(file) ? readFileSync(file, 'utf8') : '');
    send({ id: 1, method: 'tools/call', params: { name: ' spaced ', arguments: {}, _meta: meta } });
    await waitUntil(() => seen().includes('tools/call'), 10_000, 'the call at the upstream');
    send({ method: 'notifications/cancelled', params: { requestId: 1, _meta: meta } });
    await waitUntil(() => seen().includes('notifications/cancelled'), 10_000, 'the cancellation at the upstream');
    expect(messages(server)).toEqual([]);
  });

  test('ends on SIGTERM, and its upstream with it', async () => {
    const server = serve(['--', process.execPath, everything]);
    server.child.stdin?.write(`${call(1, 'up')}\n`);
    await waitUntil(() => messages(server).length === 1, 20_000);
    server.child.kill('SIGTERM');
    expect(await server.exit).toBe(0);
  }, 30_000);

  test('ends when nobody reads its output any more', async () => {
    const server = serve([]);
    server.child.stdin?.write(`${call(1, 'x')}\n`);
    await waitUntil(() => messages(server).length === 1, 10_000);
    server.child.stdout?.destroy();
    const timer = setInterval(() => server.child.stdin?.write(`${call(2, 'y')}\n`), 50);
    expect(await server.exit).toBe(0);
    clearInterval(timer);
  });

  test('asks for no key and does not mind settings of a server that listens', async () => {
    const server = serve([], { MCP_HTTP_ADDRESS: ':1', MCP_API_KEY: 'dev-key-12345' });
    server.child.stdin?.end(`${call(1, 'free')}\n`);
    expect(await server.exit).toBe(0);
    expect(JSON.stringify(messages(server))).toContain('free');
  });

  test('is not combined with an address', async () => {
    const server = serve(['--listen', ':1']);
    expect(await server.exit).toBe(2);
    expect(server.output.stderr).toContain('--listen does not go with --stdio');
  });
});
