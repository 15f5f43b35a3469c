import { expect, test } from 'vitest';
import { parsePresentedKey } from '../../src/server/policy/presented-key.ts';

test.each<[string, string | undefined, string | undefined]>([
  ['Bearer', 'Bearer K1', undefined],
  ['the scheme in small letters', 'bearer K1', undefined],
  ['the scheme in capitals', 'BEARER K1', undefined],
  ['several spaces after the scheme', 'Bearer   K1', undefined],
  ['a tab after the scheme', 'Bearer\tK1', undefined],
  ['x-api-key', undefined, 'K1'],
  ['both, the same', 'Bearer K1', 'K1'],
  ['x-api-key beside the Basic login of something in front', 'Basic dTpw', 'K1'],
])('the key is found in %s', (_case, authorization, xApiKey) => {
  expect(parsePresentedKey(authorization, xApiKey)).toEqual({ kind: 'key', key: 'K1' });
});

test.each<[string, string | undefined, string | undefined, 'missing' | 'unreadable', RegExp]>([
  ['no header', undefined, undefined, 'missing', /send Authorization: Bearer KEY or x-api-key: KEY/],
  ['an empty Authorization', '', undefined, 'missing', /is empty/],
  ['a blank Authorization', '  ', undefined, 'missing', /is empty/],
  ['an empty x-api-key', undefined, '', 'missing', /is empty/],
  ['Bearer alone', 'Bearer', undefined, 'unreadable', /no key follows/],
  ['Bearer and a space', 'Bearer ', undefined, 'unreadable', /no key follows/],
  ['Bearer twice', 'Bearer Bearer K1', undefined, 'unreadable', /twice/],
  ['Bearer inside x-api-key', undefined, 'Bearer K1', 'unreadable', /takes the key alone/],
  ['a bare key', 'K1', undefined, 'unreadable', /no scheme/],
  ['Basic', 'Basic dTpw', undefined, 'unreadable', /another scheme/],
  ['a scheme that begins like Bearer', 'BearerK1 x', undefined, 'unreadable', /another scheme/],
  ['a newline at the end', 'Bearer K1\n', undefined, 'unreadable', /line break/],
  ['a newline at the end of x-api-key', undefined, 'K1\r\n', 'unreadable', /line break/],
  ['a space at the end', 'Bearer K1 ', undefined, 'unreadable', /space/],
  ['a space inside', 'Bearer K1 K2', undefined, 'unreadable', /space/],
  ['two x-api-key headers, joined by node', undefined, 'K1, K1', 'unreadable', /space/],
  ['a key in quotes', 'Bearer "K1"', undefined, 'unreadable', /quotes/],
  ['a placeholder', 'Bearer <K1>', undefined, 'unreadable', /brackets/],
  ['two different keys', 'Bearer K1', 'K2', 'unreadable', /different/],
  ['a good and an unreadable key', 'Bearer Bearer K1', 'K1', 'unreadable', /twice/],
  ['a character beyond ASCII', 'Bearer K1é', undefined, 'unreadable', /unprintable/],
])('%s is told apart, and no part of the key is in the sentence', (_case, authorization, xApiKey, kind, problem) => {
  const presented = parsePresentedKey(authorization, xApiKey);
  expect(presented).toMatchObject({ kind, problem: expect.stringMatching(problem) });
  expect(JSON.stringify(presented)).not.toMatch(/K[12]/);
});
