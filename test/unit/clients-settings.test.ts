import { describe, expect, test } from 'vitest';
import { addEntry, listWrittenEntries, removeEntry } from '../../src/clients/client-settings.ts';
import { clients, describeClient } from '../../src/clients/index.ts';
import { SettingsSyntaxError } from '../../src/clients/json-settings.ts';
import type { ClientEntry, SnippetOptions } from '../../src/clients/types.ts';

const options: SnippetOptions = {
  name: 'mcp',
  url: 'https://localhost:8443/mcp',
  keyFile: '/srv/k',
  caFile: '/srv/ca.crt',
  keyVariable: 'MCP_KEY',
};
const entryFor = (id: string, change: Partial<SnippetOptions> = {}): ClientEntry =>
  describeClient(id).entry({ ...options, ...change });

function added(text: string, entry: ClientEntry): string {
  const addition = addEntry(text, entry);
  if (addition.kind !== 'added' && addition.kind !== 'changed') throw new Error(addition.kind);
  return addition.text;
}

/** Whether all characters of one text stand in the other, in their order: nothing was taken away. */
function isWithin(text: string, other: string): boolean {
  let at = 0;
  for (const character of other) if (character === text[at]) at += 1;
  return at === text.length;
}

/** Settings as people have them; `C` stands for the container of the client. */
const jsonFiles: Readonly<Record<string, string>> = {
  'an empty file': '',
  'blank lines only': '\n\n',
  'a remark only': '// nothing yet',
  'an empty object': '{}',
  'an empty object on two lines': '{\n}\n',
  'an empty container': '{\n  "C": {}\n}\n',
  'a container on one line': '{ "C": { "a": { "url": "http://x/" } } }',
  minified: '{"a":1,"C":{"b":{"url":"http://x/"}},"z":[1,2]}',
  'minified without container': '{"a":1}',
  'one server': '{\n  "C": {\n    "other": {\n      "command": "x"\n    }\n  },\n  "theme": "dark"\n}\n',
  tabs: '{\n\t"theme": "dark",\n\t"C": {\n\t\t"other": { "command": "x" }\n\t}\n}\n',
  'four spaces': '{\n    "theme": "dark"\n}\n',
  CRLF: '{\r\n  "theme": "dark",\r\n  "C": {\r\n    "other": {}\r\n  }\r\n}\r\n',
  'trailing commas': '{\n  "theme": "dark",\n  "C": {\n    "other": {},\n  },\n}\n',
  remarks:
    '// mine\n{\n  // before\n  "C": {\n    "other": { "url": "http://x/" } // why, and, commas\n    // below\n  }, /* behind */\n  "theme": "dark" // last\n  /* end */\n}\n// after\n',
  'a remark in an empty container': '{\n  "C": {\n    // put servers here\n  }\n}\n',
  'no last line break': '{\n  "a": 1\n}',
  'a brace on the same line': '{\n  "C": {\n    "other": {} }\n}\n',
  'words that look like syntax': '{\n  "a": "// no { comment } , \\" C",\n  "b": [{ "C": 1 }]\n}\n',
  'questions of others': '{\n  "inputs": [\n    { "id": "x", "type": "promptString" }\n  ],\n  "C": {}\n}\n',
  'no questions yet': '{\n  "inputs": [],\n  "C": {}\n}\n',
};
const tomlFiles: Readonly<Record<string, string>> = {
  'an empty file': '',
  'a remark only': '# nothing yet\n',
  'other settings': 'model = "o"\n\n[profiles.x]\na = 1\n',
  'other servers': '[mcp_servers.other]\ncommand = "x" # why\nargs = ["-y"]\n\n[mcp_servers.other.env]\nA = "b"\n',
  CRLF: 'model = "o"\r\n\r\n[x]\r\na = 1\r\n',
  'no last line break': 'model = "o"',
  'blank lines at the end': 'model = "o"\n\n\n',
  'an inline container': 'mcp_servers = { other = { command = "x" } } # here\n[x]\na = 1\n',
  'an empty inline container': 'mcp_servers = {}\n',
  'a container of its own': '[mcp_servers]\nother.command = "x"\n\n[z]\na = [\n  1, # one\n]\n',
  'dotted keys': 'mcp_servers.other.command = "x"\n',
  'lists of tables and dates': '[[a]]\nwhen = 1979-05-27T07:32:00Z\n[[a]]\n"quoted key" = 1\n',
};

