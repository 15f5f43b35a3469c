import { EnvironmentError } from '../deployment/errors.ts';
import type { ContainerFact } from '../plan/container-facts.ts';
import type { Action } from '../plan/action.ts';
import type { SwarmStack } from '../plan/swarm-stack.ts';
import type { ActContext } from './act.ts';
import { askContainer } from './ask-container.ts';
import { runCommand } from './run-command.ts';
import type { ApplyPorts } from './ports.ts';
import { judgeUpstreams, parseReadiness } from './wait-until-ready.ts';

type Running = Pick<ApplyPorts, 'processes' | 'clock'>;

const engineTimeoutMs = 60_000;
const pollMs = 500;
/** Swarm takes a moment before it says that an update has begun. */
const takesUpMs = 2_000;

/** Deploys a stack and waits until every copy of the server is the wanted one. @throws EnvironmentError with what Swarm says of it */
export async function deployStack(
  action: Extract<Action, { type: 'deploy-stack' }>,
  context: ActContext,
): Promise<string> {
  const { stack, image, timeoutMs } = action;
  await deploy(stack, context.ports);
  await waitUntilRolled(stack, image, timeoutMs, context);
  return `${stack.replicas} copies of ${image}`;
}

/** The former stack from its file, which is back; none where there was none. May be repeated. */
export async function restoreStack(
  stack: SwarmStack,
  timeoutMs: number,
  before: readonly ContainerFact[],
  ports: Running,
): Promise<void> {
  if (before.length === 0) return removeStack(stack, ports);
  await deploy(stack, ports);
  const former = before.find(({ service }) => service === 'server');
  const replicas = Number(former?.config ?? stack.replicas);
  const signal = new AbortController().signal;
  await waitUntilRolled({ ...stack, replicas }, former?.image ?? '', timeoutMs, { ports, signal, onDoing: () => {} });
}

/** Removes configs and secrets of a stack that its file does not name any more. */
export async function pruneStack({ name, file }: SwarmStack, { ports }: Pick<ActContext, 'ports'>): Promise<string> {
  const text = (await ports.files.read(file))?.toString('utf8') ?? '';
  let removed = 0;
  for (const kind of ['config', 'secret'] as const) {
    const argv = ['docker', kind, 'ls', '--filter', label(name), '--format', '{{.Name}}'];
    const { output } = await ports.processes.run(argv, engineTimeoutMs);
    for (const each of output.split('\n').filter(Boolean)) {
      if (text.includes(`"${each}"`)) continue;
      const { exitCode } = await ports.processes.run(['docker', kind, 'rm', each], engineTimeoutMs);
      if (exitCode === 0) removed += 1;
    }
  }
  return `${removed} removed`;
}

/** Takes a stack away and waits until its containers and networks are gone. */
export async function removeStack({ name }: SwarmStack, ports: Running): Promise<void> {
  await runCommand(['docker', 'stack', 'rm', name], ports, engineTimeoutMs);
  const deadline = ports.clock.elapsed() + 300_000;
  for (;;) {
    const containers = await ports.processes.run(
      ['docker', 'ps', '--all', '--quiet', '--filter', label(name)],
      engineTimeoutMs,
    );
    const networks = await ports.processes.run(
      ['docker', 'network', 'ls', '--quiet', '--filter', label(name)],
      engineTimeoutMs,
    );
    if (containers.output.trim() === '' && networks.output.trim() === '') return;
    if (ports.clock.elapsed() > deadline) {
      throw new EnvironmentError(`The stack ${name} does not go.`, {
        why: 'Its containers or networks are still there after five minutes.',
        next: `docker stack ps ${name}`,
      });
    }
    await ports.clock.sleep(pollMs);
  }
}

/** The services of a stack: `config` is the number of copies that are wanted. Null when the engine does not tell. */
export async function listServices(
  name: string,
  { processes }: Pick<ApplyPorts, 'processes'>,
): Promise<readonly ContainerFact[] | null> {
  const format = '{{.ID}}\t{{.Name}}\t{{.Replicas}}\t{{.Image}}';
  const argv = ['docker', 'service', 'ls', '--filter', label(name), '--format', format];
  const { exitCode, output } = await processes.run(argv, engineTimeoutMs);
  return exitCode === 0 ? parseServices(output, name) : null;
}

/** Folder of the file that a stack was applied from, by the label of its server; null where nothing says so. */
export async function readStackFolder(
  name: string,
  { processes }: Pick<ApplyPorts, 'processes'>,
): Promise<string | null> {
  const format = '{{index .Spec.Labels "mcp-deploy.folder"}}';
  const argv = ['docker', 'service', 'inspect', '--format', format, `${name}_server`];
  const { exitCode, output } = await processes.run(argv, engineTimeoutMs);
  return exitCode === 0 && output.trim() !== '' ? output.trim() : null;
}

