import { afterEach, describe, expect, test } from 'vitest';
import { stdioUpstreamSchema } from '../../src/deployment/stdio-upstream-schema.ts';
import { createStdioBackend } from '../../src/server/backends/stdio-backend.ts';
import type { Backend, BackendCall } from '../../src/server/types.ts';
import { callTool, errorOf, fixture, silentLog, textOf, until } from '../fixtures/upstreams/backend-calls.ts';

type Reply = Parameters<BackendCall['onServerRequest']>[2];

const modern = { era: 'modern', clientCapabilities: { elicitation: {}, sampling: {}, roots: {} } } as const;
const yes = { result: { action: 'accept', content: { name: 'Ada' } } };

let backend: Backend;
afterEach(() => backend.stop(1_000));

async function start(instances: 'shared' | 'per-key' | 'per-session'): Promise<void> {
  const upstream = stdioUpstreamSchema.parse({
    command: process.execPath,
    args: [fixture('conformance-legacy.mjs')],
    instances,
  });
  backend = createStdioBackend('asks', upstream, {
    env: process.env,
    baseDir: '/',
    log: silentLog,
    serverVersion: '9',
  });
  backend.start();
  await until(() => backend.state.state === 'up');
}

/** A call whose client is asked, and answers when the test says so. */
function asked(tool: string): {
  readonly questions: { method: string; reply: Reply }[];
  readonly answer: Promise<unknown>;
} {
  const questions: { method: string; reply: Reply }[] = [];
  const answer = callTool(
    backend,
    tool,
    {},
    {
      ...modern,
      onServerRequest: (method, _params, reply) => void questions.push({ method, reply }),
    },
  );
  answer.catch(() => {});
  return { questions, answer };
}

describe.each(['per-key', 'per-session'] as const)('a %s child of modern callers', (instances) => {
  test('asks the caller of the call that is at work while another client does not come back', async () => {
    await start(instances);
    const silent = asked('test_input_required_result_elicitation');
    await until(() => silent.questions.length === 1);
    const next = asked('test_input_required_result_elicitation');
    await until(() => next.questions.length === 1);
    next.questions[0]?.reply(yes);
    expect(await textOf(next.answer)).toBe('Hello, Ada!');
    expect(silent.questions).toHaveLength(1);
  });

  test('may ask several things at once, also then', async () => {
    await start(instances);
    const silent = asked('test_input_required_result_elicitation');
    await until(() => silent.questions.length === 1);
    const next = asked('test_input_required_result_multiple_inputs');
    await until(() => next.questions.length === 3);
    expect(next.questions.map(({ method }) => method).sort()).toEqual([
      'elicitation/create',
      'roots/list',
      'sampling/createMessage',
    ]);
    expect(silent.questions).toHaveLength(1);
  });
});

test('a shared child asks nobody when it cannot be told whose question it is', async () => {
  await start('shared');
  const silent = asked('test_input_required_result_elicitation');
  await until(() => silent.questions.length === 1);
  const next = asked('test_input_required_result_elicitation');
  expect((await errorOf(next.answer)).message).toContain('belongs to no single call');
  expect([silent.questions.length, next.questions.length]).toEqual([1, 0]);
});
