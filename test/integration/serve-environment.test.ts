import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { deploymentSchema } from '../../src/deployment/schema.ts';
import { issueSelfSigned } from '../../src/pki/issue-certificate.ts';
import { callHttp } from '../helpers/http-call.ts';
import { buildServerBundle } from '../helpers/server-bundle.ts';
import { endServed, spawnServe, type Served } from '../helpers/served.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const key = 'environment-1d7c3a9e5b2f4860';
let bundle: string;
let folder: string;
const running: Served[] = [];

beforeAll(async () => {
  bundle = await buildServerBundle();
});
afterAll(() => rmSync(dirname(bundle), { recursive: true, force: true }));
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mcpd-serve-'));
});
afterEach(async () => {
  await endServed(running.splice(0));
  rmSync(folder, { recursive: true, force: true });
});

function serve(args: readonly string[], env: Record<string, string> = {}): Served {
  const served = spawnServe(bundle, folder, args, env);
  running.push(served);
  return served;
}

async function freePort(): Promise<string> {
  const probe = createServer();
  await new Promise<void>((resolve) => {
    probe.listen(0, '127.0.0.1', resolve);
  });
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => {
    probe.close(resolve);
  });
  return String(port);
}

const echo = (url: string, headers: Record<string, string> = { 'x-api-key': key }) =>
  callHttp({
    url,
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"message":"hi"}}}',
  });

describe('the environment', () => {
  test('alone is enough to serve: port, key, limit, audit file, no metrics', async () => {
    const port = await freePort();
    const server = serve([], {
      MCP_HTTP_PORT: port,
      MCP_API_KEYS: `${key}, second-4f6d8b2a1c9e7d35`,
      MCP_RATE_LIMIT: '1',
      MCP_AUDIT_LOG_FILE: 'audit.jsonl',
      METRICS_ENABLED: 'false',
    });
    const url = await server.listening();
    expect(new URL(url).port).toBe(port);
    expect((await echo(url)).status).toBe(200);
    const refused = await echo(url);
    expect([refused.status, refused.headers['retry-after']]).toEqual([429, '1']);
    expect((await callHttp({ url: `${new URL(url).origin}/metrics` })).status).toBe(404);
    server.child.kill('SIGTERM');
    expect(await server.exit).toBe(0);
    const audit = readFileSync(join(folder, 'audit.jsonl'), 'utf8');
    expect(audit.trim().split('\n')).toHaveLength(2);
    expect(audit + server.output.stdout + server.output.stderr).not.toContain(key);
  });

  test('goes before the file, and flags go before it', async () => {
    const [filePort, envPort, flagPort] = [await freePort(), await freePort(), await freePort()];
    writeFileSync(
      join(folder, 'mcp-deploy.yaml'),
      `version: 1\nserver: { listen: "127.0.0.1:${filePort}" }\ntls: { source: "off" }\n`,
    );
    const env = { MCP_API_KEY: key, PORT: envPort };
    const portOf = async (args: string[], more: Record<string, string>) =>
      new URL(await serve(args, { MCP_API_KEY: key, ...more }).listening()).port;
    expect(await portOf(['--config', 'mcp-deploy.yaml'], {})).toBe(filePort);
    expect(await portOf(['--config', 'mcp-deploy.yaml'], env)).toBe(envPort);
    expect(await portOf(['--listen', `127.0.0.1:${flagPort}`], { ...env, CONFIG_PATH: 'missing.yaml' })).toBe(flagPort);
    const ownPort = await freePort();
    expect(await portOf([], { CONFIG_PATH: 'mcp-deploy.yaml', PORT: ownPort })).toBe(ownPort);
  });

  test('changes nothing of what apply wrote, but its keys are let in', async () => {
    const port = await freePort();
    writeFileSync(
      join(folder, 'server.json'),
      JSON.stringify({
        deployment: deploymentSchema.parse({
          version: 1,
          server: { listen: `127.0.0.1:${port}` },
          tls: { source: 'off' },
        }),
        baseDir: folder,
        keyStoreFile: null,
      }),
    );
    const url = await serve(['--config', 'server.json'], {
      MCP_API_KEY: key,
      PORT: '1',
      LOG_LEVEL: 'nonsense',
      MCP_TRANSPORT: 'stdio',
    }).listening();
    expect(new URL(url).port).toBe(port);
    expect((await echo(url)).status).toBe(200);
  });

  test.each([
    [{ MCP_HTTP_ADDRESS: ':18080', MCP_API_KEY: key }, /without TLS/],
    [{ BIND_IP: '0.0.0.0', MCP_PORT: '18080', MCP_AUTH_REQUIRED: 'false' }, /without keys/],
    [{ MCP_PORT: '18080' }, /no keys/],
    [{ MCP_PORT: '18080', MCP_API_KEYS: 'dev-key-12345' }, /not safe/],
    [{ MCP_PORT: '18080', MCP_AUTH_REQUIRED: 'false', MCP_CORS_ORIGIN: '*' }, /every origin/],
    [{ MCP_PORT: '18080', MCP_API_KEY: key, MAX_REQUEST_SIZE: 'huge' }, /MAX_REQUEST_SIZE/],
    [{ MCP_PORT: '18080', MCP_API_KEY: key, MCP_TLS_CERT_FILE: 'c' }, /MCP_TLS_CERT_FILE/],
  ])('%j is refused before anything listens', async (env, why) => {
    const server = serve([], env);
    expect(await server.exit).toBe(2);
    expect(server.output.stderr).toMatch(why);
    expect(server.output.stdout).toBe('');
  });

  test('lets a page of any origin in when keys are needed and it says *', async () => {
    const server = serve([], { MCP_PORT: await freePort(), MCP_API_KEY: key, MCP_CORS_ORIGIN: '*' });
    const answer = await echo(await server.listening(), { 'x-api-key': key, origin: 'https://any.example' });
    expect([answer.status, answer.headers['access-control-allow-origin']]).toEqual([200, '*']);
    expect(answer.headers['access-control-allow-credentials']).toBeUndefined();
  });

  test('serves TLS and a Unix socket by name', async () => {
    const issued = await issueSelfSigned({ names: ['localhost'], validDays: 10 });
    writeFileSync(join(folder, 'c.pem'), issued.certificatePem);
    writeFileSync(join(folder, 'k.pem'), issued.keyPem);
    const server = serve([], {
      MCP_HTTP_ADDRESS: `localhost:${await freePort()}`,
      MCP_HTTP_SOCKET: 'mcp.sock',
      MCP_TLS_CERT_FILE: 'c.pem',
      MCP_TLS_KEY_FILE: 'k.pem',
      MCP_API_KEY: key,
    });
    expect(await server.listening()).toMatch(/^https:/);
    await waitUntil(() => server.output.stdout.includes('listening unix:'), 5_000);
    expect(existsSync(join(folder, 'mcp.sock'))).toBe(true);
  });
});

