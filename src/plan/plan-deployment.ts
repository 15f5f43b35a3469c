import { basename, dirname } from 'node:path';
import { UserError } from '../deployment/errors.ts';
import type { Deployment } from '../deployment/schema.ts';
import { containerPort } from '../targets/docker/container-deployment.ts';
import { wantedCertificateNames, type WantedNames } from './certificate-names.ts';
import { certificateSteps } from './plan-certificates.ts';
import { planBuild, type BuildPlan } from './plan-build.ts';
import { configFileSteps } from './plan-config-file.ts';
import { containerFront, endpointUrl } from './endpoint-url.ts';
import type { HostFacts } from './facts.ts';
import { needsRoot } from './needs-root.ts';
import { planNotices } from './plan-notices.ts';
import {
  folderStep,
  refuseTakenPorts,
  replaceStep,
  runFolderSteps,
  startStep,
  stopStep,
  waitSteps,
} from './plan-service.ts';
import { deploymentPaths, scopeOf } from './deployment-paths.ts';
import { placedFileSteps, type PlacedFiles } from './plan-sent-files.ts';
import { serviceOwner } from './host-folders.ts';
import { planSystem } from './plan-system.ts';
import { requireSystem } from './refuse-host.ts';
import type { WantedBuild } from './system-wishes.ts';
import {
  isPersonal,
  leavePersonalSteps,
  personalFileSteps,
  personalServiceStep,
  requirePersonal,
  type PersonalSteps,
} from './personal-service.ts';
import type { ContainerPlan, ContainerWishes } from './container-plan.ts';
import { clearContainerSteps, planContainers } from './plan-containers.ts';
import { clearClusterSteps, planKubernetes } from './plan-kubernetes.ts';
import { clearSwarmSteps, planSwarm } from './plan-swarm.ts';
import type { TargetInput } from '../targets/types.ts';
import type { RenderedHost } from './system-facts.ts';
import { refuseDowngrade } from './refuse-downgrade.ts';
import { serverConfigText } from './server-config.ts';
import type { AdoptedFile, Notice, Plan, Step } from './types.ts';

export interface Desired {
  readonly deployment: Deployment;
  /** Text to write to mcp-deploy.yaml, or null to leave the file alone. */
  readonly deploymentText: string | null;
  /** Leaves edits by hand as they are. */
  readonly adopt?: boolean;
  /** Goes back to an older version than what runs, when this one is older. */
  readonly allowDowngrade?: boolean;
  /** The release that is put back. */
  readonly rollbackOf?: number;
  /** What the targets wrote, in system scope. */
  readonly host?: RenderedHost;
  /** What the targets are given, where containers serve. */
  readonly containers?: TargetInput;
  /** The image of the release that is put back, where containers serve. */
  readonly image?: string;
  /** What comes with mcp-deploy.yaml; left out where its files lie beside it already. */
  readonly placed?: PlacedFiles;
  /** The server of the release that is put back; that of this mcp-deploy when absent. */
  readonly build?: WantedBuild;
  /** The text of server.json that was made for that build, where it is of another version. */
  readonly config?: string;
}

/**
 * The steps from what is there to what is wanted, each only when it is needed:
 * a deployment that is up as wanted gives a plan without steps. Pure.
 *
 * @throws EnvironmentError (exit 3) when a wanted port is held by another program, or an edited file cannot be kept aside
 */
