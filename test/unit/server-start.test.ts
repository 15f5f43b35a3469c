import { describe, expect, test } from 'vitest';
import { deploymentSchema } from '../../src/deployment/schema.ts';
import { listenAddresses } from '../../src/deployment/listen-address.ts';
import { describeServerInfo, judgeReadiness } from '../../src/server/protocol/handshake.ts';
import { createRegistry } from '../../src/server/backends/registry.ts';
import { parseServeFlags } from '../../src/server/serve-flags.ts';
import { parseServerConfig } from '../../src/server/server-config.ts';
import { judgeStartup } from '../../src/server/startup-checks.ts';
import type { BackendState } from '../../src/server/types.ts';
import { createFakeBackend } from '../helpers/fake-backend.ts';

describe('parseServeFlags', () => {
  test.each([
    [['--help'], { mode: 'help' }],
    [
      ['--config', 'a.yaml', '--pid-file=p'],
      { mode: 'config', configFile: 'a.yaml', pidFile: 'p', stdio: false, check: false, watch: false, workers: null },
    ],
    [
      [
        '--listen',
        '127.0.0.1:1',
        '[::1]:2',
        '--listen',
        'unix:/s',
        '--key-file',
        'k',
        '--path',
        '/x',
        '--',
        'npx',
        '-y',
        '--help',
      ],
      {
        mode: 'flags',
        listen: ['127.0.0.1:1', '[::1]:2', 'unix:/s'],
        keyFile: 'k',
        tls: null,
        noAuth: false,
        path: '/x',
        command: ['npx', '-y', '--help'],
        pidFile: null,
        stdio: false,
        check: false,
        workers: null,
      },
    ],
    [
      ['--no-auth', '--tls-cert', 'c', '--tls-key', 'k'],
      {
        mode: 'flags',
        listen: null,
        keyFile: null,
        tls: { certificate: 'c', key: 'k' },
        noAuth: true,
        path: null,
        command: [],
        pidFile: null,
        stdio: false,
        check: false,
        workers: null,
      },
    ],
  ])('%j', (argv, expected) => {
    expect(parseServeFlags(argv)).toEqual(expected);
  });

  test.each([
    [['--listen']],
    [['--listen', '--no-auth']],
    [['--config', 'a', '--no-auth']],
    [['--config', 'a', '--', 'x']],
    [['npx']],
    [['--no-auth', '--key-file', 'k']],
    [['--tls-key', 'k']],
    [['--stdio', '--listen', ':1']],
    [['--stdio', '--config', 'a', '--', 'x']],
    [['--check=1']],
    [[]],
  ])('%j is refused', (argv) => {
    expect(() => parseServeFlags(argv)).toThrow(expect.objectContaining({ exitCode: 2 }));
  });
});

describe('judgeStartup', () => {
  const key = { label: 'k', key: 'c3f1d9e2b7a84056' };
  const judge = (server: object, rest: object = {}, keys = [key], keyFile = false) => {
    const deployment = deploymentSchema.parse({ version: 1, server, tls: { source: 'off' }, ...rest });
    return judgeStartup(deployment, listenAddresses(deployment.server), keys, keyFile);
  };
  const files = { tls: { source: 'files', certificate: 'c', key: 'k' } };

  test.each([
    ['loopback without TLS', judge({ listen: 'localhost:1' })],
    ['a Unix socket without keys', judge({ listen: 'unix:/s' }, { auth: { required: false } }, [])],
    ['all addresses with TLS', judge({ listen: ':1' }, files)],
    ['all addresses behind a proxy', judge({ listen: '0.0.0.0:1', behindProxy: true })],
    ['keys from a file', judge({ listen: '127.0.0.1:1' }, {}, [], true)],
  ])('%s may start', (_title, refusal) => {
    expect(refusal).toBeNull();
  });

  test.each([
    ['one open address among others without TLS', judge({ listen: ['localhost:1', '10.0.0.1:1'] }), /without TLS/],
    ['all addresses without keys', judge({ listen: ':1' }, { auth: { required: false }, ...files }), /without keys/],
    [
      'behind a proxy without keys',
      judge({ listen: ':1', behindProxy: true }, { auth: { required: false } }),
      /without keys/,
    ],
    ['no keys at all', judge({ listen: 'localhost:1' }, {}, []), /no keys/],
    ['a short key', judge({ listen: 'localhost:1' }, {}, [{ label: 'k', key: 'short' }]), /not safe/],
  ])('%s may not', (_title, refusal, what) => {
    expect(refusal?.what).toMatch(what);
  });
});

