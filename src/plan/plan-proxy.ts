import { basename, dirname } from 'node:path';
import { EnvironmentError } from '../deployment/errors.ts';
import type { Deployment } from '../deployment/schema.ts';
import { deploymentPaths } from './deployment-paths.ts';
import type { HostFacts } from './facts.ts';
import {
  caddyMainFile,
  haproxyDefaults,
  haproxyDefaultsFile,
  haproxyDropIn,
  haproxyDropInText,
  readsHaproxyFolder,
  withCaddyImport,
  withoutCaddyImport,
  type HostProxy,
} from './host-proxies.ts';
import { managedFileSteps } from './managed-file.ts';
import type { HostFile, ProxyFacts } from './system-facts.ts';
import type { StartedUnits, UnitChange } from './units.ts';
import type { Step } from './types.ts';

/** Steps by which a proxy takes a site, or lets go of one. */
export interface ProxySteps {
  /** Before anything is changed: what others have broken must not look like ours. */
  readonly checkBefore: Step;
  /** Files and rights. */
  readonly change: readonly Step[];
  readonly check: Step;
  readonly reload: Step;
  /** What is removed when the proxy does not read it any more. */
  readonly after: readonly Step[];
}

/** What has to be done so that a proxy reads our site at all; empty when it does. @throws EnvironmentError (exit 3) */
export function proxyPreparation(
  proxy: HostProxy,
  site: HostFile,
  deployment: Deployment,
  facts: HostFacts,
): readonly Step[] {
  const known = proxyFacts(proxy, facts);
  const folder: readonly Step[] = known.hasFolder
    ? []
    : [
        {
          id: `${proxy.name}-folder`,
          title: `make ${proxy.folder}`,
          why: `sites of ${proxy.title} lie in it`,
          group: 'configuration',
          action: { type: 'make-directory', path: proxy.folder, mode: 0o755 },
          undo: { type: 'restore' },
        },
      ];
  switch (proxy.name) {
    case 'nginx':
      return folder;
    case 'caddy':
      return [...folder, ...caddyImportSteps(proxy, facts)];
    case 'haproxy':
      return [...folder, ...haproxyDropInSteps(site, known, facts), ...haproxyKeySteps(known, deployment, facts)];
  }
}

/**
 * Gives the pair to the user that the proxy opens keys as, or takes it back from it, where the release before had another proxy.
 * Pairs that are issued belong to it from the beginning.
 */
export function pairReaderSteps(deployment: Deployment, reader: string | null, facts: HostFacts): readonly Step[] {
  const before = facts.system?.pairReader ?? null;
  if (before === reader || facts.serverCertificate === null || deployment.tls.source === 'files') return [];
  const { configDir, pkiDir, serverCertificate, serverKey } = deploymentPaths(facts.stateDir);
  const files = [`${pkiDir}/live/.`, serverCertificate, serverKey];
  const give = (user: string | null) => ['chown', `${user ?? 'root'}:${deployment.service.user}`, ...files];
  const open = (isOpen: boolean) => ['chmod', isOpen ? 'o+x' : 'o-x', configDir, pkiDir];
  const step = (id: string, title: string, argv: readonly string[], back: readonly string[]): Step => ({
    id,
    title,
    why: reader === null ? 'no proxy opens it by itself' : 'the proxy opens it as this user',
    group: 'configuration',
    action: { type: 'run-command', argv },
    undo: { type: 'run-command', argv: back },
  });
  return [
    step('pair-reader', `give the certificate to ${reader ?? 'root'}`, give(reader), give(before)),
    step('pair-folders', 'open or close the way to it', open(reader !== null), open(before !== null)),
  ];
}

