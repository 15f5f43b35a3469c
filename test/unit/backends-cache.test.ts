import { describe, expect, test } from 'vitest';
import { cacheBackend, canonicalJson, type CacheRules } from '../../src/server/backends/cached-backend.ts';
import { KeptAnswers } from '../../src/server/backends/kept-answers.ts';
import type { Backend } from '../../src/server/types.ts';
import { callOf, callTool, errorOf, request, textOf } from '../fixtures/upstreams/backend-calls.ts';
import { createFakeBackend, type FakeBackend } from '../helpers/fake-backend.ts';

const mine = { caller: { keyId: 'mine', label: '', address: '' } };
const theirs = { caller: { keyId: 'theirs', label: '', address: '' } };

function cached(tools: CacheRules['tools'], resources: CacheRules['resources'] = {}, perKey = false) {
  const fake = createFakeBackend();
  const backend = cacheBackend(fake, { tools, resources }, new KeptAnswers(1_000_000, 100).shelf(), perKey);
  return { fake, backend };
}

function say(fake: FakeBackend, text: string, more = ''): void {
  for (const call of fake.open.splice(0)) call.onResult(`{"content":[{"type":"text","text":"${text}"}]${more}}`);
}

/** Calls and lets the upstream answer, when it is asked. */
async function ask(
  fake: FakeBackend,
  backend: Backend,
  text: string,
  args = {},
  as = mine,
  more = '',
): Promise<string> {
  const answer = textOf(callTool(backend, 'search', args, as));
  say(fake, text, more);
  return answer;
}

describe('kept answers', () => {
  test('are given again for equal arguments in any order, and not for others', async () => {
    const { fake, backend } = cached({ search: { ttlSeconds: 60, public: false } });
    expect(await ask(fake, backend, 'one', { a: 1, b: { c: 2, d: [3] } })).toBe('one');
    expect(await ask(fake, backend, 'two', { b: { d: [3], c: 2 }, a: 1 })).toBe('one');
    expect(await ask(fake, backend, 'three', { a: 1, b: { c: 2, d: [4] } })).toBe('three');
    expect(backend.cacheCounts?.()).toEqual({ hits: 1, misses: 2 });
  });

  test('of one key are never given to another, unless the rule says public', async () => {
    const own = cached({ search: { ttlSeconds: 60, public: false } });
    await ask(own.fake, own.backend, 'mine');
    expect(await ask(own.fake, own.backend, 'theirs', {}, theirs)).toBe('theirs');
    const shared = cached({ search: { ttlSeconds: 60, public: true } });
    await ask(shared.fake, shared.backend, 'mine');
    expect(await ask(shared.fake, shared.backend, 'theirs', {}, theirs)).toBe('mine');
    const perKey = cached({ search: { ttlSeconds: 60, public: true } }, {}, true);
    await ask(perKey.fake, perKey.backend, 'mine');
    expect(await ask(perKey.fake, perKey.backend, 'theirs', {}, theirs)).toBe('theirs');
  });

  test('without keys belong to the address that asked', async () => {
    const { fake, backend } = cached({ search: { ttlSeconds: 60, public: false } });
    const from = (address: string) => ({ caller: { keyId: '', label: '', address } });
    await ask(fake, backend, 'one', {}, from('10.0.0.1'));
    expect(await ask(fake, backend, 'two', {}, from('10.0.0.2'))).toBe('two');
  });

  test.each([
    ['tells of an error', ',"isError":true'],
    ['tells of an error, with spaces', ', "isError" : true'],
    ['is no complete one', ',"resultType":"task"'],
    ['says that it is old at once', ',"ttlMs":0'],
  ])('hold no result that %s', async (_, more) => {
    const { fake, backend } = cached({ search: { ttlSeconds: 60, public: false } });
    await ask(fake, backend, 'one', {}, mine, more);
    expect(await ask(fake, backend, 'two')).toBe('two');
  });

  test('with a private scope are not shared by a public rule', async () => {
    const { fake, backend } = cached({ search: { ttlSeconds: 60, public: true } });
    await ask(fake, backend, 'one', {}, mine, ',"cacheScope":"private"');
    expect(await ask(fake, backend, 'two', {}, theirs)).toBe('two');
  });

  test('with a time of their own tell what is left of it', async () => {
    const { fake, backend } = cached({}, { 'docs://*': { ttlSeconds: 60, public: false } });
    const first = request(backend, 'resources/read', { uri: 'docs://a' }, mine);
    for (const call of fake.open.splice(0)) call.onResult('{"contents":[],"ttlMs":5000}');
    await first;
    const again = (await request(backend, 'resources/read', { uri: 'docs://a' }, mine)) as { ttlMs: number };
    expect(again.ttlMs).toBeLessThanOrEqual(5_000);
    expect(again.ttlMs).toBeGreaterThan(0);
  });

  test('by a pattern only of tools that say readOnlyHint', async () => {
    const tools = [{ name: 'search', annotations: { readOnlyHint: true } }, { name: 'write' }];
    let count = 0;
    const other = createFakeBackend(({ method, params }) =>
      method === 'tools/list'
        ? JSON.stringify({ tools })
        : JSON.stringify({ content: [{ type: 'text', text: `${String(params?.['name'])} ${++count}` }] }),
    );
    const second = cacheBackend(
      other,
      { tools: { '*': { ttlSeconds: 60, public: false } }, resources: {} },
      new KeptAnswers(1e6, 9).shelf(),
      false,
    );
    expect(await textOf(callTool(second, 'search', {}, mine))).toBe('search 1');
    await textOf(callTool(second, 'search', {}, mine));
    const known = await textOf(callTool(second, 'search', {}, mine));
    expect(await textOf(callTool(second, 'search', {}, mine))).toBe(known);
    const written = await textOf(callTool(second, 'write', {}, mine));
    expect(await textOf(callTool(second, 'write', {}, mine))).not.toBe(written);
  });

  test('go when the upstream starts anew, changes a list, or tells of a resource', async () => {
    const { fake, backend } = cached({ search: { ttlSeconds: 60, public: false } });
    await ask(fake, backend, 'one');
    fake.setState({ state: 'down', since: 1, retryAt: 2, reason: '', lastWords: [] });
    expect(await ask(fake, backend, 'two')).toBe('two');
    fake.listChanged('tools');
    expect(await ask(fake, backend, 'three')).toBe('three');
    fake.resourceUpdated('x://', null);
    expect(await ask(fake, backend, 'four')).toBe('four');
    expect(await ask(fake, backend, 'five')).toBe('four');
  });

  test('do not take an answer that was asked for before the change', async () => {
    const { fake, backend } = cached({ search: { ttlSeconds: 60, public: false } });
    const old = textOf(callTool(backend, 'search', {}, mine));
    fake.listChanged('tools');
    say(fake, 'old');
    expect(await old).toBe('old');
    expect(await ask(fake, backend, 'new')).toBe('new');
  });

  test('stay within their bytes and their number', () => {
    const answers = new KeptAnswers(10_000, 5);
    const shelf = answers.shelf();
    for (let count = 0; count < 20; count++) shelf.put(`key ${count}`, 'x'.repeat(1_000), 60_000, false);
    expect(answers.size).toBe(5);
    shelf.put('large', 'x'.repeat(9_000), 60_000, false);
    expect(shelf.get('large')).toBeNull();
    expect(shelf.get('key 19')?.json).toHaveLength(1_000);
    for (let count = 0; count < 20; count++) shelf.put(`wide ${count}`, '€'.repeat(700), 60_000, false);
    expect(answers.bytes).toBeLessThanOrEqual(10_000);
    shelf.clear();
    expect([answers.size, answers.bytes]).toEqual([0, 0]);
  });
});

