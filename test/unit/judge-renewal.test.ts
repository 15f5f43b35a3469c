import { describe, expect, test } from 'vitest';
import { judgeRenewal } from '../../src/plan/judge-renewal.ts';

const day = 86_400_000;
const begin = Date.parse('2026-01-01T00:00:00Z');
const at = (days: number): string => new Date(begin + days * day).toISOString();
const judge = (lifeDays: number, afterDays: number, fingerprint256 = 'AA') =>
  judgeRenewal({ notBefore: at(0), notAfter: at(lifeDays), fingerprint256, now: new Date(begin + afterDays * day) });

describe('a certificate is due', () => {
  test.each([
    // life, age, due: a third left is 60 of 90 days, and jitter takes at most a twentieth of the life off
    [90, 55, false],
    [90, 60.1, true],
    [90, 100, true],
    [6, 2.6, false],
    [6, 3.1, true],
    [397, 240, false],
    [397, 265, true],
  ])('of %i days after %d days: %s', (life, age, due) => {
    expect(judge(life, age).due).toBe(due);
  });

  test('at a moment of its own that does not change from look to look', () => {
    const moments = ['AA', 'BB', 'CC', 'DD'].map((fingerprint) => judge(90, 1, fingerprint).dueAt);
    expect(new Set(moments).size).toBe(4);
    expect(judge(90, 30, 'AA').dueAt).toBe(moments[0]);
    for (const moment of moments) {
      expect(Date.parse(moment)).toBeGreaterThanOrEqual(begin + 55.5 * day);
      expect(Date.parse(moment)).toBeLessThanOrEqual(begin + 60 * day);
    }
  });

  test('when the authority asks for it, and never later than with a tenth of its life left', () => {
    const ask = (window: { start: string; end: string }, age: number) =>
      judgeRenewal({
        notBefore: at(0),
        notAfter: at(90),
        fingerprint256: 'AA',
        now: new Date(begin + age * day),
        window,
      });
    expect(ask({ start: at(2), end: at(3) }, 4)).toMatchObject({ due: true, reason: 'the authority asks for it' });
    expect(ask({ start: at(70), end: at(71) }, 65).due).toBe(false);
    expect(ask({ start: at(89), end: at(90) }, 81.5).due).toBe(true);
  });

  test('says how long is left, in hours near the end', () => {
    expect(judge(90, 70).reason).toBe('expires in 20 days');
    expect(judge(90, 89.5).reason).toBe('expires in 12 hours');
    expect(judge(90, 91).reason).toBe('expired');
  });
});
