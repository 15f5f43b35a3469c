import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Ended } from './container-cli.ts';
import type { FakeKubernetes } from './fake-kubernetes.ts';

const bin = fileURLToPath(new URL('../../bin/mcp-deploy.js', import.meta.url));

/** A folder with a mcp-deploy.yaml, and the built command line that knows one cluster. */
export interface ClusterFolder {
  readonly path: string;
  readonly state: string;
  want(text: string): void;
  cli(args: readonly string[], env?: NodeJS.ProcessEnv): Promise<Ended>;
  /** The same; throws unless it ends with 0. Gives both its outputs. */
  must(...args: readonly string[]): Promise<string>;
  /** Starts it, and kills it when this step is in its journal. */
  killAt(step: string, ...args: readonly string[]): Promise<void>;
  /** Texts of the journals, newest last in each. */
  journals(): string;
  remove(): void;
}

export function openClusterFolder(
  fake: Pick<FakeKubernetes, 'url'>,
  kubectl: string | null,
  variables: NodeJS.ProcessEnv = {},
): ClusterFolder {
  const root = mkdtempSync(join(tmpdir(), 'mcp-cluster-'));
  const path = join(root, 'app');
  const programs = join(root, 'bin');
  for (const folder of [path, programs]) mkdirSync(folder);
  if (kubectl !== null) symlinkSync(kubectl, join(programs, 'kubectl'));
  const config = join(root, 'kubeconfig');
  writeFileSync(
    config,
    `apiVersion: v1
kind: Config
clusters: [{ name: fake, cluster: { server: "${fake.url}" } }]
users: [{ name: test, user: {} }]
contexts: [{ name: fake, context: { cluster: fake, user: test } }]
current-context: fake
`,
  );
  const state = join(path, '.mcp-deploy');
  const start = (args: readonly string[], env: NodeJS.ProcessEnv = {}) =>
    spawn(process.execPath, [bin, ...args], {
      cwd: path,
      env: {
        ...process.env,
        // kubectl keeps what it discovers there.
        HOME: root,
        KUBECONFIG: config,
        PATH: kubectl === null ? programs : [programs, process.env['PATH']].join(delimiter),
        NO_COLOR: '1',
        CI: '1',
        ...variables,
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  const cli: ClusterFolder['cli'] = (args, env) =>
    new Promise((resolve) => {
      const child = start(args, env);
      let [stdout, stderr] = ['', ''];
      child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
      child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
      child.once('close', (status) => resolve({ status, stdout, stderr }));
    });
  const journals = (): string => {
    const folder = join(state, 'journal');
    const names = readNames(folder).filter((name) => name.endsWith('.jsonl'));
    return names.map((name) => readFileSync(join(folder, name), 'utf8')).join('\n');
  };
  return {
    path,
    state,
    want: (text) => writeFileSync(join(path, 'mcp-deploy.yaml'), text),
    cli,
    async must(...args) {
      const { status, stdout, stderr } = await cli(args);
      if (status !== 0) throw new Error(`mcp-deploy ${args.join(' ')} ended with ${status}:\n${stdout}${stderr}`);
      return `${stdout}${stderr}`;
    },
    async killAt(step, ...args) {
      const before = journals().split(`"begin"`).length;
      const child = start(args);
      const gone = new Promise<void>((resolve) => child.once('close', () => resolve()));
      const timer = setInterval(() => {
        const begun = journals().split('\n').slice(-4).join('\n');
        if (before >= 0 && begun.includes(`"step":"${step}"`) && !/"(?:commit|rolled-back)","at"/.test(begun))
          child.kill('SIGKILL');
      }, 5);
      await gone;
      clearInterval(timer);
      if (child.signalCode !== 'SIGKILL') throw new Error(`it ended before ${step}`);
    },
    journals,
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
}

function readNames(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
