import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { unpackTar } from 'modern-tar';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runBin, type CliResult } from '../helpers/cli.ts';

/** Every secret that lies around, each of its own, so that a leak says where it came from. */
const canary = (name: string): string => `CNRY${createHash('sha256').update(name).digest('hex').slice(0, 24)}`;
const pem = (name: string): string =>
  `-----BEGIN PRIVATE KEY-----\n${canary(`${name} 1`)}${'A'.repeat(36)}\n${canary(`${name} 2`)}\n-----END PRIVATE KEY-----\n`;
const secrets = {
  key: `mcpd_${canary('key')}`,
  givenKey: canary('given key'),
  envLiteral: canary('env literal'),
  envReferenced: canary('env referenced'),
  header: canary('header'),
  argument: canary('argument'),
  redis: canary('redis'),
  passphrase: canary('passphrase'),
  query: canary('query'),
  logBearer: canary('log bearer'),
  logUrl: canary('log url'),
  audit: canary('audit'),
  proxyHeader: canary('proxy header'),
  ambient: canary('ambient'),
  pki: `${canary('pki 1')}${'A'.repeat(36)}`,
  pki2: canary('pki 2'),
  logPem: `${canary('log pem 1')}${'A'.repeat(36)}`,
  logPem2: canary('log pem 2'),
} as const;

let folder = '';
let bundle: CliResult;

const settings = `version: 1
name: canary
server:
  listen: localhost:18999
  upstreams:
    one:
      command: node
      args: [server.js, --api-key, ${secrets.argument}]
      env:
        LITERAL: ${secrets.envLiteral}
        REFERENCED: \${UNUSUAL_NAME}
    two:
      url: https://example.com/mcp
      headers:
        Authorization: Bearer ${secrets.header}
redis:
  url: redis://user:${secrets.redis}@localhost:6379
backup:
  passphraseFile: pass.phrase
logs:
  audit: ./audit.log
`;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mcp-deploy-bundle-'));
  const put = async (path: string, text: string): Promise<void> => {
    await mkdir(join(folder, path, '..'), { recursive: true });
    await writeFile(join(folder, path), text);
  };
  await put('mcp-deploy.yaml', settings);
  await put('.mcp-deploy/server.json', JSON.stringify({ deployment: JSON.parse(yamlAsJson()) as unknown }));
  await put('.mcp-deploy/keys/default.key', `${secrets.key}\n`);
  await put('.mcp-deploy/pki/server.key', pem('pki'));
  await put('pass.phrase', `${secrets.passphrase}\n`);
  await put('given.key', secrets.givenKey);
  const log = [
    { level: 'info', msg: 'listening' },
    { level: 'warn', msg: 'refused', headers: { authorization: `Bearer ${secrets.logBearer}` } },
    { level: 'warn', msg: `upstream two: GET https://u:${secrets.logUrl}@example.com/` },
    { level: 'error', msg: `child said ${secrets.envLiteral} and ${secrets.envReferenced} and ${secrets.header}` },
    { level: 'error', msg: `key ${secrets.key} ${secrets.givenKey} pass ${secrets.passphrase} ${secrets.ambient}` },
    { level: 'error', msg: pem('log pem') },
    { level: 'error', msg: Buffer.from(secrets.envReferenced).toString('base64') },
  ];
  await put('.mcp-deploy/logs/server.log', `${log.map((line) => JSON.stringify(line)).join('\n')}\n${pem('log pem')}`);
  await put('audit.log', `{"tool":"echo","arguments":{"password":"${secrets.audit}"}}\n`);
  await put(
    'nginx.conf',
    `http { server { listen 443 ssl; location /mcp { proxy_set_header Authorization "Bearer ${secrets.proxyHeader}"; proxy_pass http://127.0.0.1:1; } } }\n`,
  );
  bundle = await runBin(
    [
      'doctor',
      `http://127.0.0.1:1/mcp?token=${secrets.query}`,
      '--key-file=given.key',
      '--proxy-config=nginx.conf',
      '--bundle=support.tar.gz',
    ],
    { cwd: folder, env: { UNUSUAL_NAME: secrets.envReferenced, AMBIENT_TOKEN: secrets.ambient } },
  );
}, 60_000);
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** As apply writes it. */
function yamlAsJson(): string {
  return JSON.stringify({
    version: 1,
    name: 'canary',
    server: {
      listen: 'localhost:18999',
      upstreams: {
        one: {
          command: 'node',
          args: ['server.js', '--api-key', secrets.argument],
          env: { LITERAL: secrets.envLiteral, REFERENCED: '${UNUSUAL_NAME}' },
        },
        two: { url: 'https://example.com/mcp', headers: { Authorization: `Bearer ${secrets.header}` } },
      },
    },
    redis: { url: `redis://user:${secrets.redis}@localhost:6379` },
    logs: { audit: './audit.log' },
  });
}

