import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findParameterHeaders, judgeParameterHeaders } from '../../src/server/protocol/parameter-headers.ts';
import { createFakeBackend } from '../helpers/fake-backend.ts';
import { firstKey, modernRequest, startRig, type ServerRig } from '../helpers/server-rig.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const schema = {
  type: 'object',
  properties: {
    region: { type: 'string', 'x-mcp-header': 'Region' },
    attempt: { type: 'integer', 'x-mcp-header': 'Attempt' },
    dry: { type: 'boolean', 'x-mcp-header': 'Dry-Run' },
    where: { type: 'object', properties: { zone: { type: 'string', 'x-mcp-header': 'Zone' } } },
    plain: { type: 'string' },
  },
};
const declared = findParameterHeaders(schema);

test('declarations are found at any depth of properties and nowhere else', () => {
  expect(declared.map(({ path, header, isNumber }) => [path.join('.'), header, isNumber])).toEqual([
    ['region', 'mcp-param-region', false],
    ['attempt', 'mcp-param-attempt', true],
    ['dry', 'mcp-param-dry-run', false],
    ['where.zone', 'mcp-param-zone', false],
  ]);
  expect(findParameterHeaders({ 'x-mcp-header': 'Root', items: { 'x-mcp-header': 'Item' } })).toEqual([]);
  expect(
    findParameterHeaders({ properties: { a: { 'x-mcp-header': 'a b' }, b: { 'x-mcp-header': 1 }, c: 1 } }),
  ).toEqual([]);
  expect(findParameterHeaders(null)).toEqual([]);
});

describe('a call is let through', () => {
  test.each([
    ['with equal values', { region: 'eu', attempt: 2, dry: true }, { region: 'eu', attempt: '2', 'dry-run': 'true' }],
    ['with a number written otherwise', { attempt: 42 }, { attempt: '42.0' }],
    ['with spaces around the value', { region: 'eu' }, { region: '  eu ' }],
    ['with Base64', { region: 'Zürich' }, { region: `=?base64?${Buffer.from('Zürich').toString('base64')}?=` }],
    ['with what only looks like Base64', { region: 'SGVsbG8=' }, { region: 'SGVsbG8=' }],
    ['nested', { where: { zone: 'a' } }, { zone: 'a' }],
    ['without the parameter', {}, {}],
    ['with null for it', { region: null }, {}],
    ['with a header that the body does not need', {}, { region: 'eu' }],
    ['with a value that has no text form', { region: { a: 1 } }, {}],
    ['without arguments', undefined, {}],
  ])('%s', (_name, args, sent) => {
    expect(judgeParameterHeaders(declared, args, headers(sent))).toBeNull();
  });
});

describe('a call is refused', () => {
  test.each([
    ['without the header', { region: 'eu' }, {}],
    ['with another value', { region: 'eu' }, { region: 'us' }],
    ['with another case', { region: 'eu' }, { region: 'EU' }],
    ['with another number', { attempt: 2 }, { attempt: '3' }],
    ['with no number', { attempt: 0 }, { attempt: '' }],
    ['with broken padding', { region: 'Hello' }, { region: '=?base64?SGVsbG8?=' }],
    ['with characters that are not Base64', { region: 'Hello' }, { region: '=?base64?SGVs!!!bG8=?=' }],
    ['with bytes that are not UTF-8', { region: 'x' }, { region: '=?base64?/w==?=' }],
  ])('%s', (_name, args, sent) => {
    expect(judgeParameterHeaders(declared, args, headers(sent))?.code).toBe(-32_020);
  });
});

describe('on the wire', () => {
  let ran = 0;
  const backend = createFakeBackend(({ method }) => {
    if (method === 'tools/list') return JSON.stringify({ tools: [{ name: 'deploy', inputSchema: schema }] });
    ran++;
    return '{"content":[{"type":"text","text":"ran"}]}';
  });
  let rig: ServerRig;
  beforeAll(async () => {
    backend.setState({ state: 'starting', since: Date.now() });
    rig = await startRig({ backends: [backend], server: { toolPath: '/tools' } });
  });
  afterAll(() => rig.stop());

  const call = (extra: Record<string, string>) => {
    const { message, headers: own } = modernRequest(1, 'tools/call', { name: 'deploy', arguments: { region: 'eu' } });
    return rig.post(message, { ...own, ...extra });
  };

  test('tools are known once the backend is up: a header that disagrees is refused with 400, before anything runs', async () => {
    backend.setState({ state: 'up', since: Date.now() });
    await waitUntil(async () => (await call({ 'mcp-param-region': 'us' })).status === 400, 5_000);
    const refused = await call({});
    expect([refused.status, JSON.parse(refused.body).error.code]).toEqual([400, -32_020]);
    expect((await call({ 'mcp-param-region': 'eu' })).status).toBe(200);
  });

  const deploy = JSON.stringify({ region: 'eu' });
  const inBody = JSON.stringify({ name: 'deploy', arguments: { region: 'eu' } });
  test.each<[number, string, string, string, Record<string, string>]>([
    [400, 'without the header', '/tools/deploy', deploy, {}],
    [400, 'with another value', '/tools/deploy', deploy, { 'mcp-param-region': 'us' }],
    [400, 'with the tool in the body, without the header', '/tools', inBody, {}],
    [400, 'with the name of another tool', '/tools/deploy', deploy, { 'mcp-param-region': 'eu', 'mcp-name': 'look' }],
    [400, 'with another method', '/tools/deploy', deploy, { 'mcp-param-region': 'eu', 'mcp-method': 'tools/list' }],
    [200, 'with what the body says', '/tools/deploy', deploy, { 'mcp-param-region': 'eu' }],
    [
      200,
      'with all that a client of the protocol sends',
      '/tools',
      inBody,
      { 'mcp-param-region': '=?base64?ZXU=?=', 'mcp-name': 'deploy', 'mcp-method': 'tools/call' },
    ],
    [200, 'without the parameter', '/tools/deploy', '{}', {}],
  ])('%i for a plain call %s', async (status, _title, path, body, sent) => {
    await waitUntil(async () => (await call({})).status === 400, 5_000, 'the tools to be known');
    const before = ran;
    const answer = await rig.call({
      method: 'POST',
      path,
      headers: { authorization: `Bearer ${firstKey}`, 'content-type': 'application/json', ...sent },
      body,
    });
    expect(answer.status, answer.body).toBe(status);
    expect(ran - before).toBe(status === 200 ? 1 : 0);
    if (status === 400) {
      expect(answer.headers['content-type']).toBe('application/problem+json');
      expect(JSON.parse(answer.body)).toMatchObject({
        status,
        detail: expect.stringMatching(/disagree: .*(mcp-param-region|Mcp-Name|Mcp-Method)/),
      });
    }
  });

  test('legacy calls carry no such headers and are not asked for them', async () => {
    const answer = await rig.post({
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: { name: 'deploy', arguments: { region: 'eu' } },
    });
    expect(JSON.parse(answer.body).result.content[0].text).toBe('ran');
  });
});

function headers(values: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [`mcp-param-${name}`, value]));
}
