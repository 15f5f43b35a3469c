import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EnvironmentError } from '../../src/deployment/errors.ts';
import { Secret } from '../../src/deployment/secret.ts';
import { createLog, type LogFields } from '../../src/server/observe/log.ts';

function lineOf(fields: LogFields, event = 'test.event'): string {
  const lines: string[] = [];
  createLog({ level: 'debug', write: (line) => lines.push(line) }).info(event, fields);
  expect(lines).toHaveLength(1);
  return lines[0] ?? '';
}

function fieldsOf(fields: LogFields): Record<string, unknown> {
  return JSON.parse(lineOf(fields)) as Record<string, unknown>;
}

describe('a line', () => {
  test('is one JSON object with time, level, event and the fields, in this order, and a newline', () => {
    const line = lineOf({ upstream: 'files', restarts: 2, up: true, gone: null, absent: undefined, big: 12n });
    expect(line).toMatch(
      /^\{"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z","level":"info","event":"test\.event","upstream":"files","restarts":2,"up":true,"gone":null,"big":"12"\}\n$/,
    );
  });

  test.each([
    ['debug', ['debug', 'info', 'warn', 'error']],
    ['info', ['info', 'warn', 'error']],
    ['warn', ['warn', 'error']],
    ['error', ['error']],
  ] as const)('level %s lets %j through', (level, expected) => {
    const lines: string[] = [];
    const log = createLog({ level, write: (line) => lines.push(line) });
    log.debug('e');
    log.info('e');
    log.warn('e');
    log.error('e');
    expect(lines.map((line) => (JSON.parse(line) as { level: string }).level)).toEqual(expected);
  });

  test('a child adds its fields to every line, and the line may override them', () => {
    const lines: string[] = [];
    const log = createLog({ level: 'info', write: (line) => lines.push(line) })
      .child({ a: 1, b: 1 })
      .child({ b: 2 });
    log.warn('e', { c: 3 });
    log.warn('e', { a: 9 });
    expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
      { a: 1, b: 2, c: 3 },
      { a: 9, b: 2 },
    ]);
  });

  test('fields cannot take the place of time, level and event', () => {
    const line = lineOf({ time: 'x', level: 'error', event: 'y', __proto__x: 1, constructor: 'c' });
    expect(JSON.parse(line)).toMatchObject({
      level: 'info',
      event: 'test.event',
      level_: 'error',
      event_: 'y',
      time_: 'x',
    });
    expect(line.match(/"level":/g)).toHaveLength(1);
  });
});

describe('forged lines', () => {
  const forged = '\n{"time":"2026-01-01T00:00:00.000Z","level":"error","event":"forged"}\n';

  test.each([
    ['a value', { v: forged }],
    ['a name', { [forged]: 1 }],
    ['an item', { v: [forged] }],
    ['a nested name', { v: { [forged]: forged } }],
    ['an error', { error: Object.assign(new Error(forged), { code: forged }) }],
    ['the name of an error', { error: Object.assign(new Error('x'), { name: forged }) }],
  ])('%s with line breaks stays in its line', (_case, fields) => {
    expect(lineOf(fields).indexOf('\n')).toBe(lineOf(fields).length - 1);
    expect(fieldsOf(fields)['event']).toBe('test.event');
  });

  test('an event with line breaks stays in its line', () => {
    expect(lineOf({}, forged).match(/\n/g)).toHaveLength(1);
  });

  test('no control character, line separator or direction mark is written as it is', () => {
    let every = '';
    for (let code = 0; code < 0x100; code += 1) every += String.fromCharCode(code);
    every += '\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069\ufeff\ud800';
    const line = lineOf({ v: every, [every]: 1 });
    expect(line.slice(0, -1)).not.toMatch(
      /[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800]/,
    );
    expect((JSON.parse(line) as { v: string }).v).toBe(every);
  });
});

