import type { ServerResponse } from 'node:http';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { deploymentSchema, type DeploymentInput } from '../../src/deployment/schema.ts';
import type { OwnFacts } from '../../src/doctor/run-doctor.ts';
import type { DoctorReport, MachineAccess } from '../../src/doctor/types.ts';
import { sha256Hex } from '../../src/plan/server-config.ts';
import { createLog } from '../../src/server/observe/log.ts';
import { createKeyIn } from '../../src/server/policy/key-store.ts';
import { startServer } from '../../src/server/running-server.ts';
import { startFixtureServer, type FixtureOptions } from '../fixtures/mcp-servers/fixture-server.ts';
import { runProgram } from '../helpers/run-program.ts';
import { afterwards, ca, diagnose, goodCertificate } from './laboratory.ts';

/** An own deployment: files of a state folder, and a server that was started with them. */
export interface OwnCase {
  /** A server in the place of the bundled one. */
  readonly server?: Partial<FixtureOptions>;
  readonly upstream?: readonly string[];
  /** Further ones, by name. */
  readonly upstreams?: Readonly<Record<string, readonly string[]>>;
  readonly keyAgeDays?: number;
  /** Changes files, or stops the server, once all is well. */
  readonly change?: (deployed: Deployed) => Promise<void>;
  readonly own?: Partial<OwnFacts>;
  readonly listen?: string;
  readonly logs?: DeploymentInput['logs'];
  readonly backup?: DeploymentInput['backup'];
  /** In place of what this machine has. */
  readonly machine?: (deployed: Deployed) => Partial<MachineAccess>;
  /** Deployed as a service of a host. */
  readonly system?: true;
  /** Deployed as a service of the person whose folder it is. */
  readonly personal?: true;
}

export interface Deployed {
  readonly folder: string;
  readonly url: string;
  /** The first API key. */
  readonly key: string;
  stop(): Promise<void>;
}

/** Deploys as `apply` does with a certificate of the laboratory, makes the change, and looks at it as the owner. */
export async function diagnoseOwn({
  server,
  upstream,
  upstreams,
  keyAgeDays = 1,
  change,
  own,
  listen,
  logs,
  backup,
  machine,
  system,
  personal,
}: OwnCase): Promise<DoctorReport> {
  const root = await mkdtemp(join(tmpdir(), 'mcpd-lab-own-'));
  afterwards(() => rm(root, { recursive: true, force: true }));
  const folder = system === true ? join(root, 'opt/mcp-deploy/lab') : root;
  const now = new Date(Date.now() - keyAgeDays * 86_400_000).toISOString();
  const { storeText, key } = createKeyIn(null, { label: 'default', now });
  const put = (name: string, text: string, mode: number): Promise<string> => putAt(join(folder, name), text, mode);
  const facts: OwnFacts = {
    stateDir: folder,
    caFile: await put('ca.crt', ca.certificatePem, 0o644),
    caKeyFile: await put('ca.key', ca.keyPem, 0o400),
    certificateFile: await put('server.crt', goodCertificate.certificatePem, 0o644),
    keyFile: await put('server.key', goodCertificate.keyPem, 0o600),
    keyStoreFile: await put('keys.json', storeText, 0o600),
    apiKeyFile: await put('default.key', `${key}\n`, 0o600),
    logFile: null,
    serverRunning: true,
    keysRequired: true,
  };
  const programs = Object.entries({ ...upstreams, ...(upstream === undefined ? {} : { only: upstream }) });
  const deployment = deploymentSchema.parse({
    version: 1,
    server: {
      listen: listen ?? '127.0.0.1:0',
      ...(programs.length === 0
        ? {}
        : {
            upstreams: Object.fromEntries(programs.map(([name, [command = '', ...args]]) => [name, { command, args }])),
          }),
    },
    tls: { source: 'files', certificate: facts.certificateFile, key: facts.keyFile },
    limits: { perKey: { requests: 60, windowSeconds: 600, burst: 30 } },
    logs: { ...logs, ...(logs?.audit === undefined ? {} : { audit: resolve(folder, logs.audit) }) },
    backup,
  });
  const config = { deployment, baseDir: folder, keyStoreFile: facts.keyStoreFile };
  await put(system === true ? 'current/server.json' : 'server.json', JSON.stringify(config), 0o600);
  const written = await put('site.conf', '# written by apply\n', 0o644);
  const isService = system === true || personal === true;
  const unitFile = join(root, personal === true ? 'home/.config/systemd/user' : 'etc/systemd/system', 'lab.service');
  if (isService) await putAt(unitFile, '# unit\n', 0o644);
  const release = {
    release: 1,
    appliedAt: now,
    toolVersion: '0.0.0',
    desired: deployment,
    files: {
      [written]: { sha256: sha256Hex('# written by apply\n'), mode: 0o644 },
      ...(isService ? { [unitFile]: { sha256: sha256Hex('# unit\n'), mode: 0o644 } } : {}),
    },
    directories: [],
  };
  await put('releases/1.json', JSON.stringify(release), 0o600);
  await put('mcp-deploy.yaml', 'version: 1\n', 0o644);
  const started =
    server === undefined
      ? await startBundled(config)
      : await startFixtureServer({
          certificate: goodCertificate,
          key,
          limit: { requests: 30, windowSeconds: 60 },
          ...server,
          intercept: (request, response, body) => {
            if (request.method === 'GET' && request.url === '/mcp') speakAtOnce(response);
            return server.intercept?.(request, response, body) ?? false;
          },
        });
  let stopped = false;
  const stop = async (): Promise<void> => {
    if (stopped) return;
    stopped = true;
    await started.close();
  };
  afterwards(stop);
  const deployed: Deployed = { folder, url: started.url, key, stop };
  await change?.(deployed);
  const access: MachineAccess = {
    deploymentFile: join(folder, 'mcp-deploy.yaml'),
    pid: process.pid,
    env: { HOME: join(folder, 'home') },
    run: runProgram,
    ...machine?.(deployed),
  };
  return diagnose(started.url, { key, own: { ...facts, machine: access, ...own } });
}

async function putAt(path: string, text: string, mode: number): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text, { mode });
  return path;
}

async function startBundled(config: Parameters<typeof startServer>[0]) {
  const running = await startServer(config, {
    version: '0.0.0',
    env: process.env,
    extraKeys: [],
    log: createLog({ level: 'error', write: () => {} }),
  });
  const url = `https://localhost:${new URL(running.urls[0] ?? '').port}/mcp`;
  return { url, close: () => running.stopNow() };
}

/** As our own server does: a comment line right behind the head of a stream. */
function speakAtOnce(response: ServerResponse): void {
  const writeHead = response.writeHead.bind(response);
  response.writeHead = (status: number, ...rest: never[]) => {
    setImmediate(() => {
      if (!response.writableEnded) response.write(': open\n\n');
    });
    return writeHead(status, ...rest);
  };
}
