import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  closeSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { environmentTable } from '../../src/server/environment.ts';
import { binFile, repository } from './cli.ts';
import { callHttp, openStream, type HttpAnswer, type HttpCall } from './http-call.ts';
import { freePorts } from './proxy-rig.ts';
import { waitUntil } from './wait-until.ts';

/** A copy of one of the examples, whose README is followed command by command. */
export interface Example {
  readonly folder: string;
  readonly ports: Readonly<Record<string, number>>;
  /** Runs the sh blocks below the next heading of the README, which must be this one; gives back what they printed. */
  follow(heading: string): string;
  /** The same shell for what only the test does. */
  sh(script: string): string;
  read(file: string): string;
  /** Certificate of the authority that signed the endpoint's. */
  caPem(): string;
  /** A request to https://localhost:PORT, whose certificate `ca` signed. */
  call(call: Omit<HttpCall, 'ca'>): Promise<HttpAnswer>;
  /** The processes that were started in the folder and run still, by pid. */
  running(): readonly number[];
  /** Headings of the README that have commands and were not followed yet. */
  left(): readonly string[];
  close(): void;
}

export interface ExampleChange {
  /** CA that signed the certificate of the endpoint, below the folder. */
  readonly ca?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Texts of mcp-deploy.yaml that cannot be variables: a port within a tool, or a time too long for a test. */
  readonly replace?: Readonly<Record<string, string>>;
}

/**
 * @param portNames variables of the example's mcp-deploy.yaml for ports, each of which gets a free one
 */
export async function openExample(
  name: string,
  portNames: readonly string[],
  { ca = '.mcp-deploy/pki/ca.crt', env = {}, replace = {} }: ExampleChange = {},
): Promise<Example> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), `mcp-example-`)));
  // The workers of a proxy run as another user.
  chmodSync(folder, 0o755);
  cpSync(join(repository, 'examples', name), folder, { recursive: true });
  symlinkSync(join(repository, 'node_modules'), join(folder, 'node_modules'));
  const settings = join(folder, 'mcp-deploy.yaml');
  for (const [from, to] of Object.entries(replace)) {
    const text = readFileSync(settings, 'utf8');
    if (!text.includes(from)) throw new Error(`${name}/mcp-deploy.yaml has no "${from}"`);
    writeFileSync(settings, text.replace(from, to));
  }
  const bin = join(folder, '.bin');
  mkdirSync(bin);
  writeFileSync(join(bin, 'mcp-deploy'), `#!/bin/sh\nexec '${process.execPath}' '${binFile}' "$@"\n`, { mode: 0o755 });
  const numbers = await freePorts(portNames.length);
  const ports = Object.fromEntries(portNames.map((portName, at) => [portName, numbers[at] ?? 0]));
  const shellEnv = {
    PATH: `${bin}:${join(process.execPath, '..')}:${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`,
    HOME: folder,
    LANG: 'C.UTF-8',
    ...Object.fromEntries(Object.entries(ports).map(([portName, port]) => [portName, String(port)])),
    ...env,
  };
  let scripts = 0;
  const sections = readSections(readFileSync(join(folder, 'README.md'), 'utf8'));

  const sh = (script: string): string => {
    // A file and no pipe: what goes on in the background would hold the pipe open. Nor would it stop writing there.
    const outFile = join(folder, `.out-${++scripts}`);
    const out = openSync(outFile, 'w');
    const { status, signal } = spawnSync('bash', ['-euo', 'pipefail', '-c', script], {
      cwd: folder,
      env: shellEnv,
      stdio: ['ignore', out, out],
      timeout: 120_000,
    });
    closeSync(out);
    const text = readFileSync(outFile, 'utf8');
    if (status !== 0) throw new Error(`exit ${status ?? signal}: ${script}\n${text}`);
    return text;
  };

  const running = (): readonly number[] =>
    readdirSync('/proc')
      .filter((entry) => /^\d+$/.test(entry) && startedIn(Number(entry), folder))
      .map(Number);

  return {
    folder,
    ports,
    sh,
    running,
    follow(heading) {
      const next = sections.shift();
      if (next?.heading !== heading) throw new Error(`the README goes on with "${next?.heading}", not "${heading}"`);
      return sh(next.script);
    },
    read: (file) => readFileSync(join(folder, file), 'utf8'),
    caPem: () => readFileSync(join(folder, ca), 'utf8'),
    call: (call) => callHttp({ ...call, ca: readFileSync(join(folder, ca), 'utf8') }),
    left: () => sections.map(({ heading }) => heading),
    close() {
      for (const pid of running()) endProcess(pid);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Every heading with the commands of its sh blocks; headings without commands are left out. */
function readSections(readme: string): { heading: string; script: string }[] {
  return readme
    .split(/^## /m)
    .slice(1)
    .map((text) => ({
      heading: text.slice(0, text.indexOf('\n')),
      script: [...text.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, commands = '']) => commands).join('\n'),
    }))
    .filter(({ script }) => script !== '');
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // The one before was its parent, and took it along.
  }
}

/** Whether a process has its working folder there, or names it on its command line. */
function startedIn(pid: number, folder: string): boolean {
  if (pid === process.pid) return false;
  try {
    return (
      readlinkSync(`/proc/${pid}/cwd`).startsWith(folder) ||
      readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(folder)
    );
  } catch {
    // gone meanwhile
    return false;
  }
}

/** A JSON-RPC request, ready to be sent. */
export function rpc(method: string, params: unknown = {}) {
  return {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
  } as const;
}

/** Variables of the example's env.sample that `serve` does not know. */
export function readEnvSample(example: Example): readonly string[] {
  const known = new Set(environmentTable.map(({ name }) => name));
  const names = [...example.read('env.sample').matchAll(/^([A-Z_]+)=/gm)].map(([, name = '']) => name);
  if (names.length === 0) throw new Error('the sample has no variables');
  return names.filter((name) => !known.has(name));
}

/** Opens an event stream and waits for its first event, after which nothing else has to come. */
export async function expectStream(
  example: Example,
  url: string,
  headers: Readonly<Record<string, string>>,
  first: string,
): Promise<void> {
  const stream = await openStream({
    url,
    ca: example.caPem(),
    headers: { accept: 'text/event-stream', ...headers },
  });
  try {
    if (stream.status !== 200) throw new Error(`${url} answers ${stream.status}`);
    const type = stream.headers['content-type'] ?? '';
    if (!type.startsWith('text/event-stream')) throw new Error(`${url} is ${type}, no event stream`);
    await waitUntil(() => stream.received().includes(first), 20_000, `${first} at ${url}`);
  } finally {
    stream.close();
  }
}
