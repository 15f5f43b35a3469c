import { describe, expect, test } from 'vitest';
import { compileAccess, compilePatterns } from '../../src/server/policy/access.ts';
import { createKeyIn, listKeysIn, parseKeyStore, rotateKeyIn } from '../../src/server/policy/key-store.ts';

describe('patterns of tools', () => {
  const cases: [string, string, boolean][] = [
    ['echo', 'echo', true],
    ['echo', 'echo2', false],
    ['search*', 'search', true],
    ['search*', 'search_files', true],
    ['search*', 'research', false],
    ['*_read', 'file_read', true],
    ['*_read', 'file_read_all', false],
    ['a*b*c', 'a-b-b-c', true],
    ['a*b*c', 'acb', false],
    ['ab*ba', 'aba', false],
    ['*', '', true],
    ['**', 'x', true],
    ['a.c', 'abc', false],
    ['a*bb*b', 'abb', false],
    ['constructor', '__proto__', false],
  ];
  for (const [pattern, name, matches] of cases) {
    test(`${pattern} ${matches ? 'covers' : 'does not cover'} "${name}"`, () => {
      expect(compilePatterns([pattern])(name)).toBe(matches);
    });
  }

  test('a pattern full of stars is judged in linear time', () => {
    const name = 'a'.repeat(20_000);
    const started = performance.now();
    expect(compilePatterns([`${'a*'.repeat(60)}b`])(name)).toBe(false);
    expect(performance.now() - started).toBeLessThan(1_000);
  });
});

test('a key without a scope has no access object at all', () => {
  expect(compileAccess({})).toBeNull();
});

test('an upstream that is not known is hidden from a key with upstreams', () => {
  const access = compileAccess({ upstreams: ['main'] });
  expect(access?.hidesUpstream('main')).toBe(false);
  expect(access?.hidesUpstream('other')).toBe(true);
  expect(access?.hidesUpstream(null)).toBe(true);
});

describe('scopes in the key file', () => {
  const now = '2026-03-01T00:00:00Z';
  const powers = { tools: ['search*', 'echo'], upstreams: ['main'], tier: 'gold' };

  test('a rotated key reaches what the old one did', () => {
    const made = createKeyIn(null, { label: 'a', now, ...powers });
    const rotated = rotateKeyIn(made.storeText, { label: 'a', overlapSeconds: 60, now });
    expect(rotated.record).toMatchObject(powers);
    expect(parseKeyStore(rotated.storeText).keys).toHaveLength(2);
  });

  for (const [what, bad] of [
    ['an empty list of tools', { tools: [] }],
    ['a tool pattern with a space', { tools: ['a b'] }],
    ['an upstream with capitals', { upstreams: ['Main'] }],
    ['a tier with a slash', { tier: 'a/b' }],
  ] as const) {
    test(`${what} is refused when a key is made, and in the file`, () => {
      expect(() => createKeyIn(null, { label: 'a', now, ...bad })).toThrow();
      const { storeText } = createKeyIn(null, { label: 'a', now });
      const store = JSON.parse(storeText) as { keys: Record<string, unknown>[] };
      Object.assign(store.keys[0] ?? {}, bad);
      expect(() => parseKeyStore(JSON.stringify(store))).toThrow('cannot be used');
    });
  }

  test('a key is due for rotation from its 90th day on, unless a newer one replaces it', () => {
    const { storeText } = createKeyIn(null, { label: 'a', now });
    const due = (text: string, at: string) => listKeysIn(text, at).map(({ rotationDue }) => rotationDue);
    expect(due(storeText, '2026-05-29T00:00:00Z')).toEqual([false]);
    expect(due(storeText, '2026-05-30T00:00:00Z')).toEqual([true]);
    const rotated = rotateKeyIn(storeText, { label: 'a', overlapSeconds: 604_800, now: '2026-05-30T00:00:00Z' });
    expect(due(rotated.storeText, '2026-05-31T00:00:00Z')).toEqual([false, false]);
  });
});
