import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { connect as connectTls } from 'node:tls';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { deploymentSchema } from '../../src/deployment/schema.ts';
import { issueSelfSigned } from '../../src/pki/issue-certificate.ts';
import { callHttp } from '../helpers/http-call.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const key = 'process-5b8e2f1c9a7d4e60';
const slowServer = `
  const lines = require('node:readline').createInterface({ input: process.stdin });
  const send = (message) => process.stdout.write(JSON.stringify({ jsonrpc: '2.0', ...message }) + '\\n');
  lines.on('line', (line) => {
    const { id, method, params } = JSON.parse(line);
    if (method === 'initialize') send({ id, result: { protocolVersion: params.protocolVersion, capabilities: { tools: {} }, serverInfo: { name: 'slow', version: '1' } } });
    else if (method === 'tools/call') setTimeout(() => send({ id, result: { content: [{ type: 'text', text: 'late' }] } }), params.arguments.ms);
    else if (id !== undefined) send({ id, result: { tools: [] } });
  });
`;

let bundle: string;
let runner: string;
let folder: string;
const running: ChildProcess[] = [];

beforeAll(async () => {
  const built = mkdtempSync(join(tmpdir(), 'mcpd-bundle-'));
  bundle = join(built, 'serve.mjs');
  await build({
    entryPoints: ['src/server/serve.ts'],
    outfile: bundle,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20.19',
    define: { __MCP_DEPLOY_VERSION__: '"1.2.3"' },
    banner: { js: "import{createRequire as __cr}from'node:module';const require=__cr(import.meta.url);" },
    logLevel: 'error',
  });
  runner = join(built, 'run.mjs');
  writeFileSync(
    runner,
    `import { runServe } from './serve.mjs'; process.exitCode = await runServe(process.argv.slice(2));`,
  );
});
afterAll(() => rmSync(join(bundle, '..'), { recursive: true, force: true }));
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mcpd-process-'));
  writeFileSync(join(folder, 'keys'), `# who may call\n${key}\n`);
});
afterEach(async () => {
  for (const child of running.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const ended = new Promise((resolve) => {
      child.once('exit', resolve);
    });
    child.kill('SIGKILL');
    await ended;
  }
  rmSync(folder, { recursive: true, force: true });
});

interface Served {
  readonly child: ChildProcess;
  readonly output: { stdout: string; stderr: string };
  /** Exit code; waits for the end. */
  readonly exit: Promise<number | null>;
  listening(count?: number): Promise<string[]>;
}

function serve(args: readonly string[], env: Record<string, string> = {}): Served {
  const child = spawn(process.execPath, [runner, ...args], {
    cwd: folder,
    env: { PATH: process.env['PATH'], HOME: folder, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.push(child);
  const output = { stdout: '', stderr: '' };
  child.stdout?.on('data', (chunk: Buffer) => {
    output.stdout += chunk.toString();
  });
  child.stderr?.on('data', (chunk: Buffer) => {
    output.stderr += chunk.toString();
  });
  return {
    child,
    output,
    exit: new Promise((resolve) => {
      child.once('close', resolve);
    }),
    async listening(count = 1) {
      const urls = () => output.stdout.split('\n').filter((line) => line.startsWith('listening '));
      await waitUntil(() => urls().length >= count, 15_000, `listening (${output.stderr})`);
      return urls().map((line) => line.slice('listening '.length));
    },
  };
}

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

const call = (url: string, ms: number) =>
  callHttp({
    url,
    method: 'POST',
    headers: { 'x-api-key': key, 'content-type': 'application/json' },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'slow', arguments: { ms } } }),
  });

describe('signals', () => {
  test('SIGTERM finishes the call in flight, refuses new ones, stops the upstream and ends with 0', async () => {
    writeFileSync(join(folder, 'slow.cjs'), slowServer);
    const server = serve(['--listen', '127.0.0.1:0', '--key-file', 'keys', '--', process.execPath, 'slow.cjs']);
    const [url = ''] = await server.listening();
    await waitUntil(async () => (await call(url, 0)).status === 200, 10_000, 'the first call');
    const inFlight = call(url, 1_500);
    await waitUntil(
      async () => (await callHttp({ url: `${new URL(url).origin}/status` })).body.includes('"inFlight":1'),
      5_000,
    );
    server.child.kill('SIGTERM');
    await waitUntil(async () => (await call(url, 0)).status === 503, 5_000, 'the refusal of new calls');
    expect(JSON.parse((await inFlight).body).result.content[0].text).toBe('late');
    expect(await server.exit).toBe(0);
  });

  test('a second SIGTERM ends at once', async () => {
    writeFileSync(join(folder, 'slow.cjs'), slowServer);
    const server = serve(['--listen', '127.0.0.1:0', '--key-file', 'keys', '--', process.execPath, 'slow.cjs']);
    const [url = ''] = await server.listening();
    await waitUntil(async () => (await call(url, 0)).status === 200, 10_000, 'the first call');
    const inFlight = call(url, 60_000).catch(() => null);
    await waitUntil(
      async () => (await callHttp({ url: `${new URL(url).origin}/status` })).body.includes('"inFlight":1'),
      5_000,
    );
    server.child.kill('SIGTERM');
    await waitUntil(() => server.output.stderr.includes('server.draining'), 5_000);
    server.child.kill('SIGTERM');
    expect(await server.exit).toBe(0);
    await inFlight;
  });
});

