import { EnvironmentError } from '../deployment/errors.ts';
import type { LiveObject } from '../plan/compare-objects.ts';
import type { Cluster } from '../plan/cluster.ts';
import type { ApplyPorts, Ran, RunOptions } from './ports.ts';

type Running = Pick<ApplyPorts, 'processes'>;

/** What a cluster may take to answer one question. */
export const kubectlTimeoutMs = 60_000;
/** Objects come with everything that the server knows of them. */
const outputBytes = 32_000_000;

/** Who wrote a field, as the cluster remembers it. */
export const fieldManager = 'mcp-deploy';
/** On every object that apply made, and on no other. */
const managedBy = 'app.kubernetes.io/managed-by=mcp-deploy';

/** The label of all objects of one deployment. */
export function selectorOf({ app }: Pick<Cluster, 'app'>): string {
  return `${managedBy},app.kubernetes.io/instance=${app}`;
}

/** Asks kubectl; how it ended is for the caller to judge. */
export async function askKubectl(
  { kubectl }: Pick<Cluster, 'kubectl'>,
  args: readonly string[],
  { processes }: Running,
  options: RunOptions & { readonly timeoutMs?: number } = {},
): Promise<Ran> {
  const { timeoutMs = kubectlTimeoutMs, ...rest } = options;
  return processes.run([...kubectl, ...args], timeoutMs, { outputBytes, ...rest });
}

/** Runs a command of kubectl that must end with 0; gives its output. @throws EnvironmentError with what the cluster says */
export async function runKubectl(
  cluster: Pick<Cluster, 'kubectl'>,
  args: readonly string[],
  ports: Running,
  options: RunOptions & { readonly timeoutMs?: number } = {},
): Promise<string> {
  const { exitCode, output, lastWords } = await askKubectl(cluster, args, ports, options);
  if (exitCode === 0) return output;
  throw new EnvironmentError(`The cluster refused: kubectl ${args.slice(0, 2).join(' ')}.`, {
    why:
      exitCode === null
        ? 'It did not answer in time, or kubectl could not be started.'
        : `kubectl ended with ${exitCode}.`,
    next: `See for yourself: ${cluster.kubectl.join(' ')} get all`,
    excerpt: lastWords,
  });
}

/** The objects of `-o json`: a List, one object, or nothing. */
export function parseObjects(output: string): readonly LiveObject[] {
  if (output.trim() === '') return [];
  const parsed = JSON.parse(output) as LiveObject & { readonly items?: readonly LiveObject[] };
  return parsed.items ?? [parsed];
}