export function parseServices(output: string, stack: string): readonly ContainerFact[] {
  return output
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [id = '', name = '', replicas = '', image = ''] = line.split('\t');
      const [running = '0', wanted = '0'] = (replicas.split(' ')[0] ?? '').split('/');
      return {
        id,
        service: name.slice(stack.length + 1),
        running: running === wanted && wanted !== '0',
        image,
        config: wanted,
        oneOff: false,
        ports: [],
      };
    });
}

async function deploy({ name, file }: SwarmStack, ports: Running): Promise<void> {
  const argv = ['docker', 'stack', 'deploy', '--prune', '--with-registry-auth', '--compose-file', file, name];
  await runCommand(argv, ports, engineTimeoutMs);
}

async function waitUntilRolled(
  stack: SwarmStack,
  image: string,
  timeoutMs: number,
  context: Pick<ActContext, 'signal' | 'onDoing'> & { readonly ports: Running },
): Promise<void> {
  const { ports } = context;
  const { processes, clock } = ports;
  const service = `${stack.name}_server`;
  const startedAt = clock.elapsed();
  const listenToCopies = createCopyListener(service, image, ports);
  await clock.sleep(takesUpMs, context.signal);
  for (;;) {
    context.signal.throwIfAborted();
    const state = await processes.run(
      ['docker', 'service', 'inspect', '--format', '{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}', service],
      engineTimeoutMs,
    );
    const update = state.output.trim();
    if (/^(?:rollback_|paused)/.test(update)) throw await updateFailed(service, ports);
    const format = '{{.CurrentState}}\t{{.Image}}';
    const tasks = await processes.run(
      ['docker', 'service', 'ps', '--filter', 'desired-state=running', '--format', format, service],
      engineTimeoutMs,
    );
    const lines = tasks.output.split('\n').filter(Boolean);
    const good = lines.filter((line) => line.startsWith('Running') && line.endsWith(`\t${image}`)).length;
    const others = (await listServices(stack.name, ports)) ?? [];
    if (
      update !== 'updating' &&
      good === stack.replicas &&
      lines.length === good &&
      others.every(({ running }) => running)
    )
      return;
    const hopeless = await listenToCopies();
    if (hopeless !== null) throw hopeless;
    const waitedMs = clock.elapsed() - startedAt;
    context.onDoing(`${good} of ${stack.replicas} copies are the new one`, waitedMs);
    // Without a former version Swarm has nothing to go back to: it starts what fails again and again.
    if (update === '' && waitedMs > 20_000 && (await failures(service, ports)) >= mostFailures)
      throw await updateFailed(service, ports);
    if (waitedMs >= timeoutMs) throw await updateFailed(service, ports);
    await clock.sleep(pollMs, context.signal);
  }
}

/**
 * Asks the new copies on this machine that are not well yet: they know sooner than Swarm, and better, why they never will be. Those of
 * other machines are left to Swarm, whose health check finds out too.
 */
function createCopyListener(service: string, image: string, ports: Running): () => Promise<EnvironmentError | null> {
  const filters = [`label=com.docker.swarm.service.name=${service}`, `ancestor=${image}`, 'health=starting'];
  const judges = new Map<string, ReturnType<typeof judgeUpstreams>>();
  return async () => {
    const { output } = await ports.processes.run(
      ['docker', 'ps', '--format', '{{.ID}}', ...filters.flatMap((filter) => ['--filter', filter])],
      engineTimeoutMs,
    );
    const id = output.split('\n').find(Boolean);
    if (id === undefined) return null;
    const answer = await askContainer(id, insideStack, ports);
    if (answer === null || answer.status === 200) return null;
    const judge = judges.get(id) ?? judgeUpstreams();
    judges.set(id, judge);
    return judge(parseReadiness(answer.body));
  };
}

/** TLS of a stack ends in front of it. */
const insideStack = { scheme: 'http', port: 8080 } as const;

const mostFailures = 4;

async function failures(service: string, { processes }: Running): Promise<number> {
  const argv = [
    'docker',
    'service',
    'ps',
    '--filter',
    'desired-state=shutdown',
    '--format',
    '{{.CurrentState}}',
    service,
  ];
  const { output } = await processes.run(argv, engineTimeoutMs);
  return output.split('\n').filter((line) => /^(?:Failed|Rejected|Complete)/.test(line)).length;
}

async function updateFailed(service: string, { processes }: Running): Promise<EnvironmentError> {
  const told = await processes.run(
    ['docker', 'service', 'ps', '--no-trunc', '--format', '{{.CurrentState}} {{.Error}}', service],
    engineTimeoutMs,
  );
  const logs = await processes.run(['docker', 'service', 'logs', '--raw', '--tail', '12', service], engineTimeoutMs);
  return new EnvironmentError('The new copies do not become healthy.', {
    why: 'Swarm took the update back, or gave it up.',
    next: `docker service ps --no-trunc ${service}`,
    excerpt: [
      ...told.output
        .split('\n')
        .filter((line) => /Failed|Rejected/.test(line))
        .slice(0, 3),
      ...logs.lastWords,
    ],
  });
}

function label(name: string): string {
  return `label=com.docker.stack.namespace=${name}`;
}
