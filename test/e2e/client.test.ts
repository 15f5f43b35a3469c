import { createServer } from 'node:http';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
  existsSync,
} from 'node:fs';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { documentOf, runBin, type CliResult } from '../helpers/cli.ts';

interface CheckDocument {
  readonly ok: boolean;
  readonly remarks: readonly { what: string; state: string; text: string; fix?: string }[];
}

let folder: string;
let home: string;
let project: string;
let url: string;
let caFile: string;
let key: string;

/** Nothing of the tester's own settings or authorities. */
function run(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<CliResult> {
  const clean = { NODE_EXTRA_CA_CERTS: '', SSL_CERT_FILE: '', CODEX_CA_CERTIFICATE: '', SUDO_USER: undefined };
  const places = {
    XDG_CONFIG_HOME: '',
    CODEX_HOME: '',
    CLAUDE_CONFIG_DIR: '',
    GEMINI_CLI_HOME: '',
    MCP_KEY: undefined,
  };
  return runBin(args, { cwd: project, env: { ...clean, ...places, HOME: home, ...env } });
}

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'mcp-deploy-clients-')));
  home = join(folder, 'home');
  project = join(folder, 'notes');
  mkdirSync(home);
  mkdirSync(project);
  const up = documentOf<{ url: string; caFile: string; keyFile: string }>(await run(['up', '--json']));
  ({ url, caFile } = up);
  key = readFileSync(up.keyFile, 'utf8').trim();
}, 60_000);

afterAll(async () => {
  await run(['uninstall', '--yes']);
  await rm(folder, { recursive: true, force: true });
});

describe('client add and remove', () => {
  test('a file behind a link keeps its remarks, mode, link, mark and line ends, and comes back byte for byte', async () => {
    mkdirSync(join(home, '.cursor'));
    mkdirSync(join(home, 'dotfiles'));
    const real = join(home, 'dotfiles', 'cursor.json');
    const path = join(home, '.cursor', 'mcp.json');
    const before =
      '\uFEFF{\r\n\t// mine\r\n\t"mcpServers": {\r\n\t\t"other": { "command": "x" }, // why\r\n\t},\r\n}\r\n';
    writeFileSync(real, before);
    chmodSync(real, 0o640);
    symlinkSync('../dotfiles/cursor.json', path);

    const added = documentOf(await run(['client', 'add', 'cursor', '--json']));
    expect(added).toMatchObject({ outcome: 'added', changed: true, file: path, name: 'notes', url });
    const after = readFileSync(path, 'utf8');
    expect(after).toContain('\t\t"notes": {\r\n\t\t\t"url"');
    expect(after).not.toContain(key);
    expect(lstatSync(path).isSymbolicLink()).toBe(true);
    expect(statSync(path).mode & 0o777).toBe(0o640);
    const backup = `${path}.mcp-deploy-backup`;
    expect(readFileSync(backup, 'utf8')).toBe(before);
    expect(statSync(backup).mode & 0o777).toBe(0o600);

    expect(documentOf(await run(['client', 'add', 'cursor', '--json']))).toMatchObject({
      outcome: 'same',
      changed: false,
    });
    expect(readFileSync(path, 'utf8')).toBe(after);

    expect(documentOf(await run(['client', 'remove', 'cursor', '--json']))).toMatchObject({ changed: true });
    expect(readFileSync(path, 'utf8')).toBe(before);
    expect(lstatSync(path).isSymbolicLink()).toBe(true);
    expect(existsSync(backup)).toBe(false);
    expect(documentOf(await run(['client', 'remove', 'cursor', '--json']))).toMatchObject({ changed: false });
  });

  test('a server of that name that leads elsewhere is shown and left alone without --force', async () => {
    const path = join(home, 'elsewhere.json');
    const before = '{ "mcpServers": { "notes": { "url": "https://other.example/mcp" } } }\n';
    writeFileSync(path, before);
    const refused = await run(['client', 'add', 'cursor', '--settings', path]);
    expect(refused.exitCode).toBe(3);
    expect(refused.stderr).toContain('leads to https://other.example/mcp');
    expect(refused.stderr).toContain(`+ `);
    expect(readFileSync(path, 'utf8')).toBe(before);
    expect((await run(['client', 'remove', 'cursor', '--settings', path])).exitCode).toBe(3);
    expect(documentOf(await run(['client', 'add', 'cursor', '--settings', path, '--force', '--json']))).toMatchObject({
      outcome: 'replaced',
    });
    expect(readFileSync(path, 'utf8')).not.toContain('other.example');
  });

  test('a broken file is refused with its place, and nothing is written', async () => {
    const path = join(home, '.codex', 'config.toml');
    mkdirSync(join(home, '.codex'));
    writeFileSync(path, 'model = "x"\nbroken = \n');
    const refused = await run(['client', 'add', 'codex']);
    expect(refused.exitCode).toBe(2);
    expect(refused.stderr).toMatch(/\.codex\/config\.toml:[23]:\d+ cannot be read/);
    expect(readFileSync(path, 'utf8')).toBe('model = "x"\nbroken = \n');
    expect(existsSync(`${path}.mcp-deploy-backup`)).toBe(false);
    writeFileSync(path, Buffer.from([0xff, 0xfe, 0x41, 0x00]));
    expect((await run(['client', 'add', 'codex'])).stderr).toContain('not UTF-8');
    await rm(path);
  });

  test('--dry-run and --print change nothing', async () => {
    const dry = await run(['client', 'add', 'windsurf', '--dry-run']);
    expect(dry.stdout).toContain('+     "notes": {');
    const printed = await run(['client', 'add', 'windsurf', '--print']);
    expect(JSON.parse(printed.stdout)).toMatchObject({ mcpServers: { notes: { serverUrl: url } } });
    expect(existsSync(join(home, '.codeium'))).toBe(false);
  });

  test('what a client cannot do is said: no project settings, another system, root through sudo, another name', async () => {
    expect((await run(['client', 'add', 'windsurf', '--project'])).stderr).toContain('no settings of a project');
    if (process.platform === 'linux') {
      expect((await run(['client', 'add', 'claude-desktop'])).stderr).toContain('does not run on this system');
    }
    if (process.getuid?.() === 0) {
      expect((await run(['client', 'add', 'cursor'], { SUDO_USER: 'me' })).stderr).toContain('without sudo');
    }
    expect((await run(['client', 'add', 'cursur'])).stderr).toContain('Did you mean cursor?');
  });
});

