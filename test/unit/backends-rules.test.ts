import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { buildChildEnvironment } from '../../src/server/backends/child-environment.ts';
import { findCommand } from '../../src/server/backends/find-command.ts';
import { parseCursor, renderListPages } from '../../src/server/backends/list-pages.ts';
import { legacyRequestLine, modernRequestLine } from '../../src/server/backends/request-text.ts';
import { createRestartPolicy } from '../../src/server/backends/restart-policy.ts';
import { createSubscriptionTable } from '../../src/server/backends/subscription-table.ts';
import { matchUri, parseUriTemplate } from '../../src/server/backends/uri-template.ts';

describe('the restart policy', () => {
  const even = (): number => 0.5;

  test('pauses double from 0.25 s to 30 s', () => {
    const policy = createRestartPolicy(even);
    const pauses = Array.from({ length: 9 }, () => policy.onEnded(0, false).retryAt);
    expect(pauses).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
  });

  test('jitter stays within a tenth', () => {
    expect(createRestartPolicy(() => 0).onEnded(0, false).retryAt).toBe(225);
    expect(createRestartPolicy(() => 1).onEnded(0, false).retryAt).toBe(275);
  });

  test('five failed starts within a minute break it for a minute, then one try decides', () => {
    const policy = createRestartPolicy(even);
    for (let i = 0; i < 4; i++) expect(policy.onEnded(i * 1_000, true).broken).toBe(false);
    expect(policy.onEnded(5_000, true)).toEqual({ retryAt: 65_000, broken: true });
    expect(policy.onEnded(66_000, true)).toEqual({ retryAt: 126_000, broken: true });
  });

  test('failed starts that are far apart break nothing', () => {
    const policy = createRestartPolicy(even);
    for (let i = 0; i < 20; i++) expect(policy.onEnded(i * 20_000, true).broken).toBe(false);
  });

  test('a child that was stable starts from the beginning', () => {
    const policy = createRestartPolicy(even);
    for (let i = 0; i < 4; i++) policy.onEnded(0, true);
    policy.onStable();
    expect(policy.onEnded(0, true)).toEqual({ retryAt: 250, broken: false });
  });
});

describe('the environment of an upstream', () => {
  test('has what every program needs and nothing of the server’s own', () => {
    const server = { PATH: '/bin', HOME: '/h', LC_ALL: 'C', MCP_API_KEY: 'secret', NODE_OPTIONS: '--inspect' };
    expect(buildChildEnvironment(server, {}, 'linux')).toEqual({
      kind: 'ready',
      env: { PATH: '/bin', HOME: '/h', LC_ALL: 'C' },
    });
  });

  test('has how this machine reaches the network, or nothing could be downloaded behind a company’s proxy or CA', () => {
    const server = {
      https_proxy: 'http://p:3128',
      NO_PROXY: 'x',
      NODE_EXTRA_CA_CERTS: '/ca.pem',
      SSL_CERT_FILE: '/s.pem',
    };
    expect(buildChildEnvironment(server, {}, 'linux')).toEqual({ kind: 'ready', env: server });
  });

  test('references are filled from the server’s environment', () => {
    const built = buildChildEnvironment({ TOKEN: 't' }, { A: 'x ${TOKEN}', B: '${NONE:-d}' }, 'linux');
    expect(built).toEqual({ kind: 'ready', env: { A: 'x t', B: 'd' } });
  });

  test('a name without a value is named', () => {
    const built = buildChildEnvironment({}, { KEY: '${GITHUB_TOKEN}' }, 'linux');
    expect(built).toEqual({ kind: 'missing', names: ['GITHUB_TOKEN'], setting: 'KEY' });
  });
});

describe('looking a command up', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mcp-deploy-find-'));
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  writeFileSync(join(bin, 'npx'), '#!/bin/sh\n');
  chmodSync(join(bin, 'npx'), 0o755);
  writeFileSync(join(folder, 'server'), '#!/bin/sh\n');
  afterAll(() => rmSync(folder, { recursive: true }));

  const sentence = (command: string, cwd = folder): string => {
    const found = findCommand(command, cwd, bin, '');
    return found.kind === 'found' ? found.path : found.sentence;
  };

  test('a name is found on PATH, a path from its folder', () => {
    expect(sentence('npx')).toBe(join(bin, 'npx'));
    expect(sentence('bin/npx')).toBe(join(bin, 'npx'));
  });

  test.each([
    ['npxx', 'Did you mean npx?'],
    ['npx -y thing', 'command npx, args -y, thing'],
    ['server', 'write ./server'],
    ['./server', 'may not be executed; chmod +x'],
    ['./none', 'There is no program at'],
    ['./bin', 'is a folder'],
    ['zzzzzzzz', 'searched 1 folder of PATH'],
  ])('%s is explained', (command, expected) => {
    expect(sentence(command)).toContain(expected);
  });

  test('a missing folder is named before the command is looked for', () => {
    expect(sentence('npx', join(folder, 'gone'))).toContain(`does not exist: ${join(folder, 'gone')}`);
  });
});

