import { EnvironmentError } from '../deployment/errors.ts';
import type { ContainerFact } from '../plan/container-facts.ts';
import type { Action } from '../plan/action.ts';
import type { ComposeProject } from '../plan/compose-project.ts';
import type { ActContext } from './act.ts';
import { listServices } from './act-stack.ts';
import { askContainer } from './ask-container.ts';
import { listContainers } from './containers.ts';
import type { Begun } from './journal.ts';
import { describeLogTail } from './log-lines.ts';
import { runCommand } from './run-command.ts';
import { waitForStarting } from './wait-until-ready.ts';
import type { ApplyPorts } from './ports.ts';

type Running = Pick<ApplyPorts, 'processes'>;

/** Images of proxies may have to be downloaded. */
const composeTimeoutMs = 900_000;
const engineTimeoutMs = 60_000;
/**
 * A proxy learns of a new server by itself: HAProxy asks the engine's DNS every second and the server every second after that,
 * nginx takes a moment to start its new workers. Nobody can be asked whether it has, so it is given twice that time.
 */
const proxyLearnsMs = 4_000;

/**
 * Brings a project to its Compose file. Side by side, a second server is made ready, learned of by the proxy, and only then is the
 * first one told to finish; it is stopped and not removed, so that it can be started again. In place, it makes room first.
 *
 * @throws EnvironmentError with the last words of what did not start
 */
export async function switchContainers(
  action: Extract<Action, { type: 'switch-containers' }>,
  context: ActContext,
): Promise<string> {
  const { project, how, trial, timeoutMs } = action;
  const { ports } = context;
  const before = await containersOf(project, ports);
  const old = before.filter((each) => isServer(each) && each.running);
  if (project.beside.length > 0) await compose(project, ports, ['up', '--detach', '--no-deps', ...project.beside]);
  const up = ['up', '--detach', '--no-deps'];
  if (old.length > 0 && how === 'side-by-side') {
    await removeAll(
      before.filter((each) => isServer(each) && !each.running),
      ports,
    );
    const count = String(old.length + 1);
    await compose(project, ports, [...up, '--no-recreate', '--scale', `server=${count}`, 'server']);
  } else {
    if (trial && old.length > 0) await tryBeside(project, timeoutMs, context);
    await compose(project, ports, [...up, 'server']);
  }
  const known = new Set(before.map(({ id }) => id));
  const made = (await containersOf(project, ports)).filter((each) => isServer(each) && !known.has(each.id));
  let words = 'as they were';
  for (const container of made) words = await waitForContainer(container.id, project, timeoutMs, context);
  if (project.proxy !== null) await bringProxy(project, context);
  if (how === 'side-by-side' && made.length > 0 && old.length > 0) {
    context.onDoing('waiting for the proxy to learn of the new container', 0);
    await ports.clock.sleep(proxyLearnsMs, context.signal);
    for (const { id } of old) await stop(id, project, ports);
    await tellProxy(project, ports);
  }
  return old.length === 0 ? `started, ${words}` : `new container ${words}, the old one has finished its calls`;
}

/** Removes what a switch has stopped, and trials that were left. */
export async function removeStopped(project: ComposeProject, { ports }: Pick<ActContext, 'ports'>): Promise<string> {
  const containers = await containersOf(project, ports);
  const stopped = containers.filter((each) => each.service === 'server' && !each.running);
  await removeAll(stopped, ports);
  return `${stopped.length} removed`;
}

export async function changeContainers(
  { project, at }: Extract<Action, { type: 'containers' }>,
  { ports }: Pick<ActContext, 'ports'>,
): Promise<string> {
  if (at === 'down' || at === 'down-with-volumes') {
    await takeDown(project, ports, at === 'down-with-volumes');
    return `removed, with their networks${at === 'down' ? '' : ' and volumes'}`;
  }
  const patience = at === 'start' ? [] : ['--timeout', String(project.graceSeconds)];
  await compose(project, ports, [at, ...patience]);
  return { start: 'started', stop: 'stopped', restart: 'restarted' }[at];
}

/** What the undo of a step on containers or images has to know. */
export async function readForUndo(action: Action, ports: Running): Promise<Pick<Begun, 'containers' | 'hadImage'>> {
  if (action.type === 'make-image') return { hadImage: await hasImage(action.image, ports) };
  if (action.type === 'deploy-stack' || action.type === 'remove-stack') {
    return { containers: (await listServices(action.stack.name, ports)) ?? [] };
  }
  return 'project' in action ? { containers: await containersOf(action.project, ports) } : {};
}

/**
 * Undoes what was done to a project: containers that were not there go, those that ran run again, and what was removed is made
 * anew from the Compose file that is back. Where nothing was, nothing stays. May be repeated.
 */
export async function restoreContainers(
  project: ComposeProject,
  before: readonly ContainerFact[],
  ports: Running,
): Promise<void> {
  if (before.length === 0) return takeDown(project, ports, true);
  const known = new Set(before.map(({ id }) => id));
  const now = await containersOf(project, ports);
  const present = new Set(now.map(({ id }) => id));
  // Those of before first: where there is room for both, nobody is left without a server.
  const held = new Set(now.filter(({ id, running }) => running && !known.has(id)).flatMap((each) => each.ports));
  const startable = before.filter((each) => each.running && present.has(each.id));
  const early = startable.filter((each) => !each.ports.some((port) => held.has(port)) && project.proxy !== null);
  for (const { id } of early) await docker(ports, 'start', id);
  await removeAll(
    now.filter(({ id }) => !known.has(id)),
    ports,
  );
  for (const { id } of startable) await docker(ports, 'start', id);
  const missing = new Set(
    before.filter((each) => each.running && !each.oneOff && !present.has(each.id)).map(({ service }) => service),
  );
  if (missing.size > 0) await compose(project, ports, ['up', '--detach', '--no-deps', ...missing]);
  await tellProxy(project, ports);
}

