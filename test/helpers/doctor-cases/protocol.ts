import { answer, client, foreign, stuck } from '../healthy-observations.ts';
import { rpcError, type Case, type Tripping } from './parts.ts';

export const protocolTripping: readonly Tripping[] = [
  {
    code: 'protocol/legacy',
    fact: '500 on initialize',
    change: (seen) => ({ ...seen, legacy: stuck('connect', 'initialize', 500) }),
  },
  {
    code: 'protocol/legacy',
    fact: '500 on initialize of a server of that era only',
    change: (seen) => ({
      ...seen,
      legacy: stuck('connect', 'initialize', 500),
      modern: stuck('connect', 'initialize', 500),
    }),
  },
  {
    code: 'protocol/legacy',
    fact: 'a foreign server of the modern era only',
    severity: 'warning',
    change: (seen) => ({ ...foreign(seen), legacy: stuck('connect', 'initialize', 400) }),
  },
  {
    code: 'protocol/modern',
    fact: '500 on server/discover while initialize works',
    change: (seen) => ({ ...seen, modern: stuck('connect', 'server/discover', 500) }),
  },
  {
    code: 'protocol/modern',
    fact: 'our own address answers in the legacy era only',
    change: (seen) => ({ ...seen, modern: { status: 'ok', ...client('legacy', '2025-11-25') } }),
  },
  {
    code: 'protocol/unknown-session',
    fact: 'an unknown session gets 400',
    change: (seen) => ({ ...seen, session: { status: 'ok', answer: answer(400, rpcError(-32000)) } }),
  },
  {
    code: 'tools/list',
    fact: 'tools/list fails',
    change: (seen) => ({ ...seen, modern: stuck('list', 'tools/list', 200) }),
  },
  {
    code: 'tools/call',
    fact: 'the call fails',
    change: (seen) => ({ ...seen, modern: stuck('call', 'tools/call', 200) }),
  },
  {
    code: 'tools/call',
    fact: 'the tool says isError',
    severity: 'warning',
    change: (seen) => ({
      ...seen,
      modern: {
        status: 'ok',
        ...client('modern', '2026-07-28'),
        called: { tool: 'echo', durationMs: 1, isError: true },
      },
    }),
  },
];

export const protocolNearMiss: readonly Case[] = [
  {
    code: 'protocol/legacy',
    fact: 'it connects and lists no tools',
    change: (seen) => ({ ...seen, legacy: { status: 'ok', ...client('legacy', '2025-03-26'), toolCount: null } }),
  },
  {
    code: 'protocol/modern',
    fact: 'a foreign server of the legacy era only',
    change: (seen) => ({
      ...foreign(seen),
      modern: {
        status: 'ok',
        ...client('legacy', '2025-11-25'),
        called: { tool: 'echo', durationMs: 4, isError: false },
      },
    }),
  },
  {
    code: 'protocol/unknown-session',
    fact: 'a server without sessions',
    change: (seen) => ({
      ...seen,
      legacy: { status: 'ok', ...client('legacy', '2025-11-25'), session: false },
      session: { status: 'ok', answer: answer(200, {}) },
    }),
  },
  {
    code: 'tools/list',
    fact: 'a server without tools',
    change: (seen) => ({
      ...seen,
      modern: { status: 'ok', ...client('modern', '2026-07-28'), toolCount: null },
      legacy: { status: 'ok', ...client('legacy', '2025-11-25'), toolCount: null },
    }),
  },
  {
    code: 'tools/call',
    fact: 'no tool is safe',
    change: (seen) => ({ ...seen, modern: { status: 'ok', ...client('modern', '2026-07-28') } }),
  },
];
