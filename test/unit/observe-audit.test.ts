import { spawn, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EnvironmentError } from '../../src/deployment/errors.ts';
import { renderAuditFields, type AuditEntry } from '../../src/server/observe/audit-line.ts';
import { createAuditWriter, type AuditWriter } from '../../src/server/observe/audit.ts';
import { createLog } from '../../src/server/observe/log.ts';

const entry: AuditEntry = {
  request: 'a1b2-1',
  id: 7,
  method: 'tools/call',
  status: 'ok',
  tool: 'echo',
  durationSeconds: 0.0021234567,
  key: 'laptop',
  address: '192.0.2.1',
  era: 'modern',
  session: null,
  upstream: 'files',
  bytesIn: 120,
  bytesOut: 340,
  error: null,
};

/** A line as it is without a chain. */
function renderAuditLine(of: AuditEntry, nowMs?: number): string {
  return `${renderAuditFields(of, nowMs)}}\n`;
}

let folder: string;
let file: string;
let logged: string[];
const log = createLog({ level: 'debug', write: (line) => logged.push(line) });
const opened: AuditWriter[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mcp-deploy-audit-'));
  file = join(folder, 'audit.log');
  logged = [];
});

afterEach(async () => {
  for (const writer of opened.splice(0)) await writer.close();
  rmSync(folder, { recursive: true, force: true });
});

function open(path = file): AuditWriter {
  const writer = createAuditWriter({ file: path, log });
  opened.push(writer);
  return writer;
}

function idsIn(path: string): number[] {
  const text = readFileSync(path, 'utf8');
  expect(text === '' || text.endsWith('\n')).toBe(true);
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => (JSON.parse(line) as { id: number }).id);
}

/** Whole lines so far; a reader may see half of a write that is under way. */
function countLinesIn(path: string): number {
  return readFileSync(path, 'utf8').split('\n').length - 1;
}

