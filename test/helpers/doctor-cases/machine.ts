import type { MachineSeen, SecretSeen } from '../../../src/doctor/machine-observations.ts';
import type { Observations } from '../../../src/doctor/observations.ts';
import { foreign, machine, tls } from '../healthy-observations.ts';
import type { Case, Tripping } from './parts.ts';

const secret = (
  where: SecretSeen['where'],
  what: SecretSeen['what'] = 'an API key of this deployment',
): MachineSeen['secrets'] => [{ where, what, place: '/srv/x/file:3', path: '/srv/x/file', mode: 0o644 }];
const audit = (seen: Observations, after: { size: number; inode: number } | null): Observations => ({
  ...seen,
  audit: { status: 'ok', file: '/srv/x/audit.log', before: { size: 10, inode: 7 }, after },
});
const entry = { id: 'cursor', client: 'Cursor', path: '/home/x/.cursor/mcp.json', entry: 'mcp' };
const unit = { name: 'mcp.service', active: 'active', enabled: true, restarts: 0, upSeconds: 90_000 };
const backup = {
  newest: { file: '/b/x.age', ageDays: 1 },
  file: 'as written',
  takenAway: false,
  deployedDays: 90,
} as const;
const child = { pid: 812, descriptors: { open: 41, limit: 1_024 }, nodeVersion: 'v22.4.0' };
const warning = 'warning' as const;

export const machineTripping: readonly Tripping[] = [
  {
    code: 'tls/ca-constraints',
    fact: 'the CA constrains addresses',
    hop: 'tls',
    change: (seen) => tls(seen, { constrainsAddresses: true }),
  },
  { code: 'host/secrets-in-settings', fact: 'a key', change: (seen) => machine(seen, { secrets: secret('settings') }) },
  {
    code: 'host/secrets-in-settings',
    fact: 'a token of somebody else',
    severity: warning,
    change: (seen) => machine(seen, { secrets: secret('settings', 'a secret in clear') }),
  },
  { code: 'host/secrets-in-git', fact: 'a key', change: (seen) => machine(seen, { secrets: secret('git') }) },
  {
    code: 'host/environment-files',
    fact: 'open to all',
    change: (seen) => machine(seen, { secrets: secret('environment file') }),
  },
  {
    code: 'host/secrets-in-arguments',
    fact: 'a key',
    change: (seen) => machine(seen, { secrets: secret('arguments') }),
  },
  {
    code: 'host/file-owners',
    fact: 'a key of user 1001',
    change: (seen) => machine(seen, { foreignOwners: [{ path: '/k', uid: 1_001, expectedUid: 1_000 }] }),
  },
  {
    code: 'host/port-ours',
    fact: 'another program on ::1',
    hop: 'host',
    change: (seen) => machine(seen, { strangers: [{ port: 443, address: '::1', holder: 'node (pid 9)' }] }),
  },
  {
    code: 'host/node-version',
    fact: 'version 20.18',
    severity: warning,
    change: (seen) => machine(seen, { process: { ...child, nodeVersion: 'v20.18.3' } }),
  },
  {
    code: 'host/node-version',
    fact: 'an odd version',
    severity: warning,
    change: (seen) => machine(seen, { process: { ...child, nodeVersion: 'v23.1.0' } }),
  },
  {
    code: 'host/descriptors',
    fact: 'four fifths are open',
    severity: warning,
    change: (seen) => machine(seen, { process: { ...child, descriptors: { open: 820, limit: 1_024 } } }),
  },
  {
    code: 'host/descriptors',
    fact: 'all are open',
    change: (seen) => machine(seen, { process: { ...child, descriptors: { open: 1_020, limit: 1_024 } } }),
  },
  {
    code: 'host/service-steady',
    fact: 'four restarts, the last a minute ago',
    severity: warning,
    change: (seen) => machine(seen, { unit: { ...unit, restarts: 4, upSeconds: 60 } }),
  },
  {
    code: 'host/service-enabled',
    fact: 'disabled',
    severity: warning,
    change: (seen) => machine(seen, { unit: { ...unit, enabled: false } }),
  },
  {
    code: 'host/firewall',
    fact: 'dropped',
    change: (seen) => machine(seen, { firewall: { port: 443, droppedBy: 'policy drop' } }),
  },
  { code: 'host/audit-written', fact: 'the file is gone', change: (seen) => audit(seen, null) },
  { code: 'host/audit-written', fact: 'the file does not grow', change: (seen) => audit(seen, { size: 10, inode: 7 }) },
  {
    code: 'host/drift',
    fact: 'edited',
    severity: warning,
    change: (seen) => machine(seen, { drifted: [{ path: '/etc/nginx/x', state: 'edited by hand' }] }),
  },
  {
    code: 'host/backup-age',
    fact: 'nine days',
    severity: warning,
    change: (seen) => machine(seen, { backup: { ...backup, newest: { file: '/b/x.age', ageDays: 9 } } }),
  },
  {
    code: 'host/backup-file',
    fact: 'gone',
    severity: warning,
    change: (seen) => machine(seen, { backup: { ...backup, file: 'gone' } }),
  },
  {
    code: 'host/renewal-timer',
    fact: 'stopped',
    severity: warning,
    change: (seen) => machine(seen, { timer: { files: [], unit: { name: 'x.timer', state: 'inactive' } } }),
  },
  {
    code: 'host/backup-timer',
    fact: 'its file is gone',
    severity: warning,
    change: (seen) => machine(seen, { backupTimer: { files: [{ path: '/etc/cron.d/x', state: 'gone' }], unit: null } }),
  },
  {
    code: 'host/client-url',
    fact: 'an earlier port',
    hop: 'client',
    severity: warning,
    change: (seen) => machine(seen, { clients: [{ ...entry, problem: { kind: 'old-url', url: 'https://a:1/mcp' } }] }),
  },
  {
    code: 'host/client-key',
    fact: 'a revoked key',
    hop: 'client',
    severity: warning,
    change: (seen) => machine(seen, { clients: [{ ...entry, problem: { kind: 'wrong-key' } }] }),
  },
  {
    code: 'host/client-ca',
    fact: 'a file that is gone',
    hop: 'client',
    severity: warning,
    change: (seen) => machine(seen, { clients: [{ ...entry, problem: { kind: 'missing-file', file: '/ca.crt' } }] }),
  },
];

