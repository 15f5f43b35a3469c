import type { IncomingMessage } from 'node:http';
import { expect } from 'vitest';

/** A problem of the proxy itself, as JSON with the security headers. */
export function expectProblem(
  answer: { status: number; headers: IncomingMessage['headers']; rawHeaders: readonly string[]; body: string },
  status: number,
  detail: RegExp,
): void {
  expect([answer.status, answer.body]).toEqual([status, expect.stringMatching(/^\{/)]);
  expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
  const body = JSON.parse(answer.body) as Record<string, unknown>;
  expect(body).toMatchObject({ type: 'about:blank', status, detail: expect.stringMatching(detail) as unknown });
  expect(body['title']).not.toBe('Error');
  expectSecurityHeaders(answer.rawHeaders);
}

/** Each once, whoever set it. */
export function expectSecurityHeaders(rawHeaders: readonly string[]): void {
  const count = (name: string): number =>
    rawHeaders.filter((header, index) => index % 2 === 0 && header.toLowerCase() === name).length;
  for (const name of ['x-content-type-options', 'x-frame-options', 'referrer-policy', 'content-type']) {
    expect([name, count(name)]).toEqual([name, 1]);
  }
}
