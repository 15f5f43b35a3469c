import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import type { BackendCall } from '../../src/server/types.ts';
import { createFakeBackend, type FakeBackend } from '../helpers/fake-backend.ts';
import { readEvents } from '../helpers/read-events.ts';
import { firstKey, modernRequest, startRig, type ServerRig } from '../helpers/server-rig.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const call = { jsonrpc: '2.0', id: 5, method: 'tools/call', params: { name: 'slow', arguments: {} } };
const result = '{"content":[{"type":"text","text":"done"}]}';
const both = 'application/json, text/event-stream';

let rig: ServerRig;
let backend: FakeBackend;
beforeEach(async () => {
  backend = createFakeBackend();
  rig = await startRig({ backends: [backend], upgradeAfterMs: 60_000 });
});
afterEach(() => rig.stop());

async function forwarded(count = 1): Promise<BackendCall> {
  await waitUntil(() => backend.open.length >= count, 5_000, `call ${count}`);
  const found = backend.open[count - 1];
  if (found === undefined) throw new Error('no call');
  return found;
}

/** POSTs and reads the answer as an event stream. */
function postStream(message: unknown, headers: Record<string, string> = {}) {
  return readEvents({
    url: rig.url,
    method: 'POST',
    headers: { authorization: `Bearer ${firstKey}`, 'content-type': 'application/json', accept: both, ...headers },
    body: JSON.stringify(message),
  });
}

describe('the answer of a call', () => {
  test('is JSON with Content-Length when nothing comes before it', async () => {
    const answer = rig.post(call);
    (await forwarded()).onResult(result);
    const { headers, body } = await answer;
    expect([headers['content-type'], headers['content-length']]).toEqual(['application/json', String(body.length)]);
    expect(body).toBe(`{"jsonrpc":"2.0","id":5,"result":${result}}`);
  });

  test.each(['legacy', 'modern'])('is 503 with Retry-After when the upstream has no place (%s client)', async (era) => {
    const modern = modernRequest(call.id, call.method, call.params);
    const { message, headers } = era === 'modern' ? modern : { message: call, headers: {} };
    const answer = rig.post(message, headers);
    const error = { code: -31002, message: 'all 3 processes are taken', data: { upstream: 'a', outcome: 'not run' } };
    (await forwarded()).onError(error);
    const got = await answer;
    expect([got.status, got.headers['retry-after']]).toEqual([503, '2']);
    expect(JSON.parse(got.body)).toEqual({ jsonrpc: '2.0', id: 5, error });
  });

  test('becomes an event stream when a notification comes first', async () => {
    const answer = postStream(call);
    const open = await forwarded();
    open.onNotification('notifications/progress', '{"progressToken":"t","progress":1}');
    const events = await answer;
    expect(events.headers['x-accel-buffering']).toBe('no');
    open.onResult('{"content":[],\r\n"structuredContent":{"a":1}}');
    const got = await events.take(2);
    expect(got.map(({ data }) => data)).toEqual([
      { jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken: 't', progress: 1 } },
      { jsonrpc: '2.0', id: 5, result: { content: [], structuredContent: { a: 1 } } },
    ]);
    await waitUntil(() => events.ended, 5_000);
    expect(events.comments[0]).toBe('open');
  });

  test('becomes an event stream when it takes long', async () => {
    await rig.stop();
    rig = await startRig({ backends: [backend], upgradeAfterMs: 50, server: { keepAliveSeconds: 0.05 } });
    const events = await postStream(call);
    await waitUntil(() => events.comments.includes('keep-alive'), 5_000);
    (await forwarded()).onResult(result);
    expect((await events.take(1))[0]?.data).toMatchObject({ id: 5 });
  });

  test('stays JSON for a client that takes no stream, without the notifications', async () => {
    const answer = rig.post(call, { accept: 'application/json' });
    const open = await forwarded();
    open.onNotification('notifications/progress', '{}');
    open.onResult(result);
    expect(JSON.parse((await answer).body)).toMatchObject({ id: 5 });
  });

  test('is an event stream from the start for a client that takes nothing else', async () => {
    const answer = postStream(call, { accept: 'text/event-stream' });
    const events = await answer;
    (await forwarded()).onResult(result);
    expect((await events.take(1))[0]?.data).toMatchObject({ id: 5 });
  });

  test('of 10 MB comes whole, while small calls go on', async () => {
    const big = JSON.stringify({ content: [{ type: 'text', text: 'x'.repeat(10_000_000) }] });
    const answer = rig.post(call);
    const small = rig.post({ ...call, id: 6 });
    (await forwarded(2)).onResult(result);
    (await forwarded(1)).onResult(big);
    expect(JSON.parse((await small).body).id).toBe(6);
    expect((await answer).body.length).toBeGreaterThan(10_000_000);
  });

  test('that is an error reaches the client as it was given', async () => {
    const answer = rig.post(call);
    (await forwarded()).onError({ code: -32_602, message: 'no such tool', data: { name: 'slow' } });
    expect(JSON.parse((await answer).body).error).toEqual({
      code: -32_602,
      message: 'no such tool',
      data: { name: 'slow' },
    });
  });
});

