import { basename, dirname } from 'node:path';
import { deploymentSchema } from '../deployment/schema.ts';
import { serviceComment } from './accounts.ts';
import { deploymentPaths } from './deployment-paths.ts';
import type { HostFacts } from './facts.ts';
import { hostProxies, proxyReading } from './host-proxies.ts';
import { proxyRemoval } from './plan-proxy.ts';
import { unfinishedNotices } from './plan-notices.ts';
import { requireSystem } from './refuse-host.ts';
import type { Notice, Plan, Step } from './types.ts';
import type { UnitChange } from './units.ts';

/**
 * Takes a deployment off its host: first the site, so that nobody is sent to a server that ends, then the service, then the
 * files, all undone when one of them fails; behind the last step the state folder goes. Keys, certificates, logs and what the MCP
 * servers keep stay, and with them their user, unless `purge` is asked for.
 */
export function planSystemRemoval(
  facts: HostFacts,
  options: {
    readonly purge?: boolean;
    /** Files that other steps take away, such as those of timers. */
    readonly apart?: readonly string[];
  } = {},
): Plan {
  const system = requireSystem(facts);
  const applied = deploymentSchema.safeParse(facts.release?.desired);
  const deployment = applied.success ? applied.data : null;
  const paths = deploymentPaths(facts.stateDir);
  const sent = new Set(facts.release?.sent?.map(({ path }) => path));
  const made = Object.entries(facts.release?.files ?? {}).filter(
    ([path]) =>
      facts.files[path] !== undefined &&
      (!isOwnFolder(path, facts) || sent.has(path)) &&
      options.apart?.includes(path) !== true,
  );
  const notices: Notice[] = [...unfinishedNotices(facts)];
  const ours = made.filter(([path, written]) => {
    const isAsWritten = facts.files[path]?.sha256 === written.sha256 && written.insteadOf === undefined;
    // What the user wants stays, also where a restore has brought it back; purged goes a copy that nobody has edited.
    if (path === facts.deploymentFile.path || sent.has(path)) return isAsWritten && options.purge === true;
    if (!isAsWritten && options.purge !== true)
      notices.push({ level: 'info', text: `${path} was changed since it was written; it stays.` });
    return isAsWritten || options.purge === true;
  });
  const sites = hostProxies.flatMap((proxy) => {
    const paths = ours.map(([path]) => path).filter((path) => proxyReading(path) === proxy);
    return paths.length === 0 ? [] : [{ proxy, paths, ...proxyRemoval(proxy, paths, facts, 'it is removed') }];
  });
  const unitFiles = ours.filter(([path]) => proxyReading(path) === null);
  const unitNames = unitFiles
    .map(([path]) => basename(path))
    .filter((name) => /\.(?:service|socket|timer)$/.test(name));
  // The socket first: it would start the service again.
  const stops = unitNames
    .toSorted((a, b) => Number(a.endsWith('.service')) - Number(b.endsWith('.service')))
    .map((unit): UnitChange => ({ unit, at: 'stop', enabled: false }));
  const noUnits: readonly UnitChange[] = [];

  const steps: Step[] = [
    ...sites.flatMap(({ proxy, change, check, reload }) => [
      ...change,
      ...(system.activeUnits.includes(proxy.unit) ? [check, reload] : []),
    ]),
    ...(stops.length === 0
      ? []
      : [unitStep('stop-service', `stop ${stops.map(({ unit }) => unit).join(' and ')}`, stops)]),
    ...unitFiles.map(([path]) => removeStep(path)),
    ...(unitFiles.length === 0 ? [] : [unitStep('read-units', 'read the units again', noUnits)]),
  ];
  steps.push(...sites.flatMap(({ after }) => after));
  const user = deployment?.service.user;
  const isOurUser = system.account?.comment === serviceComment && system.account.name === user;
  if (options.purge === true && user !== undefined && isOurUser) {
    if (system.sharedWith.length === 0) {
      const home = paths.runDir;
      steps.push({
        id: 'remove-user',
        title: `remove user ${user}`,
        why: 'made by mcp-deploy, and nobody else uses it',
        group: 'removal',
        action: { type: 'remove-user', user, home },
        undo: { type: 'ensure-user', user, home },
      });
    } else notices.push({ level: 'info', text: `User ${user} stays: ${system.sharedWith.join(', ')} runs as it.` });
  }
  const kept = [paths.configDir, paths.runDir, paths.logsDir].filter((path) => facts.directories?.includes(path));
  if (options.purge !== true && sent.size > 0) {
    notices.push({ level: 'info', text: `What came with mcp-deploy.yaml stays in ${facts.baseDir}, unless --purge.` });
  }
  if (options.purge !== true && kept.length > 0) {
    notices.push({
      level: 'info',
      text: `${kept.join(', ')} stay. To remove keys and logs too: mcp-deploy uninstall --purge`,
    });
  }
  return {
    schemaVersion: 1,
    deployment: deployment?.name ?? basename(facts.stateDir),
    purpose: 'uninstall',
    release: facts.release?.release ?? 0,
    steps: steps.length > 0 || !hasAnything(facts) ? steps : [unitStep('read-units', 'read the units again', noUnits)],
    notices,
    desired: null,
    ...(options.purge === true
      ? {
          purge: [
            paths.keysDir,
            paths.pkiDir,
            paths.backupRecord,
            paths.runDir,
            paths.logsDir,
            ...sites.flatMap(({ proxy, paths: [site] }) =>
              accessLogs(site === undefined ? null : proxy.accessLog(site)),
            ),
          ],
          // Only when nothing of anyone else is in them.
          purgeEmpty: [
            ...(facts.release?.directories ?? [])
              .filter((path) => path === facts.baseDir || path.startsWith(`${facts.baseDir}/`))
              .toSorted((a, b) => b.length - a.length),
            paths.configDir,
            ...[paths.configDir, paths.runDir, paths.logsDir].map((path) => dirname(path)),
          ],
        }
      : {}),
  };
}

/** What a proxy logged for a site, also what Debian's logrotate and Caddy itself have kept of it. */
function accessLogs(log: string | null): readonly string[] {
  return log === null ? [] : [log, `${log}.1`, ...Array.from({ length: 13 }, (_, at) => `${log}.${at + 2}.gz`)];
}

function hasAnything({ release, directories = [], stateDir }: HostFacts): boolean {
  const { configDir, runDir, logsDir } = deploymentPaths(stateDir);
  return release !== null || [configDir, runDir, logsDir].some((path) => directories.includes(path));
}

/** What goes with its folder, or stays with it. */
function isOwnFolder(path: string, { stateDir }: HostFacts): boolean {
  const { configDir, runDir, logsDir } = deploymentPaths(stateDir);
  return [stateDir, configDir, runDir, logsDir].some((folder) => path.startsWith(`${folder}/`));
}

function removeStep(path: string): Step {
  return {
    id: `remove-${basename(path).replaceAll('.', '-')}`,
    title: `remove ${path}`,
    why: 'made by mcp-deploy',
    group: 'removal',
    action: { type: 'remove-file', path },
    undo: { type: 'restore' },
  };
}

function unitStep(id: string, title: string, units: readonly UnitChange[]): Step {
  return {
    id,
    title,
    why: 'it is removed',
    group: 'removal',
    action: { type: 'service', units },
    undo: { type: 'restore-units', units },
  };
}
