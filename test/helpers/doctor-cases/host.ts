import { foreign, host } from '../healthy-observations.ts';
import { refusedAt, type Case, type Tripping } from './parts.ts';

export const hostTripping: readonly Tripping[] = [
  {
    code: 'host/server-running',
    fact: 'the process is gone',
    hop: 'host',
    change: (seen) => ({
      ...host(seen, { serverRunning: false }),
      tcp: { status: 'ok', attempts: [refusedAt('192.0.2.10')] },
    }),
  },
  {
    code: 'host/file-modes',
    fact: 'the group may read the server key',
    change: (seen) => host(seen, { files: [{ path: '/k', what: 'server key', secret: true, mode: 0o640 }] }),
  },
  {
    code: 'host/file-modes',
    fact: 'others may write in the state folder',
    change: (seen) => host(seen, { files: [{ path: '/k', what: 'state folder', secret: false, mode: 0o777 }] }),
  },
  {
    code: 'host/key-store',
    fact: 'the store is no JSON',
    hop: 'host',
    change: (seen) => host(seen, { keyStore: 'damaged', keys: null }),
  },
  {
    code: 'host/key-store',
    fact: 'the store is gone, and so the server does not start',
    hop: 'host',
    change: (seen) => host(seen, { keyStore: 'missing', keys: null, serverRunning: false }),
  },
  {
    code: 'host/key-age',
    fact: 'a key of 91 days',
    severity: 'warning',
    change: (seen) => host(seen, { keys: [{ id: 'k-1', label: 'default', ageDays: 91 }] }),
  },
  {
    code: 'host/disk',
    fact: '199 MB are left',
    severity: 'warning',
    change: (seen) => host(seen, { disk: { freeBytes: 199 * 1_048_576, path: '/x' } }),
  },
  {
    code: 'host/disk',
    fact: '19 MB are left',
    change: (seen) => host(seen, { disk: { freeBytes: 19 * 1_048_576, path: '/x' } }),
  },
];

export const hostNearMiss: readonly Case[] = [
  { code: 'host/server-running', fact: 'a foreign server has no process here', change: (seen) => foreign(seen) },
  {
    code: 'host/file-modes',
    fact: '0400, and a certificate that all may read',
    change: (seen) =>
      host(seen, {
        files: [
          { path: '/k', what: 'server key', secret: true, mode: 0o400 },
          { path: '/c', what: 'certificate', secret: false, mode: 0o644 },
        ],
      }),
  },
  {
    code: 'host/key-store',
    fact: 'a deployment without keys has no store',
    change: (seen) => ({
      ...host(seen, { keyStore: 'none', keys: null }),
      target: { ...seen.target, keysRequired: false },
    }),
  },
  {
    code: 'host/key-age',
    fact: '90 days',
    change: (seen) => host(seen, { keys: [{ id: 'k-1', label: 'default', ageDays: 90 }] }),
  },
  {
    code: 'host/disk',
    fact: '200 MB',
    change: (seen) => host(seen, { disk: { freeBytes: 200 * 1_048_576, path: '/x' } }),
  },
];
