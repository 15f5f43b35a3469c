import { afterEach, describe, expect, test } from 'vitest';
import { deploymentSchema } from '../../src/deployment/schema.ts';
import { applyEnvironment } from '../../src/server/environment.ts';
import type { HttpAnswer } from '../helpers/http-call.ts';
import { firstKey, secondKey, startRig, type RigOptions, type ServerRig } from '../helpers/server-rig.ts';

let rig: ServerRig;
afterEach(() => rig.stop());

const start = async (limits: RigOptions['limits'], auth?: RigOptions['auth']): Promise<void> => {
  rig = await startRig({ limits, auth, server: { trustedProxies: ['loopback'] } });
};

function echo(key = firstKey, address = '192.0.2.1'): Promise<HttpAnswer> {
  const params = { name: 'echo', arguments: { message: 'x' } };
  const headers = { authorization: `Bearer ${key}`, 'x-forwarded-for': address };
  return rig.post({ jsonrpc: '2.0', id: 1, method: 'tools/call', params }, headers);
}

describe('the environment of servers in the field', () => {
  const limitsOf = (env: Record<string, string>): RigOptions['limits'] => {
    const deployment = deploymentSchema.parse({ version: 1 });
    return applyEnvironment({ deployment, extraKeys: [], stdio: false }, env).deployment.limits;
  };

  test('RATE_LIMIT_*: a fixed window of an address, told on every answer in the fields of those servers', async () => {
    await start(limitsOf({ RATE_LIMIT_WINDOW_MS: '900000', RATE_LIMIT_MAX_REQUESTS: '3' }));
    const first = await echo();
    expect(first.status).toBe(200);
    expect(first.headers).toMatchObject({
      'ratelimit-limit': '3',
      'ratelimit-remaining': '2',
      'ratelimit-reset': '900',
      'ratelimit-policy': '"address";q=3;w=900',
      ratelimit: '"address";r=2;t=900',
    });
    expect([(await echo(secondKey)).status, (await echo()).status, (await echo(secondKey)).status]).toEqual([
      200, 200, 429,
    ]);
    expect((await echo(firstKey, '192.0.2.2')).status).toBe(200);
    const refused = await echo();
    expect(refused.headers).toMatchObject({
      'content-type': 'application/problem+json',
      'ratelimit-remaining': '0',
      'retry-after': expect.stringMatching(/^(?:900|899)$/) as string,
    });
    expect(JSON.parse(refused.body)).toMatchObject({ status: 429, 'violated-policies': ['address'] });
    expect((await rig.post({ jsonrpc: '2.0', id: 2, method: 'tools/list' })).status).toBe(200);
  });

  test('MCP_RATE_LIMIT: calls per second of all keys together, Retry-After: 1', async () => {
    await start(limitsOf({ MCP_RATE_LIMIT: '5' }));
    const answers = await Promise.all(Array.from({ length: 40 }, (_, at) => echo(at % 2 === 0 ? firstKey : secondKey)));
    const refused = answers.filter(({ status }) => status === 429);
    expect(refused.length).toBeGreaterThan(20);
    expect(refused.every(({ headers }) => headers['retry-after'] === '1')).toBe(true);
    expect(answers.some(({ headers, status }) => status === 200 && headers['ratelimit'] !== undefined)).toBe(false);
  });
});

test('without a word no answer but a 429 tells of limits', async () => {
  await start({});
  const answer = await echo();
  expect(Object.keys(answer.headers).filter((name) => name.includes('ratelimit'))).toEqual([]);
});

test('a tool in flight as often as it may be is refused with 429 until one has ended', async () => {
  await start({ perTool: { echo: { concurrency: 1 } } });
  // Both are read before the first is answered.
  const params = { name: 'echo', arguments: { message: 'x' } };
  const [one, two] = [1, 2].map((id) => ({ jsonrpc: '2.0', id, method: 'tools/call', params }));
  const both = await rig.post([one, two], { 'mcp-protocol-version': '2025-03-26' });
  const codes = (JSON.parse(both.body) as { error?: { code: number } }[]).map(({ error }) => error?.code ?? 0);
  expect(codes.toSorted((a, b) => a - b)).toEqual([0, 429]);
  expect((await echo()).status).toBe(200);
});