export async function hasImage(image: string, { processes }: Running): Promise<boolean> {
  const { exitCode } = await processes.run(
    ['docker', 'image', 'inspect', '--format', '{{.Id}}', image],
    engineTimeoutMs,
  );
  return exitCode === 0;
}

/** No error when it is gone already. By force, since a swarm keeps the stopped containers of copies that failed for a while. */
export async function removeImage(image: string, ports: Running): Promise<void> {
  if (await hasImage(image, ports)) await docker(ports, 'image', 'rm', '--force', image);
}

async function tryBeside(project: ComposeProject, timeoutMs: number, context: ActContext): Promise<void> {
  const { ports } = context;
  const known = new Set((await containersOf(project, ports)).map(({ id }) => id));
  context.onDoing('trying the new container beside the old one', 0);
  // Compose publishes no port of a container that is run once.
  await compose(project, ports, ['run', '--detach', '--no-deps', 'server']);
  const tried = (await containersOf(project, ports)).filter(({ id }) => !known.has(id));
  for (const { id } of tried) await waitForContainer(id, project, timeoutMs, context);
  await removeAll(tried, ports);
}

async function waitForContainer(
  id: string,
  { ready }: ComposeProject,
  timeoutMs: number,
  context: ActContext,
): Promise<string> {
  const { processes } = context.ports;
  return waitForStarting(
    {
      ask: () => askContainer(id, ready, context.ports),
      isGone: async () => {
        const format = '{{.State.Running}} {{.State.Restarting}} {{.RestartCount}}';
        const { exitCode, output } = await processes.run(
          ['docker', 'inspect', '--format', format, id],
          engineTimeoutMs,
        );
        const [running, restarting, restarts] = output.trim().split(' ');
        // One that cannot start is started again and again by the engine.
        return exitCode !== 0 || (running !== 'true' && restarting !== 'true') || Number(restarts) >= mostRestarts;
      },
      isTheOne: () => Promise.resolve(true),
      words: async () => {
        const { lastWords, output } = await processes.run(['docker', 'logs', '--tail', '12', id], engineTimeoutMs);
        return describeLogTail([output, ...lastWords].filter(Boolean).join('\n'));
      },
      where: `the log of the container: docker logs ${id.slice(0, 12)}`,
      page: '/readyz in the container',
      timeoutMs,
    },
    context,
  );
}

const mostRestarts = 2;

/** Made anew by Compose when its files or its certificate are others. */
async function bringProxy(project: ComposeProject, context: ActContext): Promise<void> {
  const { ports } = context;
  const before = await containersOf(project, ports);
  await compose(project, ports, ['up', '--detach', '--no-deps', 'proxy']);
  const after = await containersOf(project, ports);
  const proxy = after.find((each) => each.service === 'proxy' && !each.oneOff);
  const isSame = before.some(({ id }) => id === proxy?.id);
  if (isSame) await tellProxy(project, ports);
}

/** nginx looks a name up once, when it reads its configuration; the others look by themselves. */
async function tellProxy(project: ComposeProject, ports: Running): Promise<void> {
  if (project.proxy !== 'nginx') return;
  const proxy = (await containersOf(project, ports)).find((each) => each.service === 'proxy' && each.running);
  if (proxy !== undefined) await docker(ports, 'kill', '--signal', 'HUP', proxy.id);
}

async function containersOf(project: ComposeProject, ports: Running): Promise<readonly ContainerFact[]> {
  const found = await listContainers(project.name, ports);
  if (found !== null) return found;
  throw new EnvironmentError('Docker does not answer any more.', {
    why: 'docker ps failed.',
    next: 'docker info',
  });
}

function isServer({ service, oneOff }: ContainerFact): boolean {
  return service === 'server' && !oneOff;
}

async function stop(id: string, { graceSeconds }: ComposeProject, ports: Running): Promise<void> {
  await runCommand(['docker', 'stop', '-t', String(graceSeconds), id], ports, graceSeconds * 1_000 + engineTimeoutMs);
}

async function removeAll(containers: readonly ContainerFact[], ports: Running): Promise<void> {
  // With the volumes that have no name; those with one stay.
  for (const { id } of containers) await docker(ports, 'rm', '--force', '--volumes', id);
}

async function takeDown(project: ComposeProject, ports: Running, withVolumes: boolean): Promise<void> {
  const grace = String(project.graceSeconds);
  const volumes = withVolumes ? ['--volumes'] : [];
  await compose(project, ports, ['down', ...volumes, '--remove-orphans', '--timeout', grace]);
}

async function compose(project: ComposeProject, ports: Running, args: readonly string[]): Promise<void> {
  await runCommand([...project.compose, ...args], ports, composeTimeoutMs);
}

async function docker(ports: Running, ...args: readonly string[]): Promise<void> {
  await runCommand(['docker', ...args], ports, engineTimeoutMs);
}
