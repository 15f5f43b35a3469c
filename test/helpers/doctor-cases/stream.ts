import { foreign } from '../healthy-observations.ts';
import { type Case, type Tripping } from './parts.ts';

export const streamTripping: readonly Tripping[] = [
  {
    code: 'stream/first-event',
    fact: 'the head comes late',
    hop: 'proxy',
    change: (seen) => ({
      ...seen,
      stream: { status: 'ok', kind: 'get', opened: { headersMs: 2_013, firstByteMs: 2_014, watchedMs: 2_014 } },
    }),
  },
  {
    code: 'stream/first-event',
    fact: 'no head comes at all',
    hop: 'proxy',
    change: (seen) => ({
      ...seen,
      stream: { status: 'ok', kind: 'get', opened: { headersMs: null, firstByteMs: null, watchedMs: 4_000 } },
    }),
  },
  {
    code: 'stream/first-event',
    fact: 'the comment line of our own server is kept back',
    hop: 'proxy',
    change: (seen) => ({
      ...seen,
      stream: { status: 'ok', kind: 'get', opened: { headersMs: 3, firstByteMs: null, watchedMs: 303 } },
    }),
  },
];

export const streamNearMiss: readonly Case[] = [
  {
    code: 'stream/first-event',
    fact: 'the server has no GET stream',
    change: (seen) => ({ ...seen, stream: { status: 'ok', kind: 'get', opened: null } }),
  },
  {
    code: 'stream/first-event',
    fact: 'a foreign server that sends nothing yet',
    change: (seen) => ({
      ...foreign(seen),
      stream: { status: 'ok', kind: 'get', opened: { headersMs: 1_400, firstByteMs: null, watchedMs: 1_700 } },
    }),
  },
];
