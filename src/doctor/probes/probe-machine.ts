import { stat } from 'node:fs/promises';
import { deploymentSchema, type Deployment } from '../../deployment/schema.ts';
import { listenAddresses } from '../../deployment/listen-address.ts';
import { parseAccounts } from '../../plan/accounts.ts';
import { deploymentPaths, scopeOf } from '../../plan/deployment-paths.ts';
import { hostProxyOf } from '../../plan/host-proxies.ts';
import type { MachineSeen } from '../machine-observations.ts';
import type { Observed } from '../observations.ts';
import type { OwnFacts } from '../types.ts';
import { findSecrets } from './machine/find-secrets.ts';
import { lookAtClients } from './machine/look-at-clients.ts';
import { lookAtFirewall } from './machine/look-at-firewall.ts';
import { findStrangers, lookAtProcess } from './machine/look-at-process.ts';
import { lookAtBackup, lookAtDrift, lookAtTimer, lookAtUnit } from './machine/look-at-upkeep.ts';
import { jsonOf, textOf } from './machine/read-own-files.ts';
import { readReleases } from './machine/read-releases.ts';

/** The machine around the files of an own deployment. Programs are only asked, each within seconds; nothing is changed. */
export async function probeMachine(
  own: OwnFacts,
  at: { readonly url: string; readonly serverUrl: string; readonly now: string },
): Promise<Observed<MachineSeen>> {
  const { machine, stateDir } = own;
  if (machine === undefined || machine === null) return { status: 'skipped', reason: 'the machine was not looked at' };
  const applied = await readReleases(stateDir);
  const [release] = applied.releases;
  const places = await readPlaces(stateDir, at.serverUrl);
  const outside = places.find(({ loopback }) => !loopback)?.port;
  const [secrets, drifted, process, backup, timer, backupTimer, unit, clients, foreignOwners, firewall] =
    await Promise.all([
      findSecrets(own, machine),
      lookAtDrift(release, { stateDir, deploymentFile: machine.deploymentFile }),
      lookAtProcess(machine),
      lookAtBackup(stateDir, applied, at.now),
      lookAtTimer(stateDir, 'renew', machine),
      lookAtTimer(stateDir, 'backup', machine),
      lookAtUnit(release, machine),
      lookAtClients(own, machine, { url: at.url, applied, now: at.now }),
      findForeignOwners(own, applied.deployment),
      outside === undefined ? null : lookAtFirewall(outside, machine),
    ]);
  const ports = places.map(({ port }) => port);
  const strangers = findStrangers(machine.pid, ports);
  return {
    status: 'ok',
    secrets,
    drifted,
    process,
    strangers,
    backup,
    timer,
    backupTimer,
    unit,
    clients,
    foreignOwners,
    firewall,
  };
}

/** What the server was told to listen on. */
async function readPlaces(stateDir: string, serverUrl: string) {
  const config = jsonOf(await textOf(deploymentPaths(stateDir).serverConfig)) as { deployment?: unknown } | null;
  const parsed = deploymentSchema.safeParse(config?.deployment);
  const deployment: Deployment | null = parsed.success ? parsed.data : null;
  const { port, protocol } = new URL(serverUrl);
  return (deployment === null ? [] : listenAddresses(deployment.server)).flatMap((address) => {
    if (address.kind === 'unix') return [];
    const chosen = address.port === 0 ? Number(port || (protocol === 'https:' ? 443 : 80)) : address.port;
    return [{ port: chosen, loopback: /^(?:localhost|127\.|::1$|\[::1\]$)/.test(address.host) }];
  });
}

/** Secret files of somebody else: he may read and change them, and the server may not. */
async function findForeignOwners(own: OwnFacts, deployment: Deployment | null): Promise<MachineSeen['foreignOwners']> {
  if (process.platform === 'win32') return [];
  const owner = await stat(own.stateDir).catch(() => null);
  if (owner === null) return [];
  const files = [own.caKeyFile, own.keyFile, own.keyStoreFile, own.apiKeyFile].filter((path) => path !== null);
  const found = await Promise.all(
    files.map(async (path) => ({ path, uid: (await stat(path).catch(() => null))?.uid })),
  );
  const readerUid = await uidOfKeyReader(own, deployment);
  return found.flatMap(({ path, uid }) =>
    uid === undefined || uid === owner.uid || uid === 0 || (path === own.keyFile && uid === readerUid)
      ? []
      : [{ path, uid, expectedUid: owner.uid }],
  );
}

/** On a host, of the proxy whose worker opens the key by itself; null where none does. */
async function uidOfKeyReader({ stateDir }: OwnFacts, deployment: Deployment | null): Promise<number | null> {
  const reader = deployment === null || scopeOf(stateDir) !== 'system' ? null : hostProxyOf(deployment)?.readsKeysAs;
  const accounts = parseAccounts((await textOf('/etc/passwd')) ?? '');
  return accounts.find(({ name }) => name === reader)?.uid ?? null;
}
