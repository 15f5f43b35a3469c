import { mkdtempSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { toolSchema } from '../../src/deployment/tool-schema.ts';
import { createDeclaredBackend } from '../../src/server/backends/declared-backend.ts';
import { issueSelfSigned } from '../../src/pki/issue-certificate.ts';
import type { Backend } from '../../src/server/types.ts';
import {
  callOf,
  callTool,
  errorOf,
  keepingLog,
  request,
  silentLog,
  textOf,
  until,
} from '../fixtures/upstreams/backend-calls.ts';
import { startHttpFixture, type HttpFixture } from '../fixtures/upstreams/http-servers.ts';
import { startRig } from '../helpers/server-rig.ts';

const folder = fileURLToPath(new URL('../fixtures/tools', import.meta.url));
const text = { type: 'string' };
const object = (properties: Record<string, unknown>, required: string[] = []) => ({
  type: 'object',
  properties,
  required,
  additionalProperties: false,
});

function start(tools: Record<string, Record<string, unknown>>, log = silentLog): Backend {
  const parsed = Object.entries(tools).map(
    ([name, tool]) => [name, toolSchema.parse({ description: name, ...tool })] as const,
  );
  const backend = createDeclaredBackend(
    { tools: Object.fromEntries(parsed) },
    {
      env: { PATH: process.env['PATH'], TOKEN: 't0ken' },
      baseDir: folder,
      log,
      serverVersion: '9',
    },
  );
  backend.start();
  return backend;
}

interface Result {
  readonly content: { text: string }[];
  readonly isError?: boolean;
  readonly structuredContent?: unknown;
}
const call = (backend: Backend, name: string, args: Record<string, unknown> = {}) =>
  callTool(backend, name, args) as Promise<Result>;
const module = (name: string, more: Record<string, unknown> = {}) => ({
  module: { path: 'tools.mjs', export: name, ...more },
});

describe('a tool that is a function', () => {
  const log = keepingLog();
  const sum = object({ sum: { type: 'number' } }, ['sum']);
  const backend = start(
    {
      add: {
        inputSchema: object({ a: { type: 'number' }, b: { type: 'number', maximum: 10 } }, ['a', 'b']),
        outputSchema: sum,
        ...module('add'),
      },
      hello: {
        inputSchema: object({ name: { ...text, format: 'email' } }, ['name']),
        annotations: { readOnlyHint: true },
        ...module('hello'),
      },
      blocks: module('blocks'),
      wrong: { outputSchema: sum, ...module('wrong') },
      fail: module('fail'),
      failAtOnce: module('failAtOnce'),
      wait: module('wait', { timeoutSeconds: 0.2 }),
      never: module('never', { timeoutSeconds: 0.2 }),
    },
    log,
  );

  test('is listed with its schemas, also by a caller that comes before it is loaded', async () => {
    const { tools } = (await request(backend, 'tools/list')) as { tools: Record<string, unknown>[] };
    expect(tools.map((tool) => tool['name'])).toEqual([
      'add',
      'hello',
      'blocks',
      'wrong',
      'fail',
      'failAtOnce',
      'wait',
      'never',
    ]);
    expect(tools[0]).toMatchObject({ description: 'add', outputSchema: sum, inputSchema: { required: ['a', 'b'] } });
    expect(tools[1]).toMatchObject({ annotations: { readOnlyHint: true } });
    expect(backend.state.state).toBe('up');
  });

  test('gives text, structured content or a whole result', async () => {
    expect(await call(backend, 'add', { a: 1, b: 2 })).toEqual({
      content: [{ type: 'text', text: '{"sum":3}' }],
      structuredContent: { sum: 3 },
    });
    expect(await textOf(call(backend, 'hello', { name: 'ada@example.com' }))).toBe('Hello ada@example.com, says test');
    expect(log.lines).toContainEqual({
      event: 'tool-log',
      fields: { tool: 'hello', message: 'greeting', name: 'ada@example.com' },
    });
    expect(await call(backend, 'blocks')).toEqual({ content: [{ type: 'text', text: 'as it is' }] });
  });

  test('is not run with wrong arguments, and every mistake is named', async () => {
    const result = await call(backend, 'add', { a: 'x', b: 11, c: 1 });
    expect(result.isError).toBe(true);
    expect(result.content[0]?.text).toBe(
      'Invalid arguments for add: c is not known; a must be number; b must be <= 10',
    );
    expect((await call(backend, 'add', {})).content[0]?.text).toBe(
      'Invalid arguments for add: a is missing; b is missing',
    );
    expect((await call(backend, 'hello', { name: 'ada' })).content[0]?.text).toContain(
      'name must match format "email"',
    );
    expect(
      ((await request(backend, 'tools/call', { name: 'add', arguments: [1] })) as Result).content[0]?.text,
    ).toContain('arguments must be object');
  });

  test.each([
    ['fail', 'fail failed: no luck'],
    ['failAtOnce', 'failAtOnce failed: a bare word'],
    ['wrong', 'wrong failed: it gave what its outputSchema does not allow: sum must be number'],
    ['never', 'never did not answer within 0.2 s'],
  ])('a failure is a result with isError, without a stack (%s)', async (name, said) => {
    const [result, other] = await Promise.all([call(backend, name), call(backend, 'add', { a: 2, b: 2 })]);
    expect(result).toEqual({ content: [{ type: 'text', text: said }], isError: true });
    expect(other.structuredContent).toEqual({ sum: 4 });
  });

  test('its signal is aborted by time and by the caller', async () => {
    const aborted = () => (globalThis as { abortedCalls?: number }).abortedCalls ?? 0;
    expect((await call(backend, 'wait')).content[0]?.text).toBe('wait did not answer within 0.2 s');
    await until(() => aborted() === 1);
    const { call: one } = callOf('tools/call', { name: 'wait' }, {});
    const cancel = backend.forward(one);
    await until(() => backend.inFlight > 0);
    cancel('enough');
    await until(() => aborted() === 2);
    expect(backend.inFlight).toBe(0);
  });

  test('an unknown tool is a protocol error', async () => {
    expect(await errorOf(call(backend, 'constructor'))).toEqual({ code: -32602, message: 'Unknown tool: constructor' });
  });
});

test('what cannot work makes the backend broken with every reason; the rest answers', async () => {
  const backend = start({
    good: module('blocks'),
    noFile: { module: { path: 'gone.mjs' } },
    noExport: module('nothing'),
    noProgram: { command: { command: 'no-such-program-here' } },
    noVariable: { http: { url: 'http://127.0.0.1/', headers: { A: '${MISSING}' } } },
    noSchema: { inputSchema: { type: 'object', properties: { a: { type: 'strin' } } }, ...module('blocks') },
    typo: { inputSchema: { type: 'object', requird: [] }, ...module('blocks') },
  });
  await until(() => backend.state.state === 'broken');
  const reason = 'reason' in backend.state ? backend.state.reason : '';
  for (const name of ['noFile', 'noExport', 'noProgram', 'noVariable', 'noSchema', 'typo'])
    expect(reason).toContain(`${name}: `);
  expect(reason).not.toContain('good: ');
  expect(await textOf(call(backend, 'good'))).toBe('as it is');
});

describe('a tool that is a command', () => {
  const scratch = mkdtempSync(join(tmpdir(), 'mcpd-tool-'));
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));
  const print = 'process.stdout.write(JSON.stringify(process.argv.slice(1)))';
  const node = (script: string, args: string[], more: Record<string, unknown> = {}) => ({
    inputSchema: object({ x: {}, y: text }),
    command: { command: process.execPath, args: ['-e', script, '--', ...args], ...more },
  });
  const backend = start({
    print: node(print, ['{{x}}', 'y={{y}}', 'fixed']),
    // `echo` takes options, and nothing here ends them.
    echo: { inputSchema: object({ x: text }), command: { command: 'echo', args: ['{{x}}', 'z{{x}}'] } },
    denied: node(print, ['{{x}}'], { deny: ['* rm -rf*', '*../*'] }),
    flood: node('for(;;) process.stdout.write("x".repeat(65536))', [], { maxOutputBytes: 100_000 }),
    slow: node('setInterval(()=>{},1000)', [], { timeoutSeconds: 0.5 }),
    fails: node('console.error("bad disk"); process.exit(3)', []),
    secrets: node('process.stdout.write(JSON.stringify([process.env.TOKEN ?? null, process.env.MINE]))', [], {
      env: { MINE: 'of ${TOKEN}' },
    }),
    json: {
      ...node('process.stdout.write(JSON.stringify({n: 1}))', []),
      outputSchema: object({ n: { type: 'number' } }),
    },
    notJson: { ...node('process.stdout.write("hm")', []), outputSchema: object({ n: { type: 'number' } }) },
  });
  const argvOf = async (args: Record<string, unknown>) =>
    JSON.parse(await textOf(call(backend, 'print', args))) as unknown;

  test('gets each argument as one item, whatever is in it', async () => {
    const hostile = `a b; touch ${scratch}/x & $(touch ${scratch}/y) \`id\` "' \n * \\`;
    expect(await argvOf({ x: hostile, y: hostile })).toEqual([hostile, `y=${hostile}`, 'fixed']);
    expect(existsSync(`${scratch}/x`) || existsSync(`${scratch}/y`)).toBe(false);
    expect(await argvOf({ x: { deep: [1] } })).toEqual(['{"deep":[1]}', 'fixed']);
    expect(await argvOf({ x: '{{y}} ${TOKEN}', y: 'v' })).toEqual(['{{y}} ${TOKEN}', 'y=v', 'fixed']);
  });

  test('an argument never becomes an option', async () => {
    expect((await call(backend, 'echo', { x: '-n' })).content[0]?.text).toBe(
      'echo failed: x must not begin with "-": the program would take it for an option',
    );
    expect(await textOf(call(backend, 'echo', { x: 'a-n' }))).toBe('a-n za-n\n');
    // Behind `--` it cannot be one.
    expect(await argvOf({ x: '--inspect', y: '-e' })).toEqual(['--inspect', 'y=-e', 'fixed']);
    expect((await call(backend, 'echo', { x: 'a\0b' })).content[0]?.text).toContain('NUL');
  });

  test('a command line that matches a denied pattern is not run', async () => {
    expect((await call(backend, 'denied', { x: 'rm -rf /' })).content[0]?.text).toBe(
      'denied failed: the command line matches a pattern that is denied here',
    );
    expect((await call(backend, 'denied', { x: '../../etc' })).isError).toBe(true);
    expect((await call(backend, 'denied', { x: 'ls' })).isError).toBeUndefined();
  });

  test.each([
    ['flood', 'flood failed: it printed more than 100000 bytes'],
    ['slow', 'slow did not answer within 0.5 s'],
    ['fails', 'fails failed: it ended with code 3: bad disk'],
    ['notJson', 'notJson failed: it gave text that is not JSON, though it has an outputSchema'],
  ])('%s is bounded and says why', async (name, said) => {
    expect(await call(backend, name)).toEqual({ content: [{ type: 'text', text: said }], isError: true });
  });

  test('has only the environment that was given to it, and structured output where a schema says so', async () => {
    expect(JSON.parse(await textOf(call(backend, 'secrets')))).toEqual([null, 'of t0ken']);
    expect(await call(backend, 'json')).toMatchObject({ structuredContent: { n: 1 } });
  });
});

