import type { Deployment } from '../deployment/schema.ts';
import { deploymentPaths } from './deployment-paths.ts';
import type { HostFacts } from './facts.ts';
import type { BuildPlan } from './plan-build.ts';
import { refuseTakenPorts, replaceStep, runFolderSteps, startStep, stopStep, waitSteps } from './plan-service.ts';
import { verifySteps } from './plan-verification.ts';
import type { Step } from './types.ts';

/**
 * The server of a folder. One that runs watches its keys and certificates, so only another
 * configuration or another version of mcp-deploy restarts it.
 */
export function folderServerSteps(
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

function versionReason(now: string, next: string): string {
  return now === '' ? 'its version is not known' : `version ${now} -> ${next}`;
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
