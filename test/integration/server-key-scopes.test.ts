import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createKeyIn, type KeyPowers } from '../../src/server/policy/key-store.ts';
import type { BackendCall } from '../../src/server/types.ts';
import { createFakeBackend, type FakeBackend } from '../helpers/fake-backend.ts';
import { modernRequest, startRig, type ServerRig } from '../helpers/server-rig.ts';
import { waitUntil } from '../helpers/wait-until.ts';

let folder: string;
let rig: ServerRig;
let main: FakeBackend;
let other: FakeBackend;
const keys: Record<string, string> = {};

/** An upstream with two tools, a prompt, a resource and a template, which says that everything is for everyone. */
function upstream(name: string, cacheScope?: string): FakeBackend {
  const cached = cacheScope === undefined ? {} : { cacheScope, ttlMs: 60_000 };
  const answers: Record<string, (call: BackendCall) => unknown> = {
    'tools/list': () => ({ tools: [{ name: 'search' }, { name: 'delete' }], ...cached }),
    'prompts/list': () => ({ prompts: [{ name: 'hello' }], ...cached }),
    'resources/list': () => ({ resources: [{ uri: `${name}://listed`, name: 'listed' }], ...cached }),
    'resources/templates/list': () => ({ resourceTemplates: [{ uriTemplate: `${name}://item/{id}`, name: 'item' }] }),
    'resources/read': ({ params }) => ({ contents: [{ uri: params?.['uri'], text: name }] }),
    'tools/call': ({ params }) => ({ content: [{ type: 'text', text: `${name} ran ${String(params?.['name'])}` }] }),
  };
  const backend = createFakeBackend((call) => JSON.stringify(answers[call.method]?.(call) ?? {}));
  return Object.assign(backend, { name, instructions: `I am ${name}.` });
}

async function start(backends: FakeBackend[]): Promise<void> {
  folder = mkdtempSync(join(tmpdir(), 'mcpd-scopes-'));
  const scopes: Record<string, KeyPowers> = {
    all: {},
    tools: { tools: ['*search'] },
    onlyMain: { upstreams: ['main'], tier: 'gold' },
    both: { tools: ['main__*'], upstreams: ['main'] },
    onlyOther: { upstreams: ['other'] },
  };
  let store: string | null = null;
  for (const [label, powers] of Object.entries(scopes)) {
    const made: { storeText: string; key: string } = createKeyIn(store, {
      label,
      now: new Date().toISOString(),
      ...powers,
    });
    store = made.storeText;
    keys[label] = made.key;
  }
  const keyStoreFile = join(folder, 'keys.json');
  writeFileSync(keyStoreFile, store ?? '');
  rig = await startRig({ backends, keyStoreFile, audit: join(folder, 'audit.jsonl') });
}

async function ask(key: string, method: string, params: Record<string, unknown> = {}): Promise<Record<string, never>> {
  const { message, headers } = modernRequest(1, method, params);
  const answer = await rig.post(message, { ...headers, authorization: `Bearer ${keys[key]}` });
  return JSON.parse(answer.body) as Record<string, never>;
}

async function askLegacy(key: string, method: string, params: Record<string, unknown> = {}) {
  const message = { jsonrpc: '2.0', id: 1, method, params };
  const answer = await rig.post(message, { authorization: `Bearer ${keys[key]}` });
  return JSON.parse(answer.body) as Record<string, never>;
}

async function namesIn(key: string, method: string, list: string, by: string): Promise<string[]> {
  const modern = await ask(key, method);
  const legacy = await askLegacy(key, method);
  const read = (answer: unknown): string[] => {
    const { result } = answer as { result: Record<string, Record<string, string>[]> };
    return (result[list] ?? []).map((item) => String(item[by]));
  };
  expect(read(legacy)).toEqual(read(modern));
  return read(modern);
}

const error = (answer: unknown): unknown => (answer as { error: unknown }).error;

