import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { acquireLock } from '../../src/apply/lock.ts';
import { applyPlan, type ApplyResult } from '../../src/apply/apply-plan.ts';
import { recoverUnfinished, type Recovery } from '../../src/apply/recover.ts';
import type { ApplyPorts, Endpoint, Issuer } from '../../src/apply/ports.ts';
import type { OnProgress } from '../../src/apply/progress-event.ts';
import type { Action } from '../../src/plan/action.ts';
import type { Plan, Step } from '../../src/plan/types.ts';
import type { Undo } from '../../src/plan/undo.ts';
import { snapshotTree, type TreeSnapshot } from './tree.ts';

/** The folders and files that the plans of these scenarios touch. */
export function scenarioPaths(baseDir: string) {
  const stateDir = join(baseDir, '.mcp-deploy');
  return {
    baseDir,
    stateDir,
    deploymentFile: join(baseDir, 'mcp-deploy.yaml'),
    config: join(stateDir, 'server.json'),
    pidFile: join(stateDir, 'run/server.json'),
    logFile: join(stateDir, 'logs/server.log'),
    caCertificate: join(stateDir, 'pki/ca.crt'),
    caKey: join(stateDir, 'pki/ca.key'),
    certificate: join(stateDir, 'pki/server.crt'),
    key: join(stateDir, 'pki/server.key'),
    keyStore: join(stateDir, 'keys/keys.json'),
    firstKey: join(stateDir, 'keys/default.key'),
    secondKey: join(stateDir, 'keys/second.key'),
    script: join(baseDir, 'fake-server.sh'),
  } as const;
}

/** A stand-in for the bundled server: writes its pid file, ends on SIGTERM and then removes it. */
const serverScript = `pid_file="$2"
trap 'rm -f "$pid_file"; exit 0' TERM
echo "{\\"pid\\":$$,\\"startedAt\\":\\"x\\",\\"version\\":\\"0\\",\\"configSha256\\":\\"0\\"}" > "$pid_file"
echo '{"time":"2026-01-01T00:00:00.000Z","level":"info","event":"server.started"}'
while :; do sleep 0.05; done
`;

/** A folder as users have it before us: some files of their own. */
export async function prepareFolder(baseDir: string): Promise<void> {
  await mkdir(join(baseDir, 'src'), { recursive: true });
  await writeFile(join(baseDir, 'src/theirs.txt'), 'keep me\n', { mode: 0o640 });
  await writeFile(scenarioPaths(baseDir).script, serverScript);
}

export const purposes = ['first', 'second', 'restart', 'uninstall'] as const;
export type Scenario = (typeof purposes)[number];

/** The plan of a scenario. `first` needs an untouched folder, the others one where `first` was applied. */
export function planOf(scenario: Scenario, baseDir: string): Plan {
  const paths = scenarioPaths(baseDir);
  const start: Extract<Action, { type: 'start-server' }> & Undo = {
    type: 'start-server',
    argv: ['/bin/sh', paths.script, '--pid-file', paths.pidFile],
    cwd: baseDir,
    pidFile: paths.pidFile,
    logFile: paths.logFile,
  };
  const step = (id: string, group: Step['group'], action: Action, undo: Undo = { type: 'restore' }): Step => ({
    id,
    title: id.replaceAll('-', ' '),
    why: 'scenario',
    group,
    action,
    undo,
  });
  const folder = (name: string): Step =>
    step(`${name}-folder`, 'configuration', { type: 'make-directory', path: join(paths.stateDir, name), mode: 0o700 });
  const write = (id: string, path: string, content: string, mode = 0o600): Step =>
    step(id, 'configuration', { type: 'write-file', path, mode, content });
  const stopServer = { type: 'stop-server', pidFile: paths.pidFile, graceMs: 5_000 } as const;
  const server = [
    step('start-server', 'server', start, stopServer),
    step(
      'wait-until-ready',
      'server',
      {
        type: 'wait-until-ready',
        readyUrl: 'https://localhost:1/readyz',
        caFile: paths.caCertificate,
        pidFile: paths.pidFile,
        logFile: paths.logFile,
        timeoutMs: 2_000,
      },
      { type: 'none' },
    ),
  ];
  const verify = step(
    'verify-endpoint',
    'verified',
    { type: 'verify-endpoint', url: 'https://localhost:1/mcp', caFile: paths.caCertificate, keyFile: paths.firstKey },
    { type: 'none' },
  );
  const certificate = step('certificate', 'certificate', {
    type: 'issue-certificate',
    folder: join(paths.stateDir, `pki/live-${scenario === 'second' ? 2 : 1}`),
    caCertificateFile: paths.caCertificate,
    caKeyFile: paths.caKey,
    certificateFile: paths.certificate,
    keyFile: paths.key,
    names: ['localhost'],
    validDays: 397,
  });
  const stop = step('stop-server', 'server', stopServer, start);
  const remove = (path: string): Step =>
    step(`remove-${path.slice(baseDir.length + 1).replaceAll(/[^a-z]+/g, '-')}`, 'removal', {
      type: 'remove-file',
      path,
    });

  const steps: Record<Scenario, readonly Step[]> = {
    first: [
      write('deployment-file', paths.deploymentFile, 'version: 1\n', 0o644),
      folder('keys'),
      step('first-key', 'keys', {
        type: 'create-api-key',
        storeFile: paths.keyStore,
        keyFile: paths.firstKey,
        label: 'default',
      }),
      folder('pki'),
      step('private-ca', 'certificate', {
        type: 'issue-private-ca',
        certificateFile: paths.caCertificate,
        keyFile: paths.caKey,
        commonName: 'test',
        names: ['localhost'],
      }),
      certificate,
      write('server-config', paths.config, '{"n":1}\n'),
      folder('logs'),
      folder('run'),
      ...server,
      verify,
    ],
    second: [
      write('deployment-file', paths.deploymentFile, 'version: 1\nname: other\n', 0o644),
      step('second-key', 'keys', {
        type: 'create-api-key',
        storeFile: paths.keyStore,
        keyFile: paths.secondKey,
        label: 'second',
      }),
      certificate,
      write('server-config', paths.config, '{"n":2}\n', 0o640),
      step('remove-first-key', 'keys', { type: 'remove-file', path: paths.firstKey }),
      stop,
      ...server,
    ],
    restart: [stop, ...server],
    uninstall: [
      stop,
      remove(paths.deploymentFile),
      ...[
        paths.config,
        paths.keyStore,
        paths.firstKey,
        paths.caKey,
        paths.caCertificate,
        paths.key,
        paths.certificate,
      ].map(remove),
      ...['keys', 'pki', 'run'].map((name) =>
        step(`remove-${name}`, 'removal', { type: 'remove-directory', path: join(paths.stateDir, name) }),
      ),
    ],
  };
  const purpose = { first: 'apply', second: 'apply', restart: 'restart', uninstall: 'uninstall' } as const;
  return {
    schemaVersion: 1,
    deployment: 'test',
    purpose: purpose[scenario],
    release: scenario === 'second' ? 2 : 1,
    steps: steps[scenario],
    notices: [],
    desired: {},
  };
}

