import { createHash } from 'node:crypto';
import type { CertificateFact, FileFact, HostFacts } from '../../src/plan/facts.ts';
import type { Action } from '../../src/plan/action.ts';
import type { Plan } from '../../src/plan/types.ts';

/** A machine without anything of ours. */
export function emptyHost(changes: Partial<HostFacts> = {}): HostFacts {
  return {
    baseDir: '/srv/app',
    stateDir: '/srv/app/.mcp-deploy',
    hostName: 'box.local',
    nodePath: '/usr/bin/node',
    serverFile: '/opt/mcp-deploy/dist/server/serve.js',
    serverVersion: '1.0.0',
    deploymentFile: { path: '/srv/app/mcp-deploy.yaml', text: null },
    files: {},
    directories: [],
    caCertificate: null,
    serverCertificate: null,
    activeKeyLabels: [],
    server: { state: 'stopped' },
    takenPorts: [],
    release: null,
    unfinishedJournal: null,
    ...changes,
  };
}

export function fileFact(text: string, mode = 0o600): FileFact {
  return { sha256: createHash('sha256').update(text).digest('hex'), mode, text };
}

export function certificateFact(changes: Partial<CertificateFact> = {}): CertificateFact {
  return {
    names: ['localhost', '127.0.0.1', '::1', 'box.local'],
    notAfter: '2030-01-01T00:00:00.000Z',
    fingerprint256: 'AA:BB',
    keyMatches: true,
    issuedByCa: true,
    daysLeft: 396,
    ...changes,
  };
}

/** The machine after a plan was applied to it, as an interpreter would leave it. */
export function afterPlan(plan: Plan, before: HostFacts): HostFacts {
  const files: Record<string, FileFact> = { ...before.files };
  const directories = new Set(before.directories ?? []);
  let { caCertificate, serverCertificate, deploymentFile, server } = before;
  let activeKeyLabels = before.activeKeyLabels;
  for (const { action } of plan.steps) {
    const done = effectOf(action, before, files);
    Object.assign(files, done.files);
    for (const path of done.removed) delete files[path];
    for (const path of done.directories) directories.add(path);
    if (done.ca !== undefined) caCertificate = done.ca;
    if (done.certificate !== undefined) serverCertificate = done.certificate;
    if (done.key !== undefined) activeKeyLabels = [...activeKeyLabels, done.key];
    if (done.server !== undefined) server = done.server;
  }
  const written = plan.steps
    .map(({ action }) => action)
    .find((action) => action.type === 'write-file' && action.path === deploymentFile.path);
  if (written?.type === 'write-file') deploymentFile = { ...deploymentFile, text: written.content };
  return {
    ...before,
    files,
    directories: [...directories],
    caCertificate,
    serverCertificate,
    activeKeyLabels,
    deploymentFile,
    server,
    release:
      plan.purpose === 'apply' && plan.steps.length > 0
        ? {
            release: plan.release,
            appliedAt: '2026-01-01T00:00:00.000Z',
            toolVersion: '1.0.0',
            desired: plan.desired,
            files,
            directories: [...directories],
            ...(plan.build === undefined ? {} : { build: plan.build }),
          }
        : before.release,
  };
}

interface Effect {
  readonly files: Record<string, FileFact>;
  readonly removed: readonly string[];
  readonly directories: readonly string[];
  readonly ca?: CertificateFact;
  readonly certificate?: CertificateFact;
  readonly key?: string;
  readonly server?: HostFacts['server'];
}

function effectOf(action: Action, facts: HostFacts, files: Readonly<Record<string, FileFact>>): Effect {
  const nothing: Effect = { files: {}, removed: [], directories: [] };
  switch (action.type) {
    case 'make-directory':
      return { ...nothing, directories: [action.path] };
    case 'write-file':
      return { ...nothing, files: { [action.path]: { ...fileFact(action.content), mode: action.mode } } };
    case 'copy-file':
      return { ...nothing, files: { [action.path]: { sha256: action.sha256, mode: action.mode } } };
    case 'set-mode':
      return nothing;
    case 'remove-file':
      return { ...nothing, removed: [action.path] };
    case 'issue-private-ca':
      return {
        ...nothing,
        files: { [action.certificateFile]: fileFact('ca'), [action.keyFile]: fileFact('ca key') },
        ca: certificateFact({ names: action.names, daysLeft: 3_649 }),
      };
    case 'issue-certificate':
      return {
        ...nothing,
        files: { [action.certificateFile]: fileFact('crt'), [action.keyFile]: fileFact('key') },
        certificate: certificateFact({ names: action.names, daysLeft: action.validDays - 1 }),
      };
    case 'create-acme-account-key':
      return { ...nothing, files: { [action.keyFile]: fileFact('account') } };
    case 'issue-acme-certificate':
      return {
        ...nothing,
        files: { [action.certificateFile]: fileFact('crt'), [action.keyFile]: fileFact('key') },
        certificate: { ...certificateFact({ names: action.order.names, daysLeft: 89 }), issuedByCa: false },
      };
    case 'create-api-key':
      return {
        ...nothing,
        files: { [action.storeFile]: fileFact('{}'), [action.keyFile]: fileFact('k') },
        key: action.label,
      };
    case 'start-server':
    case 'replace-server':
      return {
        ...nothing,
        server: {
          state: 'running',
          pid: 4711,
          configSha256: files[action.argv[3] ?? '']?.sha256 ?? '',
          version: facts.serverVersion,
        },
      };
    case 'stop-server':
      return { ...nothing, server: { state: 'stopped' } };
    case 'move-pair':
    case 'remove-directory':
    case 'wait-until-ready':
    case 'wait-until-free':
    case 'verify-endpoint':
    case 'serve-certificate':
    case 'run-command':
    case 'ensure-user':
    case 'remove-user':
    case 'link':
    case 'copy-secret':
    case 'make-image':
    case 'switch-containers':
    case 'remove-stopped':
    case 'deploy-stack':
    case 'prune-stack':
    case 'remove-stack':
    case 'containers':
    case 'make-namespace':
    case 'remove-namespace':
    case 'hand-secret':
    case 'roll-out':
    case 'leave-replicas':
    case 'remove-objects':
    case 'trial-server':
    case 'service':
    case 'adopt':
      return nothing;
  }
}
