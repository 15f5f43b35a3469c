import { describe, expect, test } from 'vitest';
import { deploymentSchema, type DeploymentInput } from '../../src/deployment/schema.ts';
import type { HostFacts } from '../../src/plan/facts.ts';
import { planContainers } from '../../src/plan/plan-containers.ts';
import { planSwarm } from '../../src/plan/plan-swarm.ts';
import type { Plan, Step } from '../../src/plan/types.ts';
import { renderDockerFiles } from '../../src/targets/docker/files.ts';
import type { OwnFile } from '../../src/targets/types.ts';
import { engineFacts } from '../helpers/engine-facts.ts';
import { afterPlan, emptyHost, fileFact } from '../helpers/host-facts.ts';
import { targetInput } from '../helpers/target-input.ts';

const engine = engineFacts();
const wish: DeploymentInput = { version: 1, name: 'notes' };
const own = (...paths: readonly string[]): readonly OwnFile[] =>
  paths.map((path) => ({ path, content: `// ${path}`, isExecutable: false }));

type Planner = typeof planContainers;

function planFor(planner: Planner, files: readonly OwnFile[], facts: HostFacts, image?: string): Plan {
  const input = { ...targetInput(wish), readOwnFiles: () => files };
  const made = planner(
    { input, adopt: false, changes: { keys: false, certificate: false }, ...(image === undefined ? {} : { image }) },
    facts,
  );
  return {
    schemaVersion: 1,
    deployment: 'notes',
    purpose: 'apply',
    release: (facts.release?.release ?? 0) + 1,
    steps: made.steps,
    notices: made.notices,
    desired: deploymentSchema.parse(wish),
  };
}

function applied(planner: Planner, files: readonly OwnFile[]): HostFacts {
  const { paths } = targetInput(wish);
  const before = emptyHost({ stateDir: paths.stateDir, containers: engine });
  return { ...afterPlan(planFor(planner, files, before), before), containers: engine };
}

const lines = (steps: readonly Step[]): readonly string[] =>
  steps
    .filter(({ id }) => id.includes('-own'))
    .map(({ title, action, undo }) => `${title} (${action.type}, ${undo.type})`);

describe.each<[string, Planner]>([
  ['Compose', planContainers],
  ['Swarm', planSwarm],
])('%s', (_, planner) => {
  test('the folders of a file are made one after another, and open to the user of the image', () => {
    const { stateDir, files } = applied(planner, own('a/b/c.mjs'));
    const steps = planFor(planner, own('a/b/c.mjs'), emptyHost({ stateDir, containers: engine })).steps;
    const made = steps.flatMap(({ action }) =>
      action.type === 'make-directory' ? [`${action.path.slice(stateDir.length + 1)} ${action.mode.toString(8)}`] : [],
    );
    // As in the image, whose user is another one.
    expect(made.filter((path) => /^docker(?:\/own|  *7)/.test(path))).toEqual([
      'docker 700',
      'docker/own 755',
      'docker/own/a 755',
      'docker/own/a/b 755',
    ]);
    expect(Object.keys(files)).toContain(`${stateDir}/docker/own/a/b/c.mjs`);
  });

  test('a file that is not named any more is removed before the image is built, with the folders that it leaves empty', () => {
    const facts = applied(planner, own('tools/old/gone.mjs', 'tools/stays.mjs'));
    const { steps, notices } = planFor(planner, own('tools/stays.mjs'), facts);
    expect(lines(steps)).toEqual([
      'remove docker/own/tools/old/gone.mjs (remove-file, restore)',
      'remove folder docker/own/tools/old (remove-directory, restore)',
    ]);
    const ids = steps.map(({ id }) => id);
    const build = ids.findIndex((id) => id.startsWith('image-mcp-notes'));
    expect(ids.findLastIndex((id) => id.startsWith('remove-own'))).toBeLessThan(build);
    expect(notices.filter(({ level }) => level === 'warning')).toEqual([]);
    const after = { ...afterPlan({ ...planFor(planner, own('tools/stays.mjs'), facts) }, facts), containers: engine };
    expect(lines(planFor(planner, own('tools/stays.mjs'), after).steps)).toEqual([]);
  });

  test('the last one goes too', () => {
    const facts = applied(planner, own('gone.mjs'));
    expect(lines(planFor(planner, [], facts).steps)).toContain('remove docker/own/gone.mjs (remove-file, restore)');
  });

  test.each<[string, (facts: HostFacts, path: string) => HostFacts, string]>([
    [
      'edited by hand',
      (facts, path) => ({ ...facts, files: { ...facts.files, [path]: fileFact('mine', 0o644) } }),
      'docker/own/gone.mjs is edited by hand',
    ],
    [
      'of somebody else',
      (facts, path) => ({
        ...facts,
        files: { ...facts.files, [path]: fileFact('mine', 0o644) },
        release: facts.release === null ? null : { ...facts.release, files: {} },
      }),
      'docker/own/gone.mjs is not ours',
    ],
  ])('one that is %s is kept beside, which is said', (_title, change, says) => {
    const known = applied(planner, own('gone.mjs'));
    const facts = change(known, `${known.stateDir}/docker/own/gone.mjs`);
    const { steps, notices } = planFor(planner, [], facts);
    expect(lines(steps).slice(0, 2)).toEqual([
      'keep docker/own/gone.mjs aside (copy-file, restore)',
      'remove docker/own/gone.mjs (remove-file, restore)',
    ]);
    expect(notices.map(({ text }) => text).join('\n')).toContain(says);
    const aside = `${known.stateDir}/docker/own/gone.mjs.mcp-deploy-2`;
    expect(steps.map(({ action }) => action)).toContainEqual(expect.objectContaining({ path: aside }));
    const later = { ...facts, files: { ...facts.files, [aside]: fileFact('mine') } };
    expect(lines(planFor(planner, own('gone.mjs'), later).steps).join('\n')).not.toContain('mcp-deploy-2 (');
  });

  test('an image that is there is not built, so that its context stays for whoever builds', () => {
    const facts = applied(planner, own('gone.mjs'));
    const known = { ...facts, containers: { ...engine, images: [...engine.images, 'mcp-notes:old'] } };
    expect(lines(planFor(planner, [], known, 'mcp-notes:old').steps)).toEqual([]);
  });
});

test('what was kept aside among them is in no image', () => {
  const files = renderDockerFiles({ ...targetInput(wish), readOwnFiles: () => own('tools/a.mjs') });
  const ignored = files.find(({ path }) => path === 'docker/.dockerignore')?.content ?? '';
  expect(ignored.trim().split('\n').slice(-1)).toEqual(['own/**/*.mcp-deploy-*']);
});