async function becomes(fact: () => boolean, withinMs = 5_000): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!fact()) {
    if (performance.now() > deadline) throw new Error(`not so within ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const numbers = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, index) => from + index);

describe('a line', () => {
  test('holds the fields that people query, in a fixed order', () => {
    expect(renderAuditLine(entry, Date.parse('2026-03-01T00:00:00.123Z'))).toBe(
      '{"time":"2026-03-01T00:00:00.123Z","request":"a1b2-1","id":7,"method":"tools/call","status":"ok","tool":"echo","duration_seconds":0.002123,"key":"laptop","address":"192.0.2.1","era":"modern","session":null,"upstream":"files","bytes_in":120,"bytes_out":340,"error":null}\n',
    );
  });

  test('follows the clock from line to line', () => {
    const times = [1_000, 1_000, 2_000, 1_000].map(
      (nowMs) => (JSON.parse(renderAuditLine(entry, nowMs)) as { time: string }).time,
    );
    expect(times).toEqual([
      '1970-01-01T00:00:01.000Z',
      '1970-01-01T00:00:01.000Z',
      '1970-01-01T00:00:02.000Z',
      '1970-01-01T00:00:01.000Z',
    ]);
  });

  test.each(['id', 'status', 'tool', 'key', 'address', 'session', 'upstream', 'error'] as const)(
    'a hostile %s stays in its line and its field',
    (name) => {
      for (const value of [
        '\n{"forged":1}\n',
        '","forged":"1',
        '\\',
        '\u009b2J',
        '\u2028',
        '\ud800',
        'é😀',
        '__proto__',
        '',
      ]) {
        const line = renderAuditLine({ ...entry, [name]: value });
        expect(line.indexOf('\n')).toBe(line.length - 1);
        expect(line).not.toMatch(/[\x7f-\x9f\u2028]/);
        expect(JSON.parse(line)).toMatchObject({ [name]: value });
        expect(JSON.parse(line)).not.toHaveProperty('forged');
      }
    },
  );

  test('numbers that JSON has not are null, and long values are cut', () => {
    const line = renderAuditLine({
      ...entry,
      durationSeconds: Number.NaN,
      bytesOut: Number.POSITIVE_INFINITY,
      tool: 't'.repeat(100_000),
      error: 'e'.repeat(100_000),
    });
    expect(JSON.parse(line)).toMatchObject({ duration_seconds: null, bytes_out: null });
    expect(line.length).toBeLessThan(2_000);
  });

  test('an error that quotes a key is written without it', () => {
    const line = renderAuditLine({
      ...entry,
      error: 'upstream said 401 to Bearer canary1 and x-api-key: canary2, mcpd_canary3',
    });
    expect(line).toContain('upstream said 401');
    expect(line).not.toContain('canary');
  });
});

describe('the file', () => {
  test('has every line in order, soon, and again after a pause', async () => {
    const writer = open();
    for (const id of numbers(0, 10_000)) writer.write({ ...entry, id });
    await becomes(() => countLinesIn(file) === 10_000);
    writer.write({ ...entry, id: 10_000 });
    await becomes(() => countLinesIn(file) === 10_001);
    expect(idsIn(file)).toEqual(numbers(0, 10_001));
    expect(writer.dropped).toBe(0);
  });

  test('close writes what is left, whether a write is under way or not, and twice is once', async () => {
    const writer = open();
    for (const id of numbers(0, 5_000)) writer.write({ ...entry, id });
    await new Promise((resolve) => setImmediate(resolve));
    for (const id of numbers(5_000, 10_000)) writer.write({ ...entry, id });
    await Promise.all([writer.close(), writer.close()]);
    expect(idsIn(file)).toEqual(numbers(0, 10_000));
  });

  test('lines after close are counted as dropped', async () => {
    const writer = open();
    await writer.close();
    writer.write(entry);
    expect(writer.dropped).toBe(1);
    expect(idsIn(file)).toEqual([]);
  });

  test('what was there before stays, and a torn last line gets an end of its own', async () => {
    writeFileSync(file, '{"id":1}\n{"id":2,"to');
    const writer = open();
    writer.write({ ...entry, id: 3 });
    await writer.close();
    const lines = readFileSync(file, 'utf8').split('\n');
    expect(lines.slice(0, 2)).toEqual(['{"id":1}', '{"id":2,"to']);
    expect(JSON.parse(lines[2] ?? '')).toMatchObject({ id: 3 });
    expect(lines).toHaveLength(4);
  });

  test('is not for everybody to read', () => {
    open();
    expect(statSync(file).mode & 0o007).toBe(0);
  });

  test('that cannot be opened is an error that names it', () => {
    expect(() => createAuditWriter({ file: join(folder, 'no', 'audit.log'), log })).toThrow(EnvironmentError);
    expect(() => createAuditWriter({ file: folder, log })).toThrow(folder);
  });
});

describe('rotation', () => {
  test('rename and reopen under load lose no line, repeat none and keep the order', async () => {
    const writer = open();
    let next = 0;
    const files: string[] = [];
    for (let round = 0; round < 5; round += 1) {
      for (let turn = 0; turn < 20; turn += 1) {
        for (let count = 0; count < 50; count += 1) writer.write({ ...entry, id: next++ });
        if (turn === 10) {
          const rotated = `${file}.${round}`;
          renameSync(file, rotated);
          files.push(rotated);
          void writer.reopen();
        }
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    await writer.close();
    expect([...files, file].flatMap(idsIn)).toEqual(numbers(0, next));
    expect(existsSync(file)).toBe(true);
  });

  test('reopening where nothing was rotated changes nothing, also behind a torn line', async () => {
    const writer = open();
    writer.write({ ...entry, id: 0 });
    await becomes(() => countLinesIn(file) === 1);
    appendFileSync(file, '{"torn');
    await writer.reopen();
    writer.write({ ...entry, id: 1 });
    await writer.close();
    expect(readFileSync(file, 'utf8').split('\n')[1]).toBe('{"torn');
    expect(readFileSync(file, 'utf8').split('\n')[2]).toContain('"id":1');
  });

  test('a reopen that fails is logged and lines go on into the old file', async () => {
    const inner = join(folder, 'inner');
    mkdirSync(inner);
    const writer = open(join(inner, 'audit.log'));
    writer.write({ ...entry, id: 0 });
    renameSync(inner, join(folder, 'moved'));
    await writer.reopen();
    writer.write({ ...entry, id: 1 });
    await writer.close();
    expect(idsIn(join(folder, 'moved', 'audit.log'))).toEqual([0, 1]);
    expect(logged.join('')).toContain('audit.reopen-failed');
  });
});

test.runIf(existsSync('/dev/full'))(
  'a full disk costs lines, which are counted, and one loud log line, nothing else',
  async () => {
    const writer = open('/dev/full');
    for (const id of numbers(0, 100)) writer.write({ ...entry, id });
    await becomes(() => writer.dropped === 100);
    for (const id of numbers(0, 100)) writer.write({ ...entry, id });
    await writer.close();
    expect(writer.dropped).toBe(200);
    expect(logged.filter((line) => line.includes('audit.dropping'))).toHaveLength(1);
    expect(logged[0]).toContain('ENOSPC');
  },
);

/** A program that uses the writer, for what only a process of its own can show. */
function buildProgram(body: string): string {
  const program = join(folder, 'writer.mjs');
  const source = (name: string) =>
    JSON.stringify(new URL(`../../src/server/observe/${name}`, import.meta.url).pathname);
  buildSync({
    stdin: {
      contents: `import { renameSync } from 'node:fs';
        import { createAuditWriter } from ${source('audit.ts')};
        import { createLog } from ${source('log.ts')};
        const file = ${JSON.stringify(file)};
        const writer = createAuditWriter({ file, log: createLog({ level: 'error' }) });
        const entry = ${JSON.stringify(entry)};
        let id = 0;
        ${body}`,
      resolveDir: folder,
    },
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile: program,
  });
  return program;
}

test('a write that the system takes only a part of tears one line, and written and dropped lines add up', () => {
  // A limit on the file size cuts a write in the middle just as the last free block of a disk does.
  const program = buildProgram(`
    for (; id < 500; id += 1) writer.write({ ...entry, id });
    const end = Date.now() + 5_000;
    while (writer.dropped === 0 && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 5));
    const droppedFirst = writer.dropped;
    renameSync(file, file + '.1');
    await writer.reopen();
    for (; id < 520; id += 1) writer.write({ ...entry, id });
    await writer.close();
    console.log(JSON.stringify({ droppedFirst, dropped: writer.dropped }));`);
  const ran = spawnSync('/bin/sh', ['-c', 'ulimit -f 50; exec "$0" "$1"', process.execPath, program], {
    encoding: 'utf8',
  });
  const { droppedFirst, dropped } = JSON.parse(ran.stdout) as { droppedFirst: number; dropped: number };
  const lines = readFileSync(`${file}.1`, 'utf8').split('\n');
  const torn = lines.pop() ?? '';
  expect(torn).not.toBe('');
  expect(lines.map((line) => (JSON.parse(line) as { id: number }).id)).toEqual(numbers(0, 500 - droppedFirst));
  expect(dropped).toBe(droppedFirst);
  expect(idsIn(file)).toEqual(numbers(500, 520));
  expect(ran.stderr).toContain('EFBIG');
});

test('after a SIGKILL the file has every line that was written 100 ms before it', async () => {
  const program = buildProgram(`
    setInterval(() => {
      for (let count = 0; count < 20; count += 1) writer.write({ ...entry, id: id++ });
      process.stdout.write(id + ' ' + Date.now() + '\\n');
    }, 5);`);
  const child = spawn(process.execPath, [program], { stdio: ['ignore', 'pipe', 'inherit'] });
  let told = '';
  child.stdout.on('data', (chunk: Buffer) => (told += chunk.toString()));
  await becomes(() => told.split('\n').length > 100, 20_000);
  const killed = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await killed;
  const reports = told
    .trimEnd()
    .split('\n')
    .map((line) => line.split(' ').map(Number));
  const [, lastMs = 0] = reports.at(-1) ?? [];
  // Twice the interval: the clock of a busy machine may be late by as much.
  const [safe = 0] = reports.findLast(([, atMs = 0]) => atMs <= lastMs - 200) ?? [];
  expect(safe).toBeGreaterThan(0);
  const whole = readFileSync(file, 'utf8').split('\n').slice(0, -1);
  const ids = whole.map((line) => (JSON.parse(line) as { id: number }).id);
  expect(ids).toEqual(numbers(0, ids.length));
  expect(ids.length).toBeGreaterThanOrEqual(safe);
});