export const machineNearMiss: readonly Case[] = [
  ...[
    'tls/ca-constraints',
    'host/secrets-in-settings',
    'host/secrets-in-git',
    'host/environment-files',
    'host/secrets-in-arguments',
    'host/file-owners',
    'host/port-ours',
    'host/client-url',
    'host/client-key',
    'host/client-ca',
  ].map((code): Case => ({ code, fact: 'a server of somebody else', change: (seen) => foreign(seen) })),
  {
    code: 'host/node-version',
    fact: 'the oldest that is allowed',
    change: (seen) => machine(seen, { process: { ...child, nodeVersion: 'v20.19.0' } }),
  },
  {
    code: 'host/descriptors',
    fact: 'just below four fifths',
    change: (seen) => machine(seen, { process: { ...child, descriptors: { open: 819, limit: 1_024 } } }),
  },
  {
    code: 'host/service-steady',
    fact: 'many restarts, the last an hour ago',
    change: (seen) => machine(seen, { unit: { ...unit, restarts: 40, upSeconds: 3_600 } }),
  },
  { code: 'host/service-enabled', fact: 'no service', change: (seen) => machine(seen, { unit: null }) },
  { code: 'host/firewall', fact: 'not readable', change: (seen) => machine(seen, { firewall: null }) },
  { code: 'host/audit-written', fact: 'rotated meanwhile', change: (seen) => audit(seen, { size: 5, inode: 8 }) },
  { code: 'host/drift', fact: 'no record', change: (seen) => machine(seen, { drifted: null }) },
  {
    code: 'host/backup-age',
    fact: 'eight days',
    change: (seen) => machine(seen, { backup: { ...backup, newest: { file: '/b/x.age', ageDays: 8 } } }),
  },
  {
    code: 'host/backup-file',
    fact: 'gone, since it is taken elsewhere',
    change: (seen) => machine(seen, { backup: { ...backup, file: 'gone', takenAway: true } }),
  },
  { code: 'host/backup-timer', fact: 'none was installed', change: (seen) => machine(seen, { backupTimer: null }) },
  { code: 'host/renewal-timer', fact: 'none was installed', change: (seen) => machine(seen, { timer: null }) },
];
