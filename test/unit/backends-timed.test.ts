import { expect, test } from 'vitest';
import { limitToolTime } from '../../src/server/backends/timed-backend.ts';
import { callTool, errorOf, request, textOf } from '../fixtures/upstreams/backend-calls.ts';
import { createFakeBackend } from '../helpers/fake-backend.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const answer = '{"content":[{"type":"text","text":"well"}]}';

test('a call that takes longer than its tool may is taken back, and its late answer goes nowhere', async () => {
  const fake = createFakeBackend();
  const timed = limitToolTime(fake, { quick: 0.02 });
  const error = await errorOf(callTool(timed, 'quick'));
  expect(error).toEqual({
    code: -31003,
    message: 'The upstream "fake" did not answer within 0.02 s; outcome unknown: it may have run.',
    data: { upstream: 'fake', outcome: 'unknown' },
  });
  expect(fake.cancelled).toEqual(['time-out']);
  fake.open[0]?.onResult(answer);
});

test('a name in full goes before a pattern, and other tools and methods have the time of the upstream', async () => {
  const fake = createFakeBackend();
  const timed = limitToolTime(fake, { 'list_*': 0.02, list_all: 60 });
  const others = [
    callTool(timed, 'list_all'),
    callTool(timed, 'write'),
    request(timed, 'prompts/get', { name: 'list_x' }),
  ];
  expect((await errorOf(callTool(timed, 'list_some'))).code).toBe(-31003);
  for (const call of fake.open) call.onResult(answer);
  expect(await Promise.all(others)).toHaveLength(3);
});

test('the time stands still while the client is asked', async () => {
  const fake = createFakeBackend();
  let reply: (() => void) | null = null;
  const result = textOf(
    callTool(
      limitToolTime(fake, { ask: 0.05 }),
      'ask',
      {},
      {
        onServerRequest: (_method, _params, answerIt) => void (reply = () => answerIt({ result: {} })),
      },
    ),
  );
  const other = errorOf(callTool(limitToolTime(fake, { ask: 0.1 }), 'ask'));
  fake.open[0]?.onServerRequest('elicitation/create', {}, () => fake.open[0]?.onResult(answer));
  // The other call, with twice the time, has run out of it by then.
  expect((await other).code).toBe(-31003);
  expect(fake.cancelled).toEqual(['time-out']);
  await waitUntil(() => reply !== null, 1_000);
  (reply as (() => void) | null)?.();
  expect(await result).toBe('well');
});