describe('a call is taken back', () => {
  test('when its client goes away', async () => {
    const events = postStream(call);
    await forwarded();
    (await forwarded()).onNotification('notifications/progress', '{}');
    (await events).close();
    await waitUntil(() => backend.cancelled.length === 1, 5_000);
  });

  test('when its client goes away before anything was sent', async () => {
    const controller = new AbortController();
    const answer = fetch(rig.url, {
      method: 'POST',
      headers: { authorization: `Bearer ${firstKey}`, 'content-type': 'application/json' },
      body: JSON.stringify(call),
      signal: controller.signal,
    }).catch(() => null);
    await forwarded();
    controller.abort();
    await answer;
    await waitUntil(() => backend.cancelled.length === 1, 5_000);
  });

  test('by notifications/cancelled of its own session, and not of another', async () => {
    const [own, other] = [await rig.initialize(), await rig.initialize()];
    const answer = rig.post(call, { 'mcp-session-id': own });
    await forwarded();
    const cancel = { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 5 } };
    await rig.post(cancel, { 'mcp-session-id': other });
    expect(backend.cancelled).toEqual([]);
    expect((await rig.post(cancel, { 'mcp-session-id': own })).status).toBe(202);
    expect(JSON.parse((await answer).body).error.code).toBe(-32_800);
    expect(backend.cancelled).toHaveLength(1);
  });

  test('with every other call of a batch', async () => {
    const controller = new AbortController();
    const answer = fetch(rig.url, {
      method: 'POST',
      headers: { authorization: `Bearer ${firstKey}`, 'content-type': 'application/json' },
      body: JSON.stringify([call, { ...call, id: 6 }]),
      signal: controller.signal,
    }).catch(() => null);
    await forwarded(2);
    controller.abort();
    await answer;
    await waitUntil(() => backend.cancelled.length === 2, 5_000);
  });
});

test('a lost answer stream of a session is resumed: what was missed comes first, then the result', async () => {
  const session = await rig.initialize();
  const first = postStream(call, { 'mcp-session-id': session });
  const open = await forwarded();
  open.onNotification('notifications/progress', '{"progress":1}');
  const lost = await first;
  const [seen] = await lost.take(1);
  lost.close();
  await waitUntil(() => lost.ended, 5_000);
  open.onNotification('notifications/progress', '{"progress":2}');
  const resume = (id: string) =>
    readEvents({
      url: rig.url,
      headers: { authorization: `Bearer ${firstKey}`, 'mcp-session-id': session, 'last-event-id': id },
    });
  const resumed = await resume(String(seen?.id));
  await resumed.take(1);
  open.onResult(result);
  const got = await resumed.take(2);
  expect(got.map(({ data }) => data?.['params'] ?? data?.['id'])).toEqual([{ progress: 2 }, 5]);
  await waitUntil(() => resumed.ended, 5_000);
  expect(backend.cancelled).toEqual([]);
  const again = await resume(String(got[0]?.id));
  expect((await again.take(1))[0]?.data).toMatchObject({ id: 5 });
});