describe('a tool that is an HTTP request', () => {
  let server: HttpFixture;
  let backend: Backend;
  const urls: string[] = [];

  beforeAll(async () => {
    server = await startHttpFixture((message, response) => {
      const url = message.url ?? '';
      urls.push(url);
      if (url.startsWith('/missing')) return void response.writeHead(404).end('no such thing');
      if (url.startsWith('/moved')) return void response.writeHead(302, { location: 'http://evil.example/' }).end();
      if (url.startsWith('/hang')) return;
      if (url.startsWith('/huge')) {
        const timer = setInterval(() => response.write(Buffer.alloc(1_000_000, 120)), 1);
        return void response.on('close', () => clearInterval(timer));
      }
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"n":1}');
    });
    const input = object({ id: {}, q: text, h: text, tags: { type: 'array' } });
    const http = (url: string, more: Record<string, unknown> = {}) => ({
      inputSchema: input,
      http: { url: `http://127.0.0.1:${server.port}${url}`, ...more },
    });
    backend = start({
      get: http('/users/{{id}}/posts?q={{q}}&fixed=1', {
        headers: { Authorization: 'Bearer ${TOKEN}', 'X-H': 'v {{h}}' },
      }),
      post: http('/post', {
        method: 'POST',
        body: { id: '{{id}}', say: 'q is {{q}}', tags: '{{tags}}', list: ['{{id}}', 2] },
      }),
      all: http('/all', { method: 'PUT' }),
      missing: http('/missing'),
      moved: http('/moved'),
      hang: http('/hang', { timeoutSeconds: 0.3 }),
      huge: http('/huge'),
      shaped: { ...http('/shaped'), outputSchema: object({ n: { type: 'number' } }) },
    });
  });
  afterAll(() => server.stop());

  test('encodes arguments in the path and the query; they cannot leave their place', async () => {
    const hostile = 'a/b?c#d&e=f %2e\r\nX: 1';
    await call(backend, 'get', { id: hostile, q: hostile });
    const encoded = encodeURIComponent(hostile);
    expect(urls.at(-1)).toBe(`/users/${encoded}/posts?q=${encoded}&fixed=1`);
    await call(backend, 'get', { id: 7 });
    expect(urls.at(-1)).toBe('/users/7/posts?fixed=1');
    const before = urls.length;
    for (const id of ['..', '.', '', undefined, '\ud800']) {
      expect((await call(backend, 'get', { id })).isError, String(id)).toBe(true);
    }
    expect(urls.length).toBe(before);
  });

  test('fills headers, and an argument cannot add one', async () => {
    await call(backend, 'get', { id: 1, h: 'x ${TOKEN}' });
    expect(server.requests.at(-1)?.headers).toMatchObject({ authorization: 'Bearer t0ken', 'x-h': 'v x ${TOKEN}' });
    await call(backend, 'get', { id: 1 });
    expect(server.requests.at(-1)?.headers['x-h']).toBeUndefined();
    for (const h of ['a\r\nX-Evil: 1', 'a\nb', 'a\0', '✓']) {
      expect((await call(backend, 'get', { id: 1, h })).content[0]?.text).toContain('no header may hold');
    }
    expect(server.requests.some(({ headers }) => 'x-evil' in headers)).toBe(false);
  });

  test('builds a JSON body; values keep their types, and text stays text', async () => {
    await call(backend, 'post', { id: { $ne: 1 }, q: '","admin":true,"x":"' });
    expect(JSON.parse(server.requests.at(-1)?.body ?? '')).toEqual({
      id: { $ne: 1 },
      say: 'q is ","admin":true,"x":"',
      list: [{ $ne: 1 }, 2],
    });
    await call(backend, 'all', { q: 'x', tags: [1] });
    expect(JSON.parse(server.requests.at(-1)?.body ?? '')).toEqual({ q: 'x', tags: [1] });
  });

  test.each([
    ['missing', /^missing failed: the server answered HTTP 404: no such thing$/],
    ['moved', /redirect \(HTTP 302\), which is not followed/],
    ['hang', /^hang did not answer within 0\.3 s$/],
    ['huge', /more than 10485760 bytes/],
  ])('%s is an error result', async (name, said) => {
    const result = await call(backend, name);
    expect(result.isError).toBe(true);
    expect(result.content[0]?.text).toMatch(said);
  });

  test('gives structured content where a schema says so', async () => {
    expect(await call(backend, 'shaped')).toEqual({
      content: [{ type: 'text', text: '{"n":1}' }],
      structuredContent: { n: 1 },
    });
  });
});