test('SIGHUP opens the audit file anew', async () => {
  const file = join(folder, 'audit.jsonl');
  const server = serve([], { MCP_PORT: await freePort(), MCP_API_KEY: key, AUDIT_LOG_FILE: file });
  const url = await server.listening();
  await echo(url);
  await waitUntil(() => readFileSync(file, 'utf8').includes('\n'), 5_000);
  renameSync(file, `${file}.1`);
  server.child.kill('SIGHUP');
  await waitUntil(() => existsSync(file), 5_000, 'the new file');
  await echo(url);
  await waitUntil(() => readFileSync(file, 'utf8').includes('\n'), 5_000);
  expect(readFileSync(`${file}.1`, 'utf8').trim().split('\n')).toHaveLength(1);
});

describe('--check', () => {
  const write = (text: string) => writeFileSync(join(folder, 'a.yaml'), text);
  const plain = 'version: 1\nserver: { listen: "127.0.0.1:18099" }\ntls: { source: "off" }\n';

  test('says what would be served, with 0, and leaves nothing behind', async () => {
    write(`${plain}logs: { audit: audit.jsonl }\n`);
    const server = serve(['--check', '--config', 'a.yaml', '--pid-file', 'pid'], { MCP_API_KEY: key });
    expect(await server.exit).toBe(0);
    expect(server.output.stdout).toBe('ok: mcp can be served on 127.0.0.1:18099; behind it: builtin\n');
    expect(existsSync(join(folder, 'audit.jsonl')) || existsSync(join(folder, 'pid'))).toBe(false);
  });

  test('does not start the upstream, and does not mind a taken port', async () => {
    const server = serve(['--check', '--no-auth', '--', process.execPath, '-e', 'fs.writeFileSync("ran","")']);
    expect(await server.exit).toBe(0);
    expect(existsSync(join(folder, 'ran'))).toBe(false);
  });

  test.each([
    ['a setting that does not exist', 'version: 1\nservr: {}\n', 2, /a\.yaml:2:1/],
    ['a start-up rule', plain.replace('127.0.0.1', '0.0.0.0'), 2, /without TLS/],
    ['no keys', plain, 3, /keys\.json/],
    [
      'a certificate that is not there',
      'version: 1\ntls: { source: files, certificate: c, key: k }\nauth: { required: false }\n',
      3,
      /certificate .* cannot be read/,
    ],
    [
      'an audit file in a folder that is not there',
      `${plain}auth: { required: false }\nlogs: { audit: none/a }\n`,
      3,
      /audit file/,
    ],
    [
      'nothing to serve',
      `${plain.replace('}', ', builtinTools: "off" }')}auth: { required: false }\n`,
      2,
      /nothing to serve/,
    ],
  ])('refuses %s', async (_title, text, code, why) => {
    write(text);
    const server = serve(['--check', '--config', 'a.yaml']);
    expect(await server.exit).toBe(code);
    expect(server.output.stderr).toMatch(why);
    expect(server.output.stdout).toBe('');
  });

  test('fills variables, names those that are not set with their place, and warns of those of the start', async () => {
    const upstream = `{ command: "${process.execPath}", env: { T: "\${MCPD_TOKEN}" } }`;
    write(plain.replace('18099', '${MCPD_PORT}').replace(' }', `, upstreams: { a: ${upstream} } }`));
    const unset = serve(['--check', '--config', 'a.yaml'], { MCP_API_KEY: key });
    expect(await unset.exit).toBe(2);
    expect(unset.output.stderr).toContain('a.yaml:2:19  server.listen needs MCPD_PORT, which is not set');
    const server = serve(['--check', '--config', 'a.yaml'], { MCP_API_KEY: key, MCPD_PORT: '18099' });
    expect(await server.exit).toBe(0);
    expect(server.output.stdout).toContain('can be served on 127.0.0.1:18099; behind it: a\n');
    expect(server.output.stdout).toContain('warning: MCPD_TOKEN is not set here; server.upstreams.a.env.T needs it');
  });

  test('of a file that is not there is 2', async () => {
    expect(await serve(['--check', '--config', 'none.yaml']).exit).toBe(2);
  });
});

test('--help names every variable', async () => {
  const server = serve(['--help']);
  expect(await server.exit).toBe(0);
  for (const name of ['MCP_TRANSPORT', 'BIND_IP', 'RATE_LIMIT_MAX_REQUESTS', 'CONFIG_PATH'])
    expect(server.output.stdout).toContain(name);
});
