import { describe, expect, test } from 'vitest';
import { deploymentSchema, type DeploymentInput } from '../../src/deployment/schema.ts';
import type { ContainerFact, ContainerFacts } from '../../src/plan/container-facts.ts';
import { namesRegistry } from '../../src/plan/container-image.ts';
import type { HostFacts } from '../../src/plan/facts.ts';
import { planContainers } from '../../src/plan/plan-containers.ts';
import { planSwarm } from '../../src/plan/plan-swarm.ts';
import type { ContainerPlan } from '../../src/plan/container-plan.ts';
import { engineFacts } from '../helpers/engine-facts.ts';
import { afterPlan, emptyHost } from '../helpers/host-facts.ts';
import { targetInput } from '../helpers/target-input.ts';
import type { Plan } from '../../src/plan/types.ts';

type Planner = typeof planContainers;

const container = (changes: Partial<ContainerFact> = {}): ContainerFact => ({
  id: 'a1',
  service: 'server',
  running: true,
  image: 'mcp-notes:old',
  config: '0',
  oneOff: false,
  ports: [],
  ...changes,
});

function planWith(
  planner: Planner,
  deployment: Omit<DeploymentInput, 'version'> = {},
  changes: Partial<ContainerFacts> = {},
  host: Partial<HostFacts> = {},
): ContainerPlan {
  const input = targetInput({ version: 1, name: 'notes', ...deployment });
  const facts = emptyHost({ stateDir: input.paths.stateDir, containers: engineFacts(changes), ...host });
  return planner({ input, adopt: false, changes: { keys: true, certificate: true } }, facts);
}

const idsOf = ({ steps }: ContainerPlan): readonly string[] => steps.map(({ id }) => id);

test.each([
  ['Compose', planContainers],
  ['a stack', planSwarm],
] as const)('%s of another folder with the same name is left alone', (_, planner) => {
  expect(() => planWith(planner, {}, { othersFolder: '/srv/other' })).toThrow('another deployment have the name notes');
});

describe('planContainers', () => {
  test('a first apply writes, copies, builds and switches, in this order', () => {
    const ids = idsOf(planWith(planContainers));
    const order = ['secrets-1', 'secret-mcp-keys', 'file-compose-yaml', 'check-compose', 'switch-containers'];
    expect(order.map((id) => ids.indexOf(id))).toEqual(order.map((id) => ids.indexOf(id)).toSorted((a, b) => a - b));
    expect(order.filter((id) => !ids.includes(id))).toEqual([]);
    expect(ids.at(-2)).toMatch(/^image-mcp-notes-[0-9a-f]{12}$/);
  });

  test.each<[string, Omit<DeploymentInput, 'version'>, 'side-by-side' | 'in-place', boolean]>([
    ['a proxy in front', { container: { proxy: 'haproxy' } }, 'side-by-side', false],
    ['no proxy: its port can be taken once', {}, 'in-place', true],
    ['a proxy, and no trial wanted', { container: { proxy: 'nginx' }, service: { trial: false } }, 'in-place', false],
    [
      'an audit chain',
      { container: { proxy: 'nginx' }, logs: { audit: 'audit.jsonl', auditKeyFile: 'a.key' } },
      'in-place',
      false,
    ],
    ['published pages', { container: { proxy: 'nginx' }, server: { healthListen: ':8081' } }, 'in-place', true],
  ])('%s', (_, deployment, how, trial) => {
    const host = { files: {} };
    const sources = { '/srv/app/a.key': 'ff', '/srv/mcp/a.key': 'ff' };
    const input = targetInput({ version: 1, ...deployment });
    const key = `${input.paths.baseDir}/a.key`;
    const plan = planWith(planContainers, deployment, { secretSources: { ...sources, [key]: 'ff' } }, host);
    expect(plan.steps.find(({ id }) => id === 'switch-containers')?.action).toMatchObject({ how, trial });
  });

  test('images that the engine has are not pulled, and the older builder is asked for where BuildKit is missing', () => {
    const pulled = planWith(planContainers, { container: { proxy: 'haproxy' } }, { images: [] });
    expect(idsOf(pulled)).toEqual(expect.arrayContaining(['image-node-24-bookworm-slim', 'image-haproxy-3-2']));
    const there = planWith(planContainers, { container: { proxy: 'haproxy' } }, { buildx: true });
    const build = there.steps.find(({ id }) => id.startsWith('image-'))?.action;
    expect(build).toMatchObject({ argv: expect.arrayContaining(['docker', 'build']) as unknown });
    const older = planWith(planContainers).steps.find(({ id }) => id.startsWith('image-'))?.action;
    expect(older).toMatchObject({ argv: expect.arrayContaining(['DOCKER_BUILDKIT=0']) as unknown });
  });

  test('the image of a release is taken while the engine has it', () => {
    const input = targetInput({ version: 1, name: 'notes' });
    const wishes = { input, adopt: false, changes: { keys: true, certificate: true }, image: 'mcp-notes:old' };
    const at = (images: readonly string[]): string | null =>
      planContainers(wishes, emptyHost({ stateDir: input.paths.stateDir, containers: engineFacts({ images }) })).image;
    expect(at(['mcp-notes:old'])).toBe('mcp-notes:old');
    expect(at([])).not.toBe('mcp-notes:old');
  });

  test.each<[string, Partial<ContainerFacts>, Partial<HostFacts>, string]>([
    ['no docker', { engine: { state: 'absent' } }, {}, 'There is no docker on this machine.'],
    ['no right', { engine: { state: 'denied' } }, {}, 'You may not use Docker on this machine.'],
    ['no answer', { engine: { state: 'silent', words: 'x' } }, {}, 'The Docker engine does not answer.'],
    ['no Compose', { compose: null }, {}, 'Docker has no Compose here.'],
    ['a taken port', {}, { takenPorts: [{ port: 8443, holder: 'nginx' }] }, 'Port 8443 is taken by nginx.'],
  ])('%s is refused in one sentence', (_, changes, host, message) => {
    expect(() => planWith(planContainers, {}, changes, host)).toThrow(message);
  });

  test('a switch in place is told of, where something runs already', () => {
    expect(planWith(planContainers).notices).toEqual([]);
    const again = planWith(planContainers, {}, { containers: [container()] });
    expect(again.notices.map(({ text }) => text).join(' ')).toContain('without a proxy in front');
  });
});