describe('secrets', () => {
  const canary = 'canary8f1d7c9b2a3e4f60';
  const key = `mcpd_${canary}AAAAAAAAAAAAAAAAAAAAA`;

  test.each<[string, LogFields]>([
    ['a key in a text', { v: `the key ${key} was sent` }],
    ['a key in an event field name', { [`k ${key}`]: 1 }],
    ['a key at the cut of a long text', { v: `${'x'.repeat(2_030)}${key}` }],
    ['a URL with a password across the last cut', { v: `${'x'.repeat(2_018)} https://me:${canary}@example.com/` }],
    ['a key across the first cut', { v: `${'x'.repeat(4_080)}${key}` }],
    ['Bearer', { v: `Authorization: Bearer ${canary}` }],
    ['Bearer twice', { v: `Bearer Bearer ${canary}` }],
    ['bearer with a tab', { v: `bearer\t${canary}` }],
    ['Basic', { v: `Basic ${canary}` }],
    ['a header in JSON text', { v: `{"x-api-key": "${canary}"}` }],
    ['a header as curl writes it', { v: `x-api-key: ${canary}` }],
    ['an environment text', { v: `MCP_API_KEY=${canary} npx` }],
    ['a query', { v: `GET /mcp?token=${canary}&x=1` }],
    ['a query with another name', { v: `GET /mcp?x=1&api_key=${canary}` }],
    ['a URL with a password', { v: `https://me:${canary}@example.com/` }],
    ['a private key', { v: `-----BEGIN EC PRIVATE KEY-----\n${canary}\n-----END EC PRIVATE KEY-----` }],
    ['a private key cut off', { v: `-----BEGIN PRIVATE KEY-----\n${canary}` }],
    ['a GitHub token', { v: `ghp_${canary}` }],
    ['headers', { headers: { authorization: canary, 'x-api-key': canary, 'X-API-Key': [canary], cookie: canary } }],
    ['fields by name', { key: canary, token: canary, password: canary, secret: canary, apiKey: canary }],
    ['deeper fields by name', { a: { b: { client_secret: canary, access_token: canary, 'private-key': canary } } }],
    ['an object under a secret name', { secret: { v: canary } }],
    ['a Secret', { v: new Secret(canary), list: [new Secret(canary)] }],
    ['an error', { error: new Error(`401 for Bearer ${canary}`, { cause: new Error(`token: ${canary}`) }) }],
    [
      'an error with a secret',
      { error: new EnvironmentError('x', { why: `key ${key}`, next: `curl -H 'x-api-key: ${canary}'` }) },
    ],
    ['bytes', { v: Buffer.from(canary), w: new TextEncoder().encode(canary) }],
  ])('%s is not written', (_case, fields) => {
    expect(lineOf(fields)).not.toContain('canary');
    expect(lineOf(fields)).toContain(_case === 'bytes' ? 'bytes]' : _case.includes('first cut') ? '…' : '[secret]');
  });

  test('what only looks similar is written', () => {
    const fields = { keyId: 'k-0123abcd', keyLabel: 'laptop', keys: 3, monkey: 'x', tokens: 5, text: 'the bearer' };
    expect(fieldsOf(fields)).toMatchObject(fields);
  });
});

describe('bounds', () => {
  test('a text ends after 2 kB with a mark', () => {
    const { v } = fieldsOf({ v: 'x'.repeat(5_000_000) });
    expect(v).toBe(`${'x'.repeat(2_048)}…`);
  });

  test('a line ends after about 16 kB, whatever goes in', () => {
    const wide = Object.fromEntries(Array.from({ length: 1_000 }, (_, index) => [`f${index}`, 'y'.repeat(2_000)]));
    expect(lineOf(wide).length).toBeLessThan(20_000);
    expect(lineOf({ wide }).length).toBeLessThan(20_000);
    expect(
      lineOf({ v: Array.from({ length: 1_000 }, () => Array.from({ length: 1_000 }, () => 'z'.repeat(100))) }).length,
    ).toBeLessThan(60_000);
    expect(JSON.parse(lineOf(wide))).toMatchObject({ cut: true });
  });

  test('depth ends after four levels, and a circle ends too', () => {
    const circle: Record<string, unknown> = {};
    circle['self'] = circle;
    expect(lineOf({ circle })).toContain('[cut]');
    expect(fieldsOf({ a: { b: { c: { d: { e: {} } } } } })).toMatchObject({ a: { b: { c: { d: { e: '[cut]' } } } } });
  });

  test('an error is flat: name, message, code, stack, cause; an expected one has its advice and no stack', () => {
    const error = Object.assign(new TypeError('bad', { cause: new Error('inner') }), { code: 'E1' });
    expect(fieldsOf({ error })).toMatchObject({
      error: {
        name: 'TypeError',
        message: 'bad',
        code: 'E1',
        stack: expect.stringContaining('observe-log'),
        cause: { message: 'inner' },
      },
    });
    const known = fieldsOf({ error: new EnvironmentError('no', { why: 'w', next: 'n' }) })['error'];
    expect(known).toEqual({ name: 'EnvironmentError', message: 'no', why: 'w', next: 'n' });
  });
});

