import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startRig, type ServerRig } from '../helpers/server-rig.ts';

describe.each([
  ['over TLS', true],
  ['over plain HTTP', false],
])('both SDK clients on one URL %s', (_title, tls) => {
  let rig: ServerRig;
  beforeAll(async () => {
    rig = await startRig({ tls });
  });
  afterAll(() => rig.stop());

  test('the 1.x client lists and calls the built-in tools', async () => {
    const client = await rig.legacyClient();
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name).toSorted()).toEqual(['current_time', 'echo', 'server_info']);
    const result = await client.callTool({ name: 'echo', arguments: { message: 'hello' } });
    expect(JSON.stringify(result.content)).toContain('hello');
    expect(client.getServerVersion()).toEqual({ name: 'mcp-deploy', version: '9.9.9' });
  });

  test.each([[true], [false]])('the 2.x client speaks the modern era (pinned: %s)', async (pin) => {
    const client = await rig.modernClient({ pin });
    expect(client.getNegotiatedProtocolVersion()).toBe('2026-07-28');
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toContain('echo');
    const result = await client.callTool({ name: 'echo', arguments: { message: 'hello' } });
    expect(JSON.stringify(result.content)).toContain('hello');
  });
});