test('the bundle is written beside the report, for its owner alone, and the exit code is that of the look', async () => {
  expect(bundle.stderr).toContain('support bundle');
  expect(bundle.exitCode).toBe(1);
  expect((await stat(join(folder, 'support.tar.gz'))).mode & 0o777).toBe(0o600);
  expect((await readdir(folder)).filter((name) => name.includes('mcpd'))).toEqual([]);
});

test('no secret of any source is in any byte of it', async () => {
  const bytes = gunzipSync(await readFile(join(folder, 'support.tar.gz'))).toString('latin1');
  const leaked = Object.entries(secrets)
    .filter(([, secret]) =>
      [secret, Buffer.from(secret).toString('base64').replace(/=+$/, ''), Buffer.from(secret).toString('hex')].some(
        (way) => bytes.includes(way),
      ),
    )
    .map(([name]) => name);
  expect(leaked).toEqual([]);
  expect(bytes).not.toContain('PRIVATE KEY');
});

test('what helps is in it, with sizes and sums that hold', async () => {
  const entries = await unpackTar(gunzipSync(await readFile(join(folder, 'support.tar.gz'))));
  const texts = new Map(
    entries.map(({ header, data }) => [header.name.replace('support/', ''), Buffer.from(data ?? []).toString('utf8')]),
  );
  expect([...texts.keys()]).toEqual([
    'manifest.json',
    'report.json',
    'report.txt',
    'versions.json',
    'host.json',
    'mcp-deploy.yaml',
    'server.json',
    'server.log',
    'audit.log',
    'proxy/1.conf',
  ]);
  const manifest = JSON.parse(texts.get('manifest.json') ?? '') as {
    files: { path: string; size: number; sha256: string }[];
    leftOut: unknown[];
  };
  for (const { path, size, sha256 } of manifest.files) {
    const text = texts.get(path) ?? '';
    expect(Buffer.byteLength(text)).toBe(size);
    expect(createHash('sha256').update(text).digest('hex')).toBe(sha256);
  }
  expect(manifest.leftOut).toEqual([]);
  expect(JSON.parse(texts.get('report.json') ?? '')).toMatchObject({ ok: false, rootCause: 'tcp/reachable' });
  expect(texts.get('mcp-deploy.yaml')).toContain('LITERAL: [hidden]');
  expect(texts.get('mcp-deploy.yaml')).toContain('REFERENCED: ${UNUSUAL_NAME}');
  expect(texts.get('server.log')).toContain('listening');
  expect(texts.get('proxy/1.conf')).toContain('proxy_pass http://127.0.0.1:1;');
  expect(JSON.parse(texts.get('versions.json') ?? '')).toMatchObject({ node: process.versions.node });
});

test('where the settings cannot be read the logs are left out, since nobody knows what they hold', async () => {
  await writeFile(join(folder, 'mcp-deploy.yaml'), 'server: [');
  const run = await runBin(['doctor', 'http://127.0.0.1:1/mcp', '--bundle', 'damaged.tgz'], { cwd: folder });
  expect(run.exitCode).toBe(1);
  const entries = await unpackTar(gunzipSync(await readFile(join(folder, 'damaged.tgz'))));
  const names = entries.map(({ header }) => header.name);
  expect(names).not.toContain('support/server.log');
  expect(names).not.toContain('support/mcp-deploy.yaml');
});

test('nothing is overwritten, and a place that cannot be is refused before anything is looked at', async () => {
  const again = async (file: string) => {
    const run = await runBin(['doctor', 'http://127.0.0.1:1/mcp', '--bundle', file], { cwd: folder });
    return { exitCode: run.exitCode, stdout: run.stdout, said: run.stderr };
  };
  const before = await readFile(join(folder, 'support.tar.gz'));
  expect(await again('support.tar.gz')).toMatchObject({
    exitCode: 2,
    stdout: '',
    said: expect.stringContaining('is there already'),
  });
  expect(await again('support.zip')).toMatchObject({ exitCode: 2, said: expect.stringContaining('.tar.gz') });
  expect(await again('none/s.tar.gz')).toMatchObject({ exitCode: 2, said: expect.stringContaining('mkdir -p') });
  expect(await readFile(join(folder, 'support.tar.gz'))).toEqual(before);
});