describe('the pid file', () => {
  test('is written before anything else, with the hash of the configuration, and removed at the end', async () => {
    const config = JSON.stringify({
      deployment: deploymentSchema.parse({
        version: 1,
        server: { listen: '127.0.0.1:0' },
        tls: { source: 'off' },
        auth: { required: false },
      }),
      baseDir: folder,
      keyStoreFile: null,
    });
    writeFileSync(join(folder, 'server.json'), config);
    const server = serve(['--config', 'server.json', '--pid-file', 'pid']);
    await server.listening();
    expect(JSON.parse(readFileSync(join(folder, 'pid'), 'utf8'))).toEqual({
      pid: server.child.pid,
      startedAt: expect.stringMatching(/^\d{4}-.*Z$/),
      version: '1.2.3',
      configSha256: createHash('sha256').update(config).digest('hex'),
    });
    expect(statSync(join(folder, 'pid')).mode & 0o777).toBe(0o600);
    server.child.kill('SIGINT');
    expect(await server.exit).toBe(0);
    expect(existsSync(join(folder, 'pid'))).toBe(false);
  });

  test('is removed too when the configuration is refused', async () => {
    writeFileSync(join(folder, 'bad.yaml'), 'version: 1\nservr: {}\n');
    const server = serve(['--config', 'bad.yaml', '--pid-file', 'pid']);
    expect(await server.exit).toBe(2);
    expect(server.output.stderr).toContain('servr');
    expect(server.output.stderr).toContain(':2:');
    expect(existsSync(join(folder, 'pid'))).toBe(false);
  });
});

describe('a deployment file as a person writes it', () => {
  test('is served with its own certificate over TLS', async () => {
    const issued = await issueSelfSigned({ names: ['localhost', '127.0.0.1'], validDays: 10 });
    writeFileSync(join(folder, 'my.crt'), issued.certificatePem);
    writeFileSync(join(folder, 'my.key'), issued.keyPem);
    writeFileSync(
      join(folder, 'mcp-deploy.yaml'),
      `version: 1\nserver:\n  listen: 127.0.0.1:${await freePort()}\ntls:\n  source: files\n  certificate: my.crt\n  key: my.key\nauth:\n  required: false\n`,
    );
    const server = serve(['--config', 'mcp-deploy.yaml']);
    const [url = ''] = await server.listening();
    expect(url).toMatch(/^https:\/\/127\.0\.0\.1:\d+\/mcp$/);
    const answer = await callHttp({ url: `${new URL(url).origin}/readyz`, ca: issued.certificatePem });
    expect(answer.status).toBe(200);
  });
});

describe('the server will not start', () => {
  const cases: [string, string[], number, RegExp][] = [
    ['beyond loopback without TLS', ['--listen', '0.0.0.0:0', '--key-file', 'keys'], 2, /without TLS/],
    ['beyond loopback without keys', ['--listen', ':0', '--no-auth'], 2, /without keys/],
    ['without any key', ['--listen', '127.0.0.1:0'], 2, /no keys/],
    ['with a demo key', ['--listen', '127.0.0.1:0', '--key-file', 'demo'], 2, /not safe/],
    ['with an unknown flag', ['--port', '1'], 2, /does not know --port/],
    ['without flags', [], 2, /needs something to serve/],
    ['with half a TLS pair', ['--listen', ':0', '--tls-cert', 'x'], 2, /go together/],
    [
      'with a certificate that is not there',
      ['--listen', '127.0.0.1:0', '--key-file', 'keys', '--tls-cert', 'a', '--tls-key', 'b'],
      3,
      /cannot be read/,
    ],
    ['with a key file that is not there', ['--listen', '127.0.0.1:0', '--key-file', 'gone'], 3, /cannot be read/],
    ['with a configuration that is not there', ['--config', 'gone.yaml'], 2, /no such file/],
    ['with a configuration in another form', ['--config', 'odd.json'], 2, /is not a server configuration/],
  ];
  test.each(cases)('%s, and says why in one place', async (_title, args, code, message) => {
    writeFileSync(join(folder, 'demo'), 'dev-key-12345\n');
    writeFileSync(join(folder, 'odd.json'), '{"deployment": {"version": 2}}');
    const server = serve(args);
    expect([await server.exit, server.output.stderr]).toEqual([code, expect.stringMatching(message)]);
    expect(server.output.stderr).not.toMatch(/\n\s+at /);
    expect(server.output.stdout).toBe('');
  });

  test('on a port that is taken, and says how to see by whom', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => {
      taken.listen(0, '127.0.0.1', resolve);
    });
    const { port } = taken.address() as AddressInfo;
    const server = serve(['--listen', `localhost:${port}`, '--key-file', 'keys']);
    expect([await server.exit, server.output.stderr]).toEqual([3, expect.stringContaining(`port ${port}`)]);
    taken.close();
  });
});

