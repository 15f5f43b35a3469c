import { join } from 'node:path';
import { EnvironmentError } from '../deployment/errors.ts';
import type { Deployment } from '../deployment/schema.ts';
import { containerPort, isPlainInside } from '../targets/docker/container-deployment.ts';
import { imageName, splitImageName } from '../targets/docker/image-name.ts';
import { renderDockerFiles } from '../targets/docker/files.ts';
import { stopSeconds } from '../targets/service-command.ts';
import type { AppliedContainers, RenderedFile } from '../targets/types.ts';
import { refuseEngine, refuseOthersContainers, requireContainers } from './container-engine.ts';
import type { ContainerFacts } from './container-facts.ts';
import { foldersFor, managedFile, nameBelow } from './container-files.ts';
import { contentTag, imageSteps, isOfContext, type ChosenImage } from './container-image.ts';
import { projectName, readyTimeoutMs, type ContainerPlan, type ContainerWishes } from './container-plan.ts';
import { oldSecretSteps, secretSteps } from './container-secrets.ts';
import type { HostFacts } from './facts.ts';
import { formerOwnFiles } from './former-own-files.ts';
import { managedFileSteps } from './managed-file.ts';
import { stopStep } from './plan-service.ts';
import type { ComposeProject } from './compose-project.ts';
import type { Notice, Step } from './types.ts';

/** The steps that bring the containers of Docker Compose to a deployment. @throws EnvironmentError (exit 3) where they cannot run */
export function planContainers(wishes: ContainerWishes, facts: HostFacts): ContainerPlan {
  const containers = requireContainers(facts);
  const { input } = wishes;
  const { deployment } = input;
  refuseEngine(containers);
  refuseOthersContainers(containers, deployment.name);
  refuseContainerPorts(facts, deployment);
  const compose = requireCompose(containers);
  const secrets = secretSteps(wishes, 'docker', facts);
  const base: Omit<AppliedContainers, 'image'> = { ...secrets.applied, composeMajor: compose.major };
  const image = chooseImage(wishes, base, containers);
  const files = renderDockerFiles({ ...input, applied: { ...base, image: image.name } }).filter(
    (file) => image.isBuilt || !isOfContext(file),
  );
  const folder = join(facts.stateDir, 'docker');
  const folders = foldersFor(
    files.map(({ installPath }) => installPath),
    facts,
  );
  const managed = files.map((file) => managedFileSteps(managedFile(file), facts, { adopt: wishes.adopt }));
  const writes = managed.flatMap(({ steps }) => steps);
  // Whoever does not build leaves the build context alone: it is that of another release.
  const former = image.isBuilt ? formerOwnFiles(files, facts) : { steps: [], notices: [] };
  const images = imageSteps(deployment, image, containers, folder);
  const project = composeProject(deployment, facts.stateDir, compose.argv);
  const isDone = writes.length === 0 && secrets.steps.length === 0 && isServing(files, image.name, project, containers);
  const stops = facts.server.state === 'running' ? [stopStep(facts, deployment, 'containers take its place')] : [];
  const how = howToSwitch(deployment);
  const steps: readonly Step[] = isDone
    ? former.steps
    : [
        ...folders,
        ...secrets.steps,
        ...writes,
        ...former.steps,
        {
          id: 'check-compose',
          title: 'check the Compose file',
          why: 'before anything reads it',
          group: 'server',
          action: { type: 'run-command', argv: [...project.compose, 'config', '--quiet'] },
          undo: { type: 'none' },
        },
        ...images,
        ...stops,
        {
          id: 'switch-containers',
          title: containers.containers.some(({ running }) => running)
            ? 'replace the container'
            : 'start the containers',
          why: whySwitch(files, image.name, project, containers),
          group: 'server',
          action: {
            type: 'switch-containers',
            project,
            how,
            trial: how === 'in-place' && deployment.service.trial && !hasChain(deployment),
            timeoutMs: readyTimeoutMs(deployment),
          },
          undo: { type: 'restore-containers', project },
        },
      ];
  return {
    steps,
    notices: [
      ...managed.flatMap(({ notices }) => notices),
      ...former.notices,
      ...(isDone || how === 'side-by-side' || containers.containers.length === 0 ? [] : [gapNotice(deployment)]),
    ],
    adopted: managed.flatMap(({ adopted }) => adopted),
    image: image.name,
    serves: !isDone,
  };
}

/** What follows when the endpoint was seen to serve: stopped containers and copies of keys that nothing reads any more. */
export function clearContainerSteps(wishes: ContainerWishes, facts: HostFacts): readonly Step[] {
  const containers = requireContainers(facts);
  const compose = requireCompose(containers);
  const project = composeProject(wishes.input.deployment, facts.stateDir, compose.argv);
  const kept = secretSteps(wishes, 'docker', facts).applied.secretsNumber;
  const before = containers.containers.length > 0;
  return [
    ...(before
      ? [
          {
            id: 'remove-stopped',
            title: 'remove the old container',
            why: 'the new one serves',
            group: 'server',
            action: { type: 'remove-stopped', project },
            undo: { type: 'restore-containers', project },
          } satisfies Step,
        ]
      : []),
    ...oldSecretSteps(join(facts.stateDir, 'docker'), kept, containers),
  ];
}

