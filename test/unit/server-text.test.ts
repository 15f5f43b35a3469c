import { describe, expect, test } from 'vitest';
import { parseAccept } from '../../src/server/http/parse-accept.ts';
import { createEventBudget, EventLog, parseEventId } from '../../src/server/protocol/event-log.ts';
import { parseListenFilter } from '../../src/server/protocol/listen-streams.ts';
import { renderModernResult } from '../../src/server/protocol/modern-result.ts';
import { isNestedTooDeep, maxNesting } from '../../src/server/protocol/nesting.ts';
import { createStreamQuota } from '../../src/server/stream-quota.ts';

describe('isNestedTooDeep', () => {
  const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
  test.each([
    ['the deepest that is allowed', nested(maxNesting), false],
    ['one level more', nested(maxNesting + 1), true],
    ['objects count too', `${'{"a":'.repeat(maxNesting + 1)}1${'}'.repeat(maxNesting + 1)}`, true],
    ['brackets in a string do not count', JSON.stringify({ a: nested(1_000) }), false],
    ['nor after an escaped quote', JSON.stringify({ a: `"\\"${nested(1_000)}` }), false],
    ['a string that ends in a backslash ends', `["${'\\\\'.repeat(3)}",${nested(maxNesting)}]`, true],
    ['many siblings are not deep', `[${'[],'.repeat(5_000)}[]]`, false],
    ['a string without end', `["${'['.repeat(1_000)}`, false],
  ])('%s', (_title, text, expected) => {
    expect(isNestedTooDeep(text)).toBe(expected);
  });
});

test.each([
  [undefined, 'json'],
  ['*/*', 'json'],
  ['application/json', 'json'],
  ['application/*', 'json'],
  ['application/json, text/event-stream', 'both'],
  ['text/event-stream;q=0.9, APPLICATION/JSON', 'both'],
  ['text/event-stream', 'stream'],
  ['text/event-stream, */*', 'both'],
  ['text/html', null],
  ['', null],
])('Accept: %s is answered with %s', (accept, expected) => {
  expect(parseAccept(accept)).toBe(expected);
});

describe('EventLog', () => {
  const replayed = (log: EventLog, stream: number, after: number): string[] => {
    const found: string[] = [];
    log.replay(stream, after, (_id, json) => found.push(json));
    return found;
  };

  test('replays one stream after an id, in order', () => {
    const log = new EventLog(createEventBudget(1_000));
    const first = log.add(0, 'a');
    log.add(1, 'other');
    log.add(0, 'b');
    log.add(0, 'c');
    expect(replayed(log, 0, parseEventId(first)?.sequence ?? -1)).toEqual(['b', 'c']);
  });

  test('keeps the newest 256 events', () => {
    const log = new EventLog(createEventBudget(1_000_000));
    for (let count = 0; count < 1_000; count++) log.add(0, String(count));
    const left = replayed(log, 0, 0);
    expect([left.length, left[0], left.at(-1)]).toEqual([256, '744', '999']);
  });

  test('keeps within the budget of all and gives its share back', () => {
    const budget = createEventBudget(100);
    const log = new EventLog(budget);
    for (let count = 0; count < 50; count++) {
      log.add(0, 'x'.repeat(10));
      expect(budget.heldChars).toBeLessThanOrEqual(100);
    }
    expect(replayed(log, 0, 0).length).toBeGreaterThanOrEqual(8);
    log.clear();
    expect(budget.heldChars).toBe(0);
  });

  test('a key that fills the budget with many sessions takes nothing from the others', () => {
    const budget = createEventBudget(1_000);
    const greedy = Array.from({ length: 5 }, () => new EventLog(budget, 'greedy'));
    const modest = new EventLog(budget, 'modest');
    modest.add(0, 'm'.repeat(50));
    for (let count = 0; count < 200; count++) greedy[count % 5]?.add(0, 'x'.repeat(20));
    modest.add(0, 'n'.repeat(50));
    for (let count = 0; count < 200; count++) greedy[count % 5]?.add(0, 'x'.repeat(20));
    expect(replayed(modest, 0, 0)).toEqual(['m'.repeat(50), 'n'.repeat(50)]);
    expect(budget.heldChars).toBeLessThanOrEqual(1_000);
    expect(greedy.every((log) => replayed(log, 0, 0).length > 0)).toBe(true);
  });

  test.each(['', '1', '1-', '-1', 'a-b', '1-2-3', '9999999999-1', '1-1 '])('the id %j is none', (text) => {
    expect(parseEventId(text)).toBeNull();
  });
});

describe('renderModernResult', () => {
  const info = '{"name":"n","version":"1"}';
  const meta = { 'io.modelcontextprotocol/serverInfo': { name: 'n', version: '1' } };
  test.each([
    ['{}', false, { resultType: 'complete', _meta: meta }],
    ['{ }', false, { resultType: 'complete', _meta: meta }],
    ['{"tools":[]}', true, { resultType: 'complete', ttlMs: 0, cacheScope: 'private', tools: [], _meta: meta }],
    [
      '{"contents":[],"ttlMs":5}',
      true,
      { resultType: 'complete', ttlMs: 5, cacheScope: 'private', contents: [], _meta: meta },
    ],
    ['{"resultType":"input_required"}', false, { resultType: 'input_required', _meta: meta }],
    [
      '{"content":[{"_meta":1,"resultType":2}]}',
      false,
      { resultType: 'complete', content: [{ _meta: 1, resultType: 2 }], _meta: meta },
    ],
    [' {"a":1}', false, { resultType: 'complete', a: 1, _meta: meta }],
  ])('%s', (text, cacheable, expected) => {
    expect(JSON.parse(renderModernResult(text, cacheable, info) ?? 'null')).toEqual(expected);
  });
});

test.each(['["resultType"]', '{"_meta":', 'x'])('a modern result cannot be made of %s', (text) => {
  expect(renderModernResult(text, false, '{}')).toBeNull();
});

describe('parseListenFilter', () => {
  const all = { tools: { listChanged: true }, prompts: {}, resources: { subscribe: true } };
  test.each([
    [{ toolsListChanged: true, promptsListChanged: true }, { toolsListChanged: true }],
    [{ toolsListChanged: false }, {}],
    [{ resourceSubscriptions: ['a:b'], resourcesListChanged: true }, { resourceSubscriptions: ['a:b'] }],
    [{ resourceSubscriptions: [] }, {}],
  ])('%j keeps what this server can give', (requested, expected) => {
    expect(parseListenFilter(requested, all)).toEqual(expected);
  });

  test.each([
    undefined,
    [],
    { toolsListChanged: 1 },
    { resourceSubscriptions: [1] },
    { resourceSubscriptions: Array(1_001).fill('a') },
  ])('%j is refused with a sentence', (requested) => {
    expect(parseListenFilter(requested, all)).toEqual(expect.any(String));
  });
});

test('a stream is given back once, whoever returns it twice', () => {
  const quota = createStreamQuota();
  const first = quota.take('k', 2);
  expect(quota.take('k', 2)).not.toBeNull();
  expect(quota.take('k', 2)).toBeNull();
  expect(quota.take('other', 2)).not.toBeNull();
  first?.();
  first?.();
  expect(quota.take('k', 2)).not.toBeNull();
  expect(quota.take('k', 2)).toBeNull();
});
