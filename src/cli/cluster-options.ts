import { basename, join, resolve } from 'node:path';
import type { Deployment } from '../deployment/schema.ts';
import type { ReadClusterOptions } from '../host/read-cluster-facts.ts';
import { clusterOf, clusterSecrets, manifestFolder } from '../plan/cluster-objects.ts';
import { clusterImage } from '../plan/plan-kubernetes.ts';
import { renderAppliedManifests } from '../targets/kubernetes/files.ts';
import type { RenderedFile } from '../targets/types.ts';
import type { CommandContext } from './context.ts';
import { inputFor } from './target-input.ts';

/** Whether a deployment serves from a cluster. */
export function isInCluster({ service }: Pick<Deployment, 'service'>): boolean {
  return service.manager === 'kubernetes';
}

/** kubectl and the flags that lead to the namespace of a deployment. */
export function clusterFlags(
  { baseDir }: Pick<CommandContext, 'baseDir'>,
  { container }: Deployment,
): readonly string[] {
  const { kubeconfig, context, namespace } = container.kubernetes;
  return [
    'kubectl',
    ...(kubeconfig === undefined ? [] : ['--kubeconfig', resolve(baseDir, kubeconfig)]),
    ...(context === undefined ? [] : ['--context', context]),
    '--namespace',
    namespace,
  ];
}

/** What is looked at where a cluster serves, or did. Null where none does. */
export async function clusterOptions(
  context: CommandContext,
  wanted: Deployment | null,
  applied: Deployment | null,
): Promise<ReadClusterOptions | null> {
  const deployment = wanted ?? applied;
  if (deployment === null || !isInCluster(deployment)) return null;
  const { kubeconfig, context: named } = deployment.container.kubernetes;
  const folder = manifestFolder(context.stateDir);
  const written = (await context.ports.files.list(folder)).filter((name) => name.endsWith('.yaml'));
  const input = inputFor(context, deployment);
  const rendered = wanted === null ? [] : renderAppliedManifests(withImage(input));
  const manifests = [...written, ...rendered.map(({ installPath }) => basename(installPath))];
  return {
    kubeconfig: kubeconfig === undefined ? null : resolve(context.baseDir, kubeconfig),
    context: named ?? null,
    clusterOf: (kubectl) => clusterOf(deployment, context.stateDir, { kubectl, manifests }),
    wanted:
      wanted === null
        ? null
        : rendered
            .filter(({ installPath }) => installPath.startsWith(`${folder}/`))
            .map(({ content }) => content)
            .join('---\n'),
    isWritten: await isWritten(context, rendered, written.length),
    secrets: clusterSecrets(input),
    watched: [
      ...rendered.map(({ installPath }) => installPath),
      ...written.map((name) => join(folder, name)),
      ...['Dockerfile', '.dockerignore', 'mcp-deploy.yaml', 'serve.js'].map((name) =>
        join(context.stateDir, 'docker', name),
      ),
    ],
  };
}

/** Whether the folder holds these manifests, and no others. */
async function isWritten(
  { ports, stateDir }: CommandContext,
  rendered: readonly RenderedFile[],
  count: number,
): Promise<boolean> {
  const inFolder = rendered.filter(({ installPath }) => installPath.startsWith(`${manifestFolder(stateDir)}/`));
  if (inFolder.length !== count) return false;
  for (const { installPath, content } of inFolder) {
    if ((await ports.files.read(installPath))?.toString('utf8') !== content) return false;
  }
  return true;
}

function withImage<T extends Parameters<typeof clusterImage>[0]>(input: T): T {
  const { deployment } = input;
  const image = clusterImage(input).name;
  return { ...input, deployment: { ...deployment, container: { ...deployment.container, image } } };
}