export function planDeployment(desired: Desired, facts: HostFacts): Plan {
  const { deployment } = desired;
  if (desired.rollbackOf === undefined && desired.allowDowngrade !== true) refuseDowngrade(facts);
  const wanted = wantedCertificateNames(deployment, facts);
  const { tls } = deployment;
  const userNames =
    tls.source === 'files' ? (facts.serverCertificate?.names ?? []) : tls.source === 'acme' ? tls.names : [];
  const config =
    desired.config ?? serverConfigText(deployment, { ...facts, hostNames: [...wanted.names, ...userNames] });

  // In a cluster TLS ends in front of the pods, with a certificate of the cluster.
  const isInCluster = deployment.service.manager === 'kubernetes';
  const certificates = isInCluster ? [] : certificateSteps(deployment, wanted.names, facts);
  if (scopeOf(facts.stateDir) === 'system') return planOnHost(desired, { config, certificates, wanted }, facts);
  if (desired.containers !== undefined) {
    return planInContainers(desired, { input: desired.containers, certificates, wanted }, facts);
  }
  refuseOtherManager(deployment, facts);
  refuseContainersLeft(facts);
  const configFile = configFileSteps(config, facts, desired);
  const keys = keySteps(deployment, facts);
  const build = planBuild(
    {
      build: desired.build,
      config,
      configChanges: configFile.steps.length > 0,
      isLinked: isPersonal(deployment),
    },
    facts,
  );
  const changes = { certificatesChange: certificates.length > 0, keyChanges: keys.length > 0, build };
  const personal = isPersonal(deployment) ? personalOf(desired, facts) : null;
  const server =
    personal === null
      ? [
          ...leavePersonalSteps(facts, 'service.manager is none now'),
          ...serverSteps(deployment, configFile.sha256, facts, changes),
        ]
      : personalServerSteps(deployment, configFile.sha256, facts, { ...changes, unit: personal.steps.length > 0 });
  const adopted = [...configFile.adopted, ...(personal?.adopted ?? [])];
  const steps = [
    ...deploymentFileSteps(desired, facts),
    ...keys,
    ...certificates,
    ...configFile.steps,
    ...build.steps,
    ...(personal?.steps ?? []),
    ...server,
    ...recordSteps(adopted),
  ];
  const release = facts.release?.release ?? 0;
  return {
    schemaVersion: 1,
    deployment: deployment.name,
    purpose: 'apply',
    release: steps.length === 0 ? release : release + 1,
    steps,
    notices: [
      ...planNotices(deployment, wanted, facts),
      ...configFile.notices,
      ...(personal?.notices ?? []),
      ...(server.length > 0 ? unverifiedNotices(deployment, facts, keys.length > 0) : []),
    ],
    desired: JSON.parse(JSON.stringify(deployment)) as unknown,
    ...(build.live === undefined ? {} : { build: build.live }),
    ...(adopted.length === 0 ? {} : { adopted }),
    ...(desired.rollbackOf === undefined || steps.length === 0 ? {} : { rollbackOf: desired.rollbackOf }),
  };
}

/** The same for a service of the host: other steps, the same order of keys, certificates, configuration and server. */
function planOnHost(
  desired: Desired,
  parts: { readonly config: string; readonly certificates: readonly Step[]; readonly wanted: WantedNames },
  facts: HostFacts,
): Plan {
  const { deployment, host } = desired;
  if (host === undefined) throw new Error('a plan for a host without its rendered files');
  const { certificates, config } = parts;
  const keys = keySteps(deployment, facts);
  const release = facts.release?.release ?? 0;
  const placed = desired.placed === undefined ? null : placedFileSteps(desired.placed, deployment.service.user, facts);
  const system = planSystem(
    {
      deployment,
      config,
      host,
      build: desired.build ?? requireSystem(facts).build,
      adopt: desired.adopt === true,
      release: release + 1,
      filesChange: placed !== null && placed.steps.length > 0,
      othersChange: certificates.length > 0,
    },
    facts,
  );
  const steps = [
    ...deploymentFileSteps(desired, facts),
    ...system.before,
    ...(placed?.steps ?? []),
    ...keys,
    ...certificates,
    ...system.after,
    ...recordSteps(system.adopted),
  ];
  const serves = system.after.some(({ action }) => action.type === 'service') || certificates.length > 0;
  const verify = serves ? verifySteps(deployment, facts, keys.length > 0) : [];
  const through = verify.map((step): Step =>
    host.proxyUrl === null || step.action.type !== 'verify-endpoint'
      ? step
      : { ...step, action: { ...step.action, url: host.proxyUrl, patienceMs: 10_000 } },
  );
  const all = [...steps, ...through];
  return {
    schemaVersion: 1,
    deployment: deployment.name,
    purpose: 'apply',
    release: all.length === 0 ? release : release + 1,
    steps: all,
    notices: [
      ...planNotices(deployment, parts.wanted, facts),
      ...system.notices,
      ...(placed?.notices ?? []),
      ...(all.length > 0 && !requireSystem(facts).isRoot ? [rootNotice(all, facts)] : []),
      ...(serves ? unverifiedNotices(deployment, facts, keys.length > 0) : []),
    ],
    desired: JSON.parse(JSON.stringify(deployment)) as unknown,
    build: system.build,
    ...(placed === null ? {} : { sent: placed.sent }),
    ...(system.started === null ? {} : { started: system.started }),
    ...(system.adopted.length === 0 ? {} : { adopted: system.adopted }),
    ...(desired.rollbackOf === undefined || all.length === 0 ? {} : { rollbackOf: desired.rollbackOf }),
  };
}

