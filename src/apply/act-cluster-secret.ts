import { join } from 'node:path';
import { EnvironmentError } from '../deployment/errors.ts';
import type { LiveObject } from '../plan/compare-objects.ts';
import type { Action } from '../plan/action.ts';
import type { Cluster, ClusterSecret } from '../plan/cluster.ts';
import type { ActContext } from './act.ts';
import { serverSide } from './cluster-objects.ts';
import { parseObjects, runKubectl } from './kubectl.ts';
import type { ApplyPorts } from './ports.ts';

type Running = Pick<ApplyPorts, 'processes' | 'files'>;

/** A Secret as `-o json` has it. */
export interface SecretObject extends LiveObject {
  readonly type?: string;
  readonly data?: Readonly<Record<string, string>>;
}

/** Reads a Secret of the cluster; null when there is none. @throws EnvironmentError when it may not be read */
export async function readSecret(
  cluster: Cluster,
  name: string,
  ports: Pick<ApplyPorts, 'processes'>,
): Promise<SecretObject | null> {
  const args = ['get', 'secret', name, '--ignore-not-found', '--output', 'json'];
  const [found]: readonly SecretObject[] = parseObjects(await runKubectl(cluster, args, ports));
  return found ?? null;
}

/** The bytes of one source; null where it is not here. */
export async function readSource(source: ClusterSecret['sources'][number], ports: Running): Promise<Buffer | null> {
  if ('file' in source) return ports.files.read(source.file);
  const value = ports.processes.variable(source.variable);
  return value === null ? null : Buffer.from(value);
}

/** Hands a Secret to the cluster, through a pipe: its values are in no argument, no file and no log. */
export async function handSecret(
  { cluster, secret }: Extract<Action, { type: 'hand-secret' }>,
  { ports }: Pick<ActContext, 'ports'>,
): Promise<string> {
  const now = await readSecret(cluster, secret.name, ports);
  const data: Record<string, string> = {};
  for (const source of secret.sources) {
    const value = (await readSource(source, ports))?.toString('base64') ?? now?.data?.[source.key];
    if (value === undefined) {
      throw new EnvironmentError(`${'file' in source ? source.file : source.variable} is not there any more.`, {
        why: `The Secret ${secret.name} is made from it.`,
        next: 'Put it back and run the command again.',
      });
    }
    data[source.key] = value;
  }
  await applySecret(cluster, secret.name, data, false, ports);
  const count = secret.sources.length;
  return `${secret.name}, ${count} ${count === 1 ? 'value' : 'values'}`;
}

/** Keeps how a Secret is now beside the other pre-images (0600), for the undo of a step. */
export async function captureSecret(
  action: Action,
  place: { readonly folder: string; readonly index: number },
  ports: Running,
): Promise<void> {
  const names = secretsTouchedBy(action);
  if (names.length === 0 || !('cluster' in action)) return;
  const captured: Record<string, SecretObject | null> = {};
  for (const name of names) captured[name] = await readSecret(action.cluster, name, ports);
  if ((await ports.files.stat(place.folder)) === null) await ports.files.makeDirectory(place.folder, 0o700);
  await ports.files.writeAtomic(fileOf(place), JSON.stringify(captured), 0o600);
}

/** Puts the Secrets of a step back as they were before it. May be repeated. */
export async function restoreSecrets(
  cluster: Cluster,
  place: { readonly folder: string; readonly index: number },
  ports: Running,
): Promise<void> {
  const text = (await ports.files.read(fileOf(place)))?.toString('utf8');
  if (text === undefined) return;
  const captured = JSON.parse(text) as Record<string, SecretObject | null>;
  for (const [name, before] of Object.entries(captured)) {
    if (before === null) await runKubectl(cluster, ['delete', 'secret', name, '--ignore-not-found'], ports);
    else await applySecret(cluster, name, before.data ?? {}, true, ports);
  }
}

function secretsTouchedBy(action: Action): readonly string[] {
  if (action.type === 'hand-secret') return [action.secret.name];
  if (action.type !== 'remove-objects') return [];
  return action.objects.filter((name) => name.startsWith('secret/')).map((name) => name.slice('secret/'.length));
}

function fileOf({ folder, index }: { readonly folder: string; readonly index: number }): string {
  return join(folder, `${index}-secrets.json`);
}

async function applySecret(
  { app, namespace, kubectl }: Cluster,
  name: string,
  data: Readonly<Record<string, string>>,
  force: boolean,
  ports: Pick<ApplyPorts, 'processes'>,
): Promise<void> {
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name,
      namespace,
      labels: {
        'app.kubernetes.io/name': 'mcp-deploy',
        'app.kubernetes.io/instance': app,
        'app.kubernetes.io/managed-by': 'mcp-deploy',
      },
    },
    type: 'Opaque',
    data,
  };
  const args = [...serverSide, ...(force ? ['--force-conflicts'] : []), '--filename', '-'];
  await runKubectl({ kubectl }, args, ports, { input: JSON.stringify(secret) });
}
