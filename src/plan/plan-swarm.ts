import { join } from 'node:path';
import { EnvironmentError } from '../deployment/errors.ts';
import type { Deployment } from '../deployment/schema.ts';
import { imageName, splitImageName } from '../targets/docker/image-name.ts';
import { renderDockerFiles } from '../targets/docker/files.ts';
import { stopSeconds } from '../targets/service-command.ts';
import { renderSwarmFiles } from '../targets/swarm/files.ts';
import type { AppliedContainers, TargetInput } from '../targets/types.ts';
import type { ContainerFacts } from './container-facts.ts';
import type { HostFacts } from './facts.ts';
import { formerOwnFiles } from './former-own-files.ts';
import { managedFileSteps } from './managed-file.ts';
import { refuseEngine, refuseOthersContainers, requireContainers } from './container-engine.ts';
import { foldersFor, managedFile } from './container-files.ts';
import { contentTag, imageSteps, isOfContext, pushSteps, type ChosenImage } from './container-image.ts';
import { projectName, readyTimeoutMs, type ContainerPlan, type ContainerWishes } from './container-plan.ts';
import { oldSecretSteps, secretSteps, secretsOf } from './container-secrets.ts';
import { stopStep } from './plan-service.ts';
import type { Step } from './types.ts';
import type { SwarmStack } from './swarm-stack.ts';

/** User of the image, to whom Swarm gives its secrets. */
const imageUser = { uid: 1_000, gid: 1_000 } as const;

/** The steps that bring a stack of this swarm to a deployment. @throws EnvironmentError (exit 3) where there is none to bring */
export function planSwarm(wishes: ContainerWishes, facts: HostFacts): ContainerPlan {
  const containers = requireContainers(facts);
  refuseEngine(containers);
  refuseSwarm(containers);
  const { input } = wishes;
  refuseOthersContainers(containers, input.deployment.name);
  const { deployment } = input;
  const secrets = secretSteps(wishes, 'swarm', facts);
  const base: Omit<AppliedContainers, 'image'> = {
    ...secrets.applied,
    secretNumbers: unchangedSecrets(wishes, facts),
    user: imageUser,
    composeMajor: 2,
  };
  const image = chooseImage(wishes, base, containers);
  const context = renderDockerFiles({ ...plainInside(input), applied: { ...base, image: image.name } });
  const files = [
    ...(image.isBuilt ? context.filter((file) => isOfContext(file)) : []),
    ...renderSwarmFiles({ ...input, applied: { ...base, image: image.name } }),
  ];
  const managed = files.map((file) => managedFileSteps(managedFile(file), facts, { adopt: wishes.adopt }));
  const writes = managed.flatMap(({ steps }) => steps);
  // Whoever does not build leaves the build context alone: it is that of another release.
  const former = image.isBuilt ? formerOwnFiles(files, facts) : { steps: [], notices: [] };
  const folders = foldersFor(
    files.map(({ installPath }) => installPath),
    facts,
  );
  const stack = swarmStack(deployment, facts.stateDir);
  const isDone = writes.length === 0 && secrets.steps.length === 0 && isServing(image.name, stack, containers);
  const isNew = containers.containers.length === 0;
  const steps: readonly Step[] = isDone
    ? former.steps
    : [
        ...folders,
        ...secrets.steps,
        ...writes,
        ...former.steps,
        ...imageSteps(withHaproxy(deployment), image, containers, join(facts.stateDir, 'docker')),
        ...pushSteps(image, 'other machines of the swarm pull it'),
        ...(facts.server.state === 'running' ? [stopStep(facts, deployment, 'the stack takes its place')] : []),
        {
          id: 'deploy-stack',
          title: isNew ? `start ${stack.replicas} copies` : 'replace the copies one after another',
          why: isNew ? 'none yet' : 'settings, image or keys changed',
          group: 'server',
          action: { type: 'deploy-stack', stack, image: image.name, timeoutMs: rollTimeoutMs(deployment) },
          undo: { type: 'restore-stack', stack, timeoutMs: rollTimeoutMs(deployment) },
        },
      ];
  return {
    steps,
    notices: [...managed.flatMap(({ notices }) => notices), ...former.notices],
    adopted: managed.flatMap(({ adopted }) => adopted),
    image: image.name,
    serves: !isDone,
  };
}

