import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stdioUpstreamSchema } from '../../src/deployment/stdio-upstream-schema.ts';
import { createStdioBackend } from '../../src/server/backends/stdio-backend.ts';
import type { Backend } from '../../src/server/types.ts';
import { callTool, errorOf, fixture, isAlive, silentLog, textOf, until } from '../fixtures/upstreams/backend-calls.ts';

const program = fixture('server.mjs');
/** As npx does it: a shell that waits for the program. */
const throughShell = { command: 'sh', args: ['-c', `"${process.execPath}" "${program}"; exit $?`] };

async function startBackend(
  env: Record<string, string> = {},
  upstream: Record<string, unknown> = {},
): Promise<Backend> {
  const parsed = stdioUpstreamSchema.parse({ command: process.execPath, args: [program], env, ...upstream });
  const backend = createStdioBackend('up', parsed, {
    env: process.env,
    baseDir: '/',
    log: silentLog,
    serverVersion: '0',
  });
  backend.start();
  await until(() => backend.state.state === 'up');
  return backend;
}

/** The child and three grandchildren: one in its group, one below a shell, one with a session of its own. All ignore SIGTERM. */
async function growTree(backend: Backend): Promise<number[]> {
  const pids = [
    await textOf(callTool(backend, 'pid')),
    await textOf(callTool(backend, 'fork')),
    await textOf(callTool(backend, 'fork', { shell: true })),
    await textOf(callTool(backend, 'fork', { setsid: true })),
  ].map(Number);
  for (const pid of pids) expect(await isAlive(pid)).toBe(true);
  return pids;
}

async function living(pids: readonly number[]): Promise<number[]> {
  const alive = await Promise.all(pids.map(isAlive));
  return pids.filter((_pid, index) => alive[index]);
}

describe('nothing of an upstream is left', () => {
  test('after stop', async () => {
    const backend = await startBackend();
    const pids = await growTree(backend);
    await backend.stop(500);
    expect(await living(pids)).toEqual([]);
  });

  test('after stop, when it was started through a shell', async () => {
    const backend = await startBackend({}, throughShell);
    const pids = await growTree(backend);
    await backend.stop(500);
    expect(await living(pids)).toEqual([]);
  });

  test('after stop, when it ignores SIGTERM and the end of its input', async () => {
    const backend = await startBackend({ FIXTURE_IGNORE_SIGTERM: '1' }, throughShell);
    const pids = await growTree(backend);
    await backend.stop(500);
    expect(await living(pids)).toEqual([]);
  });

  test('after it has crashed', async () => {
    const backend = await startBackend();
    const pids = await growTree(backend);
    await errorOf(callTool(backend, 'die'));
    await until(async () => (await living(pids)).length === 0);
    expect(await textOf(callTool(backend, 'echo', { message: 'again' }))).toBe('again');
    await backend.stop(500);
  });
});

test('a child that ends when its input ends is given the time to do so', async () => {
  const backend = await startBackend();
  const pid = Number(await textOf(callTool(backend, 'pid')));
  const before = performance.now();
  await backend.stop(10_000);
  expect(await isAlive(pid)).toBe(false);
  expect(performance.now() - before).toBeLessThan(8_000);
});

describe('when the server itself is killed with SIGKILL', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mcp-deploy-trees-'));
  const host = join(folder, 'host.mjs');
  const helpers = join(import.meta.dirname, '../fixtures/upstreams/backend-calls.ts');

  beforeAll(async () => {
    // A small server process around the backend: prints the pids of the tree, then waits.
    await build({
      stdin: {
        contents: `
          import { createStdioBackend } from './src/server/backends/stdio-backend.ts';
          import { callTool, silentLog, textOf, until } from ${JSON.stringify(helpers)};
          const upstream = { ...JSON.parse(process.argv[2]), instances: 'shared', startSeconds: 60, callSeconds: 60, maxConcurrency: 8 };
          const backend = createStdioBackend('up', upstream, { env: process.env, baseDir: '/', log: silentLog, serverVersion: '0' });
          backend.start();
          await until(() => backend.state.state === 'up');
          for (const args of JSON.parse(process.argv[3])) {
            console.log(await textOf(args === null ? callTool(backend, 'pid') : callTool(backend, 'fork', args)));
          }
          console.log('ready');
        `,
        resolveDir: join(import.meta.dirname, '../..'),
      },
      outfile: host,
      bundle: true,
      platform: 'node',
      format: 'esm',
      logLevel: 'silent',
    });
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const everyKind = [null, {}, { shell: true }, { setsid: true }];
  // Without the marker in their environment only those in the group can be found.
  const inGroup = [null, {}];
  const cleared = `exec env -i FIXTURE_IGNORE_SIGTERM=1 "${process.execPath}" "${program}"`;

  test.each([
    ['a plain child', { command: process.execPath, args: [program], env: {} }, everyKind],
    [
      'a child behind a shell that ignores SIGTERM',
      { ...throughShell, env: { FIXTURE_IGNORE_SIGTERM: '1' } },
      everyKind,
    ],
    ['a child that has cleared its environment', { command: 'sh', args: ['-c', cleared], env: {} }, inGroup],
  ])('%s and its tree are gone', async (_what, upstream, kinds) => {
    const args = [host, JSON.stringify(upstream), JSON.stringify(kinds)];
    const server = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const pids: number[] = [];
    for await (const line of createInterface({ input: server.stdout })) {
      if (line === 'ready') break;
      pids.push(Number(line));
    }
    expect(await living(pids)).toEqual(pids);
    expect(pids).toHaveLength(kinds.length);
    server.kill('SIGKILL');
    await until(async () => (await living(pids)).length === 0, 10_000);
  });
});
