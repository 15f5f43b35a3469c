import { describe, expect, test } from 'vitest';
import { deploymentSchema } from '../../src/deployment/schema.ts';
import type { HostFacts } from '../../src/plan/facts.ts';
import { planDeployment } from '../../src/plan/plan-deployment.ts';
import { planFix, type OpenFile } from '../../src/plan/plan-fix.ts';
import { afterPlan, certificateFact, emptyHost, fileFact } from '../helpers/host-facts.ts';

const deployment = deploymentSchema.parse({ version: 1 });
const state = '/srv/app/.mcp-deploy';

function host(changes: Partial<HostFacts> = {}): HostFacts {
  const before = emptyHost();
  return { ...afterPlan(planDeployment({ deployment, deploymentText: null }, before), before), ...changes };
}

function fixOf(facts: HostFacts, open: readonly OpenFile[] = []) {
  const { plan, unsafe } = planFix({ deployment, open }, facts);
  return { steps: plan.steps.map(({ id }) => id), unsafe, release: plan.release };
}

describe('what doctor --fix would do', () => {
  test('is nothing where all is as it was applied', () => {
    expect(fixOf(host())).toEqual({ steps: [], unsafe: [], release: 1 });
  });

  test('starts the stopped server', () => {
    expect(fixOf(host({ server: { state: 'stopped' } })).steps).toContain('start-server');
  });

  test('renews a certificate of its own CA that ends soon, and not one that has time', () => {
    const ending = host();
    const certificate = (daysLeft: number): HostFacts => ({
      ...ending,
      serverCertificate: { ...(ending.serverCertificate ?? certificateFact()), daysLeft },
    });
    expect(fixOf(certificate(5)).steps).toContain('server-certificate');
    expect(fixOf(certificate(60)).steps).toEqual([]);
  });

  test('leaves everything to a person where a new CA would be made', () => {
    const gone = host({ caCertificate: null, server: { state: 'stopped' } });
    const { steps, unsafe } = fixOf(gone);
    expect(steps).toEqual([]);
    expect(unsafe).toEqual([expect.stringContaining('make private CA')]);
  });

  test('writes nothing only because another version would write it otherwise', () => {
    const facts = host();
    const config = `${state}/server.json`;
    const older = fileFact('{"of": "an older version"}');
    const before: HostFacts = {
      ...facts,
      files: { ...facts.files, [config]: older },
      release: facts.release === null ? null : { ...facts.release, files: { ...facts.release.files, [config]: older } },
    };
    expect(planDeployment({ deployment, deploymentText: null }, before).steps).not.toEqual([]);
    expect(fixOf(before).steps).toEqual([]);
    expect(fixOf({ ...before, server: { state: 'stopped' } }).steps).toContain('start-server');
  });

  test('closes files first, each with a way back', () => {
    const open = [{ path: `${state}/keys/keys.json`, mode: 0o600 }];
    const { plan } = planFix({ deployment, open }, host());
    expect(plan.steps).toMatchObject([
      { id: 'mode-1', action: { type: 'set-mode', mode: 0o600 }, undo: { type: 'restore' } },
    ]);
    expect(plan.release).toBe(2);
  });
});