test('an answer that is resumed while the old connection is still open goes on over the new one', async () => {
  const session = await rig.initialize();
  const first = postStream(call, { 'mcp-session-id': session });
  const open = await forwarded();
  open.onNotification('notifications/progress', '{"progress":1}');
  const old = await first;
  const [seen] = await old.take(1);
  const resumed = await readEvents({
    url: rig.url,
    headers: { authorization: `Bearer ${firstKey}`, 'mcp-session-id': session, 'last-event-id': String(seen?.id) },
  });
  await waitUntil(() => old.ended, 5_000);
  open.onNotification('notifications/progress', '{"progress":2}');
  open.onResult(result);
  expect((await resumed.take(2)).map(({ data }) => data?.['params'] ?? data?.['id'])).toEqual([{ progress: 2 }, 5]);
});

test('a broken result of a backend is an error of that call and of nothing else', async () => {
  const { message, headers } = modernRequest(1, 'tools/call', { name: 'any', arguments: {} });
  const answer = rig.post(message, headers);
  (await forwarded()).onResult('{"_meta": broken');
  expect(JSON.parse((await answer).body).error.code).toBe(-32_603);
  expect((await rig.call({ path: '/livez', headers: {} })).status).toBe(200);
});

test('a resource that does not exist has the code of the era of its caller', async () => {
  const read = { jsonrpc: '2.0', id: 3, method: 'resources/read', params: { uri: 'test://none' } };
  const legacy = rig.post(read);
  (await forwarded(1)).onError({ code: -32_002, message: 'Resource not found' });
  expect(JSON.parse((await legacy).body).error.code).toBe(-32_002);
  const { message, headers } = modernRequest(4, 'resources/read', { uri: 'test://none' });
  const modern = rig.post(message, headers);
  (await forwarded(2)).onError({ code: -32_002, message: 'Resource not found' });
  expect(JSON.parse((await modern).body).error).toEqual({
    code: -32_602,
    message: 'Resource not found',
    data: { uri: 'test://none' },
  });
});

test('a legacy stream begins with an event that only has an id for clients that understand it', async () => {
  for (const [version, primed] of [
    ['2025-11-25', true],
    ['2025-06-18', false],
  ] as const) {
    const session = await rig.initialize({ version });
    const events = postStream(call, { 'mcp-session-id': session });
    const open = await forwarded(primed ? 1 : 2);
    open.onNotification('notifications/progress', '{}');
    open.onResult(result);
    await (await events).take(2);
    expect((await events).events[0]?.data === null).toBe(primed);
  }
});

