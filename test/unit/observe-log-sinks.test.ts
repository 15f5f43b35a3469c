import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { listRotated } from '../../src/server/observe/append-file.ts';
import { createErrorHook, type ErrorHookOptions } from '../../src/server/observe/error-hook.ts';
import { openLogFile } from '../../src/server/observe/log-file.ts';
import { createLog } from '../../src/server/observe/log.ts';
import { waitUntil } from '../helpers/wait-until.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mcpd-log-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('a log file', () => {
  test('has each line at once, is moved away by size, and as many old ones stay as it is told', async () => {
    const file = join(folder, 'server.log');
    const write = openLogFile({ file, rotate: { bytes: 1_000, keep: 2 }, lookMs: 0 });
    for (let id = 0; id < 200; id += 1) {
      write(`{"id":${id},"filling":"${'x'.repeat(80)}"}\n`);
      expect(readFileSync(file, 'utf8')).toContain(`"id":${id},`);
    }
    await waitUntil(() => listRotated(file).length === 2, 5_000, 'old files removed');
    const texts = [...listRotated(file), file].map((path) => readFileSync(path, 'utf8')).join('');
    const ids = texts
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { id: number }).id);
    expect(ids).toEqual(Array.from({ length: ids.length }, (_, index) => 200 - ids.length + index));
  });

  test('that was moved away is made anew, and a torn end gets a line break', () => {
    const file = join(folder, 'server.log');
    writeFileSync(file, '{"torn');
    const write = openLogFile({ file, rotate: null, lookMs: 0 });
    write('{"id":1}\n');
    renameSync(file, `${file}.1`);
    write('{"id":2}\n');
    expect(readFileSync(`${file}.1`, 'utf8')).toBe('{"torn\n{"id":1}\n');
    expect(readFileSync(file, 'utf8')).toBe('{"id":2}\n');
  });
});

test('for the journal each line begins with its priority', () => {
  const lines: string[] = [];
  const log = createLog({ level: 'debug', forJournal: true, write: (line) => lines.push(line) });
  log.debug('e');
  log.info('e');
  log.warn('e');
  log.error('e');
  expect(lines.map((line) => line.slice(0, 4))).toEqual(['<7>{', '<6>{', '<4>{', '<3>{']);
});

describe('the error hook', () => {
  const failures: string[] = [];
  const make = (options: Pick<ErrorHookOptions, 'target'> & Partial<ErrorHookOptions>) => {
    failures.length = 0;
    return createErrorHook({
      everyMs: 0,
      timeoutMs: 5_000,
      env: { ...process.env, CANARY: 'canary-environment' },
      onFailure: (why) => failures.push(why),
      ...options,
    });
  };

  test('gives errors, and nothing but errors, to a command without a shell and without our environment', async () => {
    const out = join(folder, 'out $(touch pwned)');
    const program = join(folder, 'hook.mjs');
    writeFileSync(
      program,
      `import { readFileSync, appendFileSync } from 'node:fs';
       appendFileSync(process.argv[2], readFileSync(0, 'utf8') + JSON.stringify(process.env));`,
    );
    const hook = make({ target: { command: [process.execPath, program, out] } });
    const log = createLog({ level: 'info', write() {}, onError: (line) => hook.tell(line) });
    log.info('fine');
    log.warn('hm');
    log.error('bad', { token: 'canary-field', upstream: 'files' });
    await hook.settle(10_000);
    const got = readFileSync(out, 'utf8');
    expect(JSON.parse(got.split('\n')[0] ?? '')).toMatchObject({ level: 'error', event: 'bad', upstream: 'files' });
    expect(got).not.toContain('canary');
    expect(existsSync(join(folder, 'pwned'))).toBe(false);
    expect(failures).toEqual([]);
  });

  test('runs once at a time, and says how many errors it did not tell', async () => {
    const bodies: { event: string; untoldErrors?: number }[] = [];
    let open = 0;
    let mostOpen = 0;
    const server = createServer((req, res) => {
      mostOpen = Math.max(mostOpen, ++open);
      let text = '';
      req.on('data', (chunk: Buffer) => (text += chunk.toString()));
      req.on('end', () => {
        bodies.push(JSON.parse(text) as { event: string });
        setTimeout(() => {
          open -= 1;
          res.end('ok');
        }, 20);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const hook = make({ target: { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` } });
    for (let id = 0; id < 100; id += 1) hook.tell(`{"event":"e${id}"}\n`);
    await waitUntil(() => bodies.length === 2, 5_000, 'two posts');
    await hook.settle(5_000);
    server.close();
    expect(mostOpen).toBe(1);
    expect(bodies).toEqual([{ event: 'e0' }, { event: 'e1', untoldErrors: 98 }]);
  });

  test.each([
    ['a command that does not exist', { command: ['/nonexistent/hook'] }, 'ENOENT'],
    ['a command that fails', { command: [process.execPath, '-e', 'process.exit(3)'] }, 'it ended with code 3'],
    // Outside of what the system gives out by itself.
    ['a port where nobody listens', { url: 'http://127.0.0.1:1024/canary-path' }, 'ECONNREFUSED'],
  ] as const)('%s is said in one word or two, and harms nothing', async (_case, target, why) => {
    const hook = make({ target });
    hook.tell('{"event":"e"}\n');
    await hook.settle(10_000);
    await waitUntil(() => failures.length === 1, 5_000, 'the failure');
    expect(failures).toEqual([why]);
  });

  test.each([
    ['never answers', ''],
    ['never ends its answer', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n'],
  ])('a webhook that %s is given up, whatever is collected as garbage meanwhile', async (_title, answer) => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const collecting = setInterval(collect, 50);
    const taken = new Set<Socket>();
    const server = createTcpServer((socket) => {
      taken.add(socket.on('error', () => {}).resume());
      socket.write(answer);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
      const hook = make({ target: { url }, timeoutMs: 500 });
      hook.tell('{"event":"e"}\n');
      // An answer that has begun is enough: its rest is not waited for.
      if (answer === '') await waitUntil(() => failures.length === 1, 20_000, 'the end');
      else await hook.settle(20_000);
      expect(failures).toEqual(answer === '' ? ['it took too long'] : []);
      await waitUntil(() => [...taken].every(({ readableEnded, destroyed }) => readableEnded || destroyed), 20_000);
    } finally {
      clearInterval(collecting);
      for (const socket of taken) socket.destroy();
      server.close();
    }
  });

  test('a command that hangs is ended', async () => {
    const hook = make({ target: { command: [process.execPath, '-e', 'setInterval(() => {}, 1000)'] }, timeoutMs: 100 });
    hook.tell('{"event":"e"}\n');
    await waitUntil(() => failures.length === 1, 5_000, 'the end');
    expect(failures).toEqual(['it was ended by SIGKILL']);
  });
});
