import { describe, expect, test } from 'vitest';
import { inShort } from './laboratory.ts';
import { machineFaults } from './machine-faults.ts';
import { ownFaults } from './own-faults.ts';
import { diagnoseOwn } from './own-laboratory.ts';

const faults = [...ownFaults, ...machineFaults].filter(({ root }) => root !== true || process.getuid?.() === 0);

describe('a fault of the own deployment is named first, with its hop', () => {
  test.each(faults.map((each) => [`${each.fault} -> ${each.code}`, each] as const))(
    '%s',
    async (_, { code, hop, severity = 'error', ...which }) => {
      const report = await diagnoseOwn(which);
      expect(report.findings[0], inShort(report)).toMatchObject({ code, hop, severity });
      expect(report.rootCause).toBe(severity === 'error' ? code : null);
    },
    60_000,
  );
});

describe('its healthy twin is left in peace', () => {
  test.each(faults.map(({ code, twin }) => [`${code}: ${twin.fact}`, twin] as const))(
    '%s',
    async (_, twin) => {
      const report = await diagnoseOwn(twin);
      expect(report.findings, inShort(report)).toEqual([]);
      expect(report.ok, inShort(report)).toBe(true);
    },
    60_000,
  );
});
