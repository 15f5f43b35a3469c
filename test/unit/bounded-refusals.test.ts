import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { RefusedRequest } from '../../src/server/observe/audit-trail.ts';
import { boundRefusals } from '../../src/server/observe/bounded-refusals.ts';

const written: RefusedRequest[] = [];
const bounded = () => boundRefusals({ ended() {}, refused: (request) => void written.push(request) });
const refusal = (why: string, key?: string): RefusedRequest => ({
  requestId: 'r',
  why,
  address: '192.0.2.1',
  ...(key === undefined ? {} : { key }),
});
const most = (key: string | undefined): number =>
  written.filter((each) => each.key === key && each.requestId !== '').length;
const told = (): string[] =>
  written.filter(({ requestId }) => requestId === '').map(({ key, why }) => `${key}: ${why}`);

beforeEach(() => {
  written.length = 0;
  vi.useFakeTimers();
});
afterEach(() => void vi.useRealTimers());

test('within a second forty refusals of a key are listed, and one line counts the others', () => {
  const trail = bounded();
  for (let sent = 0; sent < 400; sent += 1) trail.refused(refusal('busy', 'one'));
  trail.refused(refusal('busy', 'two'));
  expect([most('one'), most('two'), told()]).toEqual([40, 1, []]);
  vi.advanceTimersByTime(1_000);
  expect(told()).toEqual(['one: busy (360 more requests within a second)']);
  trail.refused(refusal('busy', 'one'));
  expect(most('one')).toBe(41);
  vi.advanceTimersByTime(5_000);
  expect(written).toHaveLength(43);
});

test('of all keys together two hundred are listed in a second, and what is left at the end is told', () => {
  const trail = bounded();
  for (let sent = 0; sent < 400; sent += 1) trail.refused(refusal('busy', `key ${sent}`));
  expect(written).toHaveLength(200);
  trail.close();
  expect(told()).toHaveLength(101);
  expect(told().at(-1)).toBe('several: several reasons (100 more requests within a second)');
});
