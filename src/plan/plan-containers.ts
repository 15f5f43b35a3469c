import { basename, join } from 'node:path';
import { EnvironmentError, UserError } from '../deployment/errors.ts';
import type { Deployment } from '../deployment/schema.ts';
import { containerPort, isPlainInside } from '../targets/docker/container-deployment.ts';
import { imageName, splitImageName } from '../targets/docker/image-name.ts';
import { mountedSecrets, proxySecrets } from '../targets/docker/mounted-secrets.ts';
import { renderDockerFiles } from '../targets/docker/files.ts';
import { proxyImages } from '../targets/docker/front-proxy.ts';
import { nameOnHost } from '../targets/name-on-host.ts';
import { stopSeconds } from '../targets/service-command.ts';
import type { AppliedContainers, RenderedFile, TargetInput } from '../targets/types.ts';
import type { ContainerFacts } from './container-facts.ts';
import type { HostFacts } from './facts.ts';
import { managedFileSteps } from './managed-file.ts';
import { stopStep } from './plan-service.ts';
import { sha256Hex } from './server-config.ts';
import type { AdoptedFile, ComposeProject, Notice, Step } from './types.ts';

/** Files of the build context: what the tag of the image is made from. */
const contextNames: ReadonlySet<string> = new Set(['Dockerfile', '.dockerignore', 'mcp-deploy.yaml', 'serve.js']);

/** As whom containers run whose files belong to root: a number that no account has. Distroless images use it too. */
const nobodyElse = 65_532;

export interface ContainerWishes {
  readonly input: TargetInput;
  readonly adopt: boolean;
  /** Whether steps before change the key store, or the certificate. */
  readonly changes: { readonly keys: boolean; readonly certificate: boolean };
  /** The image of a release that is put back; built from the files of this mcp-deploy when absent or gone. */
  readonly image?: string;
}

export interface ContainerPlan {
  readonly steps: readonly Step[];
  readonly notices: readonly Notice[];
  readonly adopted: readonly AdoptedFile[];
  readonly image: string;
  /** Whether anything starts, so that it has to be looked at. */
  readonly serves: boolean;
}

