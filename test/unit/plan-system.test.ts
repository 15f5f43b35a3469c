import { describe, expect, test } from 'vitest';
import { deploymentSchema } from '../../src/deployment/schema.ts';
import { describePlan } from '../../src/plan/describe-plan.ts';
import type { HostFacts } from '../../src/plan/facts.ts';
import { planDeployment } from '../../src/plan/plan-deployment.ts';
import { planSystemRemoval } from '../../src/plan/plan-system-removal.ts';
import type { RenderedHost, SystemFacts } from '../../src/plan/system-facts.ts';
import { certificateFact, emptyHost, fileFact } from '../helpers/host-facts.ts';

const system: SystemFacts = {
  isRoot: true,
  account: null,
  sharedWith: [],
  build: { file: '/usr/lib/mcp-deploy/dist/server/serve.js', sha256: 'aa', version: '1.0.0' },
  current: null,
  programs: Object.fromEntries(
    ['systemctl', 'systemd-analyze', 'useradd', 'runuser', 'nginx'].map((name) => [name, `/usr/bin/${name}`]),
  ),
  activeUnits: ['nginx.service'],
  freeBytes: 10 ** 10,
};

const host: RenderedHost = {
  files: [
    { program: 'systemd', path: '/etc/systemd/system/mcp-notes.service', mode: 0o644, content: 'service' },
    { program: 'systemd', path: '/etc/systemd/system/mcp-notes.socket', mode: 0o644, content: 'socket' },
    { program: 'nginx', path: '/etc/nginx/conf.d/mcp-notes.conf', mode: 0o644, content: 'site' },
  ],
  proxyUrl: 'https://localhost/mcp',
};

const stateDir = '/opt/mcp-deploy/notes';
const deployment = deploymentSchema.parse({
  version: 1,
  name: 'notes',
  service: { manager: 'systemd' },
  proxy: { program: 'nginx', serverName: 'localhost' },
});

function hostFacts(changes: Partial<SystemFacts> = {}, more: Partial<HostFacts> = {}): HostFacts {
  return emptyHost({
    baseDir: '/srv/notes',
    stateDir,
    deploymentFile: { path: '/srv/notes/mcp-deploy.yaml', text: 'version: 1\n' },
    system: { ...system, ...changes },
    ...more,
  });
}

/** Who has port 443. */
const held = (unit: string | null, pid: number | null = 7): NonNullable<SystemFacts['front']> => ({
  version: 'nginx version: nginx/1.22.1',
  held: [{ port: 443, holder: pid === null ? null : `x (pid ${pid})`, pid, unit }],
});

const planOn = (facts: HostFacts, wanted = deployment) =>
  planDeployment({ deployment: wanted, deploymentText: null, host }, facts);

