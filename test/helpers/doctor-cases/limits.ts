import { answer, foreign, host, limits, target } from '../healthy-observations.ts';
import { unlimited, type Case, type Tripping } from './parts.ts';

export const limitsTripping: readonly Tripping[] = [
  {
    code: 'limits/answers-429',
    fact: 'there is no limit',
    severity: 'warning',
    change: (seen) => limits(seen, { refusal: null, declared: null, sent: 200 }),
  },
  {
    code: 'limits/answers-429',
    fact: 'a declared limit is not kept',
    change: (seen) => limits(seen, { refusal: null, declared: { quota: 100, windowSeconds: 60 }, sent: 200 }),
  },
  {
    code: 'limits/answers-429',
    fact: 'a proxy answers 503',
    hop: 'proxy',
    change: (seen) => limits(seen, { refusal: null, usualStatus: 503, sent: 200 }),
  },
  {
    code: 'limits/retry-after',
    fact: 'the 429 does not say when',
    change: (seen) => limits(seen, { refusal: answer(429, {}, { ratelimit: 'x', 'ratelimit-policy': 'x' }) }),
  },
  {
    code: 'limits/retry-after',
    fact: 'the date lies in the past',
    change: (seen) =>
      limits(seen, {
        refusal: answer(
          429,
          {},
          { 'retry-after': 'Sat, 21 Nov 2026 11:00:00 GMT', ratelimit: 'x', 'ratelimit-policy': 'x' },
        ),
      }),
  },
  {
    code: 'limits/headers',
    fact: 'our own 429 has lost its RateLimit headers',
    severity: 'warning',
    change: (seen) => limits(seen, { refusal: answer(429, {}, { 'retry-after': '1' }) }),
  },
  {
    code: 'limits/recovers',
    fact: 'refused again when the time is over',
    severity: 'warning',
    hop: 'server',
    change: (seen) => limits(seen, { recovery: { waitedMs: 2_000, answer: answer(429, {}, { 'retry-after': '1' }) } }),
  },
  {
    code: 'limits/recovers',
    fact: 'the server fails from then on',
    severity: 'warning',
    change: (seen) => limits(seen, { recovery: { waitedMs: 1_000, answer: answer(503, {}) } }),
  },
  {
    code: 'limits/other-key',
    fact: 'another key is refused too',
    severity: 'warning',
    hop: 'server',
    change: (seen) => limits(seen, { otherKey: answer(429, {}, { 'retry-after': '1' }) }),
  },
];

export const limitsNearMiss: readonly Case[] = [
  {
    code: 'limits/recovers',
    fact: 'the time is too long to wait for',
    change: (seen) => limits(seen, { recovery: 'not tried: Retry-After is 60 s' }),
  },
  {
    code: 'limits/recovers',
    fact: 'the tool that does not exist is answered with 404',
    change: (seen) => limits(seen, { recovery: { waitedMs: 1_000, answer: answer(404, {}) } }),
  },
  {
    code: 'limits/other-key',
    fact: 'no other key is known',
    change: (seen) => limits(seen, { otherKey: null }),
  },
  {
    code: 'limits/other-key',
    fact: 'the other key is not accepted at all',
    change: (seen) => limits(seen, { otherKey: answer(401, {}) }),
  },
  {
    code: 'limits/answers-429',
    fact: 'our own limit is larger than what is sent',
    change: (seen) => unlimited(host(seen, { callLimit: { atOnce: 10_000, perSecond: 1_600 } }), 400),
  },
  {
    code: 'limits/answers-429',
    fact: 'our own limit fills up as quickly as calls are answered',
    change: (seen) => unlimited(seen, 4_001),
  },
  {
    code: 'limits/answers-429',
    fact: 'the owner has switched it off',
    change: (seen) => unlimited(host(seen, { callLimit: 'off' }), 400),
  },
  {
    code: 'limits/answers-429',
    fact: 'the declared limit of a foreign server lies above what is sent',
    change: (seen) => limits(unlimited(foreign(seen), 400), { declared: { quota: 100_000, windowSeconds: 60 } }),
  },
  {
    code: 'limits/answers-429',
    fact: 'it may not be tried',
    change: (seen) => ({
      ...foreign(target(seen, {})),
      target: { ...foreign(seen).target, limitsNotTried: 'not tried' },
    }),
  },
  {
    code: 'limits/retry-after',
    fact: 'as a date',
    change: (seen) =>
      limits(seen, {
        refusal: answer(
          429,
          {},
          { 'retry-after': 'Sat, 21 Nov 2026 12:00:30 GMT', ratelimit: 'x', 'ratelimit-policy': 'x' },
        ),
      }),
  },
  {
    code: 'limits/headers',
    fact: 'a foreign server without them',
    change: (seen) => limits(foreign(seen), { refusal: answer(429, {}, { 'retry-after': '1' }) }),
  },
];
