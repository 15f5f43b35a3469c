import { relative } from 'node:path';
import type { Action } from '../plan/action.ts';
import type { Plan } from '../plan/types.ts';
import { EnvironmentError } from '../deployment/errors.ts';
import { ensureUser, readOwner, removeUser } from './accounts.ts';
import { actAcme, createAccountKey } from './act-acme.ts';
import { actCertificate } from './act-certificate.ts';
import { movePair } from './act-pair.ts';
import { changeContainers, removeStopped, switchContainers } from './act-containers.ts';
import { handSecret } from './act-cluster-secret.ts';
import { leaveReplicas, makeNamespace, removeNamespace, rollOut } from './act-cluster.ts';
import { deleteObjects } from './cluster-objects.ts';
import { deployStack, pruneStack, removeStack } from './act-stack.ts';
import { actServer } from './act-server.ts';
import { trialServer } from './act-trial.ts';
import { sha256Of } from './pre-images.ts';
import { changeUnits } from './units.ts';
import { runCommand } from './run-command.ts';
import { serveCertificate } from './serve-certificate.ts';
import { waitUntilFree } from './wait-until-free.ts';
import { waitUntilReady } from './wait-until-ready.ts';
import type { ApplyPorts, VerifiedEndpoint } from './ports.ts';

/** Packages are downloaded while an image is built, and layers while it is pulled. */
const imageTimeoutMs = 1_800_000;

/** What acting on one step may need from the run that it belongs to. */
export interface ActContext {
  readonly ports: ApplyPorts;
  readonly signal: AbortSignal;
  readonly baseDir: string;
  readonly plan: Plan;
  /** Size of each log file before the server was started: where its own words begin. */
  readonly logStart: Map<string, number>;
  /** Tells what a long action waits for, and for how long it has. */
  onDoing: (text: string, sinceMs: number) => void;
  verified: VerifiedEndpoint | null;
  serverPid: number | null;
}

/**
 * Carries out one action; returns the fact that is now true in a few words,
 * or null when the step's title says it all.
 *
 * @throws ExplainedError with what, why and the next step
 */
export async function act(action: Action, context: ActContext): Promise<string | null> {
  const { files } = context.ports;
  switch (action.type) {
    case 'make-directory':
      await files.makeDirectory(action.path, action.mode);
      if (action.owner !== undefined) await files.chown(action.path, await readOwner(files, action.owner));
      return null;
    case 'write-file': {
      const owner = action.owner === undefined ? [] : [await readOwner(files, action.owner)];
      await files.writeAtomic(action.path, action.content, action.mode, ...owner);
      return shown(action.path, context);
    }
    case 'copy-file':
      return copyFile(action, context);
    case 'link':
      await files.linkAtomic(action.path, action.target);
      return `${shown(action.path, context)} -> ${action.target}`;
    case 'ensure-user':
      return (await ensureUser(action, context.ports)) === 'made' ? `user ${action.user}` : `${action.user} is there`;
    case 'remove-user':
      await removeUser(action.user, context.ports);
      return action.user;
    case 'trial-server':
      return trialServer(action, context);
    case 'copy-secret':
      return copySecret(action, context);
    case 'make-image':
      await runCommand(action.argv, context.ports, imageTimeoutMs);
      return action.image;
    case 'switch-containers':
      return switchContainers(action, context);
    case 'remove-stopped':
      return removeStopped(action.project, context);
    case 'deploy-stack':
      return deployStack(action, context);
    case 'prune-stack':
      return pruneStack(action.stack, context);
    case 'remove-stack':
      await removeStack(action.stack, context.ports);
      return action.stack.name;
    case 'containers':
      return changeContainers(action, context);
    case 'make-namespace':
      return makeNamespace(action, context);
    case 'remove-namespace':
      return (await removeNamespace(action.cluster, context.ports)) ?? 'it stays: something of others is in it';
    case 'hand-secret':
      return handSecret(action, context);
    case 'leave-replicas':
      return leaveReplicas(action, context);
    case 'roll-out':
      return rollOut(action, context);
    case 'remove-objects':
      await deleteObjects(action.cluster, action.objects, context.ports);
      return action.objects.join(', ');
    case 'service':
      return changeUnits(action.units, context.ports, action.manager);
    case 'set-mode':
      return setMode(action, context);
    case 'remove-file':
      await files.removeFile(action.path);
      return shown(action.path, context);
    case 'remove-directory':
      return (await files.removeEmptyDirectory(action.path)) ? shown(action.path, context) : null;
    case 'issue-private-ca':
    case 'issue-certificate':
      return actCertificate(action, context);
    case 'move-pair':
      return movePair(action, files);
    case 'create-acme-account-key':
      return createAccountKey(action, context);
    case 'issue-acme-certificate':
      return actAcme(action, context);
    case 'create-api-key':
      return createApiKey(action, context);
    case 'start-server':
    case 'stop-server':
    case 'replace-server':
      return actServer(action, context);
    case 'wait-until-ready':
      return waitUntilReady(action, context);
    case 'wait-until-free':
      return waitUntilFree(action, context);
    case 'run-command':
      await runCommand(action.argv, context.ports, undefined, action.failure);
      return null;
    case 'adopt':
      return action.paths.map((path) => shown(path, context)).join(', ');
    case 'serve-certificate':
      return serveCertificate(action.live, context);
    case 'verify-endpoint':
      return verify(action, context);
  }
}

