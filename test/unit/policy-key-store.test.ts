import { describe, expect, test } from 'vitest';
import { UserError } from '../../src/deployment/errors.ts';
import {
  createKeyIn,
  hashKey,
  listKeysIn,
  parseKeyStore,
  revokeKeyIn,
  rotateKeyIn,
  saltsOf,
} from '../../src/server/policy/key-store.ts';
import { mostSalts } from '../../src/server/policy/key-file-format.ts';

const day1 = '2026-03-01T00:00:00Z';
const day2 = '2026-03-02T00:00:00Z';
const day9 = '2026-03-09T00:00:00Z';

function refusal(run: () => unknown): UserError {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    return error as UserError;
  }
  throw new Error('nothing was refused');
}

function statesOf(storeText: string, now: string): string[] {
  return listKeysIn(storeText, now).map((entry) => `${entry.label} ${entry.state}`);
}

describe('making a key', () => {
  test('a key is mcpd_ and 32 random bytes, and the store holds its salted hash and not the key', () => {
    const { key, record, storeText } = createKeyIn(null, { label: 'laptop', now: day1 });
    expect(key).toMatch(/^mcpd_[A-Za-z0-9_-]{43}$/);
    expect(storeText).not.toContain(key);
    expect(storeText).not.toContain(key.slice(5));
    const store = parseKeyStore(storeText);
    expect(store.keys).toEqual([record]);
    expect(record.hash).toBe(hashKey(store.salt, key));
    expect(record.createdAt).toBe('2026-03-01T00:00:00.000Z');
  });

  test('every store has its own salt and every key its own bytes', () => {
    const first = createKeyIn(null, { label: 'a', now: day1 });
    const second = createKeyIn(null, { label: 'a', now: day1 });
    expect(first.key).not.toBe(second.key);
    expect(parseKeyStore(first.storeText).salt).not.toBe(parseKeyStore(second.storeText).salt);
  });

  test('the text is indented by two and ends in a newline, and a second key only adds lines for itself', () => {
    const one = createKeyIn(null, { label: 'a', now: day1 });
    const two = createKeyIn(one.storeText, { label: 'b', now: day1 });
    expect(one.storeText).toMatch(/^\{\n {2}"version": 1,\n {2}"salt": "/);
    expect(one.storeText.endsWith('}\n')).toBe(true);
    const before = one.storeText.split('\n').slice(0, -4);
    expect(two.storeText.split('\n').slice(0, before.length)).toEqual(before);
  });

  test('the hash is HMAC-SHA-256 with the salt as its key', () => {
    // RFC 4231 test case 2, which uses the key "Jefe".
    expect(Buffer.from(hashKey('SmVmZQ==', 'what do ya want for nothing?'), 'base64url').toString('hex')).toBe(
      '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
    );
  });

  test.each(['a', 'Team A', 'x'.repeat(64), 'me@example.com', '__proto__', 'constructor', 'toString', '0'])(
    'the label %j is fine and found again',
    (label) => {
      const { storeText, record } = createKeyIn(null, { label, now: day1 });
      expect(listKeysIn(storeText, day1)).toMatchObject([{ label, state: 'active' }]);
      expect(revokeKeyIn(storeText, { labelOrId: label, now: day2 }).revoked).toMatchObject([{ id: record.id }]);
    },
  );

  test.each([
    '',
    ' ',
    '-',
    '--all',
    ' a',
    'a ',
    'a\nb',
    'a\tb',
    'é',
    'a/b',
    'a"b',
    'x'.repeat(65),
    'k-0123abcd',
    'a\u0000',
    '<b>',
  ])('the label %j is refused with an example', (label) => {
    const error = refusal(() => createKeyIn(null, { label, now: day1 }));
    expect(error.message).toContain('cannot be a label');
    expect(error.next).toContain('for example');
  });

  test('a label in use is refused with the command that replaces its key', () => {
    const { storeText } = createKeyIn(null, { label: 'team a', now: day1 });
    const error = refusal(() => createKeyIn(storeText, { label: 'team a', now: day2 }));
    expect(error.message).toBe('There is already a key with the label "team a"');
    expect(error.next).toContain("mcp-deploy keys rotate 'team a'");
  });

  test('the label of a revoked or expired key is free again', () => {
    const revoked = createKeyIn(null, { label: 'a', now: day1 });
    const gone = revokeKeyIn(revoked.storeText, { labelOrId: 'a', now: day1 }).storeText;
    expect(statesOf(createKeyIn(gone, { label: 'a', now: day2 }).storeText, day2)).toEqual(['a revoked', 'a active']);
    const short = createKeyIn(null, { label: 'a', now: day1, expiresAt: day2 }).storeText;
    expect(statesOf(createKeyIn(short, { label: 'a', now: day9 }).storeText, day9)).toEqual(['a expired', 'a active']);
  });

  test.each([day1, '2025-01-01T00:00:00Z', 'tomorrow', '2026-13-01T00:00:00Z', '5'])(
    'the expiry %j is refused',
    (expiresAt) => {
      refusal(() => createKeyIn(null, { label: 'a', now: day1, expiresAt }));
    },
  );

  test('an expiry with an offset is kept as the same moment', () => {
    const { record } = createKeyIn(null, { label: 'a', now: day1, expiresAt: '2026-03-02T02:00:00+02:00' });
    expect(record.expiresAt).toBe('2026-03-02T00:00:00.000Z');
  });
});

describe('rotating', () => {
  test('both keys are in the store until the overlap ends, and the new one says whom it replaces', () => {
    const old = createKeyIn(null, { label: 'a', now: day1 });
    const next = rotateKeyIn(old.storeText, { label: 'a', overlapSeconds: 86_400, now: day1 });
    expect(next.key).not.toBe(old.key);
    expect(next.oldExpiresAt).toBe('2026-03-02T00:00:00.000Z');
    expect(next.record.rotatedFrom).toBe(old.record.id);
    expect(next.record.expiresAt).toBeUndefined();
    expect(statesOf(next.storeText, '2026-03-01T23:59:59Z')).toEqual(['a rotating', 'a active']);
    expect(statesOf(next.storeText, day2)).toEqual(['a expired', 'a active']);
  });

  test('an overlap of 0 ends the old key, and one that is still rotating, at once', () => {
    const first = createKeyIn(null, { label: 'a', now: day1 }).storeText;
    const second = rotateKeyIn(first, { label: 'a', overlapSeconds: 1_000_000, now: day1 }).storeText;
    const third = rotateKeyIn(second, { label: 'a', overlapSeconds: 0, now: day2 });
    expect(statesOf(third.storeText, day2)).toEqual(['a expired', 'a expired', 'a active']);
    expect(third.oldExpiresAt).toBe('2026-03-02T00:00:00.000Z');
  });

  test('a second rotation does not lengthen the life of a key that is already on its way out', () => {
    const first = createKeyIn(null, { label: 'a', now: day1 }).storeText;
    const second = rotateKeyIn(first, { label: 'a', overlapSeconds: 86_400, now: day1 }).storeText;
    const third = rotateKeyIn(second, { label: 'a', overlapSeconds: 864_000, now: day1 }).storeText;
    expect(listKeysIn(third, day1).map((entry) => entry.expiresAt)).toEqual([
      '2026-03-02T00:00:00.000Z',
      '2026-03-11T00:00:00.000Z',
      undefined,
    ]);
  });

  test('a key that ends before the overlap keeps its own end, and its successor lives as long as it was made to', () => {
    const old = createKeyIn(null, { label: 'a', now: day1, expiresAt: day9 });
    const next = rotateKeyIn(old.storeText, { label: 'a', overlapSeconds: 30 * 86_400, now: day2 });
    expect(next.oldExpiresAt).toBe('2026-03-09T00:00:00.000Z');
    expect(next.record.expiresAt).toBe('2026-03-10T00:00:00.000Z');
    const again = rotateKeyIn(next.storeText, { label: 'a', overlapSeconds: 60, now: day2 });
    expect(again.record.expiresAt).toBe('2026-03-10T00:00:00.000Z');
  });

  test('when the newest key was revoked, the one that still works is replaced for its planned lifetime', () => {
    const old = createKeyIn(null, { label: 'a', now: day1 });
    const next = rotateKeyIn(old.storeText, { label: 'a', overlapSeconds: 864_000, now: day1 });
    const without = revokeKeyIn(next.storeText, { labelOrId: next.record.id, now: day1 }).storeText;
    const last = rotateKeyIn(without, { label: 'a', overlapSeconds: 60, now: day2 });
    expect(last.record).toMatchObject({ rotatedFrom: old.record.id });
    expect(last.record.expiresAt).toBeUndefined();
  });

  test('other labels are left alone', () => {
    const both = createKeyIn(createKeyIn(null, { label: 'a', now: day1 }).storeText, { label: 'b', now: day1 });
    const { storeText } = rotateKeyIn(both.storeText, { label: 'a', overlapSeconds: 0, now: day2 });
    expect(parseKeyStore(storeText).keys.find((record) => record.label === 'b')).toEqual(both.record);
  });

  test.each([-1, Number.NaN, Number.POSITIVE_INFINITY, 366 * 86_400])('an overlap of %d s is refused', (overlap) => {
    const { storeText } = createKeyIn(null, { label: 'a', now: day1 });
    refusal(() => rotateKeyIn(storeText, { label: 'a', overlapSeconds: overlap, now: day1 }));
  });

  test('a label without a working key is refused, with the labels that have one', () => {
    const { storeText } = createKeyIn(null, { label: 'laptop', now: day1 });
    const error = refusal(() => rotateKeyIn(storeText, { label: 'labtop', overlapSeconds: 0, now: day1 }));
    expect(error.why).toBe('Working keys: "laptop".');
    expect(error.next).toContain('mcp-deploy keys create labtop');
  });
});

describe('a new salt', () => {
  const both = createKeyIn(createKeyIn(null, { label: 'a', now: day1 }).storeText, { label: 'b', now: day1 });
  const before = parseKeyStore(both.storeText);
  const fresh = rotateKeyIn(both.storeText, { label: 'a', overlapSeconds: 60, now: day2, newSalt: true });
  const versionOf = (storeText: string): unknown => (JSON.parse(storeText) as { version: unknown }).version;

  test('new keys have it, and those that work keep hash and salt in a file that an older version refuses', () => {
    const store = parseKeyStore(fresh.storeText);
    expect(versionOf(fresh.storeText)).toBe(2);
    expect(saltsOf(store)).toEqual([store.salt, before.salt]);
    expect(store.keys.map(({ label, salt }) => [label, salt])).toEqual([
      ['a', before.salt],
      ['b', before.salt],
      ['a', undefined],
    ]);
    expect(store.keys.map(({ hash }) => hash)).toEqual([
      ...before.keys.map(({ hash }) => hash),
      hashKey(store.salt, fresh.key),
    ]);
    expect(fresh.storeText).not.toContain(fresh.key);
    expect(listKeysIn(fresh.storeText, day2).map(({ olderSalt }) => olderSalt)).toEqual([true, true, undefined]);
  });

  test('the next keys take it without being asked to', () => {
    const next = createKeyIn(fresh.storeText, { label: 'c', now: day2 });
    const { salt } = parseKeyStore(fresh.storeText);
    expect(parseKeyStore(next.storeText).salt).toBe(salt);
    expect(next.record.hash).toBe(hashKey(salt, next.key));
  });

  test('it comes with a key that is made, too', () => {
    const made = createKeyIn(both.storeText, { label: 'c', now: day2, newSalt: true });
    const store = parseKeyStore(made.storeText);
    expect(saltsOf(store)).toEqual([store.salt, before.salt]);
    expect(made.record.hash).toBe(hashKey(store.salt, made.key));
  });

  test('the old salt goes with its last key at the next change, and the file is of version 1 again', () => {
    const rotated = rotateKeyIn(fresh.storeText, { label: 'b', overlapSeconds: 0, now: day2 });
    // Key b ended in that change: until the next one the server can say so to whoever holds it.
    expect(statesOf(rotated.storeText, day9)).toEqual(['a expired', 'b expired', 'a active', 'b active']);
    const last = createKeyIn(rotated.storeText, { label: 'c', now: day9 });
    expect(statesOf(last.storeText, day9)).toEqual(['a active', 'b active', 'c active']);
    expect(last.storeText).not.toContain(before.salt);
    expect(versionOf(last.storeText)).toBe(1);
    expect(last.storeText.match(/"salt"/g)).toHaveLength(1);
  });

  test('a key of an older salt that is revoked is told so until the next change', () => {
    const revoked = revokeKeyIn(fresh.storeText, { labelOrId: 'b', now: day2 });
    expect(statesOf(revoked.storeText, day2)).toEqual(['a rotating', 'b revoked', 'a active']);
    const next = revokeKeyIn(revoked.storeText, { labelOrId: fresh.record.id, now: day9 });
    expect(statesOf(next.storeText, day9)).toEqual(['a revoked']);
  });

  test('without being asked the salt stays, and keys that are over stay in the list', () => {
    const ended = rotateKeyIn(both.storeText, { label: 'a', overlapSeconds: 0, now: day2 });
    const next = createKeyIn(ended.storeText, { label: 'c', now: day9 });
    expect(parseKeyStore(next.storeText)).toMatchObject({ salt: before.salt });
    expect(versionOf(next.storeText)).toBe(1);
    expect(statesOf(next.storeText, day9)).toEqual(['a expired', 'b active', 'a active', 'c active']);
  });

  test('the planned lifetime is that of a revoked newest key, although it is forgotten in the same change', () => {
    const next = revokeKeyIn(fresh.storeText, { labelOrId: fresh.record.id, now: day2 }).storeText;
    const last = rotateKeyIn(next, { label: 'a', overlapSeconds: 60, now: day2, newSalt: true });
    expect(last.record.expiresAt).toBeUndefined();
    expect(statesOf(last.storeText, day2)).toEqual(['a rotating', 'b active', 'a active']);
  });

  test('no more salts than a key may be hashed with, and it says which key to replace', () => {
    let text = createKeyIn(null, { label: 'key 1', now: day1 }).storeText;
    for (let count = 2; count <= mostSalts; count += 1) {
      text = createKeyIn(text, { label: `key ${count}`, now: day1, newSalt: true }).storeText;
    }
    expect(saltsOf(parseKeyStore(text))).toHaveLength(mostSalts);
    const error = refusal(() => createKeyIn(text, { label: 'one more', now: day1, newSalt: true }));
    expect(error.message).toBe('The keys have 8 different salts already');
    expect(error.next).toContain("mcp-deploy keys rotate 'key 1'");
    const room = rotateKeyIn(text, { label: 'key 1', overlapSeconds: 0, now: day1 }).storeText;
    expect(
      saltsOf(parseKeyStore(createKeyIn(room, { label: 'one more', now: day2, newSalt: true }).storeText)),
    ).toHaveLength(mostSalts);
  });
});

describe('revoking', () => {
  test('a label takes all its keys, an id only that one', () => {
    const old = createKeyIn(null, { label: 'a', now: day1 });
    const { storeText } = rotateKeyIn(old.storeText, { label: 'a', overlapSeconds: 864_000, now: day1 });
    expect(statesOf(revokeKeyIn(storeText, { labelOrId: 'a', now: day2 }).storeText, day2)).toEqual([
      'a revoked',
      'a revoked',
    ]);
    const byId = revokeKeyIn(storeText, { labelOrId: old.record.id, now: day2 });
    expect(byId.revoked).toMatchObject([{ id: old.record.id, revokedAt: '2026-03-02T00:00:00.000Z' }]);
    expect(statesOf(byId.storeText, day2)).toEqual(['a revoked', 'a active']);
  });

  test('revoking twice changes nothing and keeps the first time', () => {
    const { storeText } = createKeyIn(null, { label: 'a', now: day1 });
    const once = revokeKeyIn(storeText, { labelOrId: 'a', now: day2 });
    expect(revokeKeyIn(once.storeText, { labelOrId: 'a', now: day9 })).toEqual({
      storeText: once.storeText,
      revoked: [],
    });
  });

  test.each(['b', '', '__proto__', 'hasOwnProperty'])('an unknown label %j is refused', (labelOrId) => {
    const { storeText } = createKeyIn(null, { label: 'a', now: day1 });
    const error = refusal(() => revokeKeyIn(storeText, { labelOrId, now: day1 }));
    expect(error.why).toBe('Working keys: "a".');
    expect(error.next).toContain('mcp-deploy keys list');
  });
});

describe('listing', () => {
  test('age counts whole days and no entry holds a hash', () => {
    const { storeText, key } = createKeyIn(null, { label: 'a', now: day1, expiresAt: '2027-01-01T00:00:00Z' });
    const entries = listKeysIn(storeText, '2026-05-30T23:59:59Z');
    expect(entries).toMatchObject([{ label: 'a', ageDays: 90, state: 'active' }]);
    expect(Object.keys(entries[0] ?? {}).sort()).toEqual([
      'ageDays',
      'createdAt',
      'expiresAt',
      'id',
      'label',
      'rotationDue',
      'state',
    ]);
    expect(JSON.stringify(entries)).not.toContain(key.slice(-4));
  });
});

describe('reading a key file', () => {
  const good = createKeyIn(createKeyIn(null, { label: 'a', now: day1 }).storeText, { label: 'b', now: day1 }).storeText;
  const changed = (change: (store: Record<string, unknown> & { keys: Record<string, unknown>[] }) => void): string => {
    const store = JSON.parse(good) as Record<string, unknown> & { keys: Record<string, unknown>[] };
    change(store);
    return JSON.stringify(store);
  };
  const first = (store: { keys: Record<string, unknown>[] }) => store.keys[0] ?? {};

  test('what was written is read again', () => {
    expect(parseKeyStore(good).keys.map((record) => record.label)).toEqual(['a', 'b']);
  });

  test.each<[string, string, string]>([
    ['nothing', '', 'It is empty.'],
    ['half of the text', good.slice(0, good.length / 2), 'It is not complete JSON, as after an interrupted write.'],
    ['all but the last bracket', good.slice(0, -2), 'It is not complete JSON, as after an interrupted write.'],
    ['a list', '[]', 'It does not hold a JSON object.'],
    ['null', 'null', 'It does not hold a JSON object.'],
    [
      'a later version',
      changed((store) => (store['version'] = 3)),
      'Its version is 3; this mcp-deploy reads versions 1 and 2.',
    ],
    ['no version', '{}', 'Its version is missing; this mcp-deploy reads versions 1 and 2.'],
    ['no salt', changed((store) => delete store['salt']), 'Its salt is not 32 bytes in base64.'],
    ['a short salt', changed((store) => (store['salt'] = 'AAAA')), 'Its salt is not 32 bytes in base64.'],
    ['keys that are no list', changed((store) => Object.assign(store, { keys: {} })), 'Its "keys" is not a list.'],
    ['a key that is a text', changed((store) => Object.assign(store, { keys: ['x'] })), 'Key 1 is not an object.'],
    [
      'an unknown field, which may be a restriction',
      changed((store) => (first(store)['scopes'] = ['read'])),
      'Key 1 has a field that this version does not know: "scopes".',
    ],
    [
      'an unknown field at the top',
      changed((store) => (store['pepper'] = 1)),
      'The file has a field that this version does not know: "pepper".',
    ],
    [
      'a salt of a key in a file of one salt',
      changed((store) => (first(store)['salt'] = store['salt'])),
      'Key 1 has a field that this version does not know: "salt".',
    ],
    [
      'a short salt of a key',
      changed((store) => Object.assign(store, { version: 2, keys: [{ ...first(store), salt: 'AAAA' }] })),
      'Key 1 has no valid salt.',
    ],
    [
      'more salts than a key may be hashed with',
      changed((store) => {
        const keys = Array.from({ length: mostSalts }, (_, index) => ({
          ...first(store),
          id: `k-0000000${index}`,
          hash: `${index}`.repeat(43),
          salt: Buffer.alloc(32, index).toString('base64'),
        }));
        Object.assign(store, { version: 2, keys });
      }),
      'Its keys have more than 8 different salts.',
    ],
    ['a bad id', changed((store) => (first(store)['id'] = '__proto__')), 'Key 1 has no valid id.'],
    ['a bad label', changed((store) => (first(store)['label'] = 'a\nb')), 'Key 1 has no valid label.'],
    ['a bad hash', changed((store) => (first(store)['hash'] = 'x')), 'Key 1 has no valid hash.'],
    ['a bad time', changed((store) => (first(store)['createdAt'] = 'now')), 'Key 1 has no valid createdAt.'],
    ['a bad expiry', changed((store) => (first(store)['expiresAt'] = 0)), 'Key 1 has no valid expiresAt.'],
    ['a bad revocation', changed((store) => (first(store)['revokedAt'] = false)), 'Key 1 has no valid revokedAt.'],
    ['a bad predecessor', changed((store) => (first(store)['rotatedFrom'] = 1)), 'Key 1 has no valid rotatedFrom.'],
    [
      'the same id twice',
      changed((store) => (first(store)['id'] = store.keys[1]?.['id'])),
      'Two keys have the same id.',
    ],
    [
      'the same hash twice',
      changed((store) => (first(store)['hash'] = store.keys[1]?.['hash'])),
      'Two keys have the same hash.',
    ],
  ])('%s is refused with the reason', (_case, text, why) => {
    const error = refusal(() => parseKeyStore(text));
    expect(error.message).toBe('The key file cannot be used');
    expect(error.why).toBe(why);
    expect(error.next).toMatch(/backup/);
  });

  test('a broken file that holds a key in clear is refused without showing it', () => {
    const error = refusal(() => parseKeyStore('{"version":1,"key":"mcpd_canary'));
    expect(`${error.message} ${error.why} ${error.next} ${error.stack}`).not.toContain('canary');
  });
});