/** One command, as the command line runs it: lock, recover, apply the plan (if any), give the lock back. */
export async function runCommand(
  ports: ApplyPorts,
  baseDir: string,
  plan: Plan | null,
  options: { signal?: AbortSignal; onProgress?: OnProgress } = {},
): Promise<{ recovery: Recovery | null; result: ApplyResult | null }> {
  const { stateDir } = scenarioPaths(baseDir);
  const lock = await acquireLock({ ports, stateDir, purpose: plan?.purpose ?? 'recover' });
  try {
    const recovery = await recoverUnfinished({ ports, stateDir });
    if (plan === null) return { recovery, result: null };
    const result = await applyPlan(plan, {
      ports,
      stateDir,
      baseDir,
      toolVersion: '0.0.0',
      signal: options.signal ?? new AbortController().signal,
      onProgress: options.onProgress ?? (() => {}),
    });
    return { recovery, result };
  } finally {
    await lock.release();
  }
}

/**
 * The folder as it must be again after an undo. Left out is what an undo does
 * not take back by intent: the journals (they are the history), what servers
 * appended to the log, and the pid of a server that had to be started again.
 */
export async function snapshotDeployment(baseDir: string): Promise<TreeSnapshot> {
  const left = new Set(['.mcp-deploy/journal', '.mcp-deploy/run/server.json', '.mcp-deploy/logs/server.log']);
  return snapshotTree(baseDir, { ignore: (path) => left.has(path) });
}

let issued = 0;

/** Bytes that differ each time, as real ones do, and cost nothing. */
export const fakeIssuer: Issuer = {
  privateCa: () => Promise.resolve(fakePair('ca')),
  certificate: () => Promise.resolve(fakePair('leaf')),
  acmeAccountKey: () => Promise.resolve('account key'),
  renewalWindow: () => Promise.resolve(null),
  acme: () => Promise.resolve({ ...fakePair('acme leaf'), leftBehind: [] }),
  apiKey({ storeText, label }) {
    issued += 1;
    return Promise.resolve({
      storeText: `${storeText ?? ''}${label} ${issued}\n`,
      key: `key ${process.pid} ${issued}`,
    });
  },
};

function fakePair(kind: string): { certificatePem: string; keyPem: string } {
  issued += 1;
  return { certificatePem: `${kind} ${process.pid} ${issued}\n`, keyPem: `${kind} key ${process.pid} ${issued}\n` };
}

/** An endpoint that serves at once. */
export const fakeEndpoint: Endpoint = {
  ready: () => Promise.resolve({ status: 200, body: '{"status":"ready","upstreams":[]}' }),
  freePort: () => Promise.resolve(1),
  portHolder: () => Promise.resolve({ taken: false, holder: null }),
  servedFingerprint: () => Promise.resolve({ problem: 'nobody listens' }),
  verify: () => Promise.resolve({ modern: true, legacy: true, tools: 3, called: { tool: 'echo', durationMs: 4 } }),
};
