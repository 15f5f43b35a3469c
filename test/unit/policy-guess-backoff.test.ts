import { expect, test } from 'vitest';
import { createGuessBackoff } from '../../src/server/policy/guess-backoff.ts';

function startClock() {
  let nowMs = 1_000_000;
  return {
    now: () => nowMs,
    pass: (ms: number) => {
      nowMs += ms;
    },
  };
}

const times = <T>(count: number, run: () => T): T[] => Array.from({ length: count }, run);

test('ten wrong keys cost nothing, then the wait doubles from one second to a minute', () => {
  const backoff = createGuessBackoff(startClock().now);
  expect(times(19, () => backoff.failed('192.0.2.1'))).toEqual([...times(10, () => 0), 1, 2, 4, 8, 16, 32, 60, 60, 60]);
});

test('ten wrong keys spread over more than a minute are slips', () => {
  const clock = startClock();
  const backoff = createGuessBackoff(clock.now);
  const waits = times(60, () => {
    clock.pass(7_000);
    return backoff.failed('192.0.2.1');
  });
  expect(new Set(waits)).toEqual(new Set([0]));
});

test('one address does not pay for another', () => {
  const backoff = createGuessBackoff(startClock().now);
  times(30, () => backoff.failed('192.0.2.1'));
  expect(backoff.failed('192.0.2.2')).toBe(0);
});

test('a minute of silence after the wait is forgiven, and no second less', () => {
  const clock = startClock();
  const backoff = createGuessBackoff(clock.now);
  times(30, () => backoff.failed('192.0.2.1'));
  clock.pass(119_999);
  expect(backoff.failed('192.0.2.1')).toBe(60);
  clock.pass(120_000);
  expect(backoff.failed('192.0.2.1')).toBe(0);
});

test.each([
  ['2001:db8:1:2::5', '2001:db8:1:2:ffff:1:2:3', true],
  ['2001:db8:1:2:3:4:5:6', '2001:0db8:0001:0002::', true],
  ['2001:db8::1', '2001:db8:0:1::1', false],
  ['::1', '2001:db8::1', false],
  ['fe80::1%eth0', 'fe80::2', true],
])('%s and %s are the same guesser: %s', (first, second, same) => {
  const backoff = createGuessBackoff(startClock().now);
  times(11, () => backoff.failed(first));
  expect(backoff.failed(second) > 0).toBe(same);
});

test('what all processes together have counted counts, and less than is known changes nothing', () => {
  const told: string[] = [];
  let total: (bucket: string, used: number, leftMs: number) => void = () => {};
  const backoff = createGuessBackoff(startClock().now, {
    publish: (topic) => void told.push(topic),
    onRemote() {},
    onTotal: (_topic, _shape, listener) => {
      total = listener;
    },
  });
  expect(backoff.failed('192.0.2.1')).toBe(0);
  total('192.0.2.1', 12, 60_000);
  expect(backoff.failed('192.0.2.1')).toBe(4);
  total('192.0.2.1', 1, 60_000);
  expect(backoff.failed('192.0.2.1')).toBe(8);
  total('192.0.2.1', Number.NaN, 60_000);
  expect(backoff.failed('192.0.2.1')).toBe(16);
});

test('10,000 addresses are remembered, and those silent longest go first', () => {
  const backoff = createGuessBackoff(startClock().now);
  times(20, () => backoff.failed('198.51.100.1'));
  for (let index = 0; index < 9_999; index += 1) backoff.failed(`10.0.${index >> 8}.${index & 255}`);
  expect(backoff.size).toBe(10_000);
  expect(backoff.failed('198.51.100.1')).toBe(60);
  for (let index = 0; index < 30_000; index += 1) {
    backoff.failed(`172.16.${index >> 8}.${index & 255}`);
    if (index % 5_000 === 0) expect(backoff.failed('198.51.100.1')).toBe(60);
  }
  expect(backoff.size).toBe(10_000);
});