describe('questions of a backend', () => {
  const question = {
    message: 'Your name?',
    requestedSchema: { type: 'object', properties: { name: { type: 'string' } } },
  };
  const ask = (open: BackendCall): Promise<unknown> =>
    new Promise((resolve) => {
      open.onServerRequest('elicitation/create', question, resolve);
    });

  test('reach a legacy client on the stream of its call and its answer comes back', async () => {
    const session = await rig.initialize({ capabilities: { elicitation: {} } });
    const answer = postStream(call, { 'mcp-session-id': session });
    const open = await forwarded();
    const replied = ask(open);
    const events = await answer;
    const [asked] = await events.take(1);
    expect(asked?.data).toMatchObject({ method: 'elicitation/create', params: question });
    const reply = { jsonrpc: '2.0', id: asked?.data?.['id'], result: { action: 'accept', content: { name: 'Ada' } } };
    // Another session cannot answer for it.
    await rig.post(reply, { 'mcp-session-id': await rig.initialize() });
    expect((await rig.post(reply, { 'mcp-session-id': session })).status).toBe(202);
    expect(await replied).toEqual({ result: { action: 'accept', content: { name: 'Ada' } } });
    open.onResult(result);
    expect((await events.take(2))[1]?.data).toMatchObject({ id: 5 });
  });

  test('are answered with an error where the client did not offer to be asked, or cannot be', async () => {
    const silent = await rig.initialize();
    void rig.post(call, { 'mcp-session-id': silent });
    expect(await ask(await forwarded(1))).toMatchObject({ error: { code: -32_601 } });
    const able = await rig.initialize({ capabilities: { elicitation: {} } });
    void rig.post({ ...call, id: 6 }, { 'mcp-session-id': able, accept: 'application/json' });
    expect(await ask(await forwarded(2))).toMatchObject({ error: { code: -32_603 } });
    void rig.post({ ...call, id: 7 });
    expect(await ask(await forwarded(3))).toMatchObject({ error: {} });
    for (const open of backend.open) open.onResult(result);
  });

  test('are answered by the 1.x client', async () => {
    const client = await rig.legacyClient({ elicitation: {} });
    client.setRequestHandler(ElicitRequestSchema, () => ({ action: 'accept', content: { name: 'Grace' } }));
    const answer = client.callTool({ name: 'any' });
    const open = await forwarded();
    expect(await ask(open)).toEqual({ result: { action: 'accept', content: { name: 'Grace' } } });
    open.onResult(result);
    expect(await answer).toMatchObject({ content: [{ text: 'done' }] });
  });

  test('are answered by the 2.x client in the modern era: input_required, and the call goes on', async () => {
    const client = await rig.modernClient({ capabilities: { elicitation: {} } });
    client.setRequestHandler('elicitation/create', () => ({ action: 'accept', content: { name: 'Barbara' } }));
    const answer = client.callTool({ name: 'any' });
    const open = await forwarded();
    expect(await ask(open)).toEqual({ result: { action: 'accept', content: { name: 'Barbara' } } });
    const again = ask(open);
    expect(await again).toEqual({ result: { action: 'accept', content: { name: 'Barbara' } } });
    open.onResult(result);
    expect(await answer).toMatchObject({ content: [{ text: 'done' }] });
    expect(backend.open).toHaveLength(1);
  });

  test('of a modern call: another key, another tool, or an old state cannot continue it', async () => {
    const first = modernRequest(1, 'tools/call', { name: 'any', arguments: {} }, { elicitation: {} });
    const answer = rig.post(first.message, first.headers);
    const open = await forwarded();
    const replied = ask(open);
    const asked = JSON.parse((await answer).body).result;
    expect(asked).toMatchObject({ resultType: 'input_required', requestState: expect.any(String) });
    const [key] = Object.keys(asked.inputRequests);
    const retry = (name: string, state: string) =>
      modernRequest(
        2,
        'tools/call',
        { name, arguments: {}, requestState: state, inputResponses: { [String(key)]: { action: 'decline' } } },
        { elicitation: {} },
      );
    const wrongTool = retry('other', asked.requestState);
    const wrongState = retry('any', `${asked.requestState}-changed`);
    const right = retry('any', asked.requestState);
    for (const [request, headers] of [
      [wrongTool.message, wrongTool.headers],
      [wrongState.message, wrongState.headers],
      [right.message, { ...right.headers, authorization: 'Bearer second-8e1f7a2b3c4d5e6f7a8b' }],
    ] as const) {
      const refused = await rig.post(request, headers);
      expect(JSON.parse(refused.body).error).toMatchObject({
        code: -32_602,
        data: { reason: 'invalid_request_state' },
      });
    }
    const last = rig.post(right.message, right.headers);
    expect(await replied).toEqual({ result: { action: 'decline' } });
    open.onResult(result);
    expect(JSON.parse((await last).body)).toMatchObject({ id: 2, result: { resultType: 'complete' } });
  });

  test('of a modern call: what is asked at once goes out together, and each round has a state of its own', async () => {
    const first = modernRequest(1, 'tools/call', { name: 'any', arguments: {} }, { elicitation: {} });
    const answer = rig.post(first.message, first.headers);
    const open = await forwarded();
    void ask(open);
    void ask(open);
    const { inputRequests, requestState } = JSON.parse((await answer).body).result;
    expect(Object.keys(inputRequests)).toEqual(['q1', 'q2']);
    const retry = (state: string, key: string) => {
      const params = {
        name: 'any',
        arguments: {},
        requestState: state,
        inputResponses: { [key]: { action: 'decline' } },
      };
      const { message, headers } = modernRequest(2, 'tools/call', params, { elicitation: {} });
      return rig.post(message, headers);
    };
    const second = JSON.parse((await retry(requestState, 'q1')).body).result;
    expect(Object.keys(second.inputRequests)).toEqual(['q2']);
    expect(second.requestState).not.toBe(requestState);
    expect(JSON.parse((await retry(requestState, 'q2')).body).error.code).toBe(-32_602);
    const last = retry(second.requestState, 'q2');
    open.onResult(result);
    expect(JSON.parse((await last).body).result.content).toBeDefined();
  });

  test('of a modern call: a state that the backend gave out itself goes back to it with the answers', async () => {
    const params = { name: 'any', arguments: {}, requestState: 'of-the-backend', inputResponses: { q: {} } };
    const { message, headers } = modernRequest(1, 'tools/call', params, { elicitation: {} });
    const answer = rig.post(message, headers);
    const open = await forwarded();
    expect(open.params).toMatchObject({ requestState: 'of-the-backend', inputResponses: { q: {} } });
    open.onResult(result);
    expect((await answer).status).toBe(200);
  });

  test('of a modern call: what its client lacks is said when the backend passes the refusal on', async () => {
    const { message, headers } = modernRequest(1, 'tools/call', { name: 'any', arguments: {} });
    const answer = rig.post(message, headers);
    const open = await forwarded();
    expect(await ask(open)).toMatchObject({ error: { code: -32_601 } });
    open.onError({ code: -32_601, message: 'The client does not offer elicitation.' });
    const { status, body } = await answer;
    expect([status, JSON.parse(body).error]).toMatchObject([
      400,
      { code: -32_021, data: { requiredCapabilities: { elicitation: {} } } },
    ]);
  });

  test('that were refused do not change an answer that has another reason', async () => {
    const { message, headers } = modernRequest(1, 'tools/call', { name: 'any', arguments: {} });
    const answer = rig.post(message, headers);
    const open = await forwarded();
    await ask(open);
    open.onError({ code: -31_003, message: 'too slow' });
    expect(JSON.parse((await answer).body).error).toEqual({ code: -31_003, message: 'too slow' });
  });

  test('of a modern call: an answer that came while the client was away is there when it comes back', async () => {
    const first = modernRequest(1, 'tools/call', { name: 'any', arguments: {} }, { elicitation: {} });
    const answer = rig.post(first.message, first.headers);
    const open = await forwarded();
    void ask(open);
    const { requestState } = JSON.parse((await answer).body).result;
    open.onError({ code: -32_603, message: 'gave up waiting' });
    const retry = modernRequest(9, 'tools/call', { name: 'any', arguments: {}, requestState }, { elicitation: {} });
    expect(JSON.parse((await rig.post(retry.message, retry.headers)).body)).toEqual({
      jsonrpc: '2.0',
      id: 9,
      error: { code: -32_603, message: 'gave up waiting' },
    });
  });
});

