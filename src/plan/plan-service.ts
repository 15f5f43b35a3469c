import { join } from 'node:path';
import { EnvironmentError, UserError } from '../deployment/errors.ts';
import { listenAddresses } from '../deployment/listen-address.ts';
import type { Deployment } from '../deployment/schema.ts';
import { readyUrl } from './endpoint-url.ts';
import type { HostFacts } from './facts.ts';
import { deploymentPaths } from './deployment-paths.ts';
import { appliedServerFile } from './plan-build.ts';
import { personalServiceStep } from './personal-service.ts';
import type { Action } from './action.ts';
import type { Notice, Plan, Step } from './types.ts';
import type { Undo } from './undo.ts';

/** Starts the server with the configuration that was applied last; nothing when it runs. */
export function planStart(facts: HostFacts, deployment: Deployment): Plan {
  refuseUnapplied(facts);
  if (facts.server.state === 'running') {
    return servicePlan(
      'start',
      facts,
      deployment,
      [],
      [{ level: 'info', text: `The server is running already (pid ${facts.server.pid}).` }],
    );
  }
  refuseTakenPorts(facts, deployment);
  if (isManaged(facts)) return managedPlan('start', facts, deployment);
  const steps = [
    ...runFolderSteps(facts),
    startStep(facts, 'not running'),
    ...waitSteps(facts, deployment, 'it has just been started'),
  ];
  return servicePlan('start', facts, deployment, steps);
}

/** Stops the server; nothing when it does not run. */
export function planStop(facts: HostFacts, deployment: Deployment): Plan {
  if (facts.server.state === 'stopped') {
    return servicePlan('stop', facts, deployment, [], [{ level: 'info', text: 'The server is not running.' }]);
  }
  if (isManaged(facts)) return managedPlan('stop', facts, deployment);
  return servicePlan('stop', facts, deployment, [stopStep(facts, deployment, 'asked for')]);
}

/** Stops the server if it runs, and starts it with the configuration that was applied last. */
export function planRestart(facts: HostFacts, deployment: Deployment): Plan {
  refuseUnapplied(facts);
  refuseTakenPorts(facts, deployment);
  if (isManaged(facts)) return managedPlan('restart', facts, deployment);
  const steps = [
    ...(facts.server.state === 'running' ? [stopStep(facts, deployment, 'asked for')] : []),
    ...runFolderSteps(facts),
    startStep(facts, facts.server.state === 'running' ? 'asked for' : 'not running'),
    ...waitSteps(facts, deployment, 'it has just been started'),
  ];
  return servicePlan('restart', facts, deployment, steps);
}

/** Whether a service manager of this person runs what was applied. */
function isManaged({ personal, release }: HostFacts): boolean {
  return personal !== undefined && release?.files[personal.file] !== undefined;
}

function managedPlan(purpose: 'start' | 'stop' | 'restart', facts: HostFacts, deployment: Deployment): Plan {
  const step = personalServiceStep(facts, purpose, 'asked for');
  const { action, undo } = step;
  if (action.type !== 'service' || undo.type !== 'restore-units') throw new Error('not a step of a service');
  // Whether it starts with the session stays as it is.
  const units = action.units.map((each) => ({ ...each, enabled: null }));
  const asked: Step = { ...step, action: { ...action, units }, undo: { ...undo, units } };
  return servicePlan(purpose, facts, deployment, [
    asked,
    ...(purpose === 'stop' ? [] : waitSteps(facts, deployment, 'it has just been started').map(withManager(facts))),
  ]);
}

function withManager({ personal }: HostFacts): (step: Step) => Step {
  return (step) =>
    step.action.type !== 'wait-until-ready' || personal === undefined
      ? step
      : { ...step, action: { ...step.action, unit: personal.unit, manager: personal.manager } };
}

/** Refuses (exit 3) before anything is changed when a port that the server needs is held by another program. */
export function refuseTakenPorts(facts: HostFacts, deployment: Deployment): void {
  const wanted = new Set(listenAddresses(deployment.server).map((each) => (each.kind === 'tcp' ? each.port : null)));
  const taken = facts.takenPorts.find(({ port }) => wanted.has(port));
  if (taken === undefined) return;
  const held = new Set(facts.takenPorts.map(({ port }) => port));
  let other = taken.port + 1;
  while (held.has(other)) other += 1;
  throw new EnvironmentError(`Port ${taken.port} is taken${taken.holder === null ? '' : ` by ${taken.holder}`}.`, {
    why: 'server.listen in mcp-deploy.yaml asks for it.',
    next: `Stop that program, or choose another port: mcp-deploy up --listen localhost:${other > 65_535 ? 'PORT' : other}`,
  });
}