describe('judgeReadiness', () => {
  const backend = (state: BackendState, everUp: boolean) => {
    const fake = createFakeBackend();
    fake.state = state;
    if (!everUp) fake.serverInfo = null;
    return fake;
  };
  const since = 0;
  const up = backend({ state: 'up', since }, true);
  const starting = backend({ state: 'starting', since }, false);
  const failed = { since, reason: 'r', lastWords: [] };
  const down = backend({ state: 'down', retryAt: Date.now() + 5_000, ...failed }, false);
  const gone = backend({ state: 'broken', retryAt: Number.POSITIVE_INFINITY, ...failed }, false);
  const wasUp = backend({ state: 'down', retryAt: Date.now() + 5_000, ...failed }, true);

  test.each([
    ['one that is up', [up], 0, { usable: true }],
    ['one that was up before', [wasUp], 0, { usable: true }],
    ['one that starts is waited for', [starting], 29_000, null],
    ['but not for ever', [starting], 30_000, { usable: false }],
    ['a slow one beside one that is up is waited for a little', [up, starting], 2_000, null],
    ['and then left out', [up, starting], 3_000, { usable: true }],
    ['one that is down and never was up', [down], 0, { usable: false, retryAfterSeconds: 5 }],
    ['one that cannot start', [gone], 0, { usable: false, retryAfterSeconds: 30 }],
    ['one that is up beside one that cannot start', [gone, up], 0, { usable: true }],
  ])('%s', (_title, backends, waitedMs, expected) => {
    const decision = judgeReadiness(backends, waitedMs);
    if (expected === null) expect(decision).toBeNull();
    else expect(decision).toMatchObject(expected);
  });

  test('the one server behind the endpoint gives its own name, several are mcp-deploy', () => {
    expect(describeServerInfo(createRegistry([up]), '9')).toEqual({ name: 'fake-server', version: '1.2.3' });
    expect(describeServerInfo(createRegistry([up, wasUp]), '9')).toEqual({ name: 'mcp-deploy', version: '9' });
    expect(describeServerInfo(createRegistry([starting]), '9')).toEqual({ name: 'mcp-deploy', version: '9' });
  });
});

describe('parseServerConfig', () => {
  const deployment = deploymentSchema.parse({ version: 1, tls: { source: 'off' } });

  test('takes what the planner writes as it is', async () => {
    const config = { deployment, baseDir: '/srv/x', keyStoreFile: '/srv/x/keys.json' };
    expect(await parseServerConfig(JSON.stringify(config), 'server.json')).toEqual(config);
  });

  test('takes a deployment file, with the files of its private CA beside it', async () => {
    const config = await parseServerConfig('version: 1\nname: demo\n', '/srv/demo/mcp-deploy.yaml');
    expect(config).toMatchObject({
      baseDir: '/srv/demo',
      keyStoreFile: '/srv/demo/.mcp-deploy/keys/keys.json',
      deployment: {
        name: 'demo',
        tls: {
          source: 'files',
          certificate: '/srv/demo/.mcp-deploy/pki/server.crt',
          key: '/srv/demo/.mcp-deploy/pki/server.key',
        },
      },
    });
  });

  test.each([
    ['an unknown member', JSON.stringify({ deployment, baseDir: '/', keyStoreFile: null, more: 1 })],
    ['a wrong deployment', JSON.stringify({ deployment: { version: 1, nam: 'x' }, baseDir: '/', keyStoreFile: null })],
    ['broken JSON', '{"deployment": '],
  ])('%s is refused', async (_title, text) => {
    await expect(parseServerConfig(text, 'server.json')).rejects.toMatchObject({ exitCode: 2 });
  });
});
