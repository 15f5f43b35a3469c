import { join } from 'node:path';
import { readReleases } from '../apply/commit.ts';
import type { FileSystem } from '../apply/ports.ts';
import type { Deployment } from '../deployment/schema.ts';
import { overwriteFile } from '../host/overwrite-file.ts';
import type { ReadContainerOptions } from '../host/read-container-facts.ts';
import { manifestFolder } from '../plan/cluster-objects.ts';
import { imagesBeside } from '../plan/container-image.ts';
import { projectName } from '../plan/container-plan.ts';
import { secretsOf } from '../plan/container-secrets.ts';
import { clusterImage } from '../plan/plan-kubernetes.ts';
import { imageName, splitImageName } from '../targets/docker/image-name.ts';
import { ownFolder } from '../targets/docker/files.ts';
import { publishedPorts } from '../targets/docker/published-ports.ts';
import { describeProxySite } from '../targets/proxy-site.ts';
import { isInCluster } from './cluster-options.ts';
import type { CommandContext } from './context.ts';
import { inputFor } from './target-input.ts';

/** Whether a deployment serves from containers: of this machine's engine, or of a cluster. */
export function isInContainers({ service }: Pick<Deployment, 'service'>): boolean {
  return service.manager === 'docker' || service.manager === 'swarm' || service.manager === 'kubernetes';
}

/**
 * What is looked at where containers serve, or did: of what is wanted its images, files and ports; without a wish, what earlier
 * releases made. Null where there are none.
 */
export async function containerOptions(
  context: CommandContext,
  wanted: Deployment | null,
  applied: Deployment | null,
): Promise<ReadContainerOptions | null> {
  const { releases } = await readReleases(context.ports.files, context.stateDir);
  const made = [...new Set(releases.flatMap(({ image }) => image ?? []))];
  const deployment = wanted ?? applied;
  if (deployment === null || (!isInContainers(deployment) && made.length === 0)) return null;
  if (wanted === null && made.length === 0 && isInCluster(deployment)) return null;
  const isStack = deployment.service.manager === 'swarm';
  const target = isStack ? 'swarm' : 'docker';
  const folder = join(context.stateDir, 'docker');
  const common = { isStack, project: projectName(deployment), copies: join(context.stateDir, target, 'secrets') };
  if (wanted === null || !isInContainers(wanted))
    return { ...common, images: made, secrets: [], watched: [], ports: [] };
  const input = inputFor(context, wanted);
  // What lies there and is wanted no more must not get into the next image.
  const lying = await filesBelow(context.ports.files, join(folder, ownFolder));
  if (isInCluster(wanted)) {
    // The engine of this machine only makes the image, and only where none is given.
    if (!clusterImage(input).isBuilt && made.length === 0) return null;
    const { name } = splitImageName(imageName(wanted));
    const images = [...made, wanted.container.baseImage];
    return { ...common, images, repository: name, secrets: [], ports: [], watched: lying };
  }
  const site = !isStack && wanted.container.proxy === 'none' ? null : describeProxySite(input);
  const names = [
    'Dockerfile',
    '.dockerignore',
    'compose.yaml',
    'mcp-deploy.yaml',
    'serve.js',
    'prometheus.yml',
    'prometheus-rules.yml',
  ];
  const ofProxy = ['nginx.conf', 'site.conf', 'Caddyfile', 'site.caddyfile', 'global.cfg', 'site.cfg', 'tls.yaml'].map(
    (name) => join(wanted.container.proxy, name),
  );
  const own = (input.readOwnFiles?.() ?? []).map(({ path }) => join(ownFolder, path));
  return {
    ...common,
    images: [...made, ...(isStack ? ['haproxy:3.2'] : []), ...imagesBeside(wanted), wanted.container.baseImage],
    repository: splitImageName(imageName(wanted)).name,
    secrets: secretsOf(input, target).map(({ file }) => file),
    ports: [
      ...(site === null ? [] : [site.httpsPort, site.httpPort]),
      ...(isStack ? [] : publishedPorts(wanted).flatMap(hostPort)),
    ],
    watched: [
      ...[...names, ...ofProxy, ...own].map((name) => join(folder, name)),
      ...lying,
      ...['stack.yaml', 'mcp-deploy.yaml', 'haproxy/global.cfg', 'haproxy/site.cfg'].map((name) =>
        join(context.stateDir, 'swarm', name),
      ),
    ],
  };
}

async function filesBelow(files: Pick<FileSystem, 'list' | 'stat'>, folder: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const name of await files.list(folder)) {
    const path = join(folder, name);
    const kind = (await files.stat(path))?.kind;
    if (kind === 'directory') found.push(...(await filesBelow(files, path)));
    else if (kind === 'file') found.push(path);
  }
  return found;
}

/** Containers read copies of the key store: those of Compose are mounted and can be written into. */
export async function handToContainers(context: CommandContext, storeText: string): Promise<void> {
  if ((await context.ports.files.list(join(context.stateDir, 'swarm', 'secrets'))).length > 0) {
    context.output.warning('Secrets of a swarm never change: mcp-deploy apply hands the keys to its copies.');
  }
  if ((await context.ports.files.list(manifestFolder(context.stateDir))).length > 0) {
    context.output.warning('The cluster has a copy of the keys: mcp-deploy apply hands them to it.');
  }
  const folder = join(context.stateDir, 'docker', 'secrets');
  for (const number of await context.ports.files.list(folder)) {
    await overwriteFile(join(folder, number, 'mcp_keys'), storeText);
  }
}

/** `address:outside:inside`, or `outside:inside`. */
function hostPort(mapping: string): readonly number[] {
  const port = Number(mapping.split(':').at(-2));
  return Number.isInteger(port) ? [port] : [];
}