function rootNotice(steps: readonly Step[], { stateDir }: HostFacts): Notice {
  const count = steps.filter((step) => needsRoot(step, stateDir)).length;
  const text = `${count} of ${steps.length} steps need root (# root): apply looks and plans as you, and does them with sudo, asked for once.`;
  return { level: 'info', text };
}

/** The same for containers: other steps behind the same keys and certificates. */
function planInContainers(
  desired: Desired,
  parts: { readonly input: TargetInput; readonly certificates: readonly Step[]; readonly wanted: WantedNames },
  facts: HostFacts,
): Plan {
  const { deployment } = desired;
  const { certificates, input, wanted } = parts;
  const keys = keySteps(deployment, facts);
  const wishes: ContainerWishes = {
    input,
    adopt: desired.adopt === true,
    changes: { keys: keys.length > 0, certificate: certificates.length > 0 },
    ...(desired.image === undefined ? {} : { image: desired.image }),
  };
  refuseOtherManager(deployment, facts);
  const { plan, clear } = plannersOf(deployment);
  const containers = plan(wishes, facts);
  const steps = [
    ...deploymentFileSteps(desired, facts),
    ...keys,
    ...certificates,
    ...containers.steps,
    ...recordSteps(containers.adopted),
    ...(containers.serves ? [...verifySteps(deployment, facts, keys.length > 0), ...clear(wishes, facts)] : []),
  ];
  const release = facts.release?.release ?? 0;
  return {
    schemaVersion: 1,
    deployment: deployment.name,
    purpose: 'apply',
    release: steps.length === 0 ? release : release + 1,
    steps,
    notices: [
      ...planNotices(deployment, wanted, facts),
      ...containers.notices,
      ...(containers.serves ? unverifiedNotices(deployment, facts, keys.length > 0) : []),
    ],
    desired: JSON.parse(JSON.stringify(deployment)) as unknown,
    ...(containers.image === null ? {} : { image: containers.image }),
    ...(containers.adopted.length === 0 ? {} : { adopted: containers.adopted }),
    ...(desired.rollbackOf === undefined || steps.length === 0 ? {} : { rollbackOf: desired.rollbackOf }),
  };
}

function plannersOf({ service }: Deployment): {
  readonly plan: (wishes: ContainerWishes, facts: HostFacts) => ContainerPlan;
  readonly clear: (wishes: ContainerWishes, facts: HostFacts) => readonly Step[];
} {
  switch (service.manager) {
    case 'kubernetes':
      return { plan: planKubernetes, clear: clearClusterSteps };
    case 'swarm':
      return { plan: planSwarm, clear: clearSwarmSteps };
    case 'docker':
    case 'none':
    case 'systemd':
    case 'systemd-user':
    case 'launchd':
      return { plan: planContainers, clear: clearContainerSteps };
  }
}

/** Two servers with the same keys, of which one is forgotten, is what nobody wants. */
function refuseContainersLeft({ release, containers }: HostFacts): void {
  if (release?.image === undefined || containers === undefined) return;
  throw new UserError('This deployment runs in containers, and mcp-deploy.yaml does not ask for them any more.', {
    why: `Release ${release.release} has them; service.manager names something else now.`,
    next: 'mcp-deploy uninstall        then: mcp-deploy apply',
    exitCode: 3,
  });
}

