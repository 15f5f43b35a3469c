import { expect, test } from 'vitest';
import { catalogue } from '../../src/doctor/checks/catalogue.ts';
import { caddyFaults } from './caddy-faults.ts';
import { faults as endpointFaults } from './endpoint-faults.ts';
import { haproxyFaults } from './haproxy-faults.ts';
import { machineFaults } from './machine-faults.ts';
import { nginxFaults } from './nginx-faults.ts';
import { ownFaults } from './own-faults.ts';
import { securityFaults } from './security-faults.ts';

const all = [
  ...endpointFaults,
  ...securityFaults,
  ...nginxFaults,
  ...caddyFaults,
  ...haproxyFaults,
  ...ownFaults,
  ...machineFaults,
];

test('every code of the catalogue has a fault in the laboratory, and so its near miss', () => {
  const covered = new Set(all.map(({ code }) => code));
  expect(catalogue.map(({ code }) => code).filter((code) => !covered.has(code))).toEqual([]);
});

test('the laboratory builds nothing that has no code', () => {
  const codes = new Set(catalogue.map(({ code }) => code));
  expect(all.map(({ code }) => code).filter((code) => !codes.has(code))).toEqual([]);
});

test('no two faults of one place have the same name', () => {
  for (const faults of [
    endpointFaults,
    securityFaults,
    nginxFaults,
    caddyFaults,
    haproxyFaults,
    ownFaults,
    machineFaults,
  ]) {
    const names = faults.map(({ fault }) => fault);
    expect(new Set(names).size).toBe(names.length);
  }
});