/** A path as a person looks for it: relative to the folder of mcp-deploy.yaml where it lies in it. */
export function shown(path: string, context: Pick<ActContext, 'baseDir'>): string {
  const way = relative(context.baseDir, path);
  return way.startsWith('..') ? path : way;
}

async function setMode(
  { path, mode, owner }: Extract<Action, { type: 'set-mode' }>,
  context: ActContext,
): Promise<string> {
  const { files } = context.ports;
  const kind = (await files.stat(path))?.kind;
  if (kind !== 'file' && kind !== 'directory') {
    throw new EnvironmentError(`${path} is not there any more, or is a link now.`, { next: 'Run the command again.' });
  }
  if (owner !== undefined) await files.chown(path, await readOwner(files, owner));
  await files.chmod(path, mode);
  return shown(path, context);
}

async function copyFile(
  { from, path, mode, sha256, owner }: Extract<Action, { type: 'copy-file' }>,
  context: ActContext,
): Promise<string> {
  const { files } = context.ports;
  const bytes = await files.read(from);
  if (bytes === null || sha256Of(bytes) !== sha256) {
    throw new EnvironmentError(`${from} is ${bytes === null ? 'not there' : 'not the one that was planned'}.`, {
      why: 'mcp-deploy was updated or removed while this was under way.',
      next: 'Run the command again.',
    });
  }
  await files.writeAtomic(path, bytes, mode, ...(owner === undefined ? [] : [await readOwner(files, owner)]));
  return shown(path, context);
}

async function copySecret(
  { from, path, mode, uid, gid }: Extract<Action, { type: 'copy-secret' }>,
  context: ActContext,
): Promise<string> {
  const { files } = context.ports;
  const bytes = await files.read(from);
  if (bytes === null) {
    throw new EnvironmentError(`${from} is not there.`, {
      why: 'The container is given a copy of it.',
      next: 'Put it back, or correct its path in mcp-deploy.yaml.',
    });
  }
  await files.writeAtomic(path, bytes, mode, { uid, gid });
  return shown(path, context);
}

/** The owner's copy first: a crash in between leaves a key that opens nothing, never one that nobody has. */
async function createApiKey(
  { storeFile, keyFile, label, owner }: Extract<Action, { type: 'create-api-key' }>,
  context: ActContext,
): Promise<string> {
  const { files, issuer } = context.ports;
  const storeText = (await files.read(storeFile))?.toString('utf8') ?? null;
  const made = await issuer.apiKey({ storeText, label });
  await files.writeAtomic(keyFile, `${made.key}\n`, 0o600);
  if (owner === undefined) await files.writeAtomic(storeFile, made.storeText, 0o600);
  else await files.writeAtomic(storeFile, made.storeText, 0o640, await readOwner(files, owner));
  return `1 key "${label}", hash stored, key in ${shown(keyFile, context)} (0600)`;
}

async function verify(
  { forward, ...action }: Extract<Action, { type: 'verify-endpoint' }>,
  context: ActContext,
): Promise<string> {
  if (forward === undefined) return verifyAt(action, context);
  const { kubectl, app } = forward.cluster;
  const argv = [...kubectl, 'port-forward', '--address=127.0.0.1', `service/${app}`, `:${forward.port}`];
  return context.ports.processes.runBeside(argv, { line: forwarded, timeoutMs: 30_000 }, async (line) => {
    const url = new URL(action.url);
    url.port = forwarded.exec(line)?.[1] ?? '';
    return `${await verifyAt({ ...action, url: url.href }, context)}, through kubectl port-forward`;
  });
}

const forwarded = /^Forwarding from 127\.0\.0\.1:(\d+) /;

async function verifyAt(
  { url, caFile, keyFile, patienceMs = 0 }: Omit<Extract<Action, { type: 'verify-endpoint' }>, 'forward'>,
  context: ActContext,
): Promise<string> {
  const { files, endpoint, clock } = context.ports;
  const caPem = caFile === undefined ? null : ((await files.read(caFile))?.toString('utf8') ?? null);
  const key = keyFile === undefined ? null : ((await files.read(keyFile))?.toString('utf8').trim() ?? null);
  const until = clock.elapsed() + patienceMs;
  for (;;) {
    try {
      const verified = await endpoint.verify({ url, caPem, key }, context.signal);
      context.verified = verified;
      return describeVerified(verified);
    } catch (error) {
      if (clock.elapsed() >= until) throw error;
      await clock.sleep(250, context.signal);
    }
  }
}

function describeVerified({ modern, legacy, tools, called }: VerifiedEndpoint): string {
  const eras = [...(modern ? ['modern'] : []), ...(legacy ? ['legacy'] : [])].join(' and ');
  return [
    `${eras} client`,
    `${tools} ${tools === 1 ? 'tool' : 'tools'}`,
    ...(called === null ? [] : [`${called.tool} answered in ${Math.max(1, Math.round(called.durationMs))} ms`]),
  ].join(', ');
}