/** A cluster that is forgotten goes on serving, and so do containers that a cluster takes over from. */
function refuseOtherManager({ service }: Deployment, { release }: HostFacts): void {
  const before = (release?.desired as Partial<Deployment> | null | undefined)?.service?.manager ?? 'none';
  const managers = [before, service.manager];
  if (before === service.manager || before === 'none' || !managers.includes('kubernetes')) return;
  throw new UserError(
    `This deployment runs by ${managers[0] ?? ''}, and mcp-deploy.yaml says ${managers[1] ?? ''} now.`,
    {
      why: `Release ${release?.release ?? 0} would go on beside it, with nobody who looks after it.`,
      next: 'mcp-deploy uninstall        then: mcp-deploy apply',
      exitCode: 3,
    },
  );
}

/** What is adopted is kept in a release, also when nothing else changes. */
function recordSteps(adopted: readonly AdoptedFile[]): readonly Step[] {
  if (adopted.length === 0) return [];
  return [
    {
      id: 'adopt-edits',
      title: 'keep edits by hand',
      why: 'asked for with --adopt',
      group: 'configuration',
      action: { type: 'adopt', paths: adopted.map(({ path }) => path) },
      undo: { type: 'none' },
    },
  ];
}

function deploymentFileSteps({ deploymentText }: Desired, facts: HostFacts): readonly Step[] {
  const { path, text } = facts.deploymentFile;
  if (deploymentText === null || deploymentText === text) return [];
  const folder = dirname(path);
  const isMissing = facts.system !== undefined && text === null && facts.directories?.includes(folder) === false;
  return [
    ...(isMissing
      ? [
          {
            id: 'deployment-folder',
            title: `make ${folder}`,
            why: 'none yet',
            group: 'configuration',
            action: { type: 'make-directory', path: folder, mode: 0o755 },
            undo: { type: 'restore' },
          } as const,
        ]
      : []),
    {
      id: 'deployment-file',
      title: `write ${basename(path)}`,
      why: text === null ? 'none yet' : 'settings changed',
      group: 'configuration',
      action: { type: 'write-file', path, mode: facts.files[path]?.mode ?? 0o644, content: deploymentText },
      undo: { type: 'restore' },
    },
  ];
}

function keySteps(deployment: Deployment, facts: HostFacts): readonly Step[] {
  if (!deployment.auth.required || facts.activeKeyLabels.length > 0) return [];
  const { keysDir, keyStore, firstKey } = deploymentPaths(facts.stateDir);
  return [
    ...(scopeOf(facts.stateDir) === 'system'
      ? []
      : folderStep(facts, { id: 'keys-folder', path: keysDir, group: 'keys' })),
    {
      id: 'first-key',
      title: `make API key "${firstKeyLabel}"`,
      why: facts.files[keyStore] === undefined ? 'none yet' : 'no key is active any more',
      group: 'keys',
      action: {
        type: 'create-api-key',
        storeFile: keyStore,
        keyFile: firstKey,
        label: firstKeyLabel,
        ...(scopeOf(facts.stateDir) === 'system' ? { owner: serviceOwner(deployment) } : {}),
      },
      undo: { type: 'restore' },
    },
  ];
}

const firstKeyLabel = 'default';

/**
 * A running server watches its keys and certificates, so only another
 * configuration or another version of mcp-deploy restarts it.
 */
