import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openCliFolder, type CliFolder, type StartCli } from './cli-folder.ts';
import type { FakeKubernetes } from './fake-kubernetes.ts';

const bin = fileURLToPath(new URL('../../bin/mcp-deploy.js', import.meta.url));

/** A folder with a mcp-deploy.yaml, and the built command line that knows one cluster. */
export interface ClusterFolder extends Pick<CliFolder, 'path' | 'state' | 'want' | 'cli'> {
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
  const start: StartCli = (args, env = {}) =>
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
  const folderOf = openCliFolder(path, start);
  const { state } = folderOf;
  const journals = (): string => {
    const folder = join(state, 'journal');
    const names = readNames(folder).filter((name) => name.endsWith('.jsonl'));
    return names.map((name) => readFileSync(join(folder, name), 'utf8')).join('\n');
  };
  return {
    ...folderOf,
    async must(...args) {
      const { stdout, stderr } = await folderOf.must(...args);
      return `${stdout}${stderr}`;
    },
    killAt(step, ...args) {
      const isTime = (): boolean => {
        const begun = journals().split('\n').slice(-4).join('\n');
        return begun.includes(`"step":"${step}"`) && !/"(?:commit|rolled-back)","at"/.test(begun);
      };
      return folderOf.killWhen(isTime, step, 5, args);
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
