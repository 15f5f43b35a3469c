import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { EnvironmentError } from '../../src/deployment/errors.ts';
import { createProcesses } from '../../src/host/processes.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const processes = createProcesses();
let root = '';
let folder = '';
const started: ChildProcess[] = [];

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mcpd-processes-'));
});

beforeEach(async () => {
  folder = await mkdtemp(join(root, 'case-'));
});

afterAll(async () => {
  for (const child of started) child.kill('SIGKILL');
  await rm(root, { recursive: true, force: true });
});

/** A server that is a shell script: what it does on SIGTERM is in `onTerm`, whether it notes its pid in `notes`. */
async function specOf(options: { onTerm?: string; notes?: boolean; body?: string } = {}) {
  const script = join(folder, 'server.sh');
  const pidFile = join(folder, 'server.pid.json');
  await writeFile(
    script,
    [
      `trap '${options.onTerm ?? 'exit 0'}' TERM`,
      options.notes === false ? '' : `echo "{\\"pid\\":$$}" > "$2"`,
      'echo to stdout; echo to stderr >&2',
      // Short sleeps: a shell hears a signal only between two commands.
      options.body ?? 'while :; do sleep 0.05; done',
    ].join('\n'),
  );
  return {
    type: 'start-server',
    argv: ['/bin/sh', script, '--pid-file', pidFile],
    cwd: folder,
    pidFile,
    logFile: join(folder, 'server.log'),
  } as const;
}

test('a server is started detached, logs into a 0600 file, is found, and is stopped with its pid file gone', async () => {
  const spec = await specOf();
  await writeFile(spec.logFile, 'earlier\n', { mode: 0o600 });
  const { pid } = await processes.startServer(spec);
  expect(await processes.serverState(spec.pidFile)).toEqual({ state: 'running', pid });
  await waitUntil(
    async () => (await readFile(spec.logFile, 'utf8')).split('\n').length === 4,
    5_000,
    'both streams in the log',
  );
  expect(await readFile(spec.logFile, 'utf8')).toMatch(/^earlier\nto std(out|err)\nto std(out|err)\n$/);
  await processes.stopServer(spec.pidFile, 5_000);
  expect(await processes.serverState(spec.pidFile)).toEqual({ state: 'stopped' });
  await expect(stat(spec.pidFile)).rejects.toThrow('ENOENT');
  expect(await processes.identity(pid)).toBe(null);
});

test('a new log file is readable by its owner only', async () => {
  const spec = await specOf();
  await processes.startServer(spec);
  expect((await stat(spec.logFile)).mode & 0o777).toBe(0o600);
  await processes.stopServer(spec.pidFile, 5_000);
});

test('a server that has not written its pid file yet is found by its command line', async () => {
  const spec = await specOf({ notes: false });
  const { pid } = await processes.startServer(spec);
  expect(await processes.serverState(spec.pidFile)).toEqual({ state: 'running', pid });
  await processes.stopServer(spec.pidFile, 5_000);
  expect(await processes.identity(pid)).toBe(null);
});

test('and so is one whose pid file is torn or names a dead process', async () => {
  const spec = await specOf({ notes: false });
  const { pid } = await processes.startServer(spec);
  for (const text of ['{"pid":', '{"pid":999999999}', '{"pid":-1}', '{"pid":"1"}', '[]', 'null']) {
    await writeFile(spec.pidFile, text);
    expect(await processes.serverState(spec.pidFile), text).toEqual({ state: 'running', pid });
  }
  await processes.stopServer(spec.pidFile, 5_000);
});

test('another process that has the noted pid by now is neither taken for the server nor stopped', async () => {
  const spec = await specOf();
  const stranger = spawn('sleep', ['1000']);
  started.push(stranger);
  await writeFile(spec.pidFile, JSON.stringify({ pid: stranger.pid }));
  expect(await processes.serverState(spec.pidFile)).toEqual({ state: 'stopped' });
  await processes.stopServer(spec.pidFile, 100);
  expect(stranger.exitCode).toBe(null);
  expect(await processes.identity(stranger.pid ?? 0)).not.toBe(null);
});

