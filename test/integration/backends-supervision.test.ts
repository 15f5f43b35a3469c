import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { stdioUpstreamSchema } from '../../src/deployment/stdio-upstream-schema.ts';
import { createStdioBackend } from '../../src/server/backends/stdio-backend.ts';
import type { Backend } from '../../src/server/types.ts';
import { callTool, errorOf, fixture, request, silentLog, textOf, until } from '../fixtures/upstreams/backend-calls.ts';

const folder = mkdtempSync(join(tmpdir(), 'mcp-deploy-supervision-'));
const started: Backend[] = [];
afterEach(async () => {
  await Promise.all(started.splice(0).map((backend) => backend.stop(500)));
});
afterAll(() => rmSync(folder, { recursive: true }));

function startBackend(
  env: Record<string, string>,
  upstream: Record<string, unknown> = {},
  serverEnv = process.env,
): Backend {
  const parsed = stdioUpstreamSchema.parse({
    command: process.execPath,
    args: [fixture('server.mjs')],
    env,
    ...upstream,
  });
  const backend = createStdioBackend('up', parsed, {
    env: serverEnv,
    baseDir: folder,
    log: silentLog,
    serverVersion: '0',
  });
  started.push(backend);
  backend.start();
  return backend;
}

/** What the state says about its reason. */
function reasonOf(backend: Backend): string {
  return 'reason' in backend.state ? backend.state.reason : '';
}

describe('a child that ends', () => {
  test('in mid-call: its calls fail at once as "outcome unknown", the next call works', async () => {
    const backend = startBackend({});
    await until(() => backend.state.state === 'up');
    const kinds: string[] = [];
    const states: string[] = [];
    backend.onListChanged((kind) => kinds.push(kind));
    backend.onStateChange(() => states.push(backend.state.state));
    const others = [callTool(backend, 'silent'), request(backend, 'prompts/get', { name: 'x' })];
    const errors = await Promise.all([errorOf(callTool(backend, 'die')), errorOf(others[0] as Promise<unknown>)]);
    for (const error of errors) {
      expect(error).toMatchObject({ code: -31004, data: { upstream: 'up', outcome: 'unknown' } });
      expect(error.message).toBe(
        'The upstream "up" ended during this call (it exited with code 7); outcome unknown: it may have run.',
      );
    }
    expect(backend.state.state).toBe('down');
    // Waits for the child that is being started again.
    expect(await textOf(callTool(backend, 'echo', { message: 'back' }))).toBe('back');
    expect(await others[1]).toBeDefined();
    expect(states).toEqual(['down', 'up']);
    expect(kinds).toEqual(['tools', 'resources', 'prompts']);
    expect(backend.restarts).toBe(1);
  });

  test('what it answered just before is still delivered', async () => {
    const backend = startBackend({});
    await until(() => backend.state.state === 'up');
    const big = textOf(callTool(backend, 'big', { bytes: 50_000 }));
    const dying = errorOf(callTool(backend, 'die'));
    expect(await big).toHaveLength(50_000);
    await dying;
  });

  test('subscriptions are made again with the next child', async () => {
    const backend = startBackend({});
    await until(() => backend.state.state === 'up');
    await request(backend, 'resources/subscribe', { uri: 'test://a' }, { sessionId: 's' });
    await errorOf(callTool(backend, 'die'));
    await until(async () => (await textOf(callTool(backend, 'touch', { uri: 'x' }))).includes('test://a'));
  });

  test('by a signal: the reason names it', async () => {
    const backend = startBackend({});
    await until(() => backend.state.state === 'up');
    const pid = Number(await textOf(callTool(backend, 'pid')));
    const dying = errorOf(callTool(backend, 'silent'));
    process.kill(pid, 'SIGKILL');
    expect((await dying).message).toContain('was ended by SIGKILL');
  });
});

