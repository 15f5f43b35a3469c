import type { ServerResponse } from 'node:http';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deploymentSchema } from '../../src/deployment/schema.ts';
import type { OwnFacts } from '../../src/doctor/run-doctor.ts';
import type { DoctorReport } from '../../src/doctor/types.ts';
import { createLog } from '../../src/server/observe/log.ts';
import { createKeyIn } from '../../src/server/policy/key-store.ts';
import { startServer } from '../../src/server/running-server.ts';
import { startFixtureServer, type FixtureOptions } from '../fixtures/mcp-servers/fixture-server.ts';
import { afterwards, ca, diagnose, goodCertificate } from './laboratory.ts';

/** An own deployment: files of a state folder, and a server that was started with them. */
export interface OwnCase {
  /** A server in the place of the bundled one. */
  readonly server?: Partial<FixtureOptions>;
  readonly upstream?: readonly string[];
  readonly keyAgeDays?: number;
  /** Changes files, or stops the server, once all is well. */
  readonly change?: (deployed: { readonly folder: string; stop(): Promise<void> }) => Promise<void>;
  readonly own?: Partial<OwnFacts>;
}

/** Deploys as `apply` does with a certificate of the laboratory, makes the change, and looks at it as the owner. */
export async function diagnoseOwn({ server, upstream, keyAgeDays = 1, change, own }: OwnCase): Promise<DoctorReport> {
  const folder = await mkdtemp(join(tmpdir(), 'mcpd-lab-own-'));
  afterwards(() => rm(folder, { recursive: true, force: true }));
  const now = new Date(Date.now() - keyAgeDays * 86_400_000).toISOString();
  const { storeText, key } = createKeyIn(null, { label: 'default', now });
  const put = async (name: string, text: string, mode: number): Promise<string> => {
    await writeFile(join(folder, name), text, { mode });
    return join(folder, name);
  };
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
  const [command, ...args] = upstream ?? [];
  const deployment = deploymentSchema.parse({
    version: 1,
    server: { listen: '127.0.0.1:0', ...(command === undefined ? {} : { upstreams: { only: { command, args } } }) },
    tls: { source: 'files', certificate: facts.certificateFile, key: facts.keyFile },
    limits: { perKey: { requests: 60, windowSeconds: 600, burst: 30 } },
  });
  const config = { deployment, baseDir: folder, keyStoreFile: facts.keyStoreFile };
  await put('server.json', JSON.stringify(config), 0o600);
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
  await change?.({ folder, stop });
  return diagnose(started.url, { key, own: { ...facts, ...own } });
}

async function startBundled(config: Parameters<typeof startServer>[0]) {
  const running = await startServer(config, {
    version: '0.0.0',
    env: process.env,
    extraKeys: [],
    log: createLog({ level: 'error', write: () => {} }),
  });
  const url = (running.urls[0] ?? '').replace('127.0.0.1', 'localhost');
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
