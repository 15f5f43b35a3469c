import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { firstKey, startRig, type ServerRig } from '../helpers/server-rig.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const text = { type: 'object', properties: { x: { type: 'string' } }, additionalProperties: false };
const say = { command: 'echo', args: ['--', '{{x}}'] };

let rig: ServerRig;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mcpd-approval-'));
  rig = await startRig({
    audit: join(folder, 'audit.jsonl'),
    server: {
      toolPath: '/tools',
      safety: { deny: ['*/etc/*', 'echo -- rm -rf*'], approvalSeconds: 0.5 },
      tools: {
        free: { description: 'runs', inputSchema: text, command: say },
        asked: { description: 'is asked for', tier: 'confirm', inputSchema: text, command: say },
        never: { description: 'is forbidden', tier: 'forbidden', inputSchema: text, command: say },
      },
    },
  });
});
afterAll(async () => {
  await rig.stop();
  rmSync(folder, { recursive: true, force: true });
});

type Answer = { action: 'accept' | 'decline' | 'cancel'; content?: Record<string, boolean> };
interface Asked {
  readonly questions: unknown[];
  call(name: string, x: string): Promise<Record<string, unknown>>;
}

async function legacy(answer: (() => Promise<Answer>) | null): Promise<Asked> {
  const questions: unknown[] = [];
  const client = await rig.legacyClient(answer === null ? {} : { elicitation: {} });
  if (answer !== null)
    client.setRequestHandler(ElicitRequestSchema, ({ params }) => {
      questions.push(params);
      return answer();
    });
  return { questions, call: async (name, x) => await client.callTool({ name, arguments: { x } }) };
}

async function modern(answer: (() => Promise<Answer>) | null): Promise<Asked> {
  const questions: unknown[] = [];
  const client = await rig.modernClient({
    pin: true,
    capabilities: answer === null ? {} : { elicitation: { form: {} } },
  });
  if (answer !== null)
    client.setRequestHandler('elicitation/create', ({ params }) => {
      questions.push(params);
      return answer();
    });
  return { questions, call: async (name, x) => await client.callTool({ name, arguments: { x } }) };
}

const yes = (): Promise<Answer> => Promise.resolve({ action: 'accept', content: { approve: true } });

describe.each([
  ['legacy', legacy],
  ['modern', modern],
])('a client of the %s era', (_era, connect) => {
  test('is asked with the arguments before each call of a tool of tier confirm, and a yes runs it', async () => {
    const client = await connect(yes);
    expect(await client.call('asked', 'hello')).toMatchObject({ content: [{ text: '-- hello\n' }] });
    expect(client.questions).toMatchObject([
      { message: 'Run the tool asked with {"x":"hello"}?', requestedSchema: { required: ['approve'] } },
    ]);
    await client.call('asked', 'again');
    expect(client.questions).toHaveLength(2);
    await client.call('free', 'no question');
    expect(client.questions).toHaveLength(2);
  });

  test.each<[string, (() => Promise<Answer>) | null, string]>([
    ['that says no', () => Promise.resolve({ action: 'accept', content: { approve: false } }), 'did not approve it'],
    ['that declines', () => Promise.resolve({ action: 'decline' }), 'did not approve it'],
    ['that cannot be asked', null, 'this client cannot ask one'],
    [
      'that does not answer in time',
      () => new Promise((resolve) => void setTimeout(() => void yes().then(resolve), 1_500)),
      'nobody approved it within 0.5 s',
    ],
  ])('a client %s is refused, and the audit says so', async (_title, answer, why) => {
    const client = await connect(answer);
    const result = await client.call('asked', 'refuse me');
    expect(result.isError).toBe(true);
    expect(JSON.stringify(result.content)).toContain(why);
    const refused = () =>
      readFileSync(join(folder, 'audit.jsonl'), 'utf8')
        .split('\n')
        .filter((line) => line.includes(why) && line.includes('"status":"refused"') && line.includes('"tool":"asked"'));
    await waitUntil(() => refused().length > 0, 5_000, 'the audit line');
  });

  test('does not see a forbidden tool and cannot call it', async () => {
    const client = await connect(yes);
    const result = await client.call('never', 'x');
    expect(result.isError).toBe(true);
    expect(JSON.stringify(result.content)).toContain('the operator has forbidden this tool');
    expect(client.questions).toEqual([]);
  });

  test('cannot run a command line that the deployment denies for all tools', async () => {
    const client = await connect(yes);
    for (const x of ['rm -rf /', 'a/etc/passwd', 'b\n/etc/shadow']) {
      const result = await client.call('free', x);
      expect(JSON.stringify(result.content)).toContain('matches a pattern that is denied here');
    }
    expect((await client.call('free', 'rm -r')).isError).toBeFalsy();
  });
});

describe('a plain call, which has nobody to ask', () => {
  const call = (path: string, body: unknown) =>
    rig.call({
      method: 'POST',
      path,
      headers: { 'content-type': 'application/json', 'x-api-key': firstKey },
      body: JSON.stringify(body),
    });
  const endpoint = 'call it at the MCP endpoint, from a client that can ask its user (elicitation).';

  test.each<[string, string, unknown, string]>([
    ['of tier confirm', '/tools/asked', { x: 'plainly' }, endpoint],
    ['of tier confirm, named in the body', '/tools', { name: 'asked', arguments: { x: 'plainly' } }, endpoint],
    ['that is forbidden', '/tools/never', { x: 'plainly' }, 'the operator has forbidden this tool.'],
    ['whose command line is denied', '/tools/free', { x: 'rm -rf /' }, 'matches a pattern that is denied here.'],
  ])('of a tool %s is not run', async (_title, path, body, why) => {
    const answer = await call(path, body);
    expect(answer.body).toContain(why);
    expect([answer.status, answer.headers['content-type']]).toEqual([403, 'application/problem+json']);
    const { status, detail } = JSON.parse(answer.body) as { status: number; detail: string };
    expect([status, detail]).toEqual([403, expect.stringMatching(/^The tool \w+ was not run: /)]);
    const id = answer.headers['x-request-id'];
    const lines = () => readFileSync(join(folder, 'audit.jsonl'), 'utf8').split('\n');
    const refused = (line: string): boolean => line.includes(`"${String(id)}"`) && line.includes('"status":"refused"');
    await waitUntil(() => lines().some(refused), 5_000, 'the audit line');
  });

  test('of a free tool runs', async () => {
    const answer = await call('/tools/free', { x: 'plainly' });
    expect([answer.status, answer.body]).toEqual([200, expect.stringContaining('-- plainly')]);
  });
});

test('a pattern full of stars is matched in one pass', async () => {
  const slow = await startRig({
    server: {
      tools: {
        free: { description: 'runs', inputSchema: text, command: { ...say, deny: [`*${'a*'.repeat(100)}b`] } },
      },
    },
  });
  try {
    const client = await slow.modernClient();
    const started = performance.now();
    const result = await client.callTool({ name: 'free', arguments: { x: 'a'.repeat(90_000) } });
    expect(result.isError).toBeFalsy();
    // A backtracking matcher would not be done before the sun is gone.
    expect(performance.now() - started).toBeLessThan(20_000);
  } finally {
    await slow.stop();
  }
});
