import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { toolSchema } from '../../src/deployment/tool-schema.ts';
import { createDeclaredBackend } from '../../src/server/backends/declared-backend.ts';
import type { Backend, BackendCall } from '../../src/server/types.ts';
import { callTool, errorOf, request, silentLog, until } from '../fixtures/upstreams/backend-calls.ts';

const folder = fileURLToPath(new URL('../fixtures/tools', import.meta.url));
const started: Backend[] = [];
afterEach(() => Promise.all(started.splice(0).map((backend) => backend.stop(0))));

async function start(timeoutSeconds = 30, contentFile = 'talking.mjs'): Promise<Backend> {
  const names = ['ask', 'report', 'twice', 'refuse', 'change'];
  const tools = names.map((name) => {
    const module = { path: 'talking.mjs', export: name, timeoutSeconds };
    return [name, toolSchema.parse({ description: name, module })] as const;
  });
  const backend = createDeclaredBackend(
    { tools: Object.fromEntries(tools), content: { path: contentFile, timeoutSeconds } },
    { env: {}, baseDir: folder, log: silentLog, serverVersion: '9' },
  );
  started.push(backend);
  backend.start();
  await until(() => backend.state.state !== 'starting');
  return backend;
}

/** A client that answers each question with the method's name, and keeps what it is told. */
function talker(overrides: Partial<BackendCall> = {}) {
  const told: { method: string; params: unknown }[] = [];
  const asked: string[] = [];
  const client: Partial<BackendCall> = {
    sessionId: 's',
    onNotification: (method, json) => void told.push({ method, params: JSON.parse(json) as unknown }),
    onServerRequest: (method, _params, reply) => {
      asked.push(method);
      reply({ result: { method } });
    },
    ...overrides,
  };
  return { told, asked, client };
}

describe('a function of a module', () => {
  test('asks the user, the model and for the roots of its client', async () => {
    const { asked, client } = talker();
    const result = (await callTool(await start(), 'ask', {}, client)) as { content: { text: string }[] };
    expect(asked).toEqual(['elicitation/create', 'sampling/createMessage', 'roots/list']);
    expect(JSON.parse(result.content[0]?.text ?? '')).toMatchObject({ reply: { method: 'sampling/createMessage' } });
  });

  test('that asks a client which cannot answer fails with what the client said', async () => {
    const refusing = talker({
      onServerRequest: (_m, _p, reply) => reply({ error: { code: -32601, message: 'cannot' } }),
    });
    expect(await errorOf(callTool(await start(), 'ask', {}, refusing.client))).toEqual({
      code: -32601,
      message: 'cannot',
    });
  });

  test('has its time back while a person thinks', async () => {
    const slow = talker({
      onServerRequest: (method, _params, reply) => void setTimeout(() => reply({ result: { method } }), 400),
    });
    expect(await callTool(await start(0.3), 'ask', {}, slow.client)).not.toHaveProperty('isError');
  });

  test('tells its progress under the token of the caller, and messages of the level that the session wants', async () => {
    const backend = await start();
    const { told, client } = talker();
    const params = { name: 'report', arguments: {}, _meta: { progressToken: 7 } };
    await request(backend, 'logging/setLevel', { level: 'warning' }, client);
    await request(backend, 'tools/call', params, client);
    expect(told).toEqual([
      { method: 'notifications/progress', params: { progressToken: 7, progress: 1, total: 2, message: 'half' } },
      { method: 'notifications/message', params: { level: 'error', logger: 'report', data: { what: 'bad' } } },
    ]);
    expect(await errorOf(request(backend, 'logging/setLevel', { level: 'loud' }, client))).toMatchObject({
      code: -32602,
    });
    await callTool(backend, 'report', {}, { ...client, sessionId: 'other' });
    expect(told).toHaveLength(4);
  });

  test('that returns inputRequests is called again with the answers: by the gateway for a legacy client', async () => {
    const { asked, client } = talker();
    expect(await callTool(await start(), 'twice', {}, client)).toMatchObject({
      inputResponses: { second: { method: 'roots/list' } },
      content: [{ text: 'two' }],
    });
    expect(asked).toHaveLength(2);
  });

  test('that returns inputRequests leaves the asking to a modern client', async () => {
    const backend = await start();
    const modern = { era: 'modern', sessionId: null } as const;
    const first = await callTool(backend, 'twice', {}, modern);
    expect(first).toEqual({
      resultType: 'input_required',
      inputRequests: { first: { method: 'roots/list', params: {} } },
      requestState: 'one',
    });
    const again = { name: 'twice', arguments: {}, inputResponses: { first: {} }, requestState: 'one' };
    expect(await request(backend, 'tools/call', again, modern)).toMatchObject({ requestState: 'two' });
  });

  test('that throws an error with a code of JSON-RPC gives that error', async () => {
    const error = { code: -32602, message: 'not for you', data: { field: 'a' } };
    expect(await errorOf(callTool(await start(), 'refuse'))).toEqual(error);
  });
});

