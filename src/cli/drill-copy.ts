import { mkdtemp, realpath } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { VerifiedEndpoint } from '../apply/ports.ts';
import type { Deployment } from '../deployment/schema.ts';
import { deploymentPaths } from '../plan/deployment-paths.ts';
import { endpointUrl } from '../plan/endpoint-url.ts';
import { createKeyIn } from '../server/policy/key-store.ts';
import type { CommandContext } from './context.ts';
import { copyContext } from './copy-context.ts';

/**
 * Runs a drill in a new folder that is noted before anything is in it, and removes folder and server afterwards, also after a
 * failure or an interrupt. What a killed drill left is removed first.
 */
export async function inCopy<T>(
  context: CommandContext,
  run: (copy: CommandContext, remove: () => Promise<void>) => Promise<T>,
): Promise<T> {
  await removeFormer(context);
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'mcp-deploy-drill-')));
  const remove = (): Promise<void> => removeCopy(context, folder);
  try {
    await noteFolder(context, folder);
    return await run(copyContext(context, folder), remove);
  } finally {
    await remove();
  }
}

/** What a client of the copy is given. */
export interface CopyClient {
  readonly url: string;
  readonly caPem: string | null;
  readonly key: string | null;
}

/** Makes a key in the store of the copy: those of clients are hashes, and nobody has them here. */
export async function clientOfCopy(copy: CommandContext, deployment: Deployment): Promise<CopyClient> {
  const { ports, stateDir } = copy;
  const { keyStore, firstKey, caCertificate } = deploymentPaths(stateDir);
  const ca = deployment.tls.source === 'off' ? null : await ports.files.read(caCertificate);
  const client = { url: endpointUrl(deployment), caPem: ca?.toString('utf8') ?? null };
  if (!deployment.auth.required) return { ...client, key: null };
  const store = await ports.files.read(keyStore);
  const made = createKeyIn(store?.toString('utf8') ?? null, { label: drillLabel, now: ports.clock.now() });
  await ports.files.writeAtomic(keyStore, made.storeText, 0o600);
  // Where status looks for the key of the person who runs it.
  await ports.files.writeAtomic(firstKey, `${made.key}\n`, 0o600);
  return { ...client, key: made.key };
}

const drillLabel = 'mcp-deploy-drill';

/** Handshakes, a list and a call; tried again until the server has taken the key up. @throws as verify does */
export async function callCopy({ ports, signal }: CommandContext, client: CopyClient): Promise<VerifiedEndpoint> {
  const until = ports.clock.elapsed() + keyTakenUpMs;
  for (;;) {
    try {
      return await ports.endpoint.verify(client, signal);
    } catch (error) {
      // The server looks at its key file twice a second.
      if (ports.clock.elapsed() > until) throw error;
      await ports.clock.sleep(200, signal);
    }
  }
}

const keyTakenUpMs = 15_000;

async function removeCopy({ ports, stateDir }: CommandContext, folder: string): Promise<void> {
  const state = join(folder, '.mcp-deploy');
  await ports.processes.stopServer(deploymentPaths(state).pidFile, stopMs);
  await ports.files.removeTree(folder);
  await ports.files.removeFile(leftFile(stateDir));
}

const stopMs = 10_000;

async function noteFolder({ ports, stateDir }: CommandContext, folder: string): Promise<void> {
  if ((await ports.files.stat(stateDir)) === null) return;
  await ports.files.writeAtomic(leftFile(stateDir), `${JSON.stringify({ folder })}\n`, 0o600);
}

async function removeFormer(context: CommandContext): Promise<void> {
  const bytes = await context.ports.files.read(leftFile(context.stateDir)).catch(() => null);
  if (bytes === null) return;
  const { folder } = JSON.parse(bytes.toString('utf8')) as { readonly folder?: unknown };
  // Nothing but a folder that a drill made is ever removed.
  const isOurs = typeof folder === 'string' && resolve(folder) === folder && /\/mcp-deploy-drill-[^/]{6}$/.test(folder);
  if (isOurs) await removeCopy(context, folder);
}

function leftFile(stateDir: string): string {
  return join(stateDir, 'drill.json');
}
