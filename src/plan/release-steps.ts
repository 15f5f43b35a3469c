import { basename, join } from 'node:path';
import type { Deployment } from '../deployment/schema.ts';
import { deploymentPaths } from './deployment-paths.ts';
import type { HostFacts } from './facts.ts';
import { serviceOwner } from './host-folders.ts';
import { serviceUnitOf } from './unit-steps.ts';
import type { SystemWishes } from './system-wishes.ts';
import { sha256Hex } from './server-config.ts';
import type { SystemFacts } from './system-facts.ts';
import { trialFiles, trialUnitText } from './trial-server.ts';
import type { Notice, Step } from './types.ts';

export interface BuildSteps {
  readonly steps: readonly Step[];
  readonly link: readonly Step[];
  readonly serverChanges: boolean;
  readonly notices: readonly Notice[];
  readonly live: { readonly version: string; readonly sha256: string; readonly folder: number };
}

/** A folder `releases/N` with server and configuration, when either is not as the live one has it. */
export function buildSteps(wishes: SystemWishes, facts: HostFacts, { current }: SystemFacts): BuildSteps {
  const { build, config, deployment, filesChange, release } = wishes;
  const paths = deploymentPaths(facts.stateDir);
  const configNow = facts.files[paths.serverConfig];
  const serverChanges = current?.serverSha256 !== build.sha256;
  const configChanges = configNow?.sha256 !== sha256Hex(config);
  const about = { version: build.version, sha256: build.sha256 };
  const isEdited =
    configNow !== undefined &&
    current !== null &&
    facts.release?.files[join(paths.releasesDir, String(current.number), 'server.json')]?.sha256 !== configNow.sha256;
  const notices: readonly Notice[] =
    isEdited && current !== null
      ? [
          {
            level: 'warning',
            text: `${paths.serverConfig} was edited by hand; the edit stays in releases/${current.number}. Settings belong into mcp-deploy.yaml.`,
          },
        ]
      : [];
  if (current !== null && !serverChanges && !configChanges && !filesChange) {
    return { steps: [], link: [], serverChanges, notices, live: { ...about, folder: current.number } };
  }
  const folder = join(paths.releasesDir, String(release));
  const why = [
    ...(current === null ? ['none yet'] : []),
    ...(current !== null && serverChanges ? ['another version of the server'] : []),
    ...(current !== null && configChanges ? ['settings changed'] : []),
    ...(current !== null && filesChange ? ['its files changed'] : []),
  ].join(', ');
  const common = { why, group: 'server', undo: { type: 'restore' } } as const;
  return {
    serverChanges,
    notices,
    live: { ...about, folder: release },
    steps: [
      {
        ...common,
        id: 'release-folder',
        title: `make releases/${release}`,
        action: { type: 'make-directory', path: folder, mode: 0o755 },
      },
      {
        ...common,
        id: 'release-server',
        title: 'copy the server',
        why: current !== null && !serverChanges ? 'each release has its own' : why,
        action: {
          type: 'copy-file',
          from: build.file,
          path: join(folder, 'serve.js'),
          mode: 0o644,
          sha256: build.sha256,
        },
      },
      {
        ...common,
        id: 'release-config',
        title: 'write server configuration',
        action: {
          type: 'write-file',
          path: join(folder, 'server.json'),
          mode: 0o640,
          content: config,
          owner: serviceOwner(deployment),
        },
      },
      ...(deployment.service.trial ? [] : [checkConfigStep(deployment, facts, folder)]),
    ],
    link: [
      {
        ...common,
        id: 'switch-release',
        title: `switch to release ${release}`,
        action: { type: 'link', path: paths.buildDir, target: `releases/${release}` },
      },
    ],
  };
}

/** Where the new release may not be tried beside the old one, it is at least looked through by its own server and user. */
function checkConfigStep({ service }: Deployment, { nodePath }: HostFacts, folder: string): Step {
  const serve = [nodePath, join(folder, 'serve.js'), '--config', join(folder, 'server.json'), '--check'];
  return {
    id: 'check-release',
    title: 'check the new release',
    why: 'before it takes over',
    group: 'server',
    action: { type: 'run-command', argv: ['runuser', '-u', service.user, '--', ...serve] },
    undo: { type: 'none' },
  };
}

/** Starts the new release beside the old one, and ends it again. */
export function trialStep({ deployment, host, release }: SystemWishes, facts: HostFacts): Step {
  const unit = serviceUnitOf(host);
  const trial = trialFiles(unit);
  const folder = join(deploymentPaths(facts.stateDir).releasesDir, String(release));
  const unitText = host.files.find(({ path }) => basename(path) === unit)?.content ?? '';
  const slowest = Math.max(0, ...Object.values(deployment.server.upstreams).map((upstream) => upstream.startSeconds));
  return {
    id: 'try-release',
    title: 'try the new release beside what runs',
    why: 'what cannot start must not take over',
    group: 'server',
    action: {
      type: 'trial-server',
      ...trial,
      unitText: trialUnitText(unitText, [facts.nodePath, join(folder, 'serve.js'), '--config', trial.configFile]),
      configOf: join(folder, 'server.json'),
      owner: serviceOwner(deployment),
      timeoutMs: 10_000 + Math.round(slowest * 1_000),
    },
    undo: { type: 'stop-trial', unit: trial.unit, files: [trial.unitFile, trial.configFile] },
  };
}