describe('the content module', () => {
  test('answers for resources, prompts and completions', async () => {
    const backend = await start();
    expect(backend.capabilities).toEqual({
      tools: { listChanged: true },
      logging: {},
      resources: { subscribe: true, listChanged: true },
      prompts: { listChanged: true },
      completions: {},
    });
    expect(await request(backend, 'resources/list')).toEqual({ resources: [{ uri: 'note://1', name: 'One' }] });
    expect(await request(backend, 'resources/templates/list')).toMatchObject({
      resourceTemplates: [{ name: 'Notes' }],
    });
    expect(await request(backend, 'resources/read', { uri: 'note://1' })).toMatchObject({
      contents: [{ text: 'first' }],
    });
    expect(await request(backend, 'resources/read', { uri: 'note://2' })).toMatchObject({
      contents: [{ blob: 'AQI=' }],
    });
    expect(await errorOf(request(backend, 'resources/read', { uri: 'note://3' }))).toMatchObject({ code: -32002 });
    expect(await request(backend, 'prompts/list')).toMatchObject({ prompts: [{ name: 'greet' }] });
    expect(await request(backend, 'prompts/get', { name: 'greet', arguments: { who: 'you' } })).toEqual({
      messages: [{ role: 'user', content: { type: 'text', text: 'Hello you' } }],
    });
    expect(await errorOf(request(backend, 'prompts/get', { name: 'none' }))).toMatchObject({ code: -32602 });
    const completing = { ref: { type: 'ref/prompt', name: 'greet' }, argument: { name: 'who', value: 'an' } };
    expect(await request(backend, 'completion/complete', completing)).toEqual({
      completion: { values: ['anna', 'anton'], total: 2, hasMore: false },
    });
  });

  test('tells only those of a change that have subscribed, until their session ends', async () => {
    const backend = await start();
    const updated: unknown[] = [];
    const changed: string[] = [];
    backend.onResourceUpdated((uri, sessionId) => updated.push([uri, sessionId]));
    backend.onListChanged((kind) => changed.push(kind));
    await request(backend, 'resources/subscribe', { uri: 'note://1' }, { sessionId: 'a' });
    await callTool(backend, 'change');
    backend.endSession('a');
    await callTool(backend, 'change');
    expect(updated).toEqual([['note://1', 'a']]);
    expect(changed).toEqual(['prompts', 'prompts']);
  });

  test('that cannot be loaded is said, and the tools answer all the same', async () => {
    const backend = await start(30, 'gone.mjs');
    expect(backend.state).toMatchObject({
      state: 'broken',
      reason: expect.stringContaining('gone.mjs cannot be loaded'),
    });
    expect(await callTool(backend, 'report')).toMatchObject({ content: [{ text: 'done' }] });
  });
});