describe('planSwarm', () => {
  test.each<[string, Partial<ContainerFacts>, string]>([
    ['no swarm', { engine: { state: 'ready', version: '20', swarm: 'off' } }, 'This engine is in no swarm.'],
    [
      'a worker',
      { engine: { state: 'ready', version: '20', swarm: 'worker' } },
      'This engine is a worker of its swarm.',
    ],
    ['no docker', { engine: { state: 'absent' } }, 'There is no docker on this machine.'],
  ])('%s is refused in one sentence', (_, changes, message) => {
    expect(() => planWith(planSwarm, {}, changes)).toThrow(message);
  });

  test.each<[string, string | undefined, boolean]>([
    ['the name of a registry: pushed', 'registry.example.com/team/notes', true],
    ['a port is one too', 'localhost:5000/notes', true],
    ['a name of this machine', 'notes', false],
    ['a folder of Docker Hub', 'team/notes', false],
    ['no name', undefined, false],
  ])('%s', (_, image, isPushed) => {
    const ids = idsOf(planWith(planSwarm, { container: image === undefined ? {} : { image } }));
    expect(ids.includes('push-image')).toBe(isPushed);
    if (isPushed) expect(ids.indexOf('push-image')).toBeLessThan(ids.indexOf('deploy-stack'));
    if (image !== undefined) expect(namesRegistry(`${image}:1`)).toBe(isPushed);
  });

  test.each<[string, readonly ContainerFact[], string, string]>([
    ['nothing runs', [], 'start 2 copies', 'none yet'],
    ['another image runs', [container()], 'replace the copies one after another', 'settings, image or keys changed'],
  ])('%s', (_, containers, title, why) => {
    const step = planWith(planSwarm, {}, { containers }).steps.find(({ id }) => id === 'deploy-stack');
    expect([step?.title, step?.why]).toEqual([title, why]);
  });
});

describe.each<[string, Planner]>([
  ['planContainers', planContainers],
  ['planSwarm', planSwarm],
])('%s', (_, planner) => {
  test('is the same every time, plain data, and holds no secret', () => {
    const once = planWith(planner);
    expect(planWith(planner)).toEqual(once);
    expect(JSON.parse(JSON.stringify(once))).toEqual(once);
    expect(once.steps.flatMap(({ action }) => (action.type === 'copy-secret' ? [action.mode] : []))).toContain(0o600);
  });

  test('files that are as wanted are not written again', () => {
    const input = targetInput({ version: 1, name: 'notes' });
    const before = emptyHost({ stateDir: input.paths.stateDir, containers: engineFacts() });
    const wishes = { input, adopt: false, changes: { keys: true, certificate: true } };
    const made = planner(wishes, before);
    const plan: Plan = {
      schemaVersion: 1,
      deployment: 'notes',
      purpose: 'apply',
      release: 1,
      steps: made.steps,
      notices: [],
      desired: deploymentSchema.parse({ version: 1, name: 'notes' }),
    };
    const again = planner(wishes, { ...afterPlan(plan, before), containers: engineFacts() });
    expect(again.steps.filter(({ action }) => action.type === 'write-file')).toEqual([]);
  });
});
