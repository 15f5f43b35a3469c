import { describe, expect, test } from 'vitest';
import type { CallEnd } from '../../src/server/backends/http-call.ts';
import { HttpRefusal } from '../../src/server/backends/http-failure.ts';
import { judgeHttpEnd } from '../../src/server/backends/judge-http-end.ts';

const rpcError = (message: string): string =>
  JSON.stringify({ jsonrpc: '2.0', id: null, error: { code: -1, message } });
const refused = (status: number, text = '', headers: Record<string, string> = {}): CallEnd => ({
  kind: 'refused',
  refusal: new HttpRefusal(status, headers, text),
});

describe('how an HTTP exchange ended, for the call', () => {
  test.each<[string, CallEnd, boolean, object]>([
    ['its result', { kind: 'result', json: '{}' }, false, { kind: 'result', json: '{}' }],
    ['a session that is forgotten: not run', refused(404), true, { kind: 'unsent' }],
    ['the same, said in words', refused(400, rpcError('Session expired')), true, { kind: 'unsent' }],
    ['404 without a session is a refusal', refused(404), false, { kind: 'failed', outcome: 'not run' }],
    ['no connection: not run', { kind: 'failed', sent: false, stale: false, reason: 'x' }, false, { kind: 'unsent' }],
    [
      'a connection that broke after the request: it may have run',
      { kind: 'failed', sent: true, stale: false, reason: 'x' },
      false,
      { kind: 'failed', outcome: 'unknown', what: 'failed: x; outcome unknown: it may have run.' },
    ],
    ['other credentials', refused(401), true, { outcome: 'not run', sign: { kind: 'credentials' } }],
    ['not for these credentials', refused(403), true, { kind: 'failed', outcome: 'not run' }],
    ['an error of the server', refused(422, rpcError('no')), false, { kind: 'error', error: { message: 'no' } }],
    ['busy', refused(429, '', { 'retry-after': '7' }), false, { what: expect.stringContaining('Try again in 7 s.') }],
    [
      'busy, with a text as time',
      refused(429, '', { 'retry-after': 'x' }),
      false,
      { what: expect.not.stringContaining('again') },
    ],
    ['a failure of the server', refused(500), false, { outcome: 'unknown', sign: { kind: 'failing' } }],
    ['a failure of what is in front of it', refused(502), false, { outcome: 'unknown', sign: { kind: 'gateway' } }],
    [
      'a page in place of an answer',
      refused(200, '<html>'),
      false,
      { what: expect.stringContaining('cannot be understood') },
    ],
    ['too large', { kind: 'too-large' }, false, { what: expect.stringContaining('more than 10 bytes') }],
  ])('%s', (_title, end, inSession, expected) => {
    expect(judgeHttpEnd(end, inSession, 10)).toMatchObject(expected);
  });

  test('credentials that do not suffice for one call say nothing of the others', () => {
    expect(judgeHttpEnd(refused(403), true, 10)).not.toHaveProperty('sign');
  });
});
