import { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { expect, test } from 'vitest';
import { BodyBudget, readBody } from '../../src/server/http/read-body.ts';

class FakeRequest extends EventEmitter {
  readonly headers = {};
  pause(): void {}
}

function reading(budget: BodyBudget, maxBytes = 1_000) {
  const req = new FakeRequest();
  const seen: string[] = [];
  readBody(
    {
      req: req as unknown as IncomingMessage,
      bodyRead: (text) => seen.push(`read ${text.length}`),
      bodyTooLarge: () => seen.push('too large'),
      bodyRefused: () => seen.push('refused'),
    },
    maxBytes,
    budget,
  );
  return { req, seen, send: (bytes: number) => req.emit('data', Buffer.alloc(bytes, 'x')) };
}

test('a body in one piece takes nothing from the budget', () => {
  const budget = new BodyBudget(10);
  const { req, seen, send } = reading(budget);
  send(500);
  expect(budget.heldBytes).toBe(0);
  req.emit('end');
  expect(seen).toEqual(['read 500']);
});

test('what unfinished bodies hold together is bounded, and comes back at the end, at a refusal and when the client goes', () => {
  const budget = new BodyBudget(500);
  const first = reading(budget);
  first.send(200);
  first.send(200);
  expect(budget.heldBytes).toBe(400);

  const second = reading(budget);
  second.send(100);
  second.send(100);
  expect(second.seen).toEqual(['refused']);
  second.send(100);
  second.req.emit('end');
  expect(second.seen).toEqual(['refused']);
  expect(budget.heldBytes).toBe(400);

  first.req.emit('end');
  expect(first.seen).toEqual(['read 400']);
  expect(budget.heldBytes).toBe(0);

  const third = reading(budget);
  third.send(100);
  third.send(300);
  third.req.emit('close');
  expect(budget.heldBytes).toBe(0);

  const fourth = reading(budget, 300);
  fourth.send(200);
  fourth.send(200);
  expect(fourth.seen).toEqual(['too large']);
  expect(budget.heldBytes).toBe(0);
});