describe('requests to an upstream', () => {
  const paramsOf = (line: string): unknown => (JSON.parse(line) as { params: unknown }).params;
  const envelope = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientCapabilities': {},
    'io.modelcontextprotocol/clientInfo': { name: 'c', version: '1' },
  };

  test('the progress token is ours, trace context stays, the modern envelope goes', () => {
    const meta = { ...envelope, progressToken: 'theirs', traceparent: '00-1' };
    const line = legacyRequestLine(5, 'tools/call', { name: 'x', _meta: meta });
    expect(paramsOf(line)).toEqual({ name: 'x', _meta: { progressToken: 5, traceparent: '00-1' } });
  });

  test('an envelope alone leaves no _meta', () => {
    expect(paramsOf(legacyRequestLine(5, 'tools/call', { name: 'x', _meta: envelope }))).toEqual({ name: 'x' });
  });

  test('a line holds no line end', () => {
    expect(legacyRequestLine(5, 'tools/call', { name: 'a\nb\r\u2028' }).trimEnd()).not.toMatch(/[\n\r]/);
  });

  test('a modern upstream is told revision, client and its capabilities', () => {
    const call = { method: 'tools/call', params: { name: 'x' }, clientCapabilities: { elicitation: {} } };
    expect(paramsOf(modernRequestLine(1, call, { name: 'mcp-deploy', version: '1' }))).toEqual({
      name: 'x',
      _meta: {
        'io.modelcontextprotocol/protocolVersion': '2026-07-28',
        'io.modelcontextprotocol/clientInfo': { name: 'mcp-deploy', version: '1' },
        'io.modelcontextprotocol/clientCapabilities': { elicitation: {} },
      },
    });
  });
});

describe('pages of a merged list', () => {
  test('a small list is one page without a cursor', () => {
    expect(renderListPages('tools', ['{"name":"a"}', '{"name":"b"}'])).toEqual([
      '{"tools":[{"name":"a"},{"name":"b"}]}',
    ]);
    expect(renderListPages('tools', [])).toEqual(['{"tools":[]}']);
  });

  test('following the cursors gives every item once', () => {
    const items = Array.from({ length: 2_500 }, (_, i) => `{"name":"t${i}"}`);
    const pages = renderListPages('tools', items);
    const seen: unknown[] = [];
    let cursor: unknown;
    do {
      const page = JSON.parse(pages[parseCursor(cursor) ?? -1] ?? '') as { tools: unknown[]; nextCursor?: string };
      seen.push(...page.tools);
      cursor = page.nextCursor;
    } while (cursor !== undefined);
    expect(seen).toHaveLength(2_500);
  });

  test.each(['', 'abc', 'x'.repeat(1_000), 5, null])('%j is no cursor', (cursor) => {
    expect(parseCursor(cursor)).toBeNull();
  });
});

describe('URI templates', () => {
  test.each([
    ['file:///{path}', 'file:///a/b', true],
    ['db://{name}/rows/{id}', 'db://x/rows/1', true],
    ['db://{name}/rows/{id}', 'db://x/columns/1', false],
    ['a{x}b', 'ab', true],
    ['ab{x}ba', 'aba', false],
    ['plain://one', 'plain://one', true],
    ['plain://one', 'plain://one/two', false],
  ])('%s fits %s: %s', (template, uri, expected) => {
    expect(matchUri(parseUriTemplate(template), uri) >= 0).toBe(expected);
  });

  test('the closer template fits better', () => {
    const uri = 'app://users/7';
    expect(matchUri(parseUriTemplate('app://users/{id}'), uri)).toBeGreaterThan(
      matchUri(parseUriTemplate('app://{any}'), uri),
    );
  });

  test('a hostile template and URI are matched in no time', () => {
    const pattern = parseUriTemplate(`${'{a}a'.repeat(5_000)}b`);
    expect(matchUri(pattern, 'a'.repeat(100_000))).toBe(-1);
  });
});

describe('subscriptions', () => {
  test('the first one is told, and the last one that goes', () => {
    const table = createSubscriptionTable();
    expect(table.add('u', 'a')).toBe(true);
    expect(table.add('u', 'b')).toBe(false);
    expect(table.remove('u', 'a')).toBe(false);
    expect(table.endSession('b')).toEqual(['u']);
  });

  test('calls without a session are counted', () => {
    const table = createSubscriptionTable();
    table.add('u', null);
    table.add('u', null);
    expect(table.remove('u', null)).toBe(false);
    expect(table.remove('u', null)).toBe(true);
  });

  test('an update of a sub-resource reaches the subscribers of the resource above', () => {
    const table = createSubscriptionTable();
    table.add('file:///a', 's');
    expect([...table.subscribersOf('file:///a/b/c')]).toEqual(['s']);
    expect([...table.subscribersOf('file:///ab')]).toEqual([]);
  });
});