/** Checks of a proxy, and what makes it read its sites anew; `restarts` where it must be started with other options. */
export function proxySteps(
  proxy: HostProxy,
  facts: HostFacts,
  options: {
    readonly restarts: boolean;
    readonly why: string;
    readonly readsFolder: boolean;
    /** How it was started for this deployment alone, which leaves it; absent when somebody else needs it. */
    readonly leaves?: StartedUnits[string] | undefined;
  },
): Pick<ProxySteps, 'checkBefore' | 'check' | 'reload'> {
  const { name, title, unit } = proxy;
  const isActive = facts.system?.activeUnits.includes(unit) === true;
  const at = options.leaves !== undefined ? 'stop' : isActive ? (options.restarts ? 'restart' : 'reload') : 'start';
  // Who is started now has to be there after the next boot as well.
  const isEnabled = facts.system?.enabledUnits?.includes(unit) === true;
  const enabled = options.leaves === 'started and enabled' ? false : at === 'start' && !isEnabled ? true : null;
  const units: readonly UnitChange[] = [{ unit, at, enabled }];
  return {
    checkBefore: {
      id: `check-${name}-before`,
      title: `check ${title} as it is`,
      why: 'a fault of others must not look like ours',
      group: 'configuration',
      action: {
        type: 'run-command',
        argv: proxy.check(proxyFacts(proxy, facts).hasFolder),
        failure: `${title} does not take its configuration as it is, without anything new of mcp-deploy.`,
      },
      undo: { type: 'none' },
    },
    check: {
      id: `check-${name}`,
      title: `check ${title} ${options.why === 'it is removed' ? 'without the site' : 'with the new site'}`,
      why: `before ${title} reads it`,
      group: options.why === 'it is removed' ? 'removal' : 'configuration',
      action: { type: 'run-command', argv: proxy.check(options.readsFolder) },
      undo: { type: 'none' },
    },
    reload: {
      id: `reload-${name}`,
      title: `${at} ${title}`,
      why:
        at === 'restart'
          ? 'it reads another folder than it was started with'
          : at === 'stop'
            ? 'it was started for this deployment alone'
            : options.why,
      group: options.why === 'it is removed' ? 'removal' : 'server',
      action: { type: 'service', units },
      undo: { type: 'restore-units', units },
    },
  };
}

/** Takes files of ours away from a proxy, and what only they needed. */
export function proxyRemoval(
  proxy: HostProxy,
  paths: readonly string[],
  facts: HostFacts,
  why: string,
): Omit<ProxySteps, 'checkBefore'> {
  const known = proxyFacts(proxy, facts);
  const isLast = known.otherSites === 0;
  const dropIns = paths.filter((path) => !path.startsWith(`${proxy.folder}/`));
  const remove = (path: string): Step => ({
    id: `remove-${basename(path).replaceAll('.', '-')}`,
    title: `remove ${path}`,
    why,
    group: 'removal',
    action: { type: 'remove-file', path },
    undo: { type: 'restore', readBy: proxy.unit },
  });
  const main = proxy.name === 'caddy' && isLast ? facts.files[caddyMainFile] : undefined;
  const mainText = withoutCaddyImport(main?.text ?? '');
  const { check, reload } = proxySteps(proxy, facts, {
    restarts: dropIns.length > 0 && known.otherDropIns === 0,
    why,
    readsFolder: true,
    leaves: isLast && known.otherDropIns === 0 ? facts.release?.started?.[proxy.unit] : undefined,
  });
  const folders = [proxy.folder, ...dropIns.map((path) => dirname(path))];
  return {
    change: [
      ...paths.map(remove),
      ...(main === undefined || mainText === null
        ? []
        : [
            {
              id: `${proxy.name}-import`,
              title: `take the line of the sites out of ${caddyMainFile}`,
              why: 'no site is left',
              group: 'removal',
              action: { type: 'write-file', path: caddyMainFile, mode: main.mode, content: mainText },
              undo: { type: 'restore', readBy: proxy.unit },
            } as const,
          ]),
    ],
    check,
    reload,
    after: folders
      .filter((path) => isLast && facts.release?.directories.includes(path) === true)
      .map((path): Step => ({
        id: `remove-folder-${basename(path).replaceAll('.', '-')}`,
        title: `remove ${path} when it is empty`,
        why: 'made by mcp-deploy',
        group: 'removal',
        action: { type: 'remove-directory', path },
        undo: { type: 'restore' },
      })),
  };
}