export function composeProject(deployment: Deployment, stateDir: string, argv: readonly string[]): ComposeProject {
  const { container } = deployment;
  const name = projectName(deployment);
  return {
    compose: [...argv, '--project-name', name, '--file', join(stateDir, 'docker', 'compose.yaml')],
    name,
    beside: container.redis ? ['redis'] : [],
    proxy: container.proxy === 'none' ? null : container.proxy,
    ready: { scheme: isPlainInside(deployment, 'docker') ? 'http' : 'https', port: containerPort(deployment) },
    graceSeconds: stopSeconds(deployment),
  };
}

function requireCompose({ compose }: ContainerFacts): NonNullable<ContainerFacts['compose']> {
  if (compose !== null) return compose;
  throw new EnvironmentError('Docker has no Compose here.', {
    why: 'Neither "docker compose" nor docker-compose answers.',
    next: 'apt-get install docker-compose        (or the package docker-compose-v2 or docker-compose-plugin)',
  });
}

function refuseContainerPorts(facts: HostFacts, { container, server }: Deployment): void {
  const [taken] = facts.takenPorts;
  if (taken === undefined) return;
  const setting = container.proxy === 'none' ? 'server.listen' : 'container.proxy';
  throw new EnvironmentError(`Port ${taken.port} is taken${taken.holder === null ? '' : ` by ${taken.holder}`}.`, {
    why: `${setting} in mcp-deploy.yaml asks for it.`,
    next:
      container.proxy === 'none'
        ? 'Stop that program, or choose another port in server.listen.'
        : `Stop that program, or choose another port with server.publicUrl: https://localhost:8443${server.path}`,
  });
}

function chooseImage(
  { input, image }: ContainerWishes,
  base: Omit<AppliedContainers, 'image'>,
  { images }: ContainerFacts,
): ChosenImage {
  if (image !== undefined && images.includes(image)) return { name: image, isBuilt: false };
  const { name } = splitImageName(imageName(input.deployment));
  const context = renderDockerFiles({ ...input, applied: { ...base, image: name } });
  return { name: `${name}:${contentTag(context)}`, isBuilt: true };
}

/** A chain of audit lines has one end; two servers would each have their own. */
function hasChain({ logs }: Deployment): boolean {
  return logs.audit !== 'off' && logs.auditKeyFile !== undefined;
}

function howToSwitch(deployment: Deployment): 'side-by-side' | 'in-place' {
  const { container, service } = deployment;
  const isAlone = container.proxy === 'none' || !service.trial || hasChain(deployment) || publishesPages(deployment);
  return isAlone ? 'in-place' : 'side-by-side';
}

/** A published port can be taken once. */
function publishesPages({ server }: Deployment): boolean {
  return (server.metrics && server.metricsListen !== undefined) || server.healthListen !== undefined;
}

function gapNotice(deployment: Deployment): Notice {
  const { container, service } = deployment;
  const reason =
    container.proxy === 'none'
      ? 'without a proxy in front (container.proxy) its port can be taken once'
      : !service.trial
        ? 'service.trial is false'
        : hasChain(deployment)
          ? 'an audit chain has one end'
          : 'ports of its pages are published, which can be taken once';
  return {
    level: 'info',
    text: `The old container stops before the new one starts: calls fail for a moment and legacy sessions end, since ${reason}.`,
  };
}

/** Whether what is wanted runs, by the labels of the containers. */
function isServing(
  files: readonly RenderedFile[],
  image: string,
  project: ComposeProject,
  { containers }: ContainerFacts,
): boolean {
  const running = containers.filter(({ running: isRunning, oneOff }) => isRunning && !oneOff);
  const servers = running.filter(({ service }) => service === 'server');
  const hashes = labelsIn(files);
  const others = [...project.beside, ...(project.proxy === null ? [] : ['proxy'])];
  return (
    servers.length === 1 &&
    servers.every((each) => each.image === image && hashes.has(each.config)) &&
    others.every((name) =>
      running.some(({ service, config }) => service === name && (name !== 'proxy' || hashes.has(config))),
    ) &&
    containers.every((each) => each.service !== 'server' || each.running)
  );
}

function labelsIn(files: readonly RenderedFile[]): ReadonlySet<string> {
  const compose = files.find((file) => nameBelow(file) === 'compose.yaml')?.content ?? '';
  return new Set(Array.from(compose.matchAll(/mcp-deploy\.config: "([0-9a-f]+)"/g), (match) => match[1] ?? ''));
}

function whySwitch(
  files: readonly RenderedFile[],
  image: string,
  project: ComposeProject,
  facts: ContainerFacts,
): string {
  const servers = facts.containers.filter(({ service, running }) => service === 'server' && running);
  if (servers.length === 0) return 'not running';
  if (servers.some((each) => each.image !== image)) return 'another image';
  return isServing(files, image, project, facts) ? 'files changed' : 'settings of the containers changed';
}