describe('draining', () => {
  test('finishes the calls in flight, refuses new ones with 503, and says so on /readyz', async () => {
    const answer = rig.post(call);
    const open = await forwarded();
    const drained = rig.server.drain();
    const refused = await rig.post(call);
    expect([refused.status, refused.headers['retry-after']]).toEqual([503, '2']);
    const ready = await rig.call({ path: '/readyz', headers: {} });
    expect([ready.status, JSON.parse(ready.body).status]).toEqual([503, 'draining']);
    open.onResult(result);
    expect(JSON.parse((await answer).body)).toMatchObject({ id: 5 });
    await drained;
  });

  test('ends the streams, and a subscription with its result', async () => {
    const session = await rig.initialize();
    const stream = await readEvents({
      url: rig.url,
      headers: { authorization: `Bearer ${firstKey}`, 'mcp-session-id': session },
    });
    const listen = modernRequest(3, 'subscriptions/listen', { notifications: { toolsListChanged: true } });
    const listening = await postStream(listen.message, listen.headers);
    await listening.take(1);
    await rig.server.drain();
    await waitUntil(() => stream.ended && listening.ended, 5_000);
    expect(listening.events.at(-1)?.data).toMatchObject({ id: 3, result: { resultType: 'complete' } });
  });

  test('lets an answer of 20 MB out before it ends the connection', async () => {
    const answer = rig.post(call);
    const open = await forwarded();
    const drained = rig.server.drain();
    open.onResult(JSON.stringify({ content: [{ type: 'text', text: 'x'.repeat(20_000_000) }] }));
    expect((await answer).body.length).toBeGreaterThan(20_000_000);
    await drained;
  });

  test('gives up calls that take longer than drainSeconds', async () => {
    await rig.stop();
    rig = await startRig({ backends: [backend], server: { drainSeconds: 0.1 } });
    const answer = rig.post(call).catch(() => null);
    await forwarded();
    await rig.server.drain();
    await answer;
  });
});