function serverSteps(
  deployment: Deployment,
  configSha256: string,
  facts: HostFacts,
  changes: { readonly certificatesChange: boolean; readonly keyChanges: boolean; readonly build: BuildPlan },
): readonly Step[] {
  const { server } = facts;
  const { build } = changes;
  const version = build.build?.version ?? facts.serverVersion;
  const verify = verifySteps(deployment, facts, changes.keyChanges);
  const reasons =
    server.state === 'stopped'
      ? []
      : [
          ...(server.configSha256 === configSha256 ? [] : ['its configuration changed']),
          ...(server.version !== version
            ? [versionReason(server.version, version)]
            : build.serverChanges
              ? ['another build of it']
              : []),
        ];
  if (server.state === 'running' && reasons.length === 0) {
    if (!changes.certificatesChange) return [];
    return [...waitSteps(facts, deployment, 'it takes the new certificate up by itself'), ...verify];
  }
  refuseTakenPorts(facts, deployment);
  return [
    ...runFolderSteps(facts),
    ...(server.state === 'stopped'
      ? [startStep(facts, 'not running', build.serverFile)]
      : build.build !== null && listensAlike(deployment, facts)
        ? [
            ...(build.serverChanges ? [checkServerStep(facts, build.serverFile)] : []),
            replaceStep(facts, deployment, { why: reasons.join(', '), serverFile: build.serverFile }),
          ]
        : [stopStep(facts, deployment, reasons.join(', ')), startStep(facts, reasons.join(', '), build.serverFile)]),
    ...waitSteps(facts, deployment, 'it has just been started'),
    ...verify,
  ];
}

/** Whether the sockets of the server that runs are those of the next one. Pages may have some of their own. */
function listensAlike({ server }: Deployment, { release }: HostFacts): boolean {
  const before = (release?.desired as { readonly server?: Partial<Deployment['server']> } | undefined)?.server;
  const places = (of: Partial<Deployment['server']> | undefined): string =>
    JSON.stringify([of?.listen, of?.healthListen, of?.metricsListen, of?.statusListen]);
  return places(before) === places(server) && [server.listen].flat().every((address) => !address.startsWith('unix:'));
}

/** What cannot read its configuration must not take over. */
function checkServerStep({ nodePath, stateDir }: HostFacts, serverFile: string): Step {
  return {
    id: 'check-server',
    title: 'check the new server',
    why: 'before it takes over',
    group: 'server',
    action: {
      type: 'run-command',
      argv: [nodePath, serverFile, '--config', deploymentPaths(stateDir).serverConfig, '--check'],
    },
    undo: { type: 'none' },
  };
}

function personalOf({ deployment, host, adopt }: Desired, facts: HostFacts): PersonalSteps {
  const file = host?.files[0];
  if (file === undefined) throw new Error('a plan for a service of a person without its rendered file');
  return personalFileSteps(deployment, file.content, facts, { adopt: adopt === true });
}

/** The same where a service manager of this person starts it: another configuration is taken by a reload. */
function personalServerSteps(
  deployment: Deployment,
  configSha256: string,
  facts: HostFacts,
  changes: {
    readonly certificatesChange: boolean;
    readonly keyChanges: boolean;
    readonly unit: boolean;
    readonly build: BuildPlan;
  },
): readonly Step[] {
  const { server } = facts;
  const { isActive, unit, manager } = requirePersonal(facts);
  const version = changes.build.build?.version ?? facts.serverVersion;
  const isOther = server.state === 'running' && (changes.build.serverChanges || server.version !== version);
  const isOutdated = server.state === 'running' && server.configSha256 !== configSha256;
  const at =
    !isActive || server.state === 'stopped'
      ? 'start'
      : changes.unit || isOther
        ? 'restart'
        : isOutdated
          ? 'reload'
          : null;
  if (at === null && !changes.certificatesChange) return [];
  if (at !== null) refuseTakenPorts(facts, deployment);
  const why = !isActive
    ? 'not running'
    : changes.unit
      ? 'its file changed'
      : isOther
        ? 'another version'
        : 'its configuration changed';
  const wait = waitSteps(facts, deployment, 'before anything counts on it').map((step): Step =>
    step.action.type === 'wait-until-ready'
      ? { ...step, action: { ...step.action, unit, manager, configSha256 } }
      : step,
  );
  return [
    ...runFolderSteps(facts),
    // A process of this folder, from before it was a service.
    ...(server.state === 'running' && !isActive
      ? [stopStep(facts, deployment, 'the service manager starts it from now on')]
      : []),
    ...(at === null ? [] : [personalServiceStep(facts, at === 'start' && isActive ? 'restart' : at, why)]),
    ...wait,
    ...verifySteps(deployment, facts, changes.keyChanges),
  ];
}

