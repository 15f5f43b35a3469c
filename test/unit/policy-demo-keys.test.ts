import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { isDemoKey } from '../../src/server/policy/demo-keys.ts';
import { createKeyIn } from '../../src/server/policy/key-store.ts';

test.each([
  '',
  'test',
  'secret',
  'changeme',
  'password123',
  'dev-key-12345',
  'DEV_KEY_123456789',
  'your-api-key-here',
  'Your-Secret-API-Key-Here-32-Chars',
  'your_super_long_production_token',
  'my-super-secret-key',
  'change-me-in-production',
  'replace-with-a-real-key',
  'example-key-for-the-docs',
  '<put your key in here>',
  '${MCP_API_KEY_FROM_ENV}',
  'aaaaaaaaaaaaaaaaaaaaaaaa',
  '0000000000000000',
  'abababababababab',
  'deadbeefdeadbeef',
  '----------------',
  'fifteen-chars-x',
])('%j guards nothing', (key) => {
  expect(isDemoKey(key)).toBe(true);
});

test('random keys in every usual form are good', () => {
  for (let index = 0; index < 5_000; index += 1) {
    const bytes = randomBytes(32);
    for (const key of [bytes.toString('hex'), bytes.toString('base64'), bytes.toString('base64url')]) {
      expect(isDemoKey(key), key).toBe(false);
    }
  }
  expect(isDemoKey(createKeyIn(null, { label: 'a', now: '2026-01-01T00:00:00Z' }).key)).toBe(false);
});

test.each([
  'myQ7cJ2v9LxT4bWn8RkZ',
  'demo4f9a1c77be023d5',
  'testing-1f0c-9a77-4b1e',
  '3f0c9a77-4b1e-4c0d-8a55-0d4a1c2e7b90',
])('%j is no sample only because of how it begins', (key) => {
  expect(isDemoKey(key)).toBe(false);
});
