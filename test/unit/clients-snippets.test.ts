import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { UserError } from '../../src/deployment/errors.ts';
import { clients, clientSnippet, describeClient } from '../../src/clients/index.ts';
import type { SnippetOptions } from '../../src/clients/types.ts';
import { findProgram, runTool, testWithTools } from '../helpers/tools.ts';

const folder = mkdtempSync(join(tmpdir(), 'mcpd-clients-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const secret = 'mcpd_not-a-real-key';
const keyFile = join(folder, "it's the key");
writeFileSync(keyFile, `${secret}\n`);

const plain: SnippetOptions = {
  name: 'mcp',
  url: 'https://localhost:8443/mcp',
  keyFile,
  caFile: '/srv/mcp/.mcp-deploy/pki/ca.crt',
  keyVariable: 'MCP_KEY',
};
const open: SnippetOptions = { ...plain, url: 'https://mcp.example.com/mcp', keyFile: null, caFile: null };

const hostileNames = [
  'a b',
  'a"b',
  "a'b",
  'a\\b',
  'a\nb',
  'a\r\nb = 1\n[x]',
  'a]b',
  'a.b',
  'a;id',
  '$(id)',
  '`id`',
  '${MCP_KEY}',
  '%s',
  'a#b',
  'a"]\nurl = "https://evil.example"\n[b."c',
  '*',
  '!!',
  '__proto__',
  'constructor',
  '\u001b[31m',
  '\u007f\u0085\u2028\u2029',
  '日本語 🚀',
];
const hostileUrls = [
  'https://localhost:8443/mcp?a=1&b=2',
  "https://localhost:8443/mcp'; id; '",
  'https://localhost:8443/mcp"x"',
  'https://localhost:8443/$(id)/${MCP_KEY}/$HOME/`id`',
  'https://localhost:8443/a\\b#c',
  'https://[::1]:8443/mcp',
];

describe.each(clients.map((client) => [client.id] as const))('%s', (id) => {
  test.each<[string, SnippetOptions]>([
    ['with key and CA', plain],
    ['open and public', open],
    ['with a key alone', { ...plain, caFile: null }],
    ['with a CA alone', { ...plain, keyFile: null }],
    ...hostileNames.map((name): [string, SnippetOptions] => [`called ${JSON.stringify(name)}`, { ...plain, name }]),
    ...hostileUrls.map((url): [string, SnippetOptions] => [`at ${JSON.stringify(url)}`, { ...plain, url }]),
  ])('an endpoint %s gives text that parses into just this entry', (_, options) => {
    const snippet = clientSnippet(id, options);
    expect(snippet).toMatchObject({ client: id, title: describeClient(id).title });
    expect(snippet.text.endsWith('\n')).toBe(true);
    expect(entryOf(snippet, options.name)).toEqual(expectedEntry(id, options));
  });

  test('neither text nor notes hold the key, and both name where it comes from', () => {
    const { text, notes } = clientSnippet(id, plain);
    const all = [text, ...notes].join('\n');
    expect(all).not.toContain(secret);
    expect(all).toMatch(/MCP_KEY|it's the key|it'\\''s the key/);
  });

  test('without a key nothing is said about keys, without a CA nothing about certificates', () => {
    const { text, notes } = clientSnippet(id, open);
    expect([text, ...notes].join('\n')).not.toMatch(/key|Bearer|Authorization|AUTH_HEADER|CERT|certificate/i);
  });

  test('with a private CA it is said how this client comes to trust it', () => {
    const { text, notes } = clientSnippet(id, plain);
    expect([text, ...notes].join('\n')).toContain(plain.caFile);
    expect([text, ...notes].join('\n')).toMatch(trustOf[id] ?? /never/);
  });

  test('it is said where the text goes, on each system the client runs on', () => {
    const { file, format } = clientSnippet(id, plain);
    expect(file === null).toBe(format === 'shell');
    const { files } = describeClient(id);
    expect([files.linux, files.macos, files.windows].filter((path) => path !== null).length).toBeGreaterThan(1);
  });
});

/** How each client comes to trust a private CA. */
const trustOf: Record<string, RegExp> = {
  'claude-code': /export NODE_EXTRA_CA_CERTS=/,
  'claude-desktop': /"NODE_EXTRA_CA_CERTS": "\/srv/,
  cursor: /operating system trusts/,
  vscode: /operating system trusts/,
  codex: /CODEX_CA_CERTIFICATE/,
  gemini: /reads NODE_EXTRA_CA_CERTS once/,
  windsurf: /operating system trusts/,
  zed: /"NODE_EXTRA_CA_CERTS": "\/srv/,
};

test.each(['', '-x', '--header', 'a\0b', 'a\ud800'])('%j is refused as a name', (name) => {
  expect(() => clientSnippet('cursor', { ...plain, name })).toThrow(UserError);
});

test.each(['', 'localhost', 'file:///etc/passwd', 'javascript:alert(1)', 'https://', '--url'])(
  '%j is refused as a URL',
  (url) => {
    expect(() => clientSnippet('cursor', { ...plain, url })).toThrow(UserError);
  },
);

test.each(['', 'A B', '1A', 'A;id', 'A}'])('%j is refused as a variable', (keyVariable) => {
  expect(() => clientSnippet('cursor', { ...plain, keyVariable })).toThrow(UserError);
});

test('an unknown client is refused with the list of the known ones', () => {
  expect(() => clientSnippet('emacs', plain)).toThrow(/"emacs" is not a client/);
  try {
    clientSnippet('constructor', plain);
    expect.unreachable();
  } catch (error) {
    expect((error as UserError).why).toContain(
      'claude-code, claude-desktop, cursor, vscode, codex, gemini, windsurf, zed',
    );
  }
});

test('the command for Claude Code reads as people write it', () => {
  const options = { ...plain, keyFile: '.mcp-deploy/keys/default.key', caFile: '.mcp-deploy/pki/ca.crt' };
  expect(clientSnippet('claude-code', options).text).toBe(`export NODE_EXTRA_CA_CERTS="$PWD"/.mcp-deploy/pki/ca.crt
MCP_KEY="$(cat .mcp-deploy/keys/default.key)"
export MCP_KEY
claude mcp add --transport http mcp https://localhost:8443/mcp --header 'Authorization: Bearer \${MCP_KEY}'
`);
});

test('the bridge is told that plain HTTP is meant', () => {
  const { text } = clientSnippet('claude-desktop', { ...plain, url: 'http://mcp.internal/mcp' });
  expect(text).toContain('--allow-http');
  expect(clientSnippet('claude-desktop', plain).text).not.toContain('--allow-http');
});

describe('shell snippets', () => {
  const rows = [
    plain,
    ...hostileNames.map((name) => ({ ...plain, name })),
    ...hostileUrls.map((url) => ({ ...plain, url })),
  ];

  testWithTools(['bash', 'shellcheck'], 'are accepted by bash -n and shellcheck', () => {
    rows.forEach((options, index) => {
      const script = join(folder, `snippet-${index}.sh`);
      writeFileSync(script, clientSnippet('claude-code', options).text);
      runTool('bash', ['-n', script]);
      // SC2016: the reference stays unexpanded on purpose
      runTool('shellcheck', ['--shell=sh', '--exclude=SC2016', script]);
    });
  });

  testWithTools(
    ['sh'],
    'call claude with the header last, the reference unexpanded, and key and CA in the environment',
    () => {
      const bin = fakeProgram('claude');
      for (const options of rows) {
        const { args, environment } = runFake(bin, ['-c', clientSnippet('claude-code', options).text]);
        const url = options.url.replaceAll('$', '%24');
        expect(args).toEqual([
          'mcp',
          'add',
          '--transport',
          'http',
          options.name,
          url,
          '--header',
          'Authorization: Bearer ${MCP_KEY}',
        ]);
        expect(environment).toMatchObject({ MCP_KEY: secret, NODE_EXTRA_CA_CERTS: plain.caFile });
      }
    },
  );
});

describe('the bridge of Claude Desktop and Zed', () => {
  testWithTools(['sh'], 'starts mcp-remote with the key in its environment and not among its arguments', () => {
    const bin = fakeProgram('npx');
    for (const options of [plain, ...hostileUrls.map((url) => ({ ...plain, url }))]) {
      const snippet = clientSnippet('claude-desktop', options);
      const entry = entryOf(snippet, options.name) as { command: string; args: string[]; env: Record<string, string> };
      expect(entry.command).toBe('/bin/sh');
      const { args, environment } = runFake(bin, entry.args, entry.env);
      expect(args).toEqual([
        '-y',
        'mcp-remote',
        options.url.replaceAll('$', '%24'),
        '--transport',
        'http-only',
        '--header',
        'Authorization:${AUTH_HEADER}',
      ]);
      expect(environment).toMatchObject({ AUTH_HEADER: `Bearer ${secret}`, NODE_EXTRA_CA_CERTS: plain.caFile });
    }
  });

  testWithTools(['sh'], 'does not start without the key', () => {
    const entry = entryOf(clientSnippet('zed', { ...plain, keyFile: join(folder, 'missing') }), 'mcp') as {
      args: string[];
    };
    expect(() => runFake(fakeProgram('npx'), entry.args)).toThrow(/No such file/);
  });
});

testWithTools(['python3'], 'TOML with hostile values is read back by another implementation', () => {
  const rows = [
    plain,
    ...hostileNames.map((name) => ({ ...plain, name })),
    ...hostileUrls.map((url) => ({ ...plain, url })),
  ];
  const script = 'import json,sys,tomllib\nprint(json.dumps([tomllib.loads(text) for text in json.load(sys.stdin)]))';
  const output = execFileSync(findProgram('python3') ?? 'python3', ['-c', script], {
    input: JSON.stringify(rows.map((options) => clientSnippet('codex', options).text)),
    encoding: 'utf8',
  });
  const parsed = JSON.parse(output) as { mcp_servers: Record<string, unknown> }[];
  expect(parsed.map((document) => Object.entries(document.mcp_servers))).toEqual(
    rows.map((options) => [[options.name, expectedEntry('codex', options)]]),
  );
});

/** What the text says about the server of this name, and that it says nothing about others. */
function entryOf(snippet: { format: string; text: string }, name: string): unknown {
  if (snippet.format === 'shell') return 'shell';
  const document =
    snippet.format === 'toml' ? parseToml(snippet.text) : (JSON.parse(snippet.text) as Record<string, unknown>);
  const servers = Object.entries(document).find(([key]) => /servers$/i.test(key))?.[1] as Record<string, unknown>;
  expect(Object.keys(servers)).toEqual([name]);
  return Object.getOwnPropertyDescriptor(servers, name)?.value;
}

/** Just the TOML that is written: one table header of two keys, then basic strings. Anything else does not match. */
function parseToml(text: string): Record<string, Record<string, unknown>> {
  const string = String.raw`"(?:[^"\\\u0000-\u001f\u007f]|\\["\\]|\\u[0-9a-f]{4})*"`;
  const match = new RegExp(
    String.raw`^\[mcp_servers\.([A-Za-z0-9_-]+|${string})\]\n((?:[a-z_]+ = ${string}\n)+)$`,
  ).exec(text);
  if (match === null) throw new Error(`not the TOML expected: ${text}`);
  const [, key = '', body = ''] = match;
  const name = key.startsWith('"') ? (JSON.parse(key) as string) : key;
  const values = body
    .trimEnd()
    .split('\n')
    .map((line) => {
      const at = line.indexOf(' = ');
      return [line.slice(0, at), JSON.parse(line.slice(at + 3)) as string] as const;
    });
  return { mcp_servers: Object.fromEntries([[name, Object.fromEntries(values)]]) };
}

function expectedEntry(id: string, options: SnippetOptions): unknown {
  const url = options.url.replaceAll('$', '%24');
  const secured = (reference: string): object =>
    options.keyFile === null ? {} : { headers: { Authorization: `Bearer ${reference}` } };
  const env = options.caFile === null ? {} : { env: { NODE_EXTRA_CA_CERTS: options.caFile } };
  const bridge =
    options.keyFile === null
      ? { command: 'npx', args: ['-y', 'mcp-remote', url, '--transport', 'http-only'], ...env }
      : { command: '/bin/sh', args: ['-c', expect.any(String), 'mcp-remote', options.keyFile, url], ...env };
  switch (id) {
    case 'claude-code':
      return 'shell';
    case 'claude-desktop':
      return bridge;
    case 'cursor':
      return { url, ...secured('${env:MCP_KEY}') };
    case 'vscode':
      return {
        type: 'http',
        url,
        ...secured(`\${input:mcp-deploy-${options.name.replaceAll(/[^A-Za-z0-9_-]/g, '-')}-key}`),
      };
    case 'codex':
      return { url, ...(options.keyFile === null ? {} : { bearer_token_env_var: 'MCP_KEY' }) };
    case 'gemini':
      return { type: 'http', url, ...secured('${MCP_KEY}') };
    case 'windsurf':
      return { serverUrl: url, ...secured('${env:MCP_KEY}') };
    case 'zed':
      return options.keyFile === null ? { url } : bridge;
    default:
      throw new Error(`no expectation for ${id}`);
  }
}

/** A program of this name that writes down how it was called. */
function fakeProgram(name: string): { readonly path: string; readonly record: string } {
  const bin = mkdtempSync(join(folder, 'bin-'));
  const record = join(bin, 'record.json');
  const recorder = join(bin, 'recorder.mjs');
  writeFileSync(
    recorder,
    `import { writeFileSync } from 'node:fs';\n` +
      `writeFileSync(${JSON.stringify(record)}, JSON.stringify({ args: process.argv.slice(2), environment: process.env }));\n`,
  );
  writeFileSync(join(bin, name), `#!/bin/sh\nexec ${process.execPath} ${recorder} "$@"\n`);
  chmodSync(join(bin, name), 0o755);
  return { path: bin, record };
}

function runFake(
  fake: { readonly path: string; readonly record: string },
  shellArgs: readonly string[],
  env: Readonly<Record<string, string>> = {},
): { args: string[]; environment: Record<string, string> } {
  execFileSync('/bin/sh', shellArgs, {
    // The CA of the snippet does not exist: Node only warns about that, on standard error.
    env: { PATH: `${fake.path}:${process.env['PATH'] ?? ''}`, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
  });
  return JSON.parse(readFileSync(fake.record, 'utf8')) as { args: string[]; environment: Record<string, string> };
}
