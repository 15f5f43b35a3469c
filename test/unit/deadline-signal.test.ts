import { getEventListeners } from 'node:events';
import { expect, test } from 'vitest';
import { deadlineSignal } from '../../src/doctor/probes/deadline-signal.ts';

test('many at once warn of no leak, follow the one signal, and leave nothing on it', async () => {
  const warnings: string[] = [];
  const onWarning = ({ name }: Error): void => void warnings.push(name);
  process.on('warning', onWarning);
  const { signal } = new AbortController();
  const outer = new AbortController();
  const released = Array.from({ length: 30 }, () => deadlineSignal(signal, 60_000));
  const aborted = Array.from({ length: 30 }, () => deadlineSignal(outer.signal, 60_000));
  outer.abort(new Error('Ctrl-C'));
  for (const each of aborted) expect(each.signal.reason).toEqual(new Error('Ctrl-C'));
  for (const each of [...released, ...aborted]) each.release();
  expect(getEventListeners(signal, 'abort')).toEqual([]);
  await new Promise((resolve) => setImmediate(resolve));
  process.off('warning', onWarning);
  expect(warnings).toEqual([]);
});