function versionReason(now: string, next: string): string {
  return now === '' ? 'its version is not known' : `version ${now} -> ${next}`;
}

function verifySteps(deployment: Deployment, facts: HostFacts, keyChanges: boolean): readonly Step[] {
  if (whyUnverified(deployment, facts, keyChanges) !== null) return [];
  const { caCertificate, firstKey } = deploymentPaths(facts.stateDir);
  return [
    {
      id: 'verify-endpoint',
      title: 'call the endpoint as a client would',
      why: 'proof that it serves',
      group: 'verified',
      action: {
        type: 'verify-endpoint',
        ...wayIn(deployment, facts, caCertificate),
        ...(deployment.auth.required ? { keyFile: firstKey } : {}),
        // What stands in front of containers learns of them by looking, every few seconds.
        ...(['docker', 'swarm', 'kubernetes'].includes(deployment.service.manager) ? { patienceMs: 15_000 } : {}),
      },
      undo: { type: 'none' },
    },
  ];
}

/** Where a client of this machine calls: the endpoint, or a port of the cluster that is forwarded here. */
function wayIn(
  deployment: Deployment,
  { cluster }: HostFacts,
  caFile: string,
): Pick<Extract<Step['action'], { type: 'verify-endpoint' }>, 'url' | 'caFile' | 'forward'> {
  if (cluster !== undefined) {
    const port = containerPort(deployment, 'kubernetes');
    return { url: `http://127.0.0.1${deployment.server.path}`, forward: { cluster: cluster.cluster, port } };
  }
  return { url: endpointUrl(deployment), ...(deployment.tls.source === 'private-ca' ? { caFile } : {}) };
}

function unverifiedNotices(deployment: Deployment, facts: HostFacts, keyChanges: boolean): Plan['notices'] {
  const why = whyUnverified(deployment, facts, keyChanges);
  return why === null ? [] : [{ level: 'info', text: `The endpoint is not called as a client would: ${why}` }];
}

/** Why a client on this machine cannot try the endpoint, or null when it can. */
function whyUnverified(deployment: Deployment, facts: HostFacts, keyChanges: boolean): string | null {
  const { tls, auth, server } = deployment;
  const front = containerFront(deployment);
  if (facts.cluster !== undefined) {
    if (facts.cluster.denied.includes('create pods/portforward')) return 'you may not forward a port to its pods.';
  } else if (front !== null && !front.isLocal) {
    return `its name is for others. Try it with: mcp-deploy doctor ${front.url}`;
  }
  if (front === null && [server.listen].flat().every((address) => address.startsWith('unix:'))) {
    return 'it listens on Unix sockets only.';
  }
  if (facts.cluster === undefined && (tls.source === 'files' || tls.source === 'acme')) {
    const names = tls.source === 'acme' ? tls.names : (facts.serverCertificate?.names ?? []);
    const url = server.publicUrl ?? urlInCertificate(deployment, names);
    return `its certificate is ${tls.source === 'acme' ? 'for public names' : 'yours, perhaps for another name or from a CA unknown here'}. Try it with: mcp-deploy doctor ${url}`;
  }
  const { firstKey } = deploymentPaths(facts.stateDir);
  const keyIsHere = facts.files[firstKey] !== undefined && facts.activeKeyLabels.includes(firstKeyLabel);
  if (!auth.required || keyChanges || keyIsHere) return null;
  return 'no key lies here in the clear. Try it with: mcp-deploy doctor --key-file FILE';
}

/** The local URL under a name that the certificate has. */
function urlInCertificate(deployment: Deployment, names: readonly string[]): string {
  const local = endpointUrl(deployment);
  const { hostname } = new URL(local);
  if (names.includes(hostname.replace(/^\[|\]$/g, ''))) return local;
  const name = names.find((each) => !each.startsWith('*.')) ?? 'NAME';
  return local.replace(`//${hostname}`, `//${name.includes(':') ? `[${name}]` : name}`);
}