function proxyFacts(proxy: HostProxy, { system }: HostFacts): ProxyFacts {
  return system?.proxies?.[proxy.name] ?? noFacts;
}

const noFacts: ProxyFacts = { hasFolder: true, otherSites: 0, otherDropIns: 0, startOptions: '', hasKeyLink: false };

function caddyImportSteps(proxy: HostProxy, { files }: HostFacts): readonly Step[] {
  const main = files[caddyMainFile];
  const content = withCaddyImport(main?.text ?? '');
  if (content === null) return [];
  return [
    {
      id: 'caddy-import',
      title: `read the sites from ${caddyMainFile}`,
      why: 'one line at its end',
      group: 'configuration',
      action: { type: 'write-file', path: caddyMainFile, mode: main?.mode ?? 0o644, content },
      undo: { type: 'restore', readBy: proxy.unit },
    },
  ];
}

function haproxyDropInSteps(site: HostFile, known: ProxyFacts, facts: HostFacts): readonly Step[] {
  const path = haproxyDropIn(site.path);
  const set = haproxyDefaults(facts.files[haproxyDefaultsFile]?.text);
  if (set !== null && !readsHaproxyFolder(set)) {
    throw new EnvironmentError('HAProxy is started with options of yours, and does not read /etc/haproxy/conf.d.', {
      why: `EXTRAOPTS in ${haproxyDefaultsFile} win over everything that mcp-deploy could add.`,
      next: `Add -f /etc/haproxy/conf.d to EXTRAOPTS there: mkdir -p /etc/haproxy/conf.d && systemctl restart haproxy`,
    });
  }
  const isOurs = facts.files[path] !== undefined || known.otherDropIns > 0;
  if (set !== null || (readsHaproxyFolder(known.startOptions) && !isOurs)) return [];
  const { steps } = managedFileSteps(
    {
      id: 'haproxy-options',
      title: `write ${basename(path)}`,
      path,
      mode: 0o644,
      content: haproxyDropInText(known.startOptions),
      group: 'configuration',
    },
    facts,
  );
  if (steps.length === 0) return [];
  return [
    ...(facts.system?.proxies?.haproxy?.hasDropInFolder === true
      ? []
      : [
          {
            id: 'haproxy-options-folder',
            title: `make ${dirname(path)}`,
            why: 'none yet',
            group: 'configuration',
            action: { type: 'make-directory', path: dirname(path), mode: 0o755 },
            undo: { type: 'restore' },
          } as const,
        ]),
    ...steps,
  ];
}

/** HAProxy looks for the key of a certificate beside it, under the same name with .key at the end. */
function haproxyKeySteps(known: ProxyFacts, deployment: Deployment, { stateDir }: HostFacts): readonly Step[] {
  const { serverCertificate, serverKey } = deploymentPaths(stateDir);
  const { tls, proxy } = deployment;
  const theirs = proxy.certificate ?? (tls.source === 'files' ? tls.certificate : null);
  if (known.hasKeyLink) return [];
  if (theirs !== null) {
    throw new EnvironmentError(`HAProxy looks for the key of ${theirs} in ${theirs}.key, and there is none.`, {
      why: 'It takes the name of a certificate and finds the key by itself.',
      next: `ln -s ${proxy.key ?? (tls.source === 'files' ? tls.key : 'KEY')} ${theirs}.key`,
    });
  }
  return [
    {
      id: 'haproxy-key',
      title: 'put the key where HAProxy looks for it',
      why: 'beside the certificate',
      group: 'configuration',
      action: { type: 'link', path: `${serverCertificate}.key`, target: basename(serverKey) },
      undo: { type: 'restore' },
    },
  ];
}
