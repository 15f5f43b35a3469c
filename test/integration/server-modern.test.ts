import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createFakeBackend, type FakeBackend } from '../helpers/fake-backend.ts';
import { readEvents } from '../helpers/read-events.ts';
import { firstKey, modernRequest, startRig, type ServerRig } from '../helpers/server-rig.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const versionKey = 'io.modelcontextprotocol/protocolVersion';
const capabilitiesKey = 'io.modelcontextprotocol/clientCapabilities';
const serverInfoKey = 'io.modelcontextprotocol/serverInfo';
const subscriptionKey = 'io.modelcontextprotocol/subscriptionId';

let rig: ServerRig;
let backend: FakeBackend;
const results: Record<string, string> = {
  'tools/list': '{"tools":[]}',
  'tools/call': '{"content":[],"structuredContent":{"resultType":"mine","ttlMs":1}}',
  'resources/read': '{"contents":[],"ttlMs":500,"_meta":{"own":1}}',
  'prompts/get': '{}',
  'resources/subscribe': '{}',
};
beforeAll(async () => {
  backend = createFakeBackend(({ method }) => results[method] ?? '{}');
  rig = await startRig({ backends: [backend] });
});
afterAll(() => rig.stop());

async function send(
  method: string,
  params: Record<string, unknown> = {},
  change: Record<string, string | undefined> = {},
) {
  const { message, headers } = modernRequest(1, method, params);
  const merged = Object.fromEntries(
    Object.entries({ ...headers, ...change }).filter(([, value]) => value !== undefined),
  );
  const answer = await rig.post(message, merged as Record<string, string>);
  return { status: answer.status, headers: answer.headers, ...JSON.parse(answer.body) };
}

describe('results', () => {
  test('of server/discover say what is served and who serves', async () => {
    const { result } = await send('server/discover');
    expect(result).toEqual({
      resultType: 'complete',
      ttlMs: 0,
      cacheScope: 'private',
      supportedVersions: ['2026-07-28'],
      capabilities: {
        tools: { listChanged: true },
        resources: { listChanged: true, subscribe: true },
        prompts: { listChanged: true },
      },
      instructions: 'Be kind.',
      _meta: { [serverInfoKey]: { name: 'fake-server', version: '1.2.3' } },
    });
  });

  test("of lists and reads carry resultType, ttlMs and cacheScope, the backend's own where it has them", async () => {
    expect((await send('tools/list')).result).toEqual({
      resultType: 'complete',
      ttlMs: 0,
      cacheScope: 'private',
      _meta: { [serverInfoKey]: { name: 'fake-server', version: '1.2.3' } },
      tools: [],
    });
    expect((await send('resources/read', { uri: 'a:b' })).result).toEqual({
      resultType: 'complete',
      ttlMs: 500,
      cacheScope: 'private',
      contents: [],
      _meta: { own: 1, [serverInfoKey]: { name: 'fake-server', version: '1.2.3' } },
    });
  });

  test('of calls are complete also when the tool has members of these names inside', async () => {
    const { result } = await send('tools/call', { name: 'a', arguments: {} });
    expect(result).toMatchObject({ resultType: 'complete', structuredContent: { resultType: 'mine', ttlMs: 1 } });
    expect((await send('prompts/get', { name: 'a' })).result).toMatchObject({ resultType: 'complete' });
  });

  test('make no session', async () => {
    expect((await send('tools/list')).headers['mcp-session-id']).toBeUndefined();
  });
});

describe('headers and body must agree', () => {
  test.each([
    ['the version header names another', 'tools/list', {}, { 'mcp-protocol-version': '2025-11-25' }, -32_020],
    ['the version header is missing', 'tools/list', {}, { 'mcp-protocol-version': undefined }, -32_020],
    ['the method header names another', 'tools/list', {}, { 'mcp-method': 'tools/call' }, -32_020],
    ['the method header is missing', 'tools/list', {}, { 'mcp-method': undefined }, -32_020],
    ['the name header names another', 'tools/call', { name: 'a' }, { 'mcp-name': 'b' }, -32_020],
    ['the name header is missing', 'tools/call', { name: 'a' }, { 'mcp-name': undefined }, -32_020],
    ['the name header is bad Base64', 'tools/call', { name: 'a' }, { 'mcp-name': '=?base64?a?=' }, -32_020],
    ['the uri header names another', 'resources/read', { uri: 'a:b' }, { 'mcp-name': 'a:c' }, -32_020],
  ])('or the request is refused with 400: %s', async (_title, method, params, change, code) => {
    const { status, error, id } = await send(method, params, change);
    expect([status, error.code, id]).toEqual([400, code, 1]);
  });

  test('a name that does not fit into a header travels as Base64', async () => {
    const name = 'grüße 😀';
    const encoded = `=?base64?${Buffer.from(name).toString('base64')}?=`;
    expect((await send('tools/call', { name, arguments: {} }, { 'mcp-name': encoded })).status).toBe(200);
  });
});

