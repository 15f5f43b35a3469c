import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { documentOf, runBin } from '../helpers/cli.ts';

/** Fetching them takes a minute and a network: asked for by name, or in CI. The folder is kept for the next run. */
const wanted = process.env['MCP_DEPLOY_REAL_CLIENTS'] === '1' || process.env['REQUIRE_TOOLS'] === '1';
const cache = join(tmpdir(), 'mcp-deploy-real-clients');
const packages = ['@anthropic-ai/claude-code@2.1', '@openai/codex@0', '@google/gemini-cli@0', 'mcp-remote@0.1'];
const program = (name: string): string => join(cache, 'node_modules/.bin', name);

describe.skipIf(!wanted)('clients as their makers ship them', () => {
  let folder: string;
  let home: string;
  let project: string;
  let url: string;
  let env: NodeJS.ProcessEnv;

  beforeAll(async () => {
    await fetchClients();
    folder = mkdtempSync(join(tmpdir(), 'mcp-deploy-real-'));
    home = join(folder, 'home');
    project = join(folder, 'notes');
    mkdirSync(home);
    mkdirSync(project);
    env = { PATH: `${join(cache, 'node_modules/.bin')}:${process.env['PATH'] ?? ''}`, HOME: home, LANG: 'C.UTF-8' };
    // Nothing but our own endpoint is to be called.
    Object.assign(env, {
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
      DISABLE_AUTOUPDATER: '1',
      GEMINI_TELEMETRY_ENABLED: 'false',
    });
    const up = documentOf<{ url: string; caFile: string; keyFile: string }>(
      await runBin(['up', '--json'], { cwd: project, env: { HOME: home } }),
    );
    url = up.url;
    env['MCP_KEY'] = readFileSync(up.keyFile, 'utf8').trim();
    env['NODE_EXTRA_CA_CERTS'] = up.caFile;
  }, 300_000);

  afterAll(async () => {
    await runBin(['uninstall', '--yes'], { cwd: project });
    rmSync(folder, { recursive: true, force: true });
  });

  const add = async (client: string, ...flags: readonly string[]): Promise<void> => {
    documentOf(await runBin(['client', 'add', client, '--json', ...flags], { cwd: project, env: { HOME: home } }));
  };

  test('Claude Code reads our entry beside its own settings, and connects', async () => {
    writeFileSync(join(home, '.claude.json'), '{\n  "theme": "dark"\n}\n');
    await add('claude-code');
    expect(await outputOf('claude', ['mcp', 'list'])).toMatch(
      /notes: https:\/\/localhost:\d+\/mcp \(HTTP\) - .*Connected/,
    );
  }, 60_000);

  test('Codex reads our entry', async () => {
    await add('codex');
    const list = await outputOf('codex', ['mcp', 'list', '--json']);
    expect(JSON.parse(list.slice(list.indexOf('[')))).toMatchObject([
      { name: 'notes', enabled: true, transport: { type: 'streamable_http', url, bearer_token_env_var: 'MCP_KEY' } },
    ]);
  }, 60_000);

  test('Gemini CLI reads our entry', async () => {
    await add('gemini');
    expect(await outputOf('gemini', ['mcp', 'list'])).toContain(`notes: ${url} (http)`);
  }, 60_000);

  test('the entry of Claude Desktop starts a bridge that lists the tools, without the key among its arguments', async () => {
    const settings = join(folder, 'claude_desktop_config.json');
    await add('claude-desktop', '--settings', settings);
    const { mcpServers } = JSON.parse(readFileSync(settings, 'utf8')) as {
      mcpServers: Record<string, { command: string; args: string[]; env: Record<string, string> }>;
    };
    const entry = mcpServers['notes'];
    if (entry === undefined) throw new Error('no entry');
    expect(JSON.stringify(entry)).not.toContain(env['MCP_KEY']);
    // What a desktop gives its programs: neither the key nor the CA.
    const bare = { PATH: env['PATH'], HOME: home, npm_config_prefer_offline: 'true', ...entry.env };
    const bridge = spawn(entry.command, entry.args, { cwd: cache, env: bare, stdio: ['pipe', 'pipe', 'pipe'] });
    try {
      const answers = await speak(bridge);
      expect(answers).toContain('"echo"');
    } finally {
      bridge.kill();
    }
  }, 60_000);

  async function outputOf(name: string, args: readonly string[]): Promise<string> {
    const child = promisify(execFile)(program(name), [...args], { cwd: project, env, timeout: 50_000 });
    child.child.stdin?.end();
    const { stdout, stderr } = await child;
    return `${stderr}\n${stdout}`;
  }
});

/** A handshake and tools/list over standard input and output; resolves with what came back. */
function speak(bridge: ReturnType<typeof spawn>): Promise<string> {
  const send = (message: object): void =>
    void bridge.stdin?.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
  return new Promise((resolve, reject) => {
    let output = '';
    let words = '';
    let listed = false;
    bridge.stderr?.on('data', (chunk) => (words += String(chunk)));
    bridge.on('close', () => reject(new Error(`the bridge ended: ${words.slice(-2_000)}`)));
    bridge.stdout?.on('data', (chunk) => {
      output += String(chunk);
      if (!listed && /"id":1\b/.test(output)) {
        listed = true;
        send({ method: 'notifications/initialized' });
        send({ id: 2, method: 'tools/list' });
      }
      if (/"id":2\b/.test(output) && output.endsWith('\n')) resolve(output);
    });
    const clientInfo = { name: 'test', version: '1' };
    send({ id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo } });
  });
}

async function fetchClients(): Promise<void> {
  if (['claude', 'codex', 'gemini', 'mcp-remote'].every((name) => existsSync(program(name)))) return;
  mkdirSync(cache, { recursive: true });
  const args = ['install', '--prefix', cache, '--no-audit', '--no-fund', '--no-save', ...packages];
  await promisify(execFile)('npm', args, { cwd: cache, timeout: 280_000, maxBuffer: 16_777_216 });
}