afterEach(async () => {
  await rig.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe('with two upstreams', () => {
  beforeEach(async () => {
    [main, other] = [upstream('main'), upstream('other')];
    await start([main, other]);
  });

  const lists: [string, string, string, Record<string, string[]>][] = [
    [
      'tools/list',
      'tools',
      'name',
      {
        all: ['main__search', 'main__delete', 'other__search', 'other__delete'],
        tools: ['main__search', 'other__search'],
        onlyMain: ['main__search', 'main__delete'],
        both: ['main__search', 'main__delete'],
        onlyOther: ['other__search', 'other__delete'],
      },
    ],
    [
      'prompts/list',
      'prompts',
      'name',
      { all: ['main__hello', 'other__hello'], tools: ['main__hello', 'other__hello'], onlyMain: ['main__hello'] },
    ],
    ['resources/list', 'resources', 'uri', { all: ['main://listed', 'other://listed'], onlyOther: ['other://listed'] }],
    ['resources/templates/list', 'resourceTemplates', 'uriTemplate', { onlyMain: ['main://item/{id}'] }],
  ];
  for (const [method, list, by, seen] of lists) {
    for (const [key, names] of Object.entries(seen)) {
      test(`${method} shows the key "${key}" what it may reach, in both eras`, async () => {
        expect(await namesIn(key, method, list, by)).toEqual(names);
      });
    }
  }

  test('what one key was shown is never shown to the next', async () => {
    for (const key of ['all', 'onlyMain', 'all', 'tools', 'onlyOther', 'both', 'all']) {
      const names = await namesIn(key, 'tools/list', 'tools', 'name');
      expect(names).toHaveLength(key === 'all' ? 4 : 2);
    }
  });

  test('a hidden tool is answered to the byte as one that does not exist, and no upstream hears of it', async () => {
    await namesIn('all', 'tools/list', 'tools', 'name');
    for (const key of ['tools', 'onlyMain', 'both']) {
      const hidden = error(await ask(key, 'tools/call', { name: 'other__delete' }));
      const invented = error(await ask(key, 'tools/call', { name: 'other__invent' }));
      expect(JSON.stringify(hidden).replace('delete', 'invent')).toBe(JSON.stringify(invented));
      expect(hidden).toEqual({ code: -32_602, message: 'Unknown tool: other__delete' });
      expect(error(await askLegacy(key, 'tools/call', { name: 'other__delete' }))).toEqual(hidden);
    }
    expect(other.open).toEqual([]);
  });

  test('the refusal is in the audit with the label of the key, and counted', async () => {
    await ask('onlyMain', 'tools/call', { name: 'other__delete' });
    const lines = (): string[] => readFileSync(join(folder, 'audit.jsonl'), 'utf8').split('\n').filter(Boolean);
    await waitUntil(() => lines().length > 0, 5_000, 'the audit line');
    expect(JSON.parse(lines()[0] ?? '')).toMatchObject({
      status: 'refused',
      tool: 'other__delete',
      key: 'onlyMain',
      error: 'outside of what the key may reach',
    });
    const metrics = (await rig.call({ path: '/metrics' })).body;
    expect(metrics).toMatch(/mcp_requests_total\{method="tools\/call",tool="[^"]*",status="refused"\} 1/);
  });

  test('a tool within the scope runs', async () => {
    const answer = await ask('both', 'tools/call', { name: 'main__delete' });
    expect(JSON.stringify(answer)).toContain('main ran delete');
  });

  test('a resource of a hidden upstream is not found, also before any list was read', async () => {
    expect(error(await ask('onlyMain', 'resources/read', { uri: 'other://listed' }))).toMatchObject({ code: -32_602 });
    expect(JSON.stringify(await ask('onlyMain', 'resources/read', { uri: 'main://item/7' }))).toContain(
      '"text":"main"',
    );
    expect(error(await ask('onlyMain', 'resources/read', { uri: 'other://item/7' }))).toMatchObject({ code: -32_602 });
  });

  test('instructions of a hidden upstream are not told', async () => {
    const answer = JSON.stringify(await ask('onlyMain', 'server/discover'));
    expect(answer).toContain('I am main.');
    expect(answer).not.toContain('other');
    expect(JSON.stringify(await ask('all', 'server/discover'))).toContain('I am other.');
  });

  test('a name that is no text reaches no upstream of a key with a scope', async () => {
    expect(error(await askLegacy('tools', 'tools/call', { name: ['main__delete'] }))).toMatchObject({ code: -32_602 });
  });
});

describe('with one upstream', () => {
  beforeEach(async () => {
    main = upstream('main', 'public');
    await start([main]);
  });

  test('no list is for everyone once a key sees less than another', async () => {
    for (const key of ['all', 'tools']) {
      expect(await ask(key, 'tools/list')).toMatchObject({ result: { cacheScope: 'private', ttlMs: 60_000 } });
    }
  });

  test('a key of another upstream sees nothing and can call nothing', async () => {
    expect(await namesIn('onlyOther', 'tools/list', 'tools', 'name')).toEqual([]);
    expect(error(await ask('onlyOther', 'tools/call', { name: 'search' }))).toMatchObject({ code: -32_602 });
    expect(JSON.stringify(await ask('onlyMain', 'tools/call', { name: 'search' }))).toContain('main ran search');
  });
});

test('the age of every key is a metric with its label', async () => {
  await start([upstream('main')]);
  const metrics = (await rig.call({ path: '/metrics' })).body;
  expect(metrics).toMatch(/^mcp_key_age_seconds\{label="onlyMain"\} \d+$/m);
});