describe('the envelope', () => {
  const envelope = { [versionKey]: '2026-07-28', [capabilitiesKey]: {} };
  test.each([
    ['without capabilities', { [versionKey]: '2026-07-28' }, '2026-07-28', 400, -32_602],
    ['with capabilities that are no object', { ...envelope, [capabilitiesKey]: 1 }, '2026-07-28', 400, -32_602],
    ['with a version that is no text', { ...envelope, [versionKey]: 7 }, '2026-07-28', 400, -32_602],
    ['of a version that is not served', { ...envelope, [versionKey]: '2027-01-01' }, '2027-01-01', 400, -32_022],
    ['of a legacy version', { ...envelope, [versionKey]: '2025-06-18' }, '2025-06-18', 400, -32_022],
  ])('%s is refused', async (_title, meta, version, status, code) => {
    const answer = await rig.post(
      { jsonrpc: '2.0', id: 4, method: 'tools/list', params: { _meta: meta } },
      { 'mcp-protocol-version': version, 'mcp-method': 'tools/list' },
    );
    const { error, id } = JSON.parse(answer.body);
    expect([answer.status, error.code, id]).toEqual([status, code, 4]);
    if (code === -32_022) expect(error.data).toEqual({ supported: ['2026-07-28'], requested: version });
  });

  test('missing under a modern header is refused and not taken for the legacy era', async () => {
    const answer = await rig.post(
      { jsonrpc: '2.0', id: 4, method: 'tools/list' },
      { 'mcp-protocol-version': '2026-07-28' },
    );
    expect([answer.status, JSON.parse(answer.body).error.code]).toEqual([400, -32_602]);
  });

  test('does not go into a batch', async () => {
    const { message } = modernRequest(1, 'tools/list');
    const answer = await rig.post([message]);
    expect([answer.status, JSON.parse(answer.body).error.code]).toEqual([400, -32_600]);
  });
});

test.each(['initialize', 'ping', 'logging/setLevel', 'resources/subscribe', 'nothing/here'])(
  '%s does not exist in the modern era: 404 with -32601',
  async (method) => {
    const { status, error } = await send(method, { uri: 'a:b' });
    expect([status, error.code]).toEqual([404, -32_601]);
  },
);

test.each(['GET', 'DELETE'])('%s is 405 with Allow: POST, whatever session it names', async (method) => {
  const headers = { authorization: `Bearer ${firstKey}`, 'mcp-protocol-version': '2026-07-28', 'mcp-session-id': 'x' };
  const answer = await rig.call({ method, headers });
  expect([answer.status, answer.headers.allow]).toEqual([405, 'POST']);
});

test('a notification is accepted', async () => {
  const { message, headers } = modernRequest(1, 'notifications/anything');
  delete message['id'];
  expect((await rig.post(message, headers)).status).toBe(202);
});

describe('subscriptions/listen', () => {
  const listen = (notifications: unknown, id: number | string = 'sub') => {
    const { message, headers } = modernRequest(id, 'subscriptions/listen', { notifications });
    return readEvents({
      url: rig.url,
      method: 'POST',
      headers: {
        authorization: `Bearer ${firstKey}`,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        ...headers,
      },
      body: JSON.stringify(message),
    });
  };

  test('acknowledges, then sends only what was asked for, marked with the id of the request', async () => {
    const events = await listen({
      toolsListChanged: true,
      promptsListChanged: false,
      resourceSubscriptions: ['file:///a'],
    });
    const [acknowledged] = await events.take(1);
    expect(acknowledged?.data).toEqual({
      jsonrpc: '2.0',
      method: 'notifications/subscriptions/acknowledged',
      params: {
        notifications: { toolsListChanged: true, resourceSubscriptions: ['file:///a'] },
        _meta: { [subscriptionKey]: 'sub' },
      },
    });
    backend.listChanged('prompts');
    backend.listChanged('tools');
    backend.resourceUpdated('file:///a', null);
    for (let number = 1; number < 10; number++) backend.resourceUpdated('file:///a', `listen-${number}`);
    const got = await events.take(3);
    expect(got.slice(1).map(({ data }) => data)).toEqual([
      { jsonrpc: '2.0', method: 'notifications/tools/list_changed', params: { _meta: { [subscriptionKey]: 'sub' } } },
      {
        jsonrpc: '2.0',
        method: 'notifications/resources/updated',
        params: { uri: 'file:///a', _meta: { [subscriptionKey]: 'sub' } },
      },
    ]);
    const before = backend.endedSessions.length;
    events.close();
    await waitUntil(() => backend.endedSessions.length > before, 5_000);
  });

  test('ends at once when nothing can be watched', async () => {
    const events = await listen({}, 8);
    expect((await events.take(2))[1]?.data).toMatchObject({ id: 8, result: { resultType: 'complete' } });
    await waitUntil(() => events.ended, 5_000);
  });

  test.each([undefined, 7, { toolsListChanged: 'yes' }, { resourceSubscriptions: 'file:///a' }])(
    'with the filter %j is refused',
    async (notifications) => {
      const { error } = await send('subscriptions/listen', { notifications });
      expect(error.code).toBe(-32_602);
    },
  );

  test('needs a client that takes a stream', async () => {
    const { status } = await send(
      'subscriptions/listen',
      { notifications: { toolsListChanged: true } },
      { accept: 'application/json' },
    );
    expect(status).toBe(406);
  });

  test('reaches the 2.x client', async () => {
    const client = await rig.modernClient();
    let changed = 0;
    client.setNotificationHandler('notifications/tools/list_changed', () => {
      changed++;
    });
    const subscription = await client.listen({ toolsListChanged: true });
    backend.listChanged('tools');
    await waitUntil(() => changed === 1, 5_000);
    await subscription.close();
  });
});