describe('a plan for a host', () => {
  test('the first one, whole', () => {
    expect(`\n${describePlan(planOn(hostFacts()), hostFacts())}\n`).toMatchInlineSnapshot(`
      "
        notes, first release, host box.local

        + user mcp                                  runs the server, cannot log in
        + /etc/mcp-deploy/                          none yet
        + /etc/mcp-deploy/notes/                    none yet
        + /etc/mcp-deploy/notes/keys/               none yet
        + /etc/mcp-deploy/notes/pki/                none yet
        + /var/lib/mcp-deploy/                      none yet
        + /var/lib/mcp-deploy/notes/                none yet
        + /var/log/mcp-deploy/                      none yet
        + /var/log/mcp-deploy/notes/                none yet
        + /etc/mcp-deploy/notes/keys/default.key    API key "default", none yet
        + /etc/mcp-deploy/notes/pki/ca.crt          private CA, none yet
        + /etc/mcp-deploy/notes/pki/server.crt      none yet; 397 days, for localhost, 127.0.0.1, ::1, box.local
        + /opt/mcp-deploy/notes/releases/1/serve.js  none yet
        + /opt/mcp-deploy/notes/releases/1/server.json  none yet
        + /etc/systemd/system/mcp-notes.service     none yet
        + /etc/systemd/system/mcp-notes.socket      none yet
        + /etc/nginx/conf.d/mcp-notes.conf          none yet
        + /opt/mcp-deploy/notes/current             -> releases/1, none yet
        then  check nginx as it is, a fault of others must not look like ours
              check mcp-notes.service and mcp-notes.socket, systemd must understand them
              check nginx with the new site, before nginx reads it
              try the new release beside what runs, what cannot start must not take over
              start mcp-notes.service, not running
              wait until ready, before anything counts on it
              reload nginx, its site changed
              call the endpoint as a client would, proof that it serves

        0 to change, 18 to add, 0 to remove. Apply with: mcp-deploy apply
      "
    `);
  });

  test('is JSON through and through', () => {
    const plan = planOn(hostFacts());
    expect(JSON.parse(JSON.stringify(plan))).toEqual(plan);
  });

  test('tries what is new before the link, and switches before the service reads it', () => {
    const ids = planOn(hostFacts()).steps.map(({ id }) => id);
    const order = [
      'check-nginx-before',
      'release-config',
      'check-units',
      'check-nginx',
      'try-release',
      'switch-release',
    ];
    const rest = ['service', 'wait-until-ready', 'reload-nginx', 'verify-endpoint'];
    expect(ids.filter((id) => [...order, ...rest].includes(id))).toEqual([...order, ...rest]);
  });

  test.each<[string, Partial<SystemFacts>, Partial<HostFacts>, string]>([
    ['without systemd', { programs: {} }, {}, 'There is no systemctl on this host.'],
    ['without nginx', { programs: { ...system.programs, nginx: undefined as never } }, {}, 'There is no nginx'],
    ['without room', { freeBytes: 10 ** 6 }, {}, 'The disk of /opt is almost full.'],
    ['in a home', {}, { baseDir: '/home/ann/notes' }, 'is in a home folder'],
    ['with a folder that is read-only', { closed: [{ path: '/etc', why: 'read-only' }] }, {}, '/etc is read-only.'],
    ['with a disk that is full', { closed: [{ path: '/etc', why: 'full' }] }, {}, 'The disk of /etc is full.'],
    ['with a proxy of old', { front: { version: 'nginx/1.14.2', held: [] } }, {}, 'nginx is too old'],
    ['with a port of the proxy held', { front: held('apache2.service') }, {}, 'Port 443 is held by x (pid 7)'],
    ['with a port of another', {}, { takenPorts: [{ port: 8443, holder: 'x' }] }, 'Port 8443 is taken by x.'],
  ])('is refused %s', (_, facts, more, message) => {
    expect(() => planOn(hostFacts(facts, more))).toThrow(message);
  });

  test.each([
    ['caddy', 'There is no caddy on this host.'],
    ['haproxy', 'There is no haproxy on this host.'],
  ] as const)('%s is asked for before anything else when it is not there', (program, message) => {
    const wanted = { ...deployment, proxy: { ...deployment.proxy, program } };
    expect(() => planOn(hostFacts(), wanted)).toThrow(message);
  });
});

test('a timer that --install-timer made is left alone, and the socket that is not wanted any more goes', () => {
  const paths = ['renew.service', 'renew.timer'].map((name) => `/etc/systemd/system/mcp-notes-${name}`);
  const socket = '/etc/systemd/system/mcp-notes.socket';
  const files = Object.fromEntries([...paths, socket].map((path) => [path, fileFact('unit', 0o644)]));
  const release = {
    release: 1,
    appliedAt: '2026-01-01T00:00:00.000Z',
    toolVersion: '1.0.0',
    desired: deployment,
    files,
    directories: [],
  };
  const withoutSocket = { ...host, files: host.files.filter(({ path }) => path !== socket) };
  const { steps } = planDeployment(
    { deployment, deploymentText: null, host: withoutSocket },
    hostFacts({}, { files, release }),
  );
  const removed = steps.flatMap(({ action }) => (action.type === 'remove-file' ? [action.path] : []));
  expect(removed).toEqual([socket]);
});