/** The steps that bring the containers of Docker Compose to a deployment. @throws EnvironmentError (exit 3) where they cannot run */
export function planContainers(wishes: ContainerWishes, facts: HostFacts): ContainerPlan {
  const containers = requireContainers(facts);
  const { input } = wishes;
  const { deployment } = input;
  refuseEngine(containers);
  refuseContainerPorts(facts, deployment);
  const compose = requireCompose(containers);
  const secrets = secretSteps(wishes, 'docker', facts);
  const base: Omit<AppliedContainers, 'image'> = { ...secrets.applied, composeMajor: compose.major };
  const image = chooseImage(wishes, base, containers);
  const files = renderDockerFiles({ ...input, applied: { ...base, image: image.name } }).filter(
    (file) => image.isBuilt || !isOfContext(file),
  );
  const folder = join(facts.stateDir, 'docker');
  const folders = [...new Set(files.map(({ installPath }) => join(installPath, '..')))].toSorted();
  const managed = files.map((file) => managedFileSteps(managedFile(file), facts, { adopt: wishes.adopt }));
  const writes = managed.flatMap(({ steps }) => steps);
  const images = imageSteps(deployment, image, containers, folder);
  const project = composeProject(deployment, facts.stateDir, compose.argv);
  const isDone = writes.length === 0 && secrets.steps.length === 0 && isServing(files, image.name, project, containers);
  const stops = facts.server.state === 'running' ? [stopStep(facts, deployment, 'containers take its place')] : [];
  const how = howToSwitch(deployment);
  const steps: readonly Step[] = isDone
    ? []
    : [
        ...folders.flatMap((path) => folderSteps(path, facts)),
        ...secrets.steps,
        ...writes,
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

export function requireContainers({ containers }: Pick<HostFacts, 'containers'>): ContainerFacts {
  if (containers === undefined) throw new Error('a plan for containers without facts of their engine');
  return containers;
}

/** Name of the Compose project, or of the stack. */
export function projectName(deployment: Pick<Deployment, 'name'>): string {
  return nameOnHost(deployment.name);
}

/** Images that are looked for: what this deployment would build on, and what stands beside its server. */
export function imagesBeside({ container }: Deployment): readonly string[] {
  return [
    ...(container.proxy === 'none' ? [] : [proxyImages[container.proxy]]),
    ...(container.redis ? ['redis:8.2'] : []),
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

/** The image of the files that a deployment is built from, tagged by their content. */
export function contentTag(files: readonly RenderedFile[]): string {
  const context = files.filter((file) => isOfContext(file));
  return sha256Hex(context.map((file) => `${nameOf(file)}\0${sha256Hex(file.content)}`).join('\n')).slice(0, 12);
}

export function isOfContext(file: RenderedFile): boolean {
  return contextNames.has(nameOf(file));
}

/** @throws EnvironmentError (exit 3) in one sentence for each way in which the engine is of no use */
export function refuseEngine({ engine }: ContainerFacts): void {
  switch (engine.state) {
    case 'ready':
      return;
    case 'absent':
      throw new EnvironmentError('There is no docker on this machine.', {
        why: 'mcp-deploy.yaml asks for it (service.manager).',
        next: 'apt-get install docker.io docker-compose        or set service.manager: none',
      });
    case 'denied':
      throw new EnvironmentError('You may not use Docker on this machine.', {
        why: 'Its socket is for root and for members of the group docker, who are as good as root.',
        next: 'sudo mcp-deploy apply',
      });
    case 'silent':
      throw new EnvironmentError('The Docker engine does not answer.', {
        ...(engine.words === '' ? {} : { why: engine.words }),
        next: 'sudo systemctl start docker',
      });
  }
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

interface ChosenImage {
  readonly name: string;
  readonly isBuilt: boolean;
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

export function imageSteps(
  deployment: Deployment,
  image: ChosenImage,
  { images, buildx }: ContainerFacts,
  folder: string,
): readonly Step[] {
  const step = (name: string, title: string, why: string, argv: readonly string[]): Step => ({
    id: `image-${name.replaceAll(/[^a-z0-9]+/g, '-')}`,
    title,
    why,
    group: 'server',
    action: { type: 'make-image', image: name, argv },
    undo: { type: 'remove-image', image: name },
  });
  const isThere = (name: string): boolean => images.includes(name);
  const build = ['docker', 'build', '--tag', image.name, folder];
  return [
    ...(isThere(image.name)
      ? []
      : [
          ...[deployment.container.baseImage]
            .filter((name) => !isThere(name))
            .map((name) => step(name, `pull ${name}`, 'the image stands on it', ['docker', 'pull', name])),
          // Without its plugin BuildKit refuses; the older builder takes the same file.
          step(image.name, `build image ${image.name}`, 'server or settings changed', [
            ...(buildx ? [] : ['env', 'DOCKER_BUILDKIT=0']),
            ...build,
          ]),
        ]),
    ...imagesBeside(deployment)
      .filter((name) => !isThere(name))
      .map((name) => step(name, `pull ${name}`, 'not here yet', ['docker', 'pull', name])),
  ];
}

/** Copies of what containers are given, in a numbered folder of their own: those that run go on with theirs. */
export function secretSteps(
  { input, changes }: ContainerWishes,
  target: 'docker' | 'swarm',
  facts: HostFacts,
): { readonly steps: readonly Step[]; readonly applied: Omit<AppliedContainers, 'image' | 'composeMajor'> } {
  const { secretCopies, secretSources, uid, gid } = requireContainers(facts);
  const wanted = secretsOf(input, target);
  // Swarm keeps its own copies, which it makes from these.
  const user = uid === 0 && target === 'docker' ? { uid: nobodyElse, gid: nobodyElse } : { uid, gid };
  const newest = Math.max(0, ...Object.keys(secretCopies).map(Number));
  const copies = secretCopies[newest] ?? {};
  const fits =
    Object.keys(copies).length === wanted.length &&
    wanted.every(({ name, file }) => copies[name] !== undefined && copies[name] === secretSources[file]);
  const number = fits && !changes.keys && !changes.certificate ? newest : newest + 1;
  const applied = { secretsFolder: `./secrets/${number}`, secretsNumber: number, user };
  if (number === newest) return { steps: [], applied };
  const missing = wanted.find(({ file }) => secretSources[file] === undefined && !isMade(file, facts));
  if (missing !== undefined) {
    throw new UserError(`${missing.place} names ${missing.file}, which is not there.`, {
      next: 'Put the file there, or correct mcp-deploy.yaml.',
      exitCode: 3,
    });
  }
  const folder = join(facts.stateDir, target, 'secrets', String(number));
  const why = newest === 0 ? 'none yet' : 'keys or certificate changed';
  return {
    applied,
    steps: [
      ...folderSteps(join(folder, '..'), facts),
      {
        id: `secrets-${number}`,
        title: `make secrets/${number}`,
        why,
        group: 'keys',
        action: { type: 'make-directory', path: folder, mode: 0o700 },
        undo: { type: 'restore' },
      },
      ...wanted.map(({ name, file }): Step => ({
        id: `secret-${name.replaceAll('_', '-')}`,
        title: `copy ${basename(file)} for the containers`,
        why,
        group: 'keys',
        action: { type: 'copy-secret', from: file, path: join(folder, name), mode: 0o600, ...user },
        undo: { type: 'restore' },
      })),
    ],
  };
}

export function oldSecretSteps(folder: string, kept: number, { secretCopies }: ContainerFacts): readonly Step[] {
  return Object.entries(secretCopies)
    .filter(([number]) => Number(number) !== kept)
    .flatMap(([number, copies]) => {
      const path = join(folder, 'secrets', number);
      const common = { why: 'nothing reads them any more', group: 'keys', undo: { type: 'restore' } } as const;
      return [
        ...Object.keys(copies).map((name): Step => ({
          ...common,
          id: `remove-secret-${number}-${name.replaceAll('_', '-')}`,
          title: `remove secrets/${number}/${name}`,
          action: { type: 'remove-file', path: join(path, name) },
        })),
        {
          ...common,
          id: `remove-secrets-${number}`,
          title: `remove secrets/${number}`,
          action: { type: 'remove-directory', path },
        } satisfies Step,
      ];
    });
}

/** Files of the host that containers are given, each once. */
export function secretsOf(input: TargetInput, target: 'docker' | 'swarm') {
  const { container } = input.deployment;
  const forProxy = target === 'swarm' || container.proxy !== 'none' ? proxySecrets(input) : [];
  const all = [...mountedSecrets(input, target), ...forProxy];
  return all.filter(({ name }, index) => all.findIndex((other) => other.name === name) === index);
}

/** Made by a step of this plan, or by an earlier one. */
function isMade(file: string, { stateDir }: HostFacts): boolean {
  return file.startsWith(`${stateDir}/`);
}

export function folderSteps(path: string, facts: HostFacts): readonly Step[] {
  if (facts.directories?.includes(path) === true) return [];
  return [
    {
      id: `folder-${path.slice(facts.stateDir.length + 1).replaceAll('/', '-')}`,
      title: `make ${path.slice(facts.stateDir.length + 1)}`,
      why: 'none yet',
      group: 'configuration',
      action: { type: 'make-directory', path, mode: 0o700 },
      undo: { type: 'restore' },
    },
  ];
}

export function managedFile(file: RenderedFile) {
  return {
    id: `file-${nameOf(file)
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, '-')}`,
    title: `write ${nameOf(file)}`,
    path: file.installPath,
    mode: file.mode,
    content: file.content,
    group: 'configuration' as const,
  };
}

/** Below the folder of the target. */
function nameOf({ path }: RenderedFile): string {
  return path.slice(path.indexOf('/') + 1);
}

export function readyTimeoutMs({ server }: Deployment): number {
  const slowest = Math.max(0, ...Object.values(server.upstreams).map((upstream) => upstream.startSeconds));
  return 20_000 + Math.round(slowest * 1_000);
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
  const compose = files.find((file) => nameOf(file) === 'compose.yaml')?.content ?? '';
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
