import { expect, test } from 'vitest';
import { deploymentSchema } from '../../src/deployment/schema.ts';
import type { Desired } from '../../src/plan/desired.ts';
import { planDeployment } from '../../src/plan/plan-deployment.ts';
import type { HostFacts } from '../../src/plan/facts.ts';
import type { Plan } from '../../src/plan/types.ts';
import { afterPlan, emptyHost } from '../helpers/host-facts.ts';

const deployment = deploymentSchema.parse({ version: 1, name: 'notes' });
const desired: Desired = { deployment, deploymentText: null };
const folder = '/srv/app/.mcp-deploy';

function hostWith(build: string, changes: Partial<HostFacts> = {}): HostFacts {
  return emptyHost({ serverBuildSha256: build, ...changes });
}

/** The machine after a release with this build, whose server runs. */
function appliedHost(build: string): { readonly plan: Plan; readonly facts: HostFacts } {
  const plan = planDeployment(desired, hostWith(build));
  return { plan, facts: { ...afterPlan(plan, hostWith(build)), serverBuildSha256: build } };
}

function argvOf(plan: Plan, id: 'action' | 'undo'): readonly string[] {
  const found = plan.steps
    .map((step) => step[id])
    .find(
      (
        each,
      ): each is Extract<typeof each, { type: 'start-server' }> | Extract<typeof each, { type: 'replace-server' }> =>
        each.type === 'start-server' || each.type === 'replace-server',
    );
  return found?.argv ?? [];
}

test('a release in a folder gets a copy of the server with its configuration, and starts that copy', () => {
  const { plan } = appliedHost('aa');
  expect(plan.build).toEqual({ version: '1.0.0', sha256: 'aa', folder: 1 });
  expect(argvOf(plan, 'action')[1]).toBe(`${folder}/releases/1/serve.js`);
  const written = plan.steps.flatMap(({ action }) =>
    action.type === 'write-file' && action.path.endsWith('server.json') ? [action] : [],
  );
  expect(written.map(({ path }) => path)).toEqual([`${folder}/server.json`, `${folder}/releases/1/server.json`]);
  expect(new Set(written.map(({ content }) => content)).size).toBe(1);
});

test('the same build is not copied again, and nothing is to do', () => {
  const { facts } = appliedHost('aa');
  expect(planDeployment(desired, facts).steps).toEqual([]);
});

test('another build of the same version is another release, and its undo starts the former copy', () => {
  const { facts } = appliedHost('aa');
  const plan = planDeployment(desired, { ...facts, serverBuildSha256: 'bb' });
  expect(plan.build).toEqual({ version: '1.0.0', sha256: 'bb', folder: 2 });
  expect(argvOf(plan, 'action')[1]).toBe(`${folder}/releases/2/serve.js`);
  expect(argvOf(plan, 'undo')[1]).toBe(`${folder}/releases/1/serve.js`);
});

test('while it runs it is replaced, checked first when it is another build; other addresses stop it and start it', () => {
  const { facts } = appliedHost('aa');
  const ids = (of: Plan): readonly string[] => of.steps.map(({ id }) => id).filter((id) => id.endsWith('-server'));
  expect(ids(planDeployment(desired, { ...facts, serverBuildSha256: 'bb' }))).toEqual([
    'release-server',
    'check-server',
    'replace-server',
  ]);
  const louder = deploymentSchema.parse({ version: 1, name: 'notes', logs: { level: 'debug' } });
  expect(ids(planDeployment({ ...desired, deployment: louder }, facts))).toEqual(['release-server', 'replace-server']);
  const elsewhere = deploymentSchema.parse({ version: 1, name: 'notes', server: { listen: '0.0.0.0:8443' } });
  expect(ids(planDeployment({ ...desired, deployment: elsewhere }, facts))).toEqual([
    'release-server',
    'stop-server',
    'start-server',
  ]);
});

test('a copy that was changed or removed by somebody is made anew', () => {
  const { facts } = appliedHost('aa');
  const file = `${folder}/releases/1/serve.js`;
  const { [file]: copy, ...others } = facts.files;
  expect(planDeployment(desired, { ...facts, files: others }).build?.folder).toBe(2);
  const edited = { ...others, [file]: { sha256: 'cc', mode: copy?.mode ?? 0o600 } };
  expect(planDeployment(desired, { ...facts, files: edited }).build?.folder).toBe(2);
});

test('a rollback to a build of another version takes the configuration that was written for it', () => {
  const { facts } = appliedHost('aa');
  const plan = planDeployment(
    {
      ...desired,
      rollbackOf: 1,
      build: { file: `${folder}/releases/1/serve.js`, sha256: 'old', version: '0.9.0' },
      config: '{"old":true}\n',
    },
    facts,
  );
  expect(plan.steps.map(({ action }) => (action.type === 'write-file' ? action.content : null))).toContain(
    '{"old":true}\n',
  );
  expect(plan.build).toEqual({ version: '0.9.0', sha256: 'old', folder: 2 });
});