/** The folders that a starting server writes to, where they are missing. */
export function runFolderSteps(facts: HostFacts): readonly Step[] {
  const { logsDir, runDir } = deploymentPaths(facts.stateDir);
  return [
    ...folderStep(facts, { id: 'logs-folder', path: logsDir, group: 'server' }),
    ...folderStep(facts, { id: 'run-folder', path: runDir, group: 'server' }),
  ];
}

/** Makes a folder of the state folder, mode 0700, when it is not known to exist. */
export function folderStep(
  facts: HostFacts,
  { id, path, group }: { readonly id: string; readonly path: string; readonly group: Step['group'] },
): readonly Step[] {
  const exists =
    facts.directories?.includes(path) ?? Object.keys(facts.files).some((file) => file.startsWith(join(path, '/')));
  if (exists) return [];
  const action: Action = { type: 'make-directory', path, mode: 0o700 };
  return [
    {
      id,
      title: `make folder ${path.slice(facts.baseDir.length + 1)}`,
      why: 'none yet',
      group,
      action,
      undo: { type: 'restore' },
    },
  ];
}

export function stopStep(facts: HostFacts, deployment: Pick<Deployment, 'server'>, why: string): Step {
  const { pidFile } = deploymentPaths(facts.stateDir);
  // The server ends by itself when it has drained; the rest is for what hangs.
  const graceMs = Math.round(deployment.server.drainSeconds * 1_000) + 5_000;
  return {
    id: 'stop-server',
    title: 'stop server',
    why,
    group: 'server',
    action: { type: 'stop-server', pidFile, graceMs },
    undo: startAction(facts),
  };
}

/** @param serverFile what starts; the server of the live release when absent */
export function startStep(facts: HostFacts, why: string, serverFile?: string): Step {
  const { pidFile } = deploymentPaths(facts.stateDir);
  return {
    id: 'start-server',
    title: 'start server',
    why,
    group: 'server',
    action: startAction(facts, serverFile),
    undo: { type: 'stop-server', pidFile, graceMs: 2_000 },
  };
}

/** Another server in the place of the one that runs, which hands its sockets over. */
export function replaceStep(
  facts: HostFacts,
  deployment: Pick<Deployment, 'server'>,
  wishes: { readonly why: string; readonly serverFile: string },
): Step {
  const graceMs = Math.round(deployment.server.drainSeconds * 1_000) + 5_000;
  return {
    id: 'replace-server',
    title: 'replace server',
    why: wishes.why,
    group: 'server',
    action: { ...startAction(facts, wishes.serverFile), type: 'replace-server', graceMs },
    undo: { ...startAction(facts), type: 'replace-server', graceMs },
  };
}

/** Waits until the server can serve: as long as its slowest upstream may take, and ten seconds. */
export function waitSteps(facts: HostFacts, deployment: Deployment, why: string): readonly Step[] {
  const url = readyUrl(deployment);
  if (url === null) return [];
  const { caCertificate, pidFile, logFile } = deploymentPaths(facts.stateDir);
  const slowest = Math.max(0, ...Object.values(deployment.server.upstreams).map((upstream) => upstream.startSeconds));
  const action: Action = {
    type: 'wait-until-ready',
    readyUrl: url,
    ...(deployment.tls.source === 'private-ca' ? { caFile: caCertificate } : {}),
    pidFile,
    logFile,
    timeoutMs: 10_000 + Math.round(slowest * 1_000),
  };
  return [{ id: 'wait-until-ready', title: 'wait until ready', why, group: 'server', action, undo: { type: 'none' } }];
}

function startAction(
  facts: HostFacts,
  serverFile = appliedServerFile(facts) ?? facts.serverFile,
): Extract<Action & Undo, { type: 'start-server' }> {
  const { serverConfig, pidFile, logFile } = deploymentPaths(facts.stateDir);
  return {
    type: 'start-server',
    argv: [facts.nodePath, serverFile, '--config', serverConfig, '--pid-file', pidFile],
    cwd: facts.baseDir,
    pidFile,
    logFile,
  };
}

function refuseUnapplied(facts: HostFacts): void {
  if (facts.files[deploymentPaths(facts.stateDir).serverConfig] !== undefined) return;
  throw new UserError('There is nothing to start here.', {
    why: `No deployment was applied in ${facts.baseDir}.`,
    next: 'mcp-deploy up',
    exitCode: 3,
  });
}

function servicePlan(
  purpose: 'start' | 'stop' | 'restart',
  facts: HostFacts,
  deployment: Deployment,
  steps: readonly Step[],
  notices: readonly Notice[] = [],
): Plan {
  return {
    schemaVersion: 1,
    deployment: deployment.name,
    purpose,
    release: facts.release?.release ?? 0,
    steps,
    notices,
    desired: facts.release?.desired ?? null,
  };
}
