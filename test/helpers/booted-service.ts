import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import type { DeploymentInput } from '../../src/deployment/schema.ts';
import { findTarget } from '../../src/targets/index.ts';
import type { RenderedFile, TargetCommands, TargetInput, TargetName } from '../../src/targets/types.ts';
import { bootDebian, type BootedDebian } from './booted-debian.ts';
import { buildServerBundle } from './server-bundle.ts';
import { targetInput } from './target-input.ts';

/** Says what it is told; writes where it is told, and says how that went. */
const upstream = `
  const { writeFileSync, readFileSync } = require('node:fs');
  const lines = require('node:readline').createInterface({ input: process.stdin });
  const send = (message) => process.stdout.write(JSON.stringify({ jsonrpc: '2.0', ...message }) + '\\n');
  const attempt = (run) => { try { return run(); } catch (error) { return error.code; } };
  const answer = ({ name, arguments: given }) =>
    name === 'write' ? attempt(() => { writeFileSync(given.path, 'x'); return 'written'; }) :
    name === 'read' ? attempt(() => readFileSync(given.path, 'utf8')) : given.message;
  lines.on('line', (line) => {
    const { id, method, params } = JSON.parse(line);
    if (method === 'initialize') send({ id, result: { protocolVersion: params.protocolVersion, capabilities: { tools: {} }, serverInfo: { name: 'box', version: '1' } } });
    else if (method === 'tools/call') send({ id, result: { content: [{ type: 'text', text: String(answer(params)) }] } });
    else if (id !== undefined) send({ id, result: { tools: ['echo', 'write', 'read'].map((name) => ({ name, inputSchema: { type: 'object' } })) } });
  });
`;

/** A booted Debian with the bundled server, its configuration and an upstream with the tools echo, write and read. */
export interface BootedService {
  readonly debian: BootedDebian;
  readonly input: TargetInput;
  /** Writes the files of a target where they belong and runs its install commands. */
  install(
    target: TargetName,
    input?: TargetInput,
  ): Promise<{ files: readonly RenderedFile[]; commands: TargetCommands }>;
  writeConfig(folder: string): void;
  /** One call of a tool; gives the status and the body. */
  call(tool: string, args: object, key?: string): Promise<{ status: number; body: string }>;
  /** Properties of a unit, as systemctl show has them. */
  show(unit: string, ...properties: readonly string[]): Promise<Readonly<Record<string, string>>>;
  stop(): Promise<void>;
}

export const bootedKey = 'booted-7c1e9a4b2d8f6e3051aa';
export const bootedPort = 8_443;

export async function bootService(deployment: DeploymentInput): Promise<BootedService> {
  const [debian, bundle] = await Promise.all([bootDebian(), buildServerBundle()]);
  const input = targetInput(deployment, {
    programVersion: '252.39',
    paths: { ...targetInput({ version: 1 }).paths, homeDir: '/home/ada' },
  });
  const { root } = debian;
  mkdirSync(`${root}/opt/mcp-deploy`, { recursive: true });
  cpSync(bundle, `${root}/opt/mcp-deploy/serve.js`);
  rmSync(dirname(bundle), { recursive: true, force: true });
  await bundleLoad(`${root}/opt/mcp-deploy/load.mjs`);

  function writeConfig(folder: string): void {
    mkdirSync(`${root}${folder}/.mcp-deploy`, { recursive: true });
    writeFileSync(`${root}${folder}/upstream.cjs`, upstream);
    const { logs } = input.deployment;
    // The audit file is that of the service; a person has none.
    const own = folder === input.paths.baseDir ? logs : { ...logs, audit: 'off' };
    const config = { baseDir: folder, keyStoreFile: null, deployment: { ...input.deployment, logs: own } };
    writeFileSync(`${root}${folder}/.mcp-deploy/server.json`, JSON.stringify(config));
  }
  writeConfig(input.paths.baseDir);

  return {
    debian,
    input,
    writeConfig,
    async install(target, given = input) {
      const found = findTarget(target);
      const files = found.files(given);
      const commands = found.commands(given);
      for (const file of files) {
        mkdirSync(dirname(root + file.installPath), { recursive: true });
        writeFileSync(root + file.installPath, file.content, { mode: file.mode });
      }
      for (const { argv } of commands.check) {
        const { status, stdout, stderr } = await debian.exec(argv);
        // systemd-analyze ends with 0 also where it complains; logrotate says everything there.
        const complaint = argv[0] === 'logrotate' ? /error/i.test(stderr) : stderr !== '';
        if (status !== 0 || complaint) throw new Error(`${argv.join(' ')} ended with ${status}:\n${stdout}${stderr}`);
      }
      for (const { argv } of commands.install) await debian.run(argv);
      return { files, commands };
    },
    async call(tool, args, key = bootedKey) {
      const message = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: tool, arguments: args, _meta } };
      const headers = {
        'x-api-key': key,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        'mcp-protocol-version': '2026-07-28',
        'mcp-method': 'tools/call',
        'mcp-name': tool,
      };
      const given = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
      const url = `http://127.0.0.1:${bootedPort}/mcp`;
      const { stdout } = await debian.exec(
        ['curl', '-sS', '-m', '30', '-w', '\n%{http_code}', ...given, '-d', '@-', url],
        {
          input: JSON.stringify(message),
        },
      );
      const at = stdout.lastIndexOf('\n');
      return { status: Number(stdout.slice(at + 1)), body: stdout.slice(0, at) };
    },
    async show(unit, ...properties) {
      const text = await debian.run(['systemctl', 'show', unit, '--property', properties.join(',')]);
      return Object.fromEntries(
        text
          .trim()
          .split('\n')
          .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
      );
    },
    stop: () => debian.stop(),
  };
}

const _meta = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientCapabilities': {},
  'io.modelcontextprotocol/clientInfo': { name: 'booted', version: '1' },
};

/** The load of test/helpers/call-load.ts as a program: runs until SIGTERM, then prints its counts. */
async function bundleLoad(outfile: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'mcp-load-'));
  try {
    const contents = `
      import { startLoad } from './call-load.ts';
      const [url, key, clients] = process.argv.slice(2);
      const load = startLoad({ url, key, clients: Number(clients), tool: 'echo' });
      setInterval(() => console.log(JSON.stringify({ calls: load.counts.calls })), 100).unref();
      process.on('SIGTERM', async () => {
        await load.stop();
        console.log(JSON.stringify({ ...load.counts, problems: load.problems.slice(0, 5) }));
        process.exit();
      });`;
    await build({
      stdin: { contents, resolveDir: fileURLToPath(new URL('.', import.meta.url)), loader: 'ts' },
      bundle: true,
      platform: 'node',
      format: 'esm',
      outfile: join(folder, 'load.mjs'),
      logLevel: 'error',
    });
    cpSync(join(folder, 'load.mjs'), outfile);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
