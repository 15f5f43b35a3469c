import { expect, test } from 'vitest';
import { backupContent, type StateListing } from '../../src/backup/backup-content.ts';
import { foldersOfHost, restoredPath, restoreSteps, withRestoreSteps } from '../../src/backup/plan-restore.ts';
import { deploymentSchema, type DeploymentInput } from '../../src/deployment/schema.ts';
import type { Step } from '../../src/plan/types.ts';

const place = { baseDir: '/srv/d', stateDir: '/srv/d/.mcp-deploy' };
const folderOf = (kind: string, names: readonly string[] = []) => ({ folder: `/srv/d/.mcp-deploy/${kind}`, names });
const none = { keys: folderOf('keys'), pki: folderOf('pki'), acme: folderOf('acme'), releases: folderOf('releases') };
const contentOf = (input: Omit<DeploymentInput, 'version'>, listing: StateListing = none) =>
  backupContent(deploymentSchema.parse({ version: 1, ...input }), {
    ...place,
    logFile: '/srv/d/.mcp-deploy/logs/server.log',
    listing,
  });

test('what the deployment refers to beside its file is in it, with keys told from what is public; what lies elsewhere is named', () => {
  const content = contentOf({
    server: {
      tools: { greet: { description: 'x', module: { path: 'tools/greet.mjs' } } },
      content: { path: '/opt/shared/content.mjs' },
      upstreams: { far: { url: 'https://far.example/mcp', caFile: './far.pem' } },
    },
    tls: { source: 'files', certificate: 'own.crt', key: 'own.key' },
    auth: { mtls: { ca: 'clients.pem', crl: ['a.crl', '/var/b.crl'] } },
    backup: { also: ['tools', '../outside'] },
  });
  expect(content.beside.map(({ name, secret }) => (secret ? `${name} (secret)` : name))).toEqual([
    'beside/own.key (secret)',
    'beside/tools/greet.mjs',
    'beside/far.pem',
    'beside/own.crt',
    'beside/clients.pem',
    'beside/a.crl',
    'beside/tools',
  ]);
  expect(content.leftOut).toEqual(['/opt/shared/content.mjs', '/var/b.crl', '/srv/outside']);
});

test.each(['docker', 'swarm'] as const)('of containers of %s the volumes are named as left out', (manager) => {
  const content = contentOf({ service: { manager } });
  expect(content.leftOut).toEqual(['the volumes of its containers (docker volume ls)']);
});

test('of .mcp-deploy: keys, certificates, accounts and releases; no links, no halves, nothing of this run', () => {
  const { state } = contentOf(
    {},
    {
      keys: folderOf('keys', ['keys.json', 'default.key', 'keys.json.mcpd-tmp']),
      pki: folderOf('pki', ['ca.crt', 'ca.key', 'live', 'live-2', 'server.crt', 'server.key']),
      acme: folderOf('acme', ['le.key']),
      releases: folderOf('releases', ['1.json', '2.json', 'x']),
    },
  );
  expect(state.map(({ name, secret }) => (secret ? `${name}!` : name))).toEqual([
    'state/keys/keys.json!',
    'state/keys/default.key!',
    'state/pki/ca.crt',
    'state/pki/ca.key!',
    'state/pki/server.crt',
    'state/pki/server.key!',
    'state/acme/le.key!',
    'state/releases/1.json!',
    'state/releases/2.json!',
  ]);
});

test('logs come along when asked for, wherever they are, by a name of their own', () => {
  const { logs } = contentOf({ logs: { audit: 'audit/calls.jsonl' }, backup: { logs: true } });
  expect(logs.map(({ name }) => name)).toEqual(['logs/calls.jsonl', 'logs/server.log']);
  expect(contentOf({ logs: { audit: 'a.jsonl' } }).logs).toEqual([]);
});

test('a restore makes missing folders once and first, keeps keys to their owner, and leaves what is the same alone', () => {
  const file = (path: string, mode = 0o644) => ({ path, size: 1, sha256: 'a'.repeat(64), mode });
  const files = [
    file('mcp-deploy.yaml'),
    file('state/keys/default.key', 0o666),
    file('state/keys/keys.json'),
    file('beside/t/a/b.mjs', 0o4777),
  ];
  const at = { ...place, deploymentFile: '/srv/d/mcp-deploy.yaml' };
  const steps = restoreSteps(
    files,
    at,
    {
      directories: new Set(['/srv/d']),
      files: new Map([['/srv/d/mcp-deploy.yaml', { sha256: 'a'.repeat(64), mode: 0o644 }]]),
    },
    (name) => `/staged/${name}`,
  );
  expect(
    steps.map(({ action }) =>
      'path' in action && 'mode' in action ? `${action.type} ${action.path} ${action.mode.toString(8)}` : action.type,
    ),
  ).toEqual([
    'make-directory /srv/d/.mcp-deploy 700',
    'make-directory /srv/d/.mcp-deploy/keys 700',
    'copy-file /srv/d/.mcp-deploy/keys/default.key 600',
    'copy-file /srv/d/.mcp-deploy/keys/keys.json 600',
    'make-directory /srv/d/t 755',
    'make-directory /srv/d/t/a 755',
    'copy-file /srv/d/t/a/b.mjs 755',
  ]);
  expect(restoredPath('mcp-deploy.yaml', { ...at, deploymentFile: '/srv/d/other.yaml' })).toBe('/srv/d/other.yaml');
});

test('on a host, what the service reads is for its group, where the service looks for it, and comes behind user and folders', () => {
  const stateDir = '/opt/mcp-deploy/notes';
  const at = {
    baseDir: '/srv/notes',
    stateDir,
    deploymentFile: '/srv/notes/mcp-deploy.yaml',
    owner: { user: 'root', group: 'mcp' },
  };
  const file = (path: string, mode: number) => ({ path, size: 1, sha256: 'a'.repeat(64), mode });
  const steps = restoreSteps(
    [file('state/keys/keys.json', 0o640), file('state/keys/default.key', 0o600), file('state/pki/server.key', 0o640)],
    at,
    { directories: new Set(['/srv/notes', ...foldersOfHost(stateDir)]), files: new Map() },
    (name) => `/staged/${name}`,
  );
  expect(
    steps.map(({ action }) =>
      action.type === 'copy-file'
        ? `${action.path} ${action.mode.toString(8)} ${action.owner?.group ?? '-'}`
        : action.type,
    ),
  ).toEqual([
    '/etc/mcp-deploy/notes/keys/keys.json 640 mcp',
    '/etc/mcp-deploy/notes/keys/default.key 600 -',
    '/etc/mcp-deploy/notes/pki/server.key 640 mcp',
  ]);
  const planned = (id: string, action: Step['action']): Step => ({
    id,
    title: id,
    why: '',
    group: 'configuration',
    action,
    undo: { type: 'none' },
  });
  const user = planned('user', { type: 'ensure-user', user: 'mcp', home: '/var/lib/mcp-deploy/notes' });
  const folder = planned('folder', { type: 'make-directory', path: '/etc/x', mode: 0o750, owner: at.owner });
  const link = planned('link', { type: 'link', path: '/a', target: 'b' });
  const ids = (all: readonly Step[]) => all.map(({ id }) => id);
  const own = ids(steps);
  expect(ids(withRestoreSteps([user, folder, link], steps))).toEqual(['user', 'folder', ...own, 'link']);
  expect(ids(withRestoreSteps([link], steps))).toEqual([...own, 'link']);
  expect(ids(withRestoreSteps([], steps))).toEqual(own);
});