test('declared tools are served to clients of both eras, in place of the built-in ones', async () => {
  const rig = await startRig({
    server: {
      tools: {
        add: {
          description: 'Adds',
          inputSchema: object({ a: { type: 'number' }, b: { type: 'number' } }),
          module: { path: join(folder, 'tools.mjs'), export: 'add' },
        },
      },
    },
  });
  const old = await rig.legacyClient();
  const modern = await rig.modernClient({ pin: true });
  for (const client of [old, modern]) {
    expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(['add']);
    expect(await client.callTool({ name: 'add', arguments: { a: 1, b: 1 } })).toMatchObject({
      content: [{ text: '{"sum":2}' }],
    });
  }
  expect((await rig.call({ method: 'GET', path: '/readyz' })).status).toBe(200);
  await rig.stop();
});

test('an HTTP tool trusts the authority of its caFile, and the environment gives it no proxy', async () => {
  const place = mkdtempSync(join(tmpdir(), 'mcpd-tool-ca-'));
  const issued = await issueSelfSigned({ names: ['localhost'], validDays: 5 });
  const caFile = join(place, 'ca.pem');
  writeFileSync(caFile, issued.certificatePem);
  const server = createServer({ cert: issued.certificatePem, key: issued.keyPem }, (_req, res) => res.end('over TLS'));
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const url = `https://localhost:${(server.address() as AddressInfo).port}/`;
  const before = process.env['HTTPS_PROXY'];
  process.env['HTTPS_PROXY'] = 'http://127.0.0.1:9';
  const backend = start({ known: { http: { url, caFile } }, unknown: { http: { url } } });
  try {
    expect((await call(backend, 'known')).content[0]?.text).toBe('over TLS');
    expect((await call(backend, 'unknown')).content[0]?.text).toMatch(/signed by an authority .*: name it as caFile/);
    const broken = start({ gone: { http: { url, caFile: join(place, 'gone.pem') } } });
    await until(() => broken.state.state === 'broken');
    expect(broken.state).toMatchObject({ reason: expect.stringContaining('gone.pem cannot be read (ENOENT)') });
  } finally {
    if (before === undefined) delete process.env['HTTPS_PROXY'];
    else process.env['HTTPS_PROXY'] = before;
    server.closeAllConnections();
    server.close();
    rmSync(place, { recursive: true });
  }
});
