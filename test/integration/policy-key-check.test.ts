import { mkdtempSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EnvironmentError, UserError } from '../../src/deployment/errors.ts';
import { createLog } from '../../src/server/observe/log.ts';
import { createKeyCheck, type KeyCheck } from '../../src/server/policy/key-check.ts';
import { createKeyIn, revokeKeyIn, rotateKeyIn } from '../../src/server/policy/key-store.ts';
import type { KeyDecision } from '../../src/server/types.ts';

const address = '192.0.2.1';
const created = new Date().toISOString();

let folder: string;
let file: string;
let logged: string[];
const opened: KeyCheck[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mcp-deploy-keys-'));
  file = join(folder, 'keys.json');
  logged = [];
});

afterEach(() => {
  for (const check of opened.splice(0)) check.close();
  rmSync(folder, { recursive: true, force: true });
});

function open(options: Partial<Parameters<typeof createKeyCheck>[0]> = {}): KeyCheck {
  const log = createLog({ level: 'debug', write: (line) => logged.push(line) });
  const check = createKeyCheck({ storeFile: file, extraKeys: [], log, ...options });
  opened.push(check);
  return check;
}

/** As the CLI does it: a new file beside it, then a rename over it. */
function replaceFile(text: string): void {
  writeFileSync(`${file}.new`, text, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

/** Waits until the fact holds; a key file must be noticed within a second. */
async function becomes(fact: () => boolean, withinMs = 1_000): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!fact()) {
    if (performance.now() > deadline) throw new Error(`not so within ${withinMs} ms; log:\n${logged.join('')}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function eventsNamed(name: string): string[] {
  return logged.filter((line) => (JSON.parse(line) as { event: string }).event === name);
}

function reasonOf(decision: KeyDecision): string {
  return decision.allowed ? 'allowed' : decision.reason;
}

describe('who gets in', () => {
  test('a key of the file by Bearer and by x-api-key, with its id and label', () => {
    const { storeText, key, record } = createKeyIn(null, { label: 'laptop', now: created });
    writeFileSync(file, storeText);
    const check = open();
    for (let round = 0; round < 3; round += 1) {
      expect(check.check(`Bearer ${key}`, undefined, address)).toEqual({
        allowed: true,
        keyId: record.id,
        label: 'laptop',
        tier: null,
        access: null,
      });
      expect(check.check(undefined, key, address)).toMatchObject({ allowed: true, keyId: record.id });
      expect(check.check(`bearer ${key}`, key, address)).toMatchObject({ allowed: true, keyId: record.id });
    }
  });

  test('a remembered header costs no new object per call', () => {
    const { storeText, key } = createKeyIn(null, { label: 'laptop', now: created });
    writeFileSync(file, storeText);
    const check = open();
    expect(check.check(`Bearer ${key}`, undefined, address)).toBe(check.check(`Bearer ${key}`, undefined, address));
  });

  test('keys from outside beside those of the file, each with an id of its own', () => {
    const { storeText, key } = createKeyIn(null, { label: 'laptop', now: created });
    writeFileSync(file, storeText);
    const check = open({
      extraKeys: [
        { label: 'env', key: '5f1d7c9b2a3e4f60' },
        { label: 'env', key: '6a1d7c9b2a3e4f61' },
      ],
    });
    expect(check.check('Bearer 5f1d7c9b2a3e4f60', undefined, address)).toMatchObject({
      keyId: 'extra:env',
      label: 'env',
    });
    expect(check.check(undefined, '6a1d7c9b2a3e4f61', address)).toMatchObject({ keyId: 'extra:env#2', label: 'env' });
    expect(check.check(undefined, key, address).allowed).toBe(true);
  });

  test('without a file the keys from outside are enough', () => {
    const check = open({ storeFile: null, extraKeys: [{ label: 'env', key: '5f1d7c9b2a3e4f60' }] });
    expect(check.check(undefined, '5f1d7c9b2a3e4f60', address).allowed).toBe(true);
    expect(check.reload()).toBe(true);
  });

  test('both keys of a rotation, until the overlap is over', () => {
    let nowMs = Date.parse(created);
    const old = createKeyIn(null, { label: 'laptop', now: created });
    const next = rotateKeyIn(old.storeText, { label: 'laptop', overlapSeconds: 60, now: created });
    writeFileSync(file, next.storeText);
    const check = open({ now: () => nowMs });
    expect(check.check(undefined, old.key, address).allowed).toBe(true);
    expect(check.check(undefined, next.key, address).allowed).toBe(true);
    nowMs += 60_000;
    expect(reasonOf(check.check(undefined, old.key, address))).toBe('expired');
    expect(check.check(undefined, next.key, address).allowed).toBe(true);
  });

  test('keys of every salt of the file, and what it says of each', () => {
    let nowMs = Date.parse(created);
    const old = createKeyIn(null, { label: 'laptop', now: created });
    const other = createKeyIn(old.storeText, { label: 'ci', now: created });
    const next = rotateKeyIn(other.storeText, { label: 'laptop', overlapSeconds: 60, now: created, newSalt: true });
    const third = createKeyIn(next.storeText, { label: 'desk', now: created, newSalt: true });
    writeFileSync(file, revokeKeyIn(third.storeText, { labelOrId: 'ci', now: created }).storeText);
    const check = open({
      now: () => nowMs,
      extraKeys: [
        { label: 'env', key: '5f1d7c9b2a3e4f60' },
        { label: 'same', key: other.key },
      ],
    });
    for (const key of [old.key, next.key, third.key, '5f1d7c9b2a3e4f60']) {
      expect(check.check(undefined, key, address).allowed).toBe(true);
      expect(check.check(undefined, key, address)).toBe(check.check(undefined, key, address));
    }
    // Revoked under the oldest salt, and still in the environment.
    expect(reasonOf(check.check(undefined, other.key, address))).toBe('revoked');
    expect(reasonOf(check.check(undefined, 'mcpd_unknown', address))).toBe('invalid');
    nowMs += 60_000;
    expect(reasonOf(check.check(undefined, old.key, address))).toBe('expired');
    expect(check.check(undefined, next.key, address).allowed).toBe(true);
  });
});

describe('who does not', () => {
  test.each<[string, string | undefined, string | undefined, string]>([
    ['no key', undefined, undefined, 'missing'],
    ['a wrong key', 'Bearer nope', undefined, 'invalid'],
    ['a wrong x-api-key', undefined, 'nope', 'invalid'],
    ['the empty key', 'Bearer ', undefined, 'invalid'],
    ['a name of Object.prototype', undefined, '__proto__', 'invalid'],
    ['a very long key', undefined, 'x'.repeat(100_000), 'invalid'],
  ])('%s is refused with a sentence', (_case, authorization, xApiKey, reason) => {
    writeFileSync(file, createKeyIn(null, { label: 'a', now: created }).storeText);
    const decision = open().check(authorization, xApiKey, address);
    expect(decision).toMatchObject({ allowed: false, reason, detail: expect.stringMatching(/^[A-Z].*\.$/) });
  });

  test('the hash of a key and its id are no keys', () => {
    const { storeText, record } = createKeyIn(null, { label: 'a', now: created });
    writeFileSync(file, storeText);
    const check = open();
    expect(reasonOf(check.check(undefined, record.hash, address))).toBe('invalid');
    expect(reasonOf(check.check(undefined, record.id, address))).toBe('invalid');
  });

  test('a key that the file revokes is refused even when it also comes from outside', () => {
    const { storeText, key } = createKeyIn(null, { label: 'a', now: created });
    writeFileSync(file, revokeKeyIn(storeText, { labelOrId: 'a', now: created }).storeText);
    const check = open({ extraKeys: [{ label: 'env', key }] });
    expect(reasonOf(check.check(undefined, key, address))).toBe('revoked');
  });
});

describe('guessing', () => {
  test('after ten wrong keys an address is told to wait, ever longer, and a good key from there still works', () => {
    const { storeText, key } = createKeyIn(null, { label: 'a', now: created });
    writeFileSync(file, storeText);
    const check = open();
    for (let index = 0; index < 10; index += 1) {
      expect(reasonOf(check.check(`Bearer guess-${index}`, undefined, address))).toBe('invalid');
    }
    expect(check.check('Bearer guess', undefined, address)).toMatchObject({
      reason: 'backed-off',
      retryAfterSeconds: 1,
    });
    expect(check.check('Bearer guess', undefined, address)).toMatchObject({
      reason: 'backed-off',
      retryAfterSeconds: 2,
    });
    expect(check.check(`Bearer ${key}`, undefined, address).allowed).toBe(true);
    expect(check.check('Bearer guess', undefined, address)).toMatchObject({
      reason: 'backed-off',
      retryAfterSeconds: 4,
    });
    expect(reasonOf(check.check('Bearer guess', undefined, '192.0.2.2'))).toBe('invalid');
  });

  test('loopback is no exception', () => {
    writeFileSync(file, createKeyIn(null, { label: 'a', now: created }).storeText);
    const check = open();
    for (let index = 0; index < 10; index += 1) check.check('Bearer guess', undefined, '127.0.0.1');
    expect(reasonOf(check.check('Bearer guess', undefined, '127.0.0.1'))).toBe('backed-off');
  });

  test('a missing, a revoked and an expired key are no guesses', () => {
    let nowMs = Date.parse(created);
    const expiresAt = new Date(nowMs + 1_000).toISOString();
    const short = createKeyIn(null, { label: 'short', now: created, expiresAt });
    const gone = createKeyIn(short.storeText, { label: 'gone', now: created });
    writeFileSync(file, revokeKeyIn(gone.storeText, { labelOrId: 'gone', now: created }).storeText);
    const check = open({ now: () => nowMs });
    nowMs += 1_000;
    for (let index = 0; index < 50; index += 1) {
      expect(reasonOf(check.check(undefined, undefined, address))).toBe('missing');
      expect(reasonOf(check.check(undefined, short.key, address))).toBe('expired');
      expect(reasonOf(check.check(undefined, gone.key, address))).toBe('revoked');
    }
    expect(reasonOf(check.check(undefined, 'guess', address))).toBe('invalid');
  });

  test('10,000 guessing addresses and 20,000 header texts leave the good key working', () => {
    const { storeText, key } = createKeyIn(null, { label: 'a', now: created });
    writeFileSync(file, storeText);
    const check = open();
    for (let index = 0; index < 10_000; index += 1) {
      check.check(`Bearer guess-${index}`, undefined, `10.0.${index >> 8}.${index & 255}`);
    }
    for (let index = 0; index < 20_000; index += 1) {
      const spaces = ' '.repeat(1 + (index % 5_000));
      expect(check.check(`Bearer${spaces}${key}`, undefined, address).allowed).toBe(true);
    }
  });
});

describe('a key file that changes', () => {
  test('a revoked key is refused within a second, its id is told once, the other key never notices', async () => {
    const first = createKeyIn(null, { label: 'a', now: created });
    const both = createKeyIn(first.storeText, { label: 'b', now: created });
    writeFileSync(file, both.storeText);
    const check = open();
    const told: string[] = [];
    check.onRevoked((keyId) => told.push(keyId));
    expect(check.check(`Bearer ${first.key}`, undefined, address).allowed).toBe(true);
    replaceFile(revokeKeyIn(both.storeText, { labelOrId: 'a', now: created }).storeText);
    await becomes(() => {
      expect(check.check(undefined, both.key, address).allowed).toBe(true);
      return reasonOf(check.check(`Bearer ${first.key}`, undefined, address)) === 'revoked';
    });
    expect(told).toEqual([first.record.id]);
    expect(eventsNamed('keys.reloaded')).toHaveLength(1);
  });

  test('changes by rename, one after the other, and by writing in place are all seen', async () => {
    let text = createKeyIn(null, { label: 'k0', now: created }).storeText;
    writeFileSync(file, text);
    const check = open();
    for (let index = 1; index <= 4; index += 1) {
      const made = createKeyIn(text, { label: `k${index}`, now: created });
      text = made.storeText;
      if (index % 2 === 0) replaceFile(text);
      else writeFileSync(file, text);
      await becomes(() => check.check(undefined, made.key, address).allowed);
    }
  });

  test('a second change right behind the first, of the same length, is seen', async () => {
    const first = createKeyIn(null, { label: 'a', now: created });
    writeFileSync(file, first.storeText);
    const check = open();
    for (let round = 0; round < 3; round += 1) {
      const one = createKeyIn(null, { label: 'a', now: created });
      const two = createKeyIn(null, { label: 'a', now: created });
      writeFileSync(file, one.storeText);
      await becomes(() => check.check(undefined, one.key, address).allowed);
      writeFileSync(file, two.storeText);
      await becomes(() => check.check(undefined, two.key, address).allowed);
      expect(check.check(undefined, one.key, address).allowed).toBe(false);
    }
  });

  test('a half-written file keeps the old keys, is complained about once, and the whole one is taken', async () => {
    const first = createKeyIn(null, { label: 'a', now: created });
    const second = createKeyIn(first.storeText, { label: 'b', now: created });
    writeFileSync(file, first.storeText);
    const check = open();
    writeFileSync(file, second.storeText);
    truncateSync(file, 200);
    await becomes(() => eventsNamed('keys.broken').length > 0);
    expect(check.check(undefined, first.key, address).allowed).toBe(true);
    expect(check.reload()).toBe(false);
    expect(check.reload()).toBe(false);
    expect(eventsNamed('keys.broken')).toHaveLength(1);
    expect(eventsNamed('keys.broken')[0]).toContain('"level":"error"');
    writeFileSync(file, second.storeText);
    await becomes(() => check.check(undefined, second.key, address).allowed);
  });

  test('a removed file keeps the keys, is complained about once, and is read when it is back', async () => {
    const first = createKeyIn(null, { label: 'a', now: created });
    writeFileSync(file, first.storeText);
    const check = open();
    rmSync(file);
    await becomes(() => eventsNamed('keys.unreadable').length > 0);
    expect(check.check(undefined, first.key, address).allowed).toBe(true);
    expect(check.reload()).toBe(false);
    expect(eventsNamed('keys.unreadable')).toHaveLength(1);
    const second = createKeyIn(first.storeText, { label: 'b', now: created });
    replaceFile(second.storeText);
    await becomes(() => check.check(undefined, second.key, address).allowed);
  });

  test('a key that is no longer in the file is refused and told', async () => {
    const first = createKeyIn(null, { label: 'a', now: created });
    writeFileSync(file, first.storeText);
    const check = open();
    const told: string[] = [];
    check.onRevoked((keyId) => told.push(keyId));
    check.check(undefined, first.key, address);
    replaceFile(createKeyIn(null, { label: 'a', now: created }).storeText);
    await becomes(() => reasonOf(check.check(undefined, first.key, address)) === 'invalid');
    expect(told).toEqual([first.record.id]);
  });

  test('a key that expires is told, so that its streams can be closed', async () => {
    let nowMs = Date.parse(created);
    const expiresAt = new Date(nowMs + 60_000).toISOString();
    const { storeText, record } = createKeyIn(null, { label: 'a', now: created, expiresAt });
    writeFileSync(file, storeText);
    const check = open({ now: () => nowMs });
    const told: string[] = [];
    check.onRevoked((keyId) => told.push(keyId));
    nowMs += 60_000;
    await becomes(() => told.length > 0);
    expect(told).toEqual([record.id]);
  });

  test('reload reads at once', () => {
    const first = createKeyIn(null, { label: 'a', now: created });
    writeFileSync(file, first.storeText);
    const check = open();
    const second = createKeyIn(first.storeText, { label: 'b', now: created });
    replaceFile(second.storeText);
    expect(check.reload()).toBe(true);
    expect(check.check(undefined, second.key, address).allowed).toBe(true);
  });

  test('keys from outside survive a new file with another salt', () => {
    writeFileSync(file, createKeyIn(null, { label: 'a', now: created }).storeText);
    const check = open({ extraKeys: [{ label: 'env', key: '5f1d7c9b2a3e4f60' }] });
    const told: string[] = [];
    check.onRevoked((keyId) => told.push(keyId));
    replaceFile(createKeyIn(null, { label: 'a', now: created }).storeText);
    expect(check.reload()).toBe(true);
    expect(check.check(undefined, '5f1d7c9b2a3e4f60', address).allowed).toBe(true);
    expect(told).not.toContain('extra:env');
  });
});

describe('at the start', () => {
  test('a missing file is an error that names it', () => {
    expect(() => open()).toThrow(EnvironmentError);
    expect(() => open()).toThrow(file);
  });

  test('a broken file is an error that names it', () => {
    writeFileSync(file, '{"version":1');
    expect(() => open()).toThrow(UserError);
    expect(() => open()).toThrow(file);
  });

  test.each(['', 'a b', 'key\n', 'Bearer x', '"quoted"'])(
    'the outside key %j, which no client can send, is an error',
    (key) => {
      expect(() => open({ storeFile: null, extraKeys: [{ label: 'MCP_API_KEY', key }] })).toThrow(UserError);
    },
  );
});

test('nothing that was logged or answered holds a key', async () => {
  const first = createKeyIn(null, { label: 'a', now: created });
  writeFileSync(file, first.storeText);
  const check = open({ extraKeys: [{ label: 'env', key: 'canary-5f1d7c9b2a3e4f60' }] });
  const answers = [
    check.check(`Bearer ${first.key}`, undefined, address),
    check.check(`Bearer Bearer ${first.key}`, undefined, address),
    check.check(first.key, undefined, address),
    check.check(undefined, `${first.key}\n`, address),
    check.check(`Bearer ${first.key}`, 'canary-5f1d7c9b2a3e4f60', address),
    check.check('Bearer canary-wrong', undefined, address),
  ];
  writeFileSync(file, `{"version":1,"keys":["${first.key}`);
  await becomes(() => eventsNamed('keys.broken').length > 0);
  replaceFile(revokeKeyIn(first.storeText, { labelOrId: 'a', now: created }).storeText);
  await becomes(() => eventsNamed('keys.refused-from-now').length > 0);
  const all = JSON.stringify(answers) + logged.join('');
  expect(all).not.toContain(first.key);
  expect(all).not.toContain(first.key.slice(5, 20));
  expect(all).not.toContain('canary');
});