describe('client check', () => {
  const check = async (args: readonly string[], env: NodeJS.ProcessEnv, exitCode: number): Promise<CheckDocument> =>
    documentOf<CheckDocument>(await run(['client', 'check', ...args, '--json'], env), exitCode);
  const wrong = (document: CheckDocument): string[] =>
    document.remarks.filter(({ state }) => state === 'wrong').map(({ what, text }) => `${what}: ${text}`);

  test('what is missing is named one by one until the client works', async () => {
    expect(wrong(await check(['gemini'], {}, 1))).toEqual([
      expect.stringMatching(/^entry: no entry for https:\/\/.* in ~\/\.gemini\/settings\.json$/),
    ]);
    await run(['client', 'add', 'gemini']);
    const bare = await check(['gemini'], {}, 1);
    expect(wrong(bare)).toEqual([
      expect.stringContaining('key: MCP_KEY is not set'),
      expect.stringContaining('trust: the certificate is not trusted'),
    ]);
    expect(bare.remarks.flatMap(({ fix }) => fix ?? []).join('\n')).toContain(`export NODE_EXTRA_CA_CERTS=${caFile}`);
    expect(wrong(await check(['gemini'], { NODE_EXTRA_CA_CERTS: caFile, MCP_KEY: 'wrong' }, 1))).toEqual([
      'key: refused by the endpoint (401)',
    ]);
    expect(wrong(await check(['gemini'], { NODE_EXTRA_CA_CERTS: '/not/there.pem', MCP_KEY: key }, 1))).toEqual([
      'trust: NODE_EXTRA_CA_CERTS names /not/there.pem, which is not there',
      expect.stringContaining('trust: the certificate is not trusted'),
    ]);
    const right = await check(['gemini'], { NODE_EXTRA_CA_CERTS: caFile, MCP_KEY: key }, 0);
    expect(right.ok).toBe(true);
    expect(right.remarks.at(-1)?.text).toMatch(/^as a legacy client, 2025-/);
    await run(['client', 'remove', 'gemini']);
  });

  test('each client is tried in its own era and with its own variable', async () => {
    await run(['client', 'add', 'claude-code']);
    await run(['client', 'add', 'codex']);
    const modern = await check(['claude-code'], { NODE_EXTRA_CA_CERTS: caFile, MCP_KEY: key }, 0);
    expect(modern.remarks.at(-1)?.text).toContain('2026-07-28');
    expect(wrong(await check(['codex'], { NODE_EXTRA_CA_CERTS: caFile, MCP_KEY: key }, 1))).toEqual([
      expect.stringContaining('not trusted'),
    ]);
    await check(['codex'], { CODEX_CA_CERTIFICATE: caFile, MCP_KEY: key }, 0);
  });

  test('an entry that leads elsewhere, and an endpoint that is not MCP, are told apart', async () => {
    const path = join(home, 'mcp.json');
    writeFileSync(path, '{"mcpServers":{"notes":{"url":"http://127.0.0.1:9/mcp"}}}');
    expect(wrong(await check(['cursor', '--settings', path], {}, 1))).toEqual([
      expect.stringContaining('leads to http://127.0.0.1:9/mcp, not to'),
    ]);
    const refused = ['cursor', '--settings', path, '--url', 'http://127.0.0.1:9/mcp'];
    expect(wrong(await check(refused, {}, 1))).toEqual(['connect: nothing listens on 127.0.0.1:9']);
    const page = createServer((_, answer) => answer.writeHead(503).end('<html>'));
    await new Promise<void>((done) => page.listen(0, '127.0.0.1', done));
    const address = page.address();
    const other = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/mcp`;
    writeFileSync(path, JSON.stringify({ mcpServers: { x: { url: other } } }));
    expect(wrong(await check(['cursor', '--settings', path, '--url', other], {}, 1))).toEqual([
      expect.stringContaining('answered 503'),
    ]);
    page.close();
  });
});

test('client list shows who has the endpoint, and a file that cannot be read is one line of it', async () => {
  mkdirSync(join(home, '.config/zed'), { recursive: true });
  writeFileSync(join(home, '.config/zed/settings.json'), '{ "a": 1 "b" }');
  const list = documentOf<{ clients: { id: string; entries: { name: string }[]; problems: string[] }[] }>(
    await run(['client', 'list', '--json']),
  );
  const of = (id: string) => list.clients.find((client) => client.id === id);
  expect(of('claude-code')?.entries).toMatchObject([{ name: 'notes', scope: 'user' }]);
  expect(of('cursor')?.entries).toEqual([]);
  expect(of('zed')?.problems).toEqual([expect.stringMatching(/settings\.json:1:\d+ cannot be read/)]);
});

test('the handover page holds the URL, the CA and every client, and no key', async () => {
  const page = (await run(['client', 'handover'])).stdout;
  expect(page).toContain(url);
  expect(page).toContain(readFileSync(caFile, 'utf8').trim());
  for (const title of [
    'Claude Code',
    'Claude Desktop',
    'Cursor',
    'VS Code',
    'Codex CLI',
    'Gemini CLI',
    'Windsurf',
    'Zed',
  ]) {
    expect(page).toContain(`### ${title}`);
  }
  expect(page).not.toContain(key);
  expect(page).not.toContain(project);
});

test('server.json is for public endpoints, in the form of the registry', async () => {
  expect((await run(['client', 'print', 'server.json'])).stderr).toContain('cannot stand in the registry');
  const printed = await run([
    'client',
    'print',
    'server.json',
    '--url',
    'https://mcp.example.com/mcp',
    '--name',
    'notes',
  ]);
  expect(JSON.parse(printed.stdout)).toMatchObject({
    name: 'com.example.mcp/notes',
    remotes: [{ type: 'streamable-http', url: 'https://mcp.example.com/mcp' }],
  });
});

test('uninstall names the entries that are left, and takes them out when asked', async () => {
  await run(['client', 'add', 'cursor', '--project']);
  expect(existsSync(join(project, '.cursor/mcp.json'))).toBe(true);
  const gone = documentOf<{ clients: { client: string; removed: boolean }[] }>(
    await run(['uninstall', '--yes', '--clients', '--json']),
  );
  expect(gone.clients.map(({ client, removed }) => `${client} ${removed}`)).toEqual([
    'claude-code true',
    'cursor true',
    'codex true',
  ]);
  expect(existsSync(join(project, '.cursor/mcp.json'))).toBe(false);
  expect(existsSync(join(home, '.claude.json'))).toBe(false);
});