describe('a child that cannot start', () => {
  test('a crash loop ends in "broken" after five processes, with the last words', async () => {
    const pids = join(folder, 'crash-loop.pids');
    const backend = startBackend({ FIXTURE_EXIT_AT_START: '3', FIXTURE_PID_FILE: pids });
    const first = errorOf(callTool(backend, 'echo'));
    await until(() => backend.state.state === 'broken', 20_000);
    expect(readFileSync(pids, 'utf8').trim().split('\n')).toHaveLength(5);
    expect(reasonOf(backend)).toContain('exited with code 3');
    expect(backend.state).toMatchObject({ lastWords: ['cannot read the settings file'] });
    expect((await first).code).toBe(-31001);
    const error = await errorOf(callTool(backend, 'echo'));
    expect(error.message).toMatch(
      /not available: it did not start: it exited with code 3\. It is tried again in \d+ s/,
    );
    expect(error.data).toMatchObject({ outcome: 'not run' });
  }, 30_000);

  test('one that starts after some failures serves', async () => {
    const file = join(folder, 'exit-while');
    writeFileSync(file, 'exit');
    const backend = startBackend({ FIXTURE_EXIT_WHILE: file });
    await until(() => backend.state.state === 'down');
    writeFileSync(file, 'go on');
    await until(() => backend.state.state === 'up');
    expect(await textOf(callTool(backend, 'echo', { message: 'hi' }))).toBe('hi');
  });

  test('a command that is not there is broken for good, at once, and the sentence helps', async () => {
    const backend = startBackend({}, { command: 'npxx-no-such-program' });
    expect(backend.state).toMatchObject({ state: 'broken', retryAt: Number.POSITIVE_INFINITY });
    expect(reasonOf(backend)).toMatch(/Command not found: npxx-no-such-program \(searched \d+ folders? of PATH/);
    expect((await errorOf(callTool(backend, 'echo'))).message).toContain('Command not found');
  });

  test('a script whose interpreter is missing is broken for good', async () => {
    const script = join(folder, 'script');
    writeFileSync(script, '#!/no/such/interpreter\n', { mode: 0o755 });
    const backend = startBackend({}, { command: './script' });
    await until(() => backend.state.state === 'broken');
    expect(reasonOf(backend)).toContain('interpreter in its first line');
  });

  test('a variable that is not set is named', () => {
    const backend = startBackend({ KEY: '${NO_SUCH_TOKEN}' }, {}, { PATH: process.env['PATH'] });
    expect(backend.state).toMatchObject({ state: 'broken', retryAt: Number.POSITIVE_INFINITY });
    expect(reasonOf(backend)).toContain('NO_SUCH_TOKEN is not set');
  });

  test('one that never answers initialize is given up after startSeconds', async () => {
    const backend = startBackend({ FIXTURE_HANG: 'initialize' }, { startSeconds: 0.5 });
    const error = await errorOf(callTool(backend, 'echo'));
    expect(error.code).toBe(-31001);
    await until(() => backend.state.state !== 'starting');
    expect(reasonOf(backend)).toContain('did not answer initialize within 0.5 s');
  });

  test('one that refuses our revision and names an older one is greeted with that', async () => {
    const backend = startBackend({ FIXTURE_ONLY_VERSION: '2024-11-05' });
    expect(await textOf(callTool(backend, 'echo', { message: 'old' }))).toBe('old');
  });

  test('one that speaks no revision of ours says so', async () => {
    const backend = startBackend({ FIXTURE_ONLY_VERSION: '1999-01-01' });
    await until(() => backend.state.state === 'down');
    expect(reasonOf(backend)).toContain('it refused initialize: Unsupported protocol version');
  });

  test('a program that only sends back what it is sent is called so', async () => {
    const backend = startBackend({}, { args: ['-e', 'process.stdin.pipe(process.stdout)'] });
    await until(() => backend.state.state === 'down');
    expect(reasonOf(backend)).toBe('it did not start: it only sends back what it is sent: it is no MCP server');
  });

  test('a program that is no MCP server is explained by what it printed', async () => {
    const backend = startBackend({}, { args: ['-e', 'console.error("usage: thing FILE"); process.exit(64)'] });
    await until(() => backend.state.state === 'down');
    expect(backend.state).toMatchObject({ lastWords: ['usage: thing FILE'] });
    expect(reasonOf(backend)).toBe('it did not start: it exited with code 64');
  });
});

test('stop fails what is in flight and what waits, and starts nothing again', async () => {
  const backend = startBackend({}, { maxConcurrency: 1 });
  await until(() => backend.state.state === 'up');
  const errors = [errorOf(callTool(backend, 'silent')), errorOf(callTool(backend, 'echo'))];
  await backend.stop(300);
  expect((await Promise.all(errors)).map((error) => error.code)).toEqual([-31004, -31001]);
  expect((await errorOf(callTool(backend, 'echo'))).message).toContain('stopping');
});
