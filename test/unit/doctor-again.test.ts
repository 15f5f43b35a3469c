import { describe, expect, test } from 'vitest';
import { Chalk } from 'chalk';
import type { CommandContext } from '../../src/cli/context.ts';
import { waitUntilHealthy } from '../../src/cli/wait-until-healthy.ts';
import { watchDoctor } from '../../src/cli/watch-doctor.ts';
import { describeChanges } from '../../src/doctor/describe-changes.ts';
import { exitCodeOf } from '../../src/doctor/exit-code-of.ts';
import type { DoctorReport } from '../../src/doctor/types.ts';
import { healthyObservations, host, tls } from '../helpers/healthy-observations.ts';
import { judgeAll } from '../helpers/report-cases.ts';

const healthy = judgeAll(healthyObservations());
const broken = judgeAll(tls(healthyObservations(), { nameMatches: false }));
const oldKey = judgeAll(host(healthyObservations(), { keys: [{ id: 'k-1', label: 'default', ageDays: 120 }] }));
const untold = judgeAll({ ...healthyObservations(), session: { status: 'failed', reason: 'too slow', failure: null } });

test('changes are what came, what was mended and what cannot be told any more', () => {
  const codes = (before: DoctorReport | null, after: DoctorReport) =>
    describeChanges(before, after).map(({ code, state }) => `${state} ${code}`);
  expect(codes(null, healthy)).toEqual([]);
  expect(codes(healthy, broken)).toEqual(['broken tls/name']);
  expect(codes(broken, healthy)).toEqual(['mended tls/name']);
  expect(codes(healthy, oldKey)).toEqual(['warning host/key-age']);
  expect(codes(oldKey, oldKey)).toEqual([]);
  expect(codes(healthy, untold)).toEqual(['unknown protocol/unknown-session']);
  expect(codes(null, broken)).toEqual(['broken tls/name']);
});

test('what is not judged any more, since something before it broke, is not called mended', () => {
  const gone = judgeAll({
    ...tls(healthyObservations(), { nameMatches: false }),
    session: { status: 'skipped', reason: 'closed' },
  });
  expect(describeChanges(untold, gone).map(({ state }) => state)).not.toContain('mended');
});

/** A context of which only the clock and the output are used: no time passes, each sleep is noted. */
function fakeContext(signal = new AbortController().signal) {
  const slept: number[] = [];
  const said: string[] = [];
  const style = new Chalk({ level: 0 });
  const context = {
    signal,
    world: { stdout: { isTTY: false }, env: {} },
    output: {
      json: false,
      out: style,
      err: style,
      progress: (text: string) => said.push(text),
      result: (text: string) => said.push(text),
      raw: (text: string) => said.push(text),
    },
    ports: {
      clock: {
        now: () => '2026-11-21T12:00:00.000Z',
        sleep: async (ms: number) => {
          signal.throwIfAborted();
          slept.push(ms);
        },
      },
    },
  } as unknown as CommandContext;
  return { context, slept, said };
}

function looksOf(reports: readonly DoctorReport[], onLook: (count: number) => void = () => {}) {
  const asked: boolean[] = [];
  const look = async (repeated: boolean): Promise<DoctorReport> => {
    const report = reports[Math.min(asked.length, reports.length - 1)] as DoctorReport;
    asked.push(repeated);
    onLook(asked.length);
    return report;
  };
  return { look, asked };
}

describe('--wait', () => {
  test('a healthy endpoint is looked at once', async () => {
    const { context, slept } = fakeContext();
    const { look, asked } = looksOf([healthy]);
    expect(await waitUntilHealthy(context, look, 60_000)).toBe(healthy);
    expect({ asked, slept }).toEqual({ asked: [false], slept: [] });
  });

  test('looks in between leave the limit out, and the last one does not', async () => {
    const { context, slept, said } = fakeContext();
    const { look, asked } = looksOf([broken, broken, untold, healthy, healthy]);
    expect(exitCodeOf(await waitUntilHealthy(context, look, 60_000))).toBe(0);
    expect(asked).toEqual([false, true, true, true, false]);
    expect(slept[1]).toBeGreaterThan(slept[0] ?? 0);
    expect(said[0]).toMatch(/not healthy yet: tls\/name, .*; \d+ s left/);
    expect(said[2]).toMatch(/not everything could be judged yet/);
  });

  test('when the time is over the last result counts', async () => {
    const { context } = fakeContext();
    const { look, asked } = looksOf([broken]);
    expect(exitCodeOf(await waitUntilHealthy(context, look, 0))).toBe(1);
    expect(asked).toEqual([false]);
  });
});

describe('--watch', () => {
  test('without a terminal there is a line per change, and an interrupt is the ordinary end', async () => {
    const stop = new AbortController();
    const { context, said } = fakeContext(stop.signal);
    const { look, asked } = looksOf([healthy, healthy, broken, broken, healthy], (count) => {
      if (count === 6) stop.abort('SIGINT');
    });
    expect(await watchDoctor(context, look, { intervalMs: 5_000, shown: 'text' })).toBe(0);
    expect(asked.every(Boolean)).toBe(true);
    expect(said).toEqual([
      expect.stringMatching(/^12:00:00 {2}\d+ passed$/),
      expect.stringMatching(/^12:00:00 {2}✗ tls\/name /),
      expect.stringMatching(/^12:00:00 {2}✓ tls\/name mended \(was: .+\)$/),
    ]);
  });

  test('as JSON each look is a document on its line', async () => {
    const stop = new AbortController();
    const { context, said } = fakeContext(stop.signal);
    const { look } = looksOf([healthy, broken], (count) => {
      if (count === 2) stop.abort('SIGINT');
    });
    await watchDoctor(context, look, { intervalMs: 5_000, shown: 'json' });
    expect(said.map((line) => (JSON.parse(line) as { ok: boolean }).ok)).toEqual([true, false]);
  });

  test('a look that fails for another reason is no ordinary end', async () => {
    const { context } = fakeContext();
    const look = async (): Promise<DoctorReport> => Promise.reject(new Error('no deployment'));
    await expect(watchDoctor(context, look, { intervalMs: 5_000, shown: 'text' })).rejects.toThrow('no deployment');
  });
});