describe.each(clients.map(({ id }) => [id] as const))('%s', (id) => {
  const entry = entryFor(id);
  const files = entry.format === 'toml' ? tomlFiles : jsonFiles;
  const open = entryFor(id, { name: 'open', keyFile: null, caFile: null });

  test.each(Object.keys(files))('%s comes back byte for byte', (what) => {
    const before = (files[what] ?? '').replaceAll('"C"', JSON.stringify(entry.container));
    const after = added(before, entry);
    expect(listWrittenEntries(after, entry.format, entry.container)).toContainEqual({
      name: 'mcp',
      value: entry.value,
      url: options.url,
    });
    expect(addEntry(after, entry)).toEqual({ kind: 'same' });
    expect(removeEntry(after, entry, before)).toBe(before);
    // With others in the table, no memory of the file is needed.
    if (/other|"b":\{/.test(before) && before.endsWith('\n')) expect(removeEntry(after, entry, null)).toBe(before);
    expect(isWithin(before, after)).toBe(true);
    if (before.includes('\r\n')) expect(after).not.toMatch(/(?<!\r)\n/);
  });

  test.each(Object.keys(files))('%s: what was added later stays when ours goes', (what) => {
    const before = (files[what] ?? '').replaceAll('"C"', JSON.stringify(entry.container));
    const both = added(added(before, entry), open);
    const left = removeEntry(both, entry, before) ?? '';
    const names = listWrittenEntries(left, entry.format, entry.container).map(({ name }) => name);
    expect(names).toEqual([
      ...listWrittenEntries(before, entry.format, entry.container).map(({ name }) => name),
      'open',
    ]);
    const none = removeEntry(left, open, before) ?? '';
    expect(listWrittenEntries(none, entry.format, entry.container)).toEqual(
      listWrittenEntries(before, entry.format, entry.container),
    );
  });

  test('without a file one is made, and it goes again', () => {
    const after = added('', entry);
    expect(removeEntry(after, entry, null)).toBeNull();
  });

  test.each([
    'a"b',
    'a\nb',
    'a.b',
    "a]\n[x]\nb = '1'",
    '__proto__',
    'constructor',
    '日本語 🚀',
    '\u2028',
    '${x}',
    '//',
  ])('a server called %j is added, found and removed', (name) => {
    const before = files['other settings'] ?? files['remarks'] ?? '';
    const hostile = entryFor(id, { name });
    const after = added(before, hostile);
    expect(listWrittenEntries(after, entry.format, entry.container).find((each) => each.name === name)?.value).toEqual(
      hostile.value,
    );
    expect(addEntry(after, hostile)).toEqual({ kind: 'same' });
    expect(removeEntry(after, hostile, null)).not.toContain('8443');
  });

  test('an entry of the same name that leads elsewhere is replaced on demand only', () => {
    const theirs = entryFor(id, { url: 'https://other.example/mcp' });
    const before = added('', theirs);
    expect(addEntry(before, entry)).toMatchObject({ kind: 'taken', by: { url: 'https://other.example/mcp' } });
    const forced = addEntry(before, entry, true);
    if (forced.kind !== 'replaced') throw new Error(forced.kind);
    expect(listWrittenEntries(forced.text, entry.format, entry.container)).toEqual([
      { name: 'mcp', value: entry.value, url: options.url },
    ]);
    expect(forced.text).not.toContain('other.example');
  });
});

test('an entry of ours is brought up to date and keeps what its owner added', () => {
  const before = `{
  "mcpServers": {
    "mcp": {
      "url": "https://localhost:8443/mcp", // ours
      "disabled": true
    }
  }
}
`;
  const after = added(before, entryFor('cursor'));
  expect(after).toBe(`{
  "mcpServers": {
    "mcp": {
      "url": "https://localhost:8443/mcp", // ours
      "disabled": true,
      "headers": {
        "Authorization": "Bearer \${env:MCP_KEY}"
      }
    }
  }
}
`);
  const toml = '[mcp_servers.mcp]\nurl = "https://localhost:8443/mcp" # ours\nstartup_timeout_sec = 20\n\n[x]\n';
  expect(added(toml, entryFor('codex'))).toBe(
    '[mcp_servers.mcp]\nurl = "https://localhost:8443/mcp" # ours\nstartup_timeout_sec = 20\nbearer_token_env_var = "MCP_KEY"\n\n[x]\n',
  );
});

test('two endpoints in VS Code ask two questions, and the question of one that went goes with it', () => {
  const one = entryFor('vscode');
  const two = entryFor('vscode', { name: 'two' });
  const both = added(added('', one), two);
  expect(both.match(/"promptString"/g)).toHaveLength(2);
  const left = removeEntry(both, one, null) ?? '';
  expect(left).toBe(added('', two));
});

test.each([
  ['json', '{\n  "a": 1\n  "b": 2\n}', 'comma expected', '"b"'],
  ['json', '[1]', 'not an object', '['],
  ['json', '{"mcpServers": []}', 'not an object where', '[]'],
  ['json', '{"mcpServers": {}, "mcpServers": {}}', 'stands here twice', '"mcpServers": {}}'],
  ['json', '{"a": ', 'value expected', ''],
  ['toml', 'a = 1\nb = \n', 'value', ''],
  ['toml', 'a = 1\na = 2\n', 'multiple', 'a = 2'],
] as const)('%s %j cannot be read, and it is said where', (format, text, words, at) => {
  const entry = entryFor(format === 'json' ? 'cursor' : 'codex');
  try {
    addEntry(text, entry);
    expect.unreachable();
  } catch (error) {
    if (!(error instanceof SettingsSyntaxError)) throw error;
    expect(error.message).toContain(words);
    expect(text.slice(error.offset)).toMatch(new RegExp(`^${at.replaceAll(/[[\]{}]/g, String.raw`\$&`)}`));
  }
});