describe('the ports of a proxy', () => {
  const caddySite = '/etc/caddy/Caddyfile.d/mcp-notes.caddyfile';
  const releaseWith = (path: string, started?: 'started' | 'started and enabled'): Partial<HostFacts> => ({
    files: { [path]: fileFact('site', 0o644) },
    release: {
      release: 1,
      appliedAt: '2026-01-01T00:00:00.000Z',
      toolVersion: '1.0.0',
      desired: deployment,
      files: { [path]: fileFact('site', 0o644) },
      directories: [],
      ...(started === undefined ? {} : { started: { 'caddy.service': started } }),
    },
  });

  test.each<[string, Partial<SystemFacts>, Partial<HostFacts>]>([
    ['the proxy itself', { front: held('nginx.service') }, {}],
    ['the proxy that leaves', { front: held('caddy.service') }, releaseWith(caddySite)],
    ['nobody who can be seen', { front: held(null, null) }, {}],
    ['another program, for somebody who only looks', { front: held('apache2.service'), isRoot: false }, {}],
  ])('may be held by %s', (_, facts, more) => {
    expect(() => planOn(hostFacts(facts, more))).not.toThrow();
  });

  test('are waited for between the proxy that leaves and the next one, which is enabled when it was not', () => {
    const facts = hostFacts({ activeUnits: ['caddy.service'], enabledUnits: [] }, releaseWith(caddySite, 'started'));
    const plan = planDeployment({ deployment, deploymentText: null, host: { ...host, proxyPorts: [80, 443] } }, facts);
    const ids = plan.steps.map(({ id }) => id);
    expect(ids.slice(ids.indexOf('reload-caddy'))).toEqual([
      'reload-caddy',
      'free-ports',
      'reload-nginx',
      'verify-endpoint',
    ]);
    const unitsOf = (id: string) =>
      plan.steps.flatMap(({ id: each, action }) => (each === id && action.type === 'service' ? action.units : []));
    // It ran for this deployment alone, and was enabled by somebody else.
    expect(unitsOf('reload-caddy')).toEqual([{ unit: 'caddy.service', at: 'stop', enabled: null }]);
    expect(unitsOf('reload-nginx')).toEqual([{ unit: 'nginx.service', at: 'start', enabled: true }]);
    expect(plan.started).toEqual({ 'nginx.service': 'started and enabled' });
  });

  test('a proxy with sites of others goes on without ours', () => {
    const proxies = { caddy: { hasFolder: true, otherSites: 1, otherDropIns: 0, startOptions: '', hasKeyLink: false } };
    const facts = hostFacts({ activeUnits: ['caddy.service'], proxies }, releaseWith(caddySite, 'started and enabled'));
    const left = planOn(facts).steps.find(({ id }) => id === 'reload-caddy');
    expect(left?.action).toMatchObject({ units: [{ at: 'reload', enabled: null }] });
  });

  test('a proxy that does not run is not started to leave it', () => {
    const ids = planOn(hostFacts({ activeUnits: [] }, releaseWith(caddySite))).steps.map(({ id }) => id);
    expect(ids).not.toContain('reload-caddy');
    expect(ids).not.toContain('free-ports');
  });
});

describe('a removal', () => {
  const written = Object.fromEntries(host.files.map(({ path, content }) => [path, fileFact(content, 0o644)]));
  const release = {
    release: 3,
    appliedAt: '',
    toolVersion: '1',
    desired: deployment,
    files: written,
    directories: [],
  };
  const account = { name: 'mcp', uid: 999, gid: 999, comment: 'MCP server (mcp-deploy)' };
  const facts = (changes: Partial<SystemFacts> = {}): HostFacts =>
    hostFacts(
      { account, activeUnits: ['nginx.service', 'mcp-notes.service'], ...changes },
      { files: written, release, directories: ['/etc/mcp-deploy/notes'], serverCertificate: certificateFact() },
    );

  test('takes the site first, then socket and service, and keeps what is the user’s', () => {
    const plan = planSystemRemoval(facts());
    expect(plan.steps.map(({ id }) => id)).toEqual([
      'remove-mcp-notes-conf',
      'check-nginx',
      'reload-nginx',
      'stop-service',
      'remove-mcp-notes-service',
      'remove-mcp-notes-socket',
      'read-units',
    ]);
    const stop = plan.steps.find(({ id }) => id === 'stop-service');
    expect(stop?.action).toMatchObject({ units: [{ unit: 'mcp-notes.socket' }, { unit: 'mcp-notes.service' }] });
    expect(plan.purge).toBeUndefined();
  });

  test('removes the user when it is ours and nobody else runs as it', () => {
    const has = (changes: Partial<SystemFacts>, purge = true): boolean =>
      planSystemRemoval(facts(changes), { purge }).steps.some(({ id }) => id === 'remove-user');
    expect(has({})).toBe(true);
    expect(has({}, false)).toBe(false);
    expect(has({ sharedWith: ['other'] })).toBe(false);
    expect(has({ account: { ...account, comment: 'Ann' } })).toBe(false);
  });

  test('leaves what was edited since', () => {
    const edited = { ...facts(), files: { ...written, '/etc/nginx/conf.d/mcp-notes.conf': fileFact('mine') } };
    const plan = planSystemRemoval(edited);
    expect(plan.steps.map(({ id }) => id)).not.toContain('remove-mcp-notes-conf');
    expect(plan.notices.map(({ text }) => text)).toContain(
      '/etc/nginx/conf.d/mcp-notes.conf was changed since it was written; it stays.',
    );
  });
});
