import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { deploymentSchema, type DeploymentInput } from '../../src/deployment/schema.ts';
import { issueCertificate } from '../../src/pki/issue-certificate.ts';
import { issuePrivateCa } from '../../src/pki/issue-private-ca.ts';
import { createKeyIn } from '../../src/server/policy/key-store.ts';
import { callHttp } from './http-call.ts';
import { buildServerBundle } from './server-bundle.ts';
import { waitUntil } from './wait-until.ts';

/** A folder with a built server, its authority, its certificate and one key, from which servers are started. */
export interface ServerHouse {
  readonly folder: string;
  readonly caPem: string;
  readonly key: string;
  readonly paths: { readonly caFile: string; readonly certificateFile: string; readonly keyFile: string };
  /** Starts a server and waits until it is ready. */
  start(deployment: DeploymentInput, port: number, env?: NodeJS.ProcessEnv): Promise<ChildProcess>;
  remove(): void;
}

const houseNames: readonly string[] = ['localhost', '127.0.0.1', '::1'];

export async function openServerHouse(): Promise<ServerHouse> {
  const folder = mkdtempSync(join(tmpdir(), 'mcp-house-'));
  const state = join(folder, '.mcp-deploy');
  const serverFile = await buildServerBundle(folder);
  for (const name of ['pki', 'keys']) mkdirSync(join(state, name), { recursive: true });
  const ca = await issuePrivateCa({ commonName: 'test CA', names: houseNames });
  const leaf = await issueCertificate({ ca, names: houseNames, validDays: 30 });
  const paths = {
    caFile: join(state, 'pki/ca.crt'),
    certificateFile: join(state, 'pki/server.crt'),
    keyFile: join(state, 'pki/server.key'),
  };
  writeFileSync(paths.caFile, ca.certificatePem);
  writeFileSync(paths.certificateFile, leaf.certificatePem);
  writeFileSync(paths.keyFile, leaf.keyPem, { mode: 0o600 });
  const made = createKeyIn(null, { label: 'default', now: new Date().toISOString() });
  writeFileSync(join(state, 'keys/keys.json'), made.storeText, { mode: 0o600 });

  return {
    folder,
    caPem: ca.certificatePem,
    key: made.key,
    paths,
    remove: () => rmSync(folder, { recursive: true, force: true }),
    async start(deployment, port, env = {}) {
      const config = join(folder, `deployment-${port}.yaml`);
      writeFileSync(config, stringify(deploymentSchema.parse(deployment)));
      const child = spawn(process.execPath, [serverFile, '--config', config], {
        cwd: folder,
        stdio: ['ignore', 'pipe', 'pipe'],
        // What the configuration says is not changed by the developer's own environment.
        env: { PATH: process.env['PATH'] ?? '', ...env },
      });
      let output = '';
      child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
      child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
      await waitUntil(
        async () => {
          if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}:\n${output}`);
          return callHttp({ url: `https://localhost:${port}/readyz`, ca: ca.certificatePem }).then(
            ({ status }) => status === 200,
            () => false,
          );
        },
        30_000,
        'the server to be ready',
      );
      return child;
    },
  };
}

/** Ends a server and waits until it is gone; kills it when it takes its time. */
export async function endServer(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  const timer = setTimeout(() => child.kill('SIGKILL'), 5_000);
  await gone;
  clearTimeout(timer);
}
