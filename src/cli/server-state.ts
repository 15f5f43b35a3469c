import { listServices } from '../apply/act-stack.ts';
import { listContainers } from '../apply/containers.ts';
import type { Deployment } from '../deployment/schema.ts';
import { kubectlTimeoutMs } from '../apply/kubectl.ts';
import { objectNames } from '../targets/kubernetes/view.ts';
import { projectName } from '../plan/container-plan.ts';
import { deploymentPaths } from '../plan/deployment-paths.ts';
import type { CommandContext } from './context.ts';
import { clusterFlags, isInCluster } from './cluster-options.ts';
import { isInContainers } from './render-containers.ts';

/** Whether the server of a deployment runs, and as what. */
export type ServerState =
  | { readonly state: 'stopped' }
  | { readonly state: 'running'; readonly pid: number }
  /** `container` is the newest one of the server. */
  | { readonly state: 'running'; readonly pid: null; readonly container: string; readonly words: string };

export async function readServerState(
  { ports, stateDir, baseDir }: Pick<CommandContext, 'ports' | 'stateDir' | 'baseDir'>,
  deployment: Deployment | null,
): Promise<ServerState> {
  if (deployment === null || !isInContainers(deployment)) {
    return ports.processes.serverState(deploymentPaths(stateDir).pidFile);
  }
  if (isInCluster(deployment)) return readClusterState({ ports, baseDir }, deployment);
  if (deployment.service.manager === 'swarm') {
    const services = (await listServices(projectName(deployment), ports)) ?? [];
    const server = services.find(({ service }) => service === 'server');
    if (server === undefined) return { state: 'stopped' };
    const words = `${server.running ? '' : 'not all of '}${server.config} copies of ${server.image}`;
    return { state: 'running', pid: null, container: `${projectName(deployment)}_server`, words };
  }
  const containers = (await listContainers(projectName(deployment), ports)) ?? [];
  const running = containers.filter((each) => each.service === 'server' && each.running && !each.oneOff);
  const newest = running.at(-1);
  if (newest === undefined) return { state: 'stopped' };
  const many = running.length === 1 ? 'container' : `${running.length} containers, the newest`;
  return {
    state: 'running',
    pid: null,
    container: newest.id,
    words: `${many} ${newest.id.slice(0, 12)} of ${newest.image}`,
  };
}

async function readClusterState(
  context: Pick<CommandContext, 'ports' | 'baseDir'>,
  deployment: Deployment,
): Promise<ServerState> {
  const { app } = objectNames(deployment);
  const columns = '{.status.readyReplicas}\t{.spec.replicas}\t{.spec.template.spec.containers[0].image}';
  const args = ['get', 'deployment', app, '--ignore-not-found', `--output=jsonpath=${columns}`];
  const { exitCode, output } = await context.ports.processes.run(
    [...clusterFlags(context, deployment), ...args],
    kubectlTimeoutMs,
  );
  if (exitCode !== 0 || output.trim() === '') return { state: 'stopped' };
  const [ready = '', wanted = '', image = ''] = output.split('\t');
  if (ready === '' || ready === '0') return { state: 'stopped' };
  const words = `${ready === wanted ? wanted : `${ready} of ${wanted}`} copies of ${image}`;
  return { state: 'running', pid: null, container: `deployment/${app}`, words };
}
