import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DeploymentInput } from '../../src/deployment/schema.ts';
import { callLimitOf, readLockout } from '../../src/doctor/probes/own-limits.ts';
import type { OwnFacts } from '../../src/doctor/types.ts';

let stateDir = '';
beforeAll(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'mcpd-own-limits-'));
});
afterAll(() => rmSync(stateDir, { recursive: true, force: true }));

const textOf = (limits: DeploymentInput['limits']): string => JSON.stringify({ deployment: { version: 1, limits } });

async function lockout(limits: DeploymentInput['limits']): Promise<string | null> {
  writeFileSync(join(stateDir, 'server.json'), textOf(limits));
  return readLockout({ stateDir } as OwnFacts);
}

describe('limits are not reached on purpose where that shuts the owner out', () => {
  const cases: readonly (readonly [fact: string, limits: DeploymentInput['limits'], reason: RegExp | null])[] = [
    ['the default lets a call in again at once', {}, null],
    [
      'a window of 15 minutes for an address',
      { perAddress: { requests: 100, windowMs: 900_000, form: 'fixed-window' } },
      /perAddress .* 900 s/,
    ],
    ['a window of a minute for all keys', { global: { requests: 1_000, form: 'fixed-window' } }, /global .* 60 s/],
    ['a window of a second', { perKey: { requests: 10, windowMs: 1_000, form: 'fixed-window' } }, null],
    ['a bucket that fills in hours', { perKey: { requests: 10, windowSeconds: 36_000 } }, /perKey .* 3600 s/],
    ['none at all', { perKey: 'off' }, null],
  ];
  test.each(cases)('%s', async (_, limits, reason) => {
    const told = await lockout(limits);
    if (reason === null) expect(told).toBeNull();
    else expect(told).toMatch(reason);
  });

  test('nothing is known without a configuration', async () => {
    expect(await readLockout({ stateDir: join(stateDir, 'none') } as OwnFacts)).toBeNull();
  });
});

test('what a key may do at once and in a second follows its window and its form', () => {
  expect(callLimitOf(textOf({ perKey: { requests: 100, windowMs: 20_000, form: 'fixed-window' } }))).toEqual({
    atOnce: 100,
    perSecond: 5,
  });
  expect(callLimitOf(textOf({ perKey: { requests: 1_000, windowMs: 100_000 } }))).toEqual({
    atOnce: 100,
    perSecond: 10,
  });
});