describe('equal calls at the same time', () => {
  test('ask once, and all get the answer', async () => {
    const { fake, backend } = cached({ search: { ttlSeconds: 60, public: false } });
    const answers = Array.from({ length: 100 }, () => textOf(callTool(backend, 'search', {}, mine)));
    expect(fake.open).toHaveLength(1);
    say(fake, 'one');
    expect(new Set(await Promise.all(answers))).toEqual(new Set(['one']));
  });

  test('fail together, and the next call asks again', async () => {
    const { fake, backend } = cached({ search: { ttlSeconds: 60, public: false } });
    const answers = [1, 2].map(() => errorOf(callTool(backend, 'search', {}, mine)));
    for (const call of fake.open.splice(0)) call.onError({ code: -31003, message: 'late' });
    expect((await Promise.all(answers)).map(({ code }) => code)).toEqual([-31003, -31003]);
    expect(await ask(fake, backend, 'well')).toBe('well');
  });

  test('go on when one of them is taken back, the first one too; the upstream hears of it when all are', async () => {
    const { fake, backend } = cached({ search: { ttlSeconds: 60, public: false } });
    const params = { name: 'search', arguments: {} };
    const first = callOf('tools/call', params, mine);
    const cancelFirst = backend.forward(first.call);
    const second = textOf(callTool(backend, 'search', {}, mine));
    cancelFirst('gone');
    expect(fake.cancelled).toEqual([]);
    say(fake, 'one');
    expect(await second).toBe('one');
    fake.listChanged('tools');
    const cancels = [1, 2].map(() => backend.forward(callOf('tools/call', params, mine).call));
    for (const cancel of cancels) cancel('gone');
    expect(fake.cancelled).toEqual(['gone']);
  });

  test('part when the upstream asks the client: the others go by themselves, and nothing is kept', async () => {
    const { fake, backend } = cached({ search: { ttlSeconds: 60, public: false } });
    const answers = [1, 2].map(() => textOf(callTool(backend, 'search', {}, mine)));
    expect(fake.open).toHaveLength(1);
    const [shared] = fake.open;
    shared?.onServerRequest('elicitation/create', {}, () => {});
    expect(fake.open).toHaveLength(2);
    for (const [index, call] of fake.open.splice(0).entries())
      call.onResult(`{"content":[{"type":"text","text":"${index}"}]}`);
    expect(await Promise.all(answers)).toEqual(['0', '1']);
    expect(await ask(fake, backend, 'new')).toBe('new');
  });

  test('of different keys ask for each key', () => {
    const { fake, backend } = cached({ search: { ttlSeconds: 60, public: false } });
    for (const as of [mine, theirs, mine, theirs]) void callTool(backend, 'search', {}, as);
    expect(fake.open).toHaveLength(2);
  });
});

test('canonical JSON orders the members of objects at every depth, and nothing else', () => {
  expect(canonicalJson({ b: [2, 1, { d: null, c: 'x' }], a: true })).toBe('{"a":true,"b":[2,1,{"c":"x","d":null}]}');
});