describe('addresses', () => {
  test('several at once: localhost on both loopback addresses, and a Unix socket of mode 0660', async () => {
    const socketPath = join(folder, 'mcp.sock');
    const server = serve(['--listen', 'localhost:0', `unix:${socketPath}`, '--key-file', 'keys', '--path', '/tools']);
    const [url = '', unix = ''] = await server.listening(2);
    expect(url).toMatch(/^http:\/\/localhost:\d+\/tools$/);
    expect(unix).toBe(`unix:${socketPath} /tools`);
    expect(statSync(socketPath).mode & 0o777).toBe(0o660);
    const { port } = new URL(url);
    expect((await callHttp({ url: `http://127.0.0.1:${port}/livez` })).status).toBe(200);
    const hasIpv6 = execFileSync(process.execPath, ['-p', "JSON.stringify(require('os').networkInterfaces())"], {
      encoding: 'utf8',
    }).includes('"::1"');
    if (hasIpv6) expect((await callHttp({ url: `http://[::1]:${port}/livez` })).status).toBe(200);
    const status = await new Promise((resolve, reject) => {
      request({ socketPath, path: '/livez', headers: { host: 'localhost' } }, (response) =>
        resolve(response.resume().statusCode),
      )
        .on('error', reject)
        .end();
    });
    expect(status).toBe(200);
  });

  test('a socket file that a killed server left is replaced, one in use is not', async () => {
    const address = `unix:${join(folder, 'mcp.sock')}`;
    const first = serve(['--listen', address, '--key-file', 'keys']);
    await first.listening();
    const second = serve(['--listen', address, '--key-file', 'keys']);
    expect(await second.exit).toBe(3);
    first.child.kill('SIGKILL');
    await first.exit;
    expect(existsSync(join(folder, 'mcp.sock'))).toBe(true);
    await serve(['--listen', address, '--key-file', 'keys']).listening();
  });
});

describe('certificates', () => {
  const fingerprint = (port: number): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => {
        resolve(socket.getPeerCertificate().fingerprint256);
        socket.destroy();
      });
      socket.on('error', reject);
    });
  const write = async (): Promise<void> => {
    const issued = await issueSelfSigned({ names: ['localhost'], validDays: 10 });
    writeFileSync(join(folder, 'tls.crt'), issued.certificatePem);
    writeFileSync(join(folder, 'tls.key'), issued.keyPem);
  };

  test('that change are served to new connections; a bad pair is refused loudly and the old one stays', async () => {
    await write();
    const server = serve([
      '--listen',
      '127.0.0.1:0',
      '--key-file',
      'keys',
      '--tls-cert',
      'tls.crt',
      '--tls-key',
      'tls.key',
    ]);
    const [url = ''] = await server.listening();
    const port = Number(new URL(url).port);
    const first = await fingerprint(port);
    await write();
    await waitUntil(async () => (await fingerprint(port)) !== first, 5_000);
    const second = await fingerprint(port);
    const other = await issueSelfSigned({ names: ['localhost'], validDays: 10 });
    writeFileSync(join(folder, 'tls.crt'), other.certificatePem);
    await waitUntil(() => server.output.stderr.includes('certificate.refused'), 5_000);
    expect(await fingerprint(port)).toBe(second);
    writeFileSync(join(folder, 'tls.key'), other.keyPem);
    server.child.kill('SIGHUP');
    await waitUntil(async () => (await fingerprint(port)) !== second, 5_000);
  });

  test.each(['TLSv1', 'TLSv1.1'] as const)('are not shown to clients of %s', async (version) => {
    await write();
    const server = serve([
      '--listen',
      '127.0.0.1:0',
      '--key-file',
      'keys',
      '--tls-cert',
      'tls.crt',
      '--tls-key',
      'tls.key',
    ]);
    const [url = ''] = await server.listening();
    const refused = await new Promise((resolve) => {
      const socket = connectTls(
        {
          port: Number(new URL(url).port),
          rejectUnauthorized: false,
          minVersion: version,
          maxVersion: version,
          ciphers: 'ALL@SECLEVEL=0',
        },
        () => resolve(false),
      );
      socket.on('error', () => resolve(true));
    });
    expect(refused).toBe(true);
  });
});

test('keys are taken from the environment, and none is in the output', async () => {
  const server = serve(['--listen', '127.0.0.1:0'], { MCP_API_KEYS: `${key}, another-4f6d8b2a1c9e` });
  const [url = ''] = await server.listening();
  const answer = await callHttp({
    url,
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: '{"jsonrpc":"2.0","id":1,"method":"ping"}',
  });
  expect(answer.status).toBe(200);
  expect(server.output.stdout + server.output.stderr).not.toContain(key);
});

test('--help says what there is and exits with 0', async () => {
  const server = serve(['--help']);
  expect(await server.exit).toBe(0);
  for (const word of ['--config', '--listen', '--no-auth', '--pid-file', 'SIGHUP'])
    expect(server.output.stdout).toContain(word);
});