describe('never throws', () => {
  const hostile = {
    get getter(): string {
      throw new Error('no');
    },
  };

  test.each<[string, LogFields]>([
    ['a getter that throws', { v: hostile }],
    [
      'a toJSON that throws',
      {
        v: {
          toJSON: () => {
            throw new Error('no');
          },
        },
      },
    ],
    [
      'a toJSON that returns itself',
      {
        v: {
          toJSON() {
            return this;
          },
        },
      },
    ],
    ['a date that is none', { v: new Date(Number.NaN) }],
    [
      'a revoked proxy',
      (() => {
        const { proxy, revoke } = Proxy.revocable({}, {});
        revoke();
        return { v: proxy };
      })(),
    ],
    ['no prototype', { v: Object.create(null) as object }],
    ['a function and a symbol', { v: () => 1, w: Symbol('x') }],
    ['not a number', { v: Number.NaN, w: Number.POSITIVE_INFINITY, x: -0 }],
  ])('%s still makes a line', (_case, fields) => {
    expect(JSON.parse(lineOf({ ...fields, after: 'yes' }))).toMatchObject({ event: 'test.event', after: 'yes' });
  });

  test('a line that cannot be written is dropped, and the next one says how many were', () => {
    const lines: string[] = [];
    let full = true;
    const log = createLog({
      level: 'info',
      write: (line) => {
        if (full) throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
        lines.push(line);
      },
    });
    log.info('one');
    log.info('two');
    full = false;
    log.info('three');
    log.info('four');
    expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([
      { event: 'three', droppedLines: 2 },
      { event: 'four' },
    ]);
    expect(lines[1]).not.toContain('dropped');
  });
});

describe('to standard error of a real process', () => {
  let folder: string;
  let program: string;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'mcp-deploy-log-'));
    program = join(folder, 'log.mjs');
    const source = new URL('../../src/server/observe/log.ts', import.meta.url).pathname;
    buildSync({
      stdin: {
        contents: `import { createLog } from ${JSON.stringify(source)};
          const log = createLog({ level: 'info' });
          for (let i = 0; i < 1000; i += 1) log.info('line', { i, text: 'x'.repeat(100) });
          console.log('alive');`,
        resolveDir: folder,
      },
      bundle: true,
      platform: 'node',
      format: 'esm',
      outfile: program,
    });
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test('every line arrives whole', () => {
    const path = join(folder, 'out.log');
    const descriptor = openSync(path, 'w');
    const ran = spawnSync(process.execPath, [program], { stdio: ['ignore', 'pipe', descriptor], encoding: 'utf8' });
    closeSync(descriptor);
    expect(ran.stdout).toBe('alive\n');
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { i: number }).i)).toEqual([...lines.keys()]);
    expect(lines).toHaveLength(1_000);
  });

  test('a closed standard error takes nothing down', () => {
    const ran = spawnSync('/bin/sh', ['-c', 'exec "$0" "$1" 2>&-', process.execPath, program], { encoding: 'utf8' });
    expect([ran.stdout, ran.status]).toEqual(['alive\n', 0]);
  });

  test('a reader that goes away takes nothing down', () => {
    const script = '{ "$0" "$1" 2>&1 1>&3 | head -c 10 >/dev/null; } 3>&1';
    const ran = spawnSync('/bin/sh', ['-c', script, process.execPath, program], { encoding: 'utf8' });
    expect(ran.stdout).toBe('alive\n');
  });

  test.runIf(process.platform === 'linux')('a full disk takes nothing down', () => {
    const ran = spawnSync('/bin/sh', ['-c', 'exec "$0" "$1" 2>/dev/full', process.execPath, program], {
      encoding: 'utf8',
    });
    expect([ran.stdout, ran.status]).toEqual(['alive\n', 0]);
  });
});
