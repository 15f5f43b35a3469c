import { expect, test } from 'vitest';
import type { AuditEntry } from '../../src/server/observe/audit-line.ts';
import { createAuditTrail } from '../../src/server/observe/audit-trail.ts';

test('a flood of strangers leaves a bounded number of lines, and calls of known keys always leave theirs', () => {
  const entries: AuditEntry[] = [];
  const trail = createAuditTrail(
    {
      write: (entry) => {
        entries.push(entry);
      },
    },
    () => null,
  );
  for (let guess = 0; guess < 1_000; guess += 1) {
    trail.refused({ requestId: String(guess), why: 'key invalid', address: '192.0.2.1' });
  }
  // One second at most has begun anew in between.
  expect(entries.length).toBeLessThanOrEqual(100);
  expect(entries.length).toBeGreaterThanOrEqual(50);
  const before = entries.length;
  for (let call = 0; call < 200; call += 1) {
    trail.refused({ requestId: 'r', why: 'limit', address: '192.0.2.1', key: 'laptop' });
  }
  expect(entries.length).toBe(before + 200);
});