/** What follows when the endpoint was seen to serve: configs, secrets and copies of keys that nothing reads any more. */
export function clearSwarmSteps(wishes: ContainerWishes, facts: HostFacts): readonly Step[] {
  const containers = requireContainers(facts);
  const stack = swarmStack(wishes.input.deployment, facts.stateDir);
  const kept = secretSteps(wishes, 'swarm', facts).applied.secretsNumber;
  return [
    ...oldSecretSteps(join(facts.stateDir, 'swarm'), kept, containers),
    ...(containers.containers.length === 0
      ? []
      : [
          {
            id: 'prune-stack',
            title: 'remove configs and secrets of before',
            why: 'the new ones serve',
            group: 'server',
            action: { type: 'prune-stack', stack },
            undo: { type: 'none' },
          } satisfies Step,
        ]),
  ];
}

export function swarmStack(deployment: Deployment, stateDir: string): SwarmStack {
  return {
    name: projectName(deployment),
    file: join(stateDir, 'swarm', 'stack.yaml'),
    replicas: deployment.container.replicas,
  };
}

/** The numbers of secrets whose content stays: a service whose secrets have other names is replaced, the proxy too. */
function unchangedSecrets({ input, changes }: ContainerWishes, facts: HostFacts): Readonly<Record<string, number>> {
  const { secretCopies, secretSources } = requireContainers(facts);
  const copies = secretCopies[Math.max(0, ...Object.keys(secretCopies).map(Number))] ?? {};
  const text = facts.files[join(facts.stateDir, 'swarm', 'stack.yaml')]?.text ?? '';
  const numbers: Record<string, number> = {};
  for (const { name, file } of secretsOf(input, 'swarm')) {
    const number = new RegExp(`_${name}_([0-9]+)"`).exec(text)?.[1];
    const isMadeAnew = name === 'mcp_keys' ? changes.keys : changes.certificate;
    if (number === undefined || isMadeAnew || copies[name] !== secretSources[file]) continue;
    numbers[name] = Number(number);
  }
  return numbers;
}

function refuseSwarm({ engine }: ContainerFacts): void {
  if (engine.state !== 'ready' || engine.swarm === 'manager') return;
  throw new EnvironmentError(
    engine.swarm === 'off' ? 'This engine is in no swarm.' : 'This engine is a worker of its swarm.',
    {
      why: 'A stack is deployed by a manager of a swarm.',
      next:
        engine.swarm === 'off'
          ? 'docker swarm init        then run the command again'
          : 'Run the command on a manager, or: DOCKER_HOST=ssh://MANAGER mcp-deploy apply',
    },
  );
}

/** The proxy of a stack is HAProxy, and TLS ends there. */
function plainInside(input: TargetInput): TargetInput {
  return { ...input, deployment: withHaproxy(input.deployment) };
}

function withHaproxy(deployment: Deployment): Deployment {
  return { ...deployment, container: { ...deployment.container, proxy: 'haproxy', watch: false } };
}

function chooseImage(
  { input, image }: ContainerWishes,
  base: Omit<AppliedContainers, 'image'>,
  { images }: ContainerFacts,
): ChosenImage {
  if (image !== undefined && images.includes(image)) return { name: image, isBuilt: false };
  const { name } = splitImageName(imageName(input.deployment));
  const context = renderDockerFiles({ ...plainInside(input), applied: { ...base, image: name } });
  return { name: `${name}:${contentTag(context)}`, isBuilt: true };
}

/** Copies are replaced one after another, each watched for a while, and an update that fails is taken back in the same way. */
function rollTimeoutMs(deployment: Deployment): number {
  const each = readyTimeoutMs(deployment) + (stopSeconds(deployment) + 30) * 1_000;
  return 60_000 + 2 * deployment.container.replicas * each;
}

function isServing(image: string, stack: SwarmStack, { containers }: ContainerFacts): boolean {
  const server = containers.find(({ service }) => service === 'server');
  return server?.image === image && containers.every(({ running }) => running) && server.config === `${stack.replicas}`;
}
