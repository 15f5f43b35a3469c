import { CallToolResultSchema } from '@modelcontextprotocol/sdk/types.js';
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startRig, type ServerRig } from '../helpers/server-rig.ts';
import { until } from '../fixtures/upstreams/backend-calls.ts';
import { startLegacyFixture, startModernFixture, type SdkFixture } from '../fixtures/upstreams/http-servers.ts';

/** What both SDK clients can do, so that one table serves both. */
interface AnyClient {
  listTools(): Promise<{ tools: { name: string }[] }>;
  call(name: string, args?: Record<string, unknown>, options?: CallOptions): Promise<{ content: { text: string }[] }>;
  readResource(params: { uri: string }): Promise<unknown>;
  getPrompt(params: { name: string }): Promise<unknown>;
}
interface CallOptions {
  readonly onprogress?: (progress: { progress: number }) => void;
  readonly signal?: AbortSignal;
}

const answerOf = () => ({ action: 'accept' as const, content: { name: 'Ada' } });

async function connect(rig: ServerRig, era: 'legacy' | 'modern'): Promise<AnyClient> {
  if (era === 'legacy') {
    const client = await rig.legacyClient({ elicitation: {} });
    client.setRequestHandler(ElicitRequestSchema, answerOf);
    return {
      listTools: () => client.listTools(),
      call: (name, args = {}, options = {}) =>
        client.callTool({ name, arguments: args }, CallToolResultSchema, options) as never,
      readResource: (params) => client.readResource(params),
      getPrompt: (params) => client.getPrompt(params),
    };
  }
  const client = await rig.modernClient({ pin: true, capabilities: { elicitation: { form: {} } } });
  client.setRequestHandler('elicitation/create', answerOf);
  return {
    listTools: () => client.listTools(),
    call: (name, args = {}, options = {}) => client.callTool({ name, arguments: args }, options) as never,
    readResource: (params) => client.readResource(params),
    getPrompt: (params) => client.getPrompt(params),
  };
}

const upstreams: Record<string, () => Promise<SdkFixture>> = {
  'legacy with sessions': () => startLegacyFixture(),
  'legacy without sessions': () => startLegacyFixture({ stateless: true }),
  'legacy with JSON answers': () => startLegacyFixture({ json: true }),
  modern: () => startModernFixture(),
};

describe.each(Object.keys(upstreams))('an HTTP upstream: %s', (kind) => {
  let upstream: SdkFixture;
  let rig: ServerRig;
  const asks = kind === 'legacy with sessions' || kind === 'modern';
  const streams = kind !== 'legacy with JSON answers';

  beforeAll(async () => {
    upstream = await (upstreams[kind] as () => Promise<SdkFixture>)();
    rig = await startRig({
      server: { upstreams: { up: { url: upstream.url, headers: { 'X-Own-Key': 'of-the-gateway' } } } },
    });
    await until(() => rig.server.registry.ready());
  });
  afterAll(async () => {
    await rig.stop();
    await upstream.stop();
  });

  test('is recognised', () => {
    const [backend] = rig.server.registry.backends;
    expect(backend?.serverInfo?.name).toBe(kind === 'modern' ? 'modern-http' : 'legacy-http');
    expect(backend?.instructions).toBe(kind === 'modern' ? 'New.' : 'Old.');
  });

  describe.each(['legacy', 'modern'] as const)('with a client of the %s era', (era) => {
    let client: AnyClient;
    beforeAll(async () => {
      client = await connect(rig, era);
    });

    test('tools, resources and prompts', async () => {
      expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(['echo', 'progress', 'ask', 'slow']);
      expect((await client.call('echo', { message: 'héllo\n' })).content[0]?.text).toBe('héllo\n');
      expect(await client.readResource({ uri: 'test://note' })).toMatchObject({ contents: [{ text: 'a note' }] });
      expect(await client.getPrompt({ name: 'greet' })).toMatchObject({
        messages: [{ content: { text: 'Say hello' } }],
      });
    });

    test.runIf(streams)('progress', async () => {
      const seen: number[] = [];
      await client.call('progress', {}, { onprogress: ({ progress }) => seen.push(progress) });
      expect(seen).toEqual([1, 2, 3]);
    });

    test.runIf(asks)('elicitation', async () => {
      expect((await client.call('ask')).content[0]?.text).toBe('{"name":"Ada"}');
    });

    // Without sessions the notice of a cancellation meets another server object, so nobody is told.
    test.runIf(kind !== 'legacy without sessions')('cancellation reaches the upstream', async () => {
      const before = upstream.seen.cancelled;
      const asked = upstream.requests.length;
      const abort = new AbortController();
      const call = client.call('slow', {}, { signal: abort.signal }).catch((error: unknown) => String(error));
      // Others may follow it: a stream that is opened anew.
      await until(() => upstream.requests.slice(asked).some(({ body }) => body.includes('"slow"')));
      abort.abort('enough');
      await call;
      await until(() => upstream.seen.cancelled > before);
      await until(() => rig.server.registry.backends[0]?.inFlight === 0);
    });
  });

  test('the key of the caller never reaches it, the gateway’s own always does', () => {
    expect(upstream.requests.length).toBeGreaterThan(8);
    for (const { headers } of upstream.requests) {
      expect(headers.authorization).toBeUndefined();
      expect(headers['x-api-key']).toBeUndefined();
      expect(headers['x-own-key']).toBe('of-the-gateway');
    }
  });

  test.runIf(asks)('a tool that is added there is announced here', async () => {
    const [backend] = rig.server.registry.backends;
    await until(() =>
      upstream.requests.some(({ method, body }) => method === 'GET' || body.includes('subscriptions/listen')),
    );
    let changes = 0;
    backend?.onListChanged(() => changes++);
    upstream.seen.addTool('fresh');
    await until(() => changes > 0);
    const client = await connect(rig, 'legacy');
    expect((await client.listTools()).tools.map(({ name }) => name)).toContain('fresh');
  });
});

test('a session that the upstream has forgotten is made anew, and the call in question is answered', async () => {
  const upstream = await startLegacyFixture();
  const rig = await startRig({ server: { upstreams: { up: { url: upstream.url } } } });
  const client = await connect(rig, 'legacy');
  await client.call('echo', { message: 'one' });
  upstream.forgetSessions();
  expect((await client.call('echo', { message: 'two' })).content[0]?.text).toBe('two');
  expect(upstream.requests.filter(({ body }) => body.includes('"initialize"'))).toHaveLength(2);
  await rig.stop();
  expect(upstream.requests.filter(({ method }) => method === 'DELETE')).toHaveLength(1);
  await upstream.stop();
});
