import { expect, test } from 'vitest';
import { createEraBridge } from '../../src/server/backends/era-bridge.ts';
import type { Hello } from '../../src/server/backends/handshake.ts';
import type { BackendCall, RpcError } from '../../src/server/types.ts';

const level = 'io.modelcontextprotocol/logLevel';

function hello(era: 'legacy' | 'modern', capabilities: Record<string, unknown> = { logging: {} }): Hello {
  return { era, protocolVersion: '', capabilities, serverInfo: null, instructions: null };
}

/** What became of a call: passed on with these params, or answered. */
function rig(upstream: Hello | null) {
  const bridge = createEraBridge();
  return {
    bridge,
    call: async (
      method: string,
      params: Record<string, unknown> | undefined,
      { era = 'legacy', sessionId = 's' }: { era?: 'legacy' | 'modern'; sessionId?: string | null } = {},
    ): Promise<{ sent?: unknown; result?: string; error?: RpcError }> => {
      let outcome = {};
      const made: BackendCall = {
        method,
        params,
        era,
        sessionId,
        caller: { keyId: '', label: '', address: '' },
        clientCapabilities: {},
        onResult: (result) => void (outcome = { result }),
        onError: (error) => void (outcome = { error }),
        onNotification() {},
        onServerRequest() {},
      };
      bridge.forward(made, upstream, (sent) => {
        outcome = { sent: sent.params };
        return () => {};
      });
      await Promise.resolve();
      return outcome;
    },
  };
}

test('the level that a legacy client sets travels with its calls to a modern upstream, and with nobody else’s', async () => {
  const { call, bridge } = rig(hello('modern'));
  expect(await call('tools/call', { name: 'a' })).toEqual({ sent: { name: 'a' } });
  expect(await call('logging/setLevel', { level: 'warning' })).toEqual({ result: '{}' });
  expect(await call('tools/call', { name: 'a', _meta: { x: 1 } })).toEqual({
    sent: { name: 'a', _meta: { x: 1, [level]: 'warning' } },
  });
  expect(await call('tools/list', undefined)).toEqual({ sent: { _meta: { [level]: 'warning' } } });
  expect(await call('tools/call', { name: 'a' }, { sessionId: 'other' })).toEqual({ sent: { name: 'a' } });
  expect(await call('tools/call', { name: 'a' }, { sessionId: null })).toEqual({ sent: { name: 'a' } });
  bridge.endSession('s');
  expect(await call('tools/call', { name: 'a' })).toEqual({ sent: { name: 'a' } });
});

test('a level that does not exist is refused and changes nothing', async () => {
  const { call } = rig(hello('modern'));
  expect((await call('logging/setLevel', { level: 'loud' })).error?.code).toBe(-32_602);
  expect((await call('logging/setLevel', undefined)).error?.code).toBe(-32_602);
  expect(await call('tools/call', {})).toEqual({ sent: {} });
});

test('an upstream that takes levels itself, or does not log, gets the request', async () => {
  for (const upstream of [hello('legacy'), hello('modern', {}), null]) {
    expect(await rig(upstream).call('logging/setLevel', { level: 'info' })).toEqual({ sent: { level: 'info' } });
  }
});

test('a state never reaches an upstream that cannot have given it out', async () => {
  const params = { name: 'a', requestState: 'made-up' };
  expect((await rig(hello('legacy')).call('tools/call', params, { era: 'modern' })).error).toMatchObject({
    code: -32_602,
    data: { reason: 'invalid_request_state' },
  });
  expect(await rig(hello('modern')).call('tools/call', params, { era: 'modern' })).toEqual({ sent: params });
});