test('a server of another folder is not ours, even when its path only continues ours', async () => {
  const spec = await specOf({ notes: false });
  await processes.startServer(spec);
  expect(await processes.serverState(spec.pidFile.slice(0, -1))).toEqual({ state: 'stopped' });
  expect(await processes.serverState(`${spec.pidFile}x`)).toEqual({ state: 'stopped' });
  await processes.stopServer(spec.pidFile, 5_000);
});

test('a server that ignores SIGTERM is killed after the grace time, with its children', async () => {
  const spec = await specOf({
    onTerm: 'true',
    body: `sh -c 'trap "" TERM; echo $$ > ${join(folder, 'child')}; sleep 1000' & while :; do sleep 1; done`,
  });
  const { pid } = await processes.startServer(spec);
  let child = 0;
  await waitUntil(async () => {
    child = Number(await readFile(join(folder, 'child'), 'utf8').catch(() => '0'));
    return child > 0;
  }, 5_000);
  await processes.stopServer(spec.pidFile, 200);
  expect(await processes.identity(pid)).toBe(null);
  await waitUntil(async () => (await processes.identity(child)) === null, 5_000, 'the child is gone');
});

test('a zombie is not alive', async () => {
  // The parent never asks for its child's end, so the child stays in the process table.
  const parent = spawn('sh', ['-c', 'sleep 0 & echo $!; exec sleep 1000'], { stdio: ['ignore', 'pipe', 'inherit'] });
  started.push(parent);
  const child = await new Promise<number>((resolve) => {
    parent.stdout.once('data', (data: Buffer) => resolve(Number(data.toString())));
  });
  await waitUntil(async () => /\) Z /.test(await readFile(`/proc/${child}/stat`, 'utf8').catch(() => ') Z ')), 5_000);
  expect(await processes.identity(child)).toBe(null);
});

test('a program that is not there is said to be missing, and no promise is left to fail later', async () => {
  const spec = await specOf();
  const start = processes.startServer({ ...spec, argv: ['/nowhere/node', '--pid-file', spec.pidFile] });
  const error = await start.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(EnvironmentError);
  expect((error as EnvironmentError).why).toContain('/nowhere/node');
});

test('a log file that cannot be opened is named', async () => {
  const spec = await specOf();
  await expect(processes.startServer({ ...spec, logFile: join(folder, 'none/server.log') })).rejects.toMatchObject({
    message: `Cannot write ${join(folder, 'none/server.log')}.`,
  });
});

test('a command line that could not be found again is refused', async () => {
  const spec = await specOf();
  await expect(processes.startServer({ ...spec, argv: ['/bin/sh', 'x'] })).rejects.toThrow('--pid-file');
});

test('the command that started a server ends by itself, and the server lives on', async () => {
  const spec = await specOf();
  const script = join(folder, 'start.mjs');
  await build({
    stdin: {
      contents: `import { createProcesses } from '${new URL('../../src/host/processes.ts', import.meta.url).pathname}';
        await createProcesses().startServer(JSON.parse(process.argv[2]));`,
      resolveDir: new URL('../..', import.meta.url).pathname,
    },
    outfile: script,
    bundle: true,
    platform: 'node',
    format: 'esm',
    banner: { js: `import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);` },
  });
  await new Promise<void>((resolve, reject) => {
    execFile(process.execPath, [script, JSON.stringify(spec)], { timeout: 10_000 }, (error) =>
      error ? reject(error) : resolve(),
    );
  });
  expect((await processes.serverState(spec.pidFile)).state).toBe('running');
  await processes.stopServer(spec.pidFile, 5_000);
});

test('the identity of a process is the same each time, and another for another process', async () => {
  const stranger = spawn('sleep', ['1000']);
  started.push(stranger);
  expect(await processes.identity(process.pid)).toBe(processes.self.identity);
  expect(await processes.identity(stranger.pid ?? 0)).not.toBe(processes.self.identity);
  expect(await processes.identity(999_999_999)).toBe(null);
});
