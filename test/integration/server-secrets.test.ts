import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { deploymentSchema, type DeploymentInput } from '../../src/deployment/schema.ts';
import { createLog } from '../../src/server/observe/log.ts';
import { createKeyCheck } from '../../src/server/policy/key-check.ts';
import { followReferences } from '../../src/server/resolve-secrets.ts';
import { createSecretReader } from '../../src/server/secret-reader.ts';
import { callHttp } from '../helpers/http-call.ts';
import { freePorts } from '../helpers/proxy-rig.ts';
import { endServed, spawnServe } from '../helpers/served.ts';
import { buildServerBundle } from '../helpers/server-bundle.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const secret = 'canary-8d1f0b7c6e5a4930';
let folder: string;
let lines: string[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mcpd-secrets-'));
  lines = [];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const log = () => createLog({ level: 'debug', write: (line) => void lines.push(line) });

function put(name: string, text: string, mode = 0o600): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

function reader(env: NodeJS.ProcessEnv = process.env, timeoutMs?: number) {
  return createSecretReader({ env, baseDir: folder, log: log(), ...(timeoutMs === undefined ? {} : { timeoutMs }) });
}

async function failureOf(reading: Promise<string>): Promise<string> {
  return reading.then(
    (text) => `read ${text}`,
    (error: Error & { why?: string; next?: string }) => [error.message, error.why, error.next].join(' '),
  );
}

describe('files', () => {
  test('a secret ends before the newline that editors add, and only that one', async () => {
    put('lf', `${secret}\n`);
    put('crlf', `${secret}\r\n`);
    put('two', `${secret}\n\n`);
    expect(await reader().read('x', 'file:lf')).toBe(secret);
    expect(await reader().read('x', 'file:crlf')).toBe(secret);
    expect(await reader().read('x', `file:${folder}/two`)).toBe(`${secret}\n`);
  });

  test('a credential of systemd is found through $CREDENTIALS_DIRECTORY, and its mode is systemd’s affair', async () => {
    put('token', secret, 0o444);
    const env = { CREDENTIALS_DIRECTORY: folder };
    expect(await reader(env).read('x', 'file:$CREDENTIALS_DIRECTORY/token')).toBe(secret);
    expect(lines).toEqual([]);
    expect(await failureOf(reader({}).read('x', 'file:$CREDENTIALS_DIRECTORY/token'))).toContain(
      'LoadCredential=token',
    );
  });

  test('a file that others can read is used and warned of', async () => {
    const path = put('open', secret, 0o644);
    expect(await reader().read('auth', `file:${path}`)).toBe(secret);
    expect(lines.join()).toContain('secret.readable-by-others');
    expect(lines.join()).not.toContain(secret);
  });

  for (const [what, text, says] of [
    ['missing', null, 'no such file'],
    ['empty', '\n', 'is empty'],
    ['longer than 64 kB', 'x'.repeat(65_537), 'longer than 64 kB'],
  ] as const) {
    test(`a file that is ${what} is refused with the reason`, async () => {
      if (text !== null) put('odd', text);
      expect(await failureOf(reader().read('x', 'file:odd'))).toContain(says);
    });
  }

  test('a file that is being written is waited for, and never taken for a shorter secret', async () => {
    const path = put('slow', secret.slice(0, 10));
    const reading = reader().read('x', 'file:slow');
    await new Promise((resolve) => setTimeout(resolve, 20));
    writeFileSync(path, `${secret}\n`);
    expect(await reading).toBe(secret);
  });

  test('a secret that Kubernetes mounts is found through its links, also when they are turned to another', async () => {
    for (const [version, text] of [
      ['..1', secret],
      ['..2', `${secret}-next`],
    ] as const) {
      mkdirSync(join(folder, version));
      put(join(version, 'token'), text, 0o644);
    }
    symlinkSync('..1', join(folder, '..data'));
    symlinkSync('..data/token', join(folder, 'token'));
    const secrets = reader();
    expect(await secrets.read('x', 'file:token')).toBe(secret);
    symlinkSync('..2', join(folder, '..data_tmp'));
    renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
    expect(await secrets.read('x', 'file:token')).toBe(secret);
    secrets.forget();
    expect(await secrets.read('x', 'file:token')).toBe(`${secret}-next`);
  });

  test('a file without an end is given up at 64 kB', async () => {
    expect(await failureOf(reader().read('x', 'file:/dev/zero'))).toContain('longer than 64 kB');
  });
});

describe('commands', () => {
  const node = (script: string): string => {
    put('script.cjs', script);
    return `exec:${process.execPath} script.cjs`;
  };

  test('what a command prints is the secret; its words are split without a shell', async () => {
    const command = `${node('console.log(process.argv.slice(2).join("|"))')} 'a b' "$HOME" c;d \`id\``;
    expect(await reader().read('x', command)).toBe('a b|$HOME|c;d|`id`');
  });

  test('a command that fails says its code, and nothing that it printed', async () => {
    const failing = node(`console.log('${secret}'); console.error('${secret}'); process.exit(3)`);
    const said = await failureOf(reader().read('x', failing));
    expect(said).toContain('exit code 3');
    expect(said + lines.join()).not.toContain(secret);
  });

  test('a command that hangs is ended with the programs that it started', async () => {
    const pidFile = join(folder, 'pid');
    const hanging = node(
      `const { spawn } = require('node:child_process');
       const inner = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit' });
       require('node:fs').writeFileSync(${JSON.stringify(pidFile)}, String(inner.pid)); setInterval(() => {}, 1000)`,
    );
    expect(await failureOf(reader(process.env, 1_500).read('x', hanging))).toContain('took longer than 1.5 s');
    const pid = Number((await import('node:fs')).readFileSync(pidFile, 'utf8'));
    const runs = (): boolean => {
      try {
        process.kill(pid, 0);
        return true;
      } catch {
        return false;
      }
    };
    await waitUntil(() => !runs(), 5_000, 'the end of the inner program');
  });

  test('a command that prints without end is ended', async () => {
    expect(await failureOf(reader().read('x', 'exec:yes'))).toContain('longer than 64 kB');
  });

  test('a command that does not exist is named', async () => {
    expect(await failureOf(reader().read('x', 'exec:no-such-program-here'))).toContain('cannot be started');
  });

  test('one command runs once for all that refer to it, and again after forget', async () => {
    const counting = node(`require('node:fs').appendFileSync('runs', '.'); console.log('${secret}')`);
    const secrets = reader();
    await Promise.all([secrets.read('a', counting), secrets.read('b', counting)]);
    const runs = async (): Promise<string> => (await import('node:fs')).readFileSync(join(folder, 'runs'), 'utf8');
    expect(await runs()).toBe('.');
    secrets.forget();
    await secrets.read('a', counting);
    expect(await runs()).toBe('..');
  });
});

describe('in a deployment', () => {
  const follow = (input: Omit<DeploymentInput, 'version'>, env: NodeJS.ProcessEnv = process.env) =>
    followReferences(
      {
        config: { deployment: deploymentSchema.parse({ version: 1, ...input }), baseDir: folder, keyStoreFile: null },
        extraKeys: [],
      },
      env,
      log(),
    );

  test('upstreams get the secret, with ${ of its own left as it is; a path of SQLite is no reference', async () => {
    put('token', 'a${HOME}b\n');
    const { config } = await follow({
      server: {
        upstreams: {
          one: { command: 'x', env: { TOKEN: '${file:token}', DATABASE_URL: 'file:./dev.db' } },
          two: { url: 'https://example.com/mcp', headers: { Authorization: 'Bearer ${file:token}' } },
        },
      },
    });
    expect(config.deployment.server.upstreams).toMatchObject({
      one: { env: { TOKEN: 'a$${HOME}b', DATABASE_URL: 'file:./dev.db' } },
      two: { headers: { Authorization: 'Bearer a$${HOME}b' } },
    });
  });

  test('a key itself in the deployment file is refused: only where it is kept may stand there', () => {
    const keys = [{ label: 'ci', secret }];
    expect(() => deploymentSchema.parse({ version: 1, auth: { keys } })).toThrow('never the key');
  });

  test('declared keys are let in with their scope until they expire, and are read anew on reload', async () => {
    put('key', `${secret}\n`);
    const { extraKeys, readKeys } = await follow(
      {
        auth: {
          keys: [
            { label: 'ci', secret: 'file:key', tools: ['a*'], tier: 'gold' },
            { label: 'old', secret: '${OLD_KEY}', expires: '2020-01-01T00:00:00Z' },
          ],
        },
      },
      { OLD_KEY: 'old-key-0f1e2d3c4b5a' },
    );
    const check = createKeyCheck({ storeFile: null, extraKeys, readKeys, log: log() });
    const ask = (key: string) => check.check(`Bearer ${key}`, undefined, '::1');
    expect(ask(secret)).toMatchObject({ allowed: true, label: 'ci', tier: 'gold' });
    expect(check.callersDiffer()).toBe(true);
    expect(ask('old-key-0f1e2d3c4b5a')).toMatchObject({ allowed: false, reason: 'expired' });

    const revoked: string[] = [];
    check.onRevoked((id) => void revoked.push(id));
    put('key', 'next-3c9f1b7a5d2e8064');
    check.reload();
    await waitUntil(() => ask('next-3c9f1b7a5d2e8064').allowed, 5_000, 'the new key');
    expect(ask(secret)).toMatchObject({ allowed: false });

    rmSync(join(folder, 'key'));
    check.reload();
    await waitUntil(() => lines.join().includes('keys.unreadable'), 5_000, 'the complaint');
    expect(ask('next-3c9f1b7a5d2e8064').allowed).toBe(true);
    check.close();
    expect(lines.join()).not.toContain('3c9f1b7a5d2e8064');
  });
});

test('SIGHUP reads each kind of reference anew; a store that fails leaves the keys in force, and the log says which', async () => {
  const bundle = await buildServerBundle();
  const first = {
    file: 'of-a-file-41c7d20b9e35',
    credential: 'of-systemd-6a83f51e0d27',
    command: 'of-a-command-9b20c4',
  };
  const [port = 0] = await freePorts(1);
  put('docker', first.file);
  put('systemd', first.credential);
  put('store', first.command);
  writeFileSync(
    join(folder, 'mcp-deploy.yaml'),
    `version: 1
server: { listen: '127.0.0.1:${port}' }
tls: { source: off }
auth:
  keys:
    - { label: docker, secret: 'file:docker' }
    - { label: systemd, secret: 'file:$CREDENTIALS_DIRECTORY/systemd' }
    - { label: vault, secret: 'exec:cat store' }
`,
  );
  const served = spawnServe(bundle, folder, ['--config', 'mcp-deploy.yaml'], { CREDENTIALS_DIRECTORY: folder });
  try {
    const url = await served.listening();
    const status = async (key: string): Promise<number> =>
      (
        await callHttp({
          url,
          method: 'POST',
          headers: {
            'content-type': 'application/json',
            accept: 'application/json, text/event-stream',
            'x-api-key': key,
          },
          body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list' }),
        })
      ).status;
    const all = (keys: readonly string[]) => Promise.all(keys.map(status));
    expect(await all(Object.values(first))).toEqual([200, 200, 200]);

    const next = Object.fromEntries(Object.entries(first).map(([kind, key]) => [kind, `${key}-next`]));
    put('docker', next['file'] ?? '');
    put('systemd', next['credential'] ?? '');
    put('store', next['command'] ?? '');
    served.child.kill('SIGHUP');
    await waitUntil(async () => (await all(Object.values(next))).every((one) => one === 200), 20_000, 'the new keys');

    rmSync(join(folder, 'store'));
    const before = served.output.stderr.length;
    served.child.kill('SIGHUP');
    const said = (): string => served.output.stderr.slice(before);
    await waitUntil(() => said().includes('could not be read'), 20_000, 'the complaint');
    expect(said()).toContain('vault');
    expect(await all(Object.values(next))).toEqual([200, 200, 200]);
    expect(served.output.stderr).not.toMatch(/of-a-file|of-systemd|of-a-command/);
  } finally {
    await endServed([served]);
    rmSync(dirname(bundle), { recursive: true, force: true });
  }
}, 60_000);
