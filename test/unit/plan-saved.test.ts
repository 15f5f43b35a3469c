import { describe, expect, test } from 'vitest';
import { deploymentSchema } from '../../src/deployment/schema.ts';
import { chooseRollback, releasesToPrune } from '../../src/plan/choose-rollback.ts';
import { describePlan } from '../../src/plan/describe-plan.ts';
import type { HostFacts, ReleaseRecord } from '../../src/plan/facts.ts';
import { planDeployment } from '../../src/plan/plan-deployment.ts';
import { planRestart, planStop } from '../../src/plan/plan-service.ts';
import { describeMoves, parseSavedPlan, savedPlanText } from '../../src/plan/saved-plan.ts';
import { afterPlan, certificateFact, emptyHost, fileFact } from '../helpers/host-facts.ts';

const deployment = deploymentSchema.parse({ version: 1 });
const planFor = (facts: HostFacts) => planDeployment({ deployment, deploymentText: null }, facts);
const applied = afterPlan(planFor(emptyHost()), emptyHost());

describe('a saved plan', () => {
  const config = '/srv/app/.mcp-deploy/server.json';
  const saved = parseSavedPlan(savedPlanText(planFor(applied), applied, { toolVersion: '1.0.0' }), 'p');

  test('is the same plan when it is read back', () => {
    expect(saved.plan).toEqual(planFor(applied));
  });

  test.each<[string, Partial<HostFacts>]>([
    ['the time', { now: '2027-01-01T00:00:00.000Z' }],
    ['the days of a certificate', { serverCertificate: certificateFact({ daysLeft: 1 }) }],
    ['the process number', { server: { ...applied.server, pid: 9 } as HostFacts['server'] }],
    ['the folder of the lock', { directories: [...(applied.directories ?? []), '/srv/app/.mcp-deploy'] }],
  ])('fits whatever becomes of %s', (_, change) => {
    expect(describeMoves(saved, { ...applied, ...change })).toEqual([]);
  });

  test.each<[string, Partial<HostFacts>]>([
    [config, { files: { ...applied.files, [config]: fileFact('other') } }],
    [config, { files: { ...applied.files, [config]: { ...fileFact('x'), ...applied.files[config], mode: 0o644 } } }],
    ['/srv/app/new', { files: { ...applied.files, '/srv/app/new': fileFact('') } }],
    [
      '/srv/app/mcp-deploy.yaml',
      { deploymentFile: { path: '/srv/app/mcp-deploy.yaml', text: 'version: 1\nname: a\n' } },
    ],
    ['the server', { server: { state: 'stopped' } }],
    ['the ports', { takenPorts: [{ port: 8443, holder: null }] }],
    ['the keys', { activeKeyLabels: [] }],
    ['the last release', { release: null }],
    ['the certificate', { serverCertificate: certificateFact({ fingerprint256: 'CC' }) }],
    ['the version of mcp-deploy', { serverVersion: '1.0.1' }],
    ['this machine', { hostName: 'other' }],
  ])('names what moved: %s', (name, change) => {
    expect(describeMoves(saved, { ...applied, ...change })).toContain(name);
  });

  test('of another folder is told so', () => {
    expect(describeMoves(saved, { ...applied, stateDir: '/other' })).toEqual(['it is for /srv/app/.mcp-deploy']);
  });

  test.each(['', '{}', 'null', '{"kind":"mcp-deploy-plan","schemaVersion":1}'])('is nothing else: %s', (text) => {
    expect(() => parseSavedPlan(text, 'p')).toThrow('p is not a plan of mcp-deploy');
  });
});

test('a plan that only restarts, starts or stops says so', () => {
  const last = (text: string): string => text.split('\n').at(-1) ?? '';
  expect(last(describePlan(planRestart(applied, deployment), applied))).toBe(
    '  No file changes, the server is restarted. Do it with: mcp-deploy restart',
  );
  expect(last(describePlan(planStop(applied, deployment), applied))).toBe(
    '  No file changes, the server is stopped. Do it with: mcp-deploy stop',
  );
  const stopped: HostFacts = { ...applied, server: { state: 'stopped' } };
  expect(last(describePlan(planFor(stopped), stopped))).toBe(
    '  No file changes, the server is started. Apply with: mcp-deploy apply',
  );
});

describe('the release to go back to', () => {
  const release = (number: number, desired: unknown, sha256?: string): ReleaseRecord => ({
    release: number,
    appliedAt: '',
    toolVersion: '1',
    desired,
    files: {},
    directories: [],
    ...(sha256 === undefined ? {} : { build: { version: '1', sha256, folder: number } }),
  });

  test.each<[string, readonly ReleaseRecord[], number | null, number | string]>([
    ['the newest that differs', [release(3, 'b'), release(2, 'b'), release(1, 'a')], null, 1],
    ['another build of the same wish', [release(2, 'a', 'y'), release(1, 'a', 'x')], null, 1],
    [
      'another image of the same wish',
      [
        { ...release(2, 'a'), image: 'notes:y' },
        { ...release(1, 'a'), image: 'notes:x' },
      ],
      null,
      1,
    ],
    ['the one asked for', [release(3, 'c'), release(2, 'b'), release(1, 'a')], 1, 1],
    ['one that is not kept', [release(3, 'c')], 2, 'There is no release 2.'],
    ['none', [], null, 'There is no release to go back to.'],
    ['none before the first', [release(1, 'a')], null, 'There is no other release'],
    ['none that differs', [release(2, 'a'), release(1, 'a')], null, 'There is no other release'],
  ])('%s', (_, releases, wanted, expected) => {
    if (typeof expected === 'string') expect(() => chooseRollback(releases, wanted)).toThrow(expected);
    else expect(chooseRollback(releases, wanted).release).toBe(expected);
  });

  test('the oldest are pruned, never the live one and the one before it', () => {
    expect(releasesToPrune([1, 2, 3, 4, 5], 3)).toEqual([2, 1]);
    expect(releasesToPrune([1, 2, 3], 0)).toEqual([1]);
    expect(releasesToPrune([7], 0)).toEqual([]);
    expect(releasesToPrune([10, 9, 2], 2)).toEqual([2]);
  });
});
