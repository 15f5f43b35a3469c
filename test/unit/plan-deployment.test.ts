import { describe, expect, test } from 'vitest';
import { EnvironmentError } from '../../src/deployment/errors.ts';
import { deploymentSchema, type Deployment } from '../../src/deployment/schema.ts';
import { formatDeployment, type DeploymentDraft } from '../../src/deployment/write-deployment.ts';
import type { HostFacts } from '../../src/plan/facts.ts';
import { planDeployment } from '../../src/plan/plan-deployment.ts';
import { sha256Hex } from '../../src/plan/server-config.ts';
import type { Action } from '../../src/plan/action.ts';
import type { Plan } from '../../src/plan/types.ts';
import { afterPlan, certificateFact, emptyHost, fileFact } from '../helpers/host-facts.ts';
import { seededRandom } from '../helpers/seeded-random.ts';

const state = '/srv/app/.mcp-deploy';

function deploy(draft: DeploymentDraft = {}): Deployment {
  return deploymentSchema.parse({ ...draft, version: 1 });
}

function plan(draft: DeploymentDraft, facts: HostFacts, deploymentText: string | null = null): Plan {
  return planDeployment({ deployment: deploy(draft), deploymentText }, facts);
}

function stepsOf(made: Plan): string[] {
  return made.steps.map(({ id }) => id);
}

function actionOf<Type extends Action['type']>(made: Plan, type: Type): Extract<Action, { type: Type }> | undefined {
  const found = made.steps.map(({ action }) => action).find((action) => action.type === type);
  return found as Extract<Action, { type: Type }> | undefined;
}

/** A machine on which this deployment was applied and runs. */
function appliedHost(draft: DeploymentDraft = {}, changes: Partial<HostFacts> = {}): HostFacts {
  const before = emptyHost();
  return { ...afterPlan(plan(draft, before, formatDeployment(draft)), before), ...changes };
}

describe('an empty machine', () => {
  const made = plan({}, emptyHost(), 'version: 1\n');

  test('gets everything, in the order in which one thing needs the other', () => {
    expect(stepsOf(made)).toEqual([
      'deployment-file',
      'keys-folder',
      'first-key',
      'pki-folder',
      'private-ca',
      'server-certificate',
      'server-config',
      'logs-folder',
      'run-folder',
      'start-server',
      'wait-until-ready',
      'verify-endpoint',
    ]);
    expect(made).toMatchObject({ schemaVersion: 1, deployment: 'mcp', purpose: 'apply', release: 1, notices: [] });
  });

  test('every step says why, and how to take it back', () => {
    for (const step of made.steps) {
      expect(step.title, step.id).toMatch(/^[a-z]/);
      expect(step.why, step.id).not.toBe('');
    }
    expect(new Set(stepsOf(made)).size).toBe(made.steps.length);
    expect(made.steps.find(({ id }) => id === 'start-server')?.undo).toEqual({
      type: 'stop-server',
      pidFile: `${state}/run/server.json`,
      graceMs: 2_000,
    });
  });

  test('the actions carry absolute paths, modes and the names of the machine', () => {
    expect(actionOf(made, 'write-file')).toEqual({
      type: 'write-file',
      path: '/srv/app/mcp-deploy.yaml',
      mode: 0o644,
      content: 'version: 1\n',
    });
    expect(actionOf(made, 'create-api-key')).toEqual({
      type: 'create-api-key',
      storeFile: `${state}/keys/keys.json`,
      keyFile: `${state}/keys/default.key`,
      label: 'default',
    });
    expect(actionOf(made, 'issue-private-ca')).toMatchObject({
      names: ['localhost', '127.0.0.1', '::1', 'box.local'],
      certificateFile: `${state}/pki/ca.crt`,
      keyFile: `${state}/pki/ca.key`,
    });
    expect(actionOf(made, 'issue-certificate')).toMatchObject({
      names: ['localhost', '127.0.0.1', '::1', 'box.local'],
      validDays: 397,
    });
    expect(actionOf(made, 'start-server')).toEqual({
      type: 'start-server',
      argv: [
        '/usr/bin/node',
        '/opt/mcp-deploy/dist/server/serve.js',
        '--config',
        `${state}/server.json`,
        '--pid-file',
        `${state}/run/server.json`,
      ],
      cwd: '/srv/app',
      pidFile: `${state}/run/server.json`,
      logFile: `${state}/logs/server.log`,
    });
    expect(actionOf(made, 'wait-until-ready')).toMatchObject({
      readyUrl: 'https://127.0.0.1:8443/readyz',
      caFile: `${state}/pki/ca.crt`,
      timeoutMs: 10_000,
    });
    expect(actionOf(made, 'verify-endpoint')).toEqual({
      type: 'verify-endpoint',
      url: 'https://localhost:8443/mcp',
      caFile: `${state}/pki/ca.crt`,
      keyFile: `${state}/keys/default.key`,
    });
  });
});

test('a machine that is as wanted gets a plan without steps, also with the same text to write', () => {
  const facts = appliedHost();
  expect(plan({}, facts)).toMatchObject({ steps: [], release: 1, notices: [] });
  expect(plan({}, facts, facts.deploymentFile.text)).toMatchObject({ steps: [] });
});

describe('each difference leads to its own steps and no others', () => {
  const restart = ['stop-server', 'start-server', 'wait-until-ready', 'verify-endpoint'];
  const renewed = ['server-certificate', 'wait-until-ready', 'verify-endpoint'];
  const config = `${state}/server.json`;
  const running = appliedHost();

  test.each<[string, DeploymentDraft, Partial<HostFacts>, string[], string]>([
    [
      'the server is stopped',
      {},
      { server: { state: 'stopped' } },
      ['start-server', 'wait-until-ready', 'verify-endpoint'],
      'not running',
    ],
    [
      'a setting of the server changed',
      { logs: { level: 'debug' } },
      {},
      ['server-config', ...restart],
      'settings changed',
    ],
    [
      'it runs with another configuration',
      {},
      { server: { state: 'running', pid: 1, configSha256: 'x', version: '1.0.0' } },
      restart,
      'its configuration changed',
    ],
    ['it runs another version', {}, { serverVersion: '1.1.0' }, restart, 'version 1.0.0 -> 1.1.0'],
    [
      'its version is not known',
      {},
      { server: { state: 'running', pid: 1, configSha256: running.files[config]?.sha256 ?? '', version: '' } },
      restart,
      'its version is not known',
    ],
    [
      'only settings for render changed',
      { proxy: { serverName: 'a.example.com' }, service: { user: 'x' } },
      {},
      [],
      '',
    ],
    ['no key is active', {}, { activeKeyLabels: [] }, ['first-key'], 'no key is active any more'],
    [
      'no key is active and none is wanted',
      { auth: { required: false } },
      { activeKeyLabels: [] },
      ['server-config', ...restart],
      'settings changed',
    ],
    [
      'the certificate is gone',
      {},
      { serverCertificate: null, files: without(running, `${state}/pki/server.crt`) },
      renewed,
      'none yet',
    ],
    [
      'its key does not fit',
      {},
      { serverCertificate: certificateFact({ keyMatches: false }) },
      renewed,
      'its key is missing or belongs to another one',
    ],
    [
      'another CA signed it',
      {},
      { serverCertificate: certificateFact({ issuedByCa: false }) },
      renewed,
      'signed by another CA',
    ],
    [
      'it has 29 days left',
      {},
      { serverCertificate: certificateFact({ daysLeft: 29 }) },
      renewed,
      'expires in 29 days',
    ],
    ['it has 1 day left', {}, { serverCertificate: certificateFact({ daysLeft: 1 }) }, renewed, 'expires in 1 day'],
    ['it has expired', {}, { serverCertificate: certificateFact({ daysLeft: -1 }) }, renewed, 'expired'],
    ['it has 30 days left', {}, { serverCertificate: certificateFact({ daysLeft: 30 }) }, [], ''],
    [
      'a third of a short life is left',
      { tls: { source: 'private-ca', validDays: 9 } },
      { serverCertificate: certificateFact({ daysLeft: 3 }) },
      [],
      '',
    ],
    [
      'less than a third of a short life is left',
      { tls: { source: 'private-ca', validDays: 9 } },
      { serverCertificate: certificateFact({ daysLeft: 2 }) },
      renewed,
      'expires in 2 days',
    ],
    [
      'a shorter life is wanted',
      { tls: { source: 'private-ca', validDays: 30 } },
      {},
      renewed,
      'a life of 30 days is wanted, 396 are left',
    ],
    [
      'the CA is gone',
      {},
      { caCertificate: null, files: without(running, `${state}/pki/ca.crt`) },
      ['private-ca', ...renewed],
      'none yet',
    ],
    ['the CA is broken', {}, { caCertificate: null }, ['private-ca', ...renewed], 'the file is no certificate'],
    [
      'the key of the CA is gone',
      {},
      { caCertificate: certificateFact({ keyMatches: false }) },
      ['private-ca', ...renewed],
      'its key is missing or belongs to another one',
    ],
    [
      'the CA ends',
      {},
      { caCertificate: certificateFact({ daysLeft: 30 }) },
      ['private-ca', ...renewed],
      'expires in 30 days',
    ],
    [
      'a name is added that the CA may not sign for',
      { tls: { source: 'private-ca', names: ['mcp.example.com', 'box.local'] } },
      {},
      ['private-ca', 'server-certificate', 'server-config', ...restart],
      'the present one may not sign for mcp.example.com',
    ],
    [
      'the folder of the log is gone and the server stopped',
      {},
      {
        server: { state: 'stopped' },
        directories: (running.directories ?? []).filter((path) => !path.endsWith('logs')),
      },
      ['logs-folder', 'start-server', 'wait-until-ready', 'verify-endpoint'],
      'none yet',
    ],
    [
      'server.json is gone while the server runs',
      {},
      { files: without(running, config) },
      ['server-config'],
      'removed by hand',
    ],
  ])('%s', (_, draft, changes, ids, why) => {
    const facts = { ...appliedHost(), ...changes };
    const made = plan(draft, facts);
    expect(stepsOf(made)).toEqual(ids);
    expect(made.steps[0]?.why ?? '').toBe(why);
    expect(made.release).toBe(ids.length === 0 ? 1 : 2);
  });

  test('a text to write that differs is written with the mode of the file, and nothing else happens', () => {
    const facts = appliedHost();
    const file = facts.deploymentFile.path;
    const made = plan(
      {},
      { ...facts, files: { ...facts.files, [file]: { ...fileFact('old'), mode: 0o640 } } },
      '# new\nversion: 1\n',
    );
    expect(stepsOf(made)).toEqual(['deployment-file']);
    expect(actionOf(made, 'write-file')).toMatchObject({ path: file, mode: 0o640 });
  });

  test('a certificate that would outlive its CA is shorter', () => {
    const facts = appliedHost({}, { caCertificate: certificateFact({ daysLeft: 100 }), serverCertificate: null });
    expect(actionOf(plan({}, facts), 'issue-certificate')).toMatchObject({ validDays: 100 });
    const later = afterPlan(plan({}, facts), facts);
    expect(stepsOf(plan({}, later))).toEqual([]);
  });
});

function without(facts: HostFacts, path: string): HostFacts['files'] {
  return Object.fromEntries(Object.entries(facts.files).filter(([file]) => file !== path));
}

describe('server.json', () => {
  const draft: DeploymentDraft = {
    server: {
      publicUrl: 'https://mcp.example.com/mcp',
      allowedHosts: ['other.example.com', 'localhost'],
      upstreams: {
        a: { command: './run', env: { TOKEN: '${TOKEN}' }, cwd: 'data' },
        b: { command: 'x' },
        c: { command: 'y', cwd: '/abs' },
      },
    },
    tls: { source: 'files', certificate: 'certs/a.pem', key: '/etc/ssl/a.key' },
    proxy: { serverName: 'mcp.example.com' },
  };
  const content = (made: Plan): string => {
    const step = made.steps.find(({ id }) => id === 'server-config');
    return step?.action.type === 'write-file' ? step.action.content : '';
  };

  test('has absolute paths, host names and references as they were, in a form that hashes the same every time', () => {
    const text = content(
      plan(
        draft,
        emptyHost({
          serverCertificate: certificateFact({ names: ['mcp.example.com', 'b.example.com'], issuedByCa: false }),
        }),
      ),
    );
    const config = JSON.parse(text) as { deployment: Deployment; baseDir: string; keyStoreFile: string };
    expect(text).toBe(`${JSON.stringify(config, null, 2)}\n`);
    expect(Object.keys(config)).toEqual(['deployment', 'baseDir', 'keyStoreFile', 'backupRecordFile']);
    expect(config).toMatchObject({ baseDir: '/srv/app', keyStoreFile: `${state}/keys/keys.json` });
    expect(config).toMatchObject({ backupRecordFile: `${state}/backup.json` });
    const { deployment } = config;
    expect(deploymentSchema.parse(deployment)).toEqual(deployment);
    expect(deployment.tls).toEqual({ source: 'files', certificate: '/srv/app/certs/a.pem', key: '/etc/ssl/a.key' });
    expect(Object.values(deployment.server.upstreams).map((one) => ('cwd' in one ? one.cwd : null))).toEqual([
      '/srv/app/data',
      '/srv/app',
      '/abs',
    ]);
    expect(deployment.server.upstreams['a']).toMatchObject({ command: './run', env: { TOKEN: '${TOKEN}' } });
    expect(deployment.server.allowedHosts).toEqual([
      'other.example.com',
      'localhost',
      '127.0.0.1',
      '::1',
      'box.local',
      'mcp.example.com',
      'b.example.com',
    ]);
    expect(deployment.proxy.serverName).toBeUndefined();
  });

  test('the private CA becomes the files it signs, and no TLS stays none', () => {
    expect(JSON.parse(content(plan({}, emptyHost())))).toMatchObject({
      deployment: { tls: { source: 'files', certificate: `${state}/pki/server.crt`, key: `${state}/pki/server.key` } },
    });
    expect(JSON.parse(content(plan({ tls: { source: 'off' } }, emptyHost())))).toMatchObject({
      deployment: { tls: { source: 'off' } },
    });
  });

  test('edited by hand, it is kept aside before it is written anew', () => {
    const facts = appliedHost();
    const edited = { ...facts, files: { ...facts.files, [`${state}/server.json`]: fileFact('{"mine": 1}') } };
    const made = plan({}, edited);
    expect(stepsOf(made)).toEqual(['keep-edited-config', 'server-config']);
    expect(made.steps[0]?.action).toEqual({
      type: 'write-file',
      path: `${state}/server.json.mcp-deploy-2`,
      mode: 0o600,
      content: '{"mine": 1}',
    });
    expect(made.notices).toMatchObject([
      { level: 'warning', text: expect.stringContaining('kept as .mcp-deploy/server.json.mcp-deploy-2') },
    ]);
    expect(plan({}, afterPlan(made, edited)).steps).toEqual([]);
  });

  test('a second edit does not overwrite what was kept of the first', () => {
    const facts = appliedHost();
    const files = {
      ...facts.files,
      [`${state}/server.json`]: fileFact('{"mine": 2}'),
      [`${state}/server.json.mcp-deploy-2`]: fileFact('{"mine": 1}'),
    };
    expect(plan({}, { ...facts, files }).steps[0]?.action).toMatchObject({
      path: `${state}/server.json.mcp-deploy-2.2`,
      content: '{"mine": 2}',
    });
  });

  test('edited by hand into what is wanted, it is left alone', () => {
    const facts = appliedHost();
    const wanted = content(plan({ logs: { level: 'debug' } }, facts));
    const made = plan(
      { logs: { level: 'debug' } },
      { ...facts, files: { ...facts.files, [`${state}/server.json`]: fileFact(wanted) } },
    );
    expect(stepsOf(made)).toEqual(['stop-server', 'start-server', 'wait-until-ready', 'verify-endpoint']);
  });

  test('edited by hand and of unknown content, it stops the plan', () => {
    const facts = appliedHost();
    const { text: _, ...unknown } = fileFact('{"mine": 1}');
    const files = { ...facts.files, [`${state}/server.json`]: unknown };
    expect(() => plan({}, { ...facts, files })).toThrow(EnvironmentError);
  });

  test('the running server is told apart by the hash of the file', () => {
    const facts = appliedHost();
    expect(facts.server).toMatchObject({ configSha256: sha256Hex(facts.files[`${state}/server.json`]?.text ?? '') });
  });
});

describe('names of the certificate', () => {
  test('a renamed machine keeps its CA and its certificate, and is told so', () => {
    const made = plan({}, appliedHost({}, { hostName: 'other.local' }));
    expect(made.steps).toEqual([]);
    expect(made.notices).toMatchObject([{ level: 'info', text: expect.stringContaining('does not name other.local') }]);
  });

  test('a renamed machine whose CA has no constraints gets its new name into the certificate', () => {
    const made = plan(
      {},
      appliedHost({}, { hostName: 'other.local', caCertificate: certificateFact({ names: [], daysLeft: 3_000 }) }),
    );
    expect(actionOf(made, 'issue-certificate')?.names).toEqual([
      'localhost',
      '127.0.0.1',
      '::1',
      'other.local',
      'box.local',
    ]);
  });

  test('listed names stand with the loopback names; when they go, so do the names', () => {
    const draft: DeploymentDraft = {
      tls: { source: 'private-ca', names: ['A.example.com', '*.b.example.com', '0:0:0:0:0:0:0:1'] },
    };
    const first = plan(draft, emptyHost());
    expect(actionOf(first, 'issue-certificate')?.names).toEqual([
      'a.example.com',
      '*.b.example.com',
      '::1',
      'localhost',
      '127.0.0.1',
    ]);
    expect(actionOf(first, 'issue-private-ca')?.names).toEqual([
      'a.example.com',
      'b.example.com',
      '::1',
      'localhost',
      '127.0.0.1',
    ]);
    const applied = afterPlan(first, emptyHost());
    expect(plan(draft, applied).steps).toEqual([]);
    const without = plan({}, applied);
    expect(actionOf(without, 'issue-certificate')?.names).toEqual(['localhost', '127.0.0.1', '::1']);
  });

  test('listen addresses and the public host are named', () => {
    const made = plan(
      { server: { listen: ['10.0.0.5:8443', ':9443', 'unix:/run/x'], publicUrl: 'https://mcp.example.com/mcp' } },
      emptyHost({ hostName: 'UPPER' }),
    );
    expect(actionOf(made, 'issue-certificate')?.names).toEqual([
      'localhost',
      '127.0.0.1',
      '::1',
      'upper',
      '10.0.0.5',
      'mcp.example.com',
    ]);
    expect(actionOf(made, 'wait-until-ready')?.readyUrl).toBe('https://10.0.0.5:8443/readyz');
  });

  test('a host name that is no DNS name is left out', () => {
    expect(actionOf(plan({}, emptyHost({ hostName: 'my_box' })), 'issue-certificate')?.names).toEqual([
      'localhost',
      '127.0.0.1',
      '::1',
    ]);
  });

  test('a subdomain of what the CA may sign for needs no new CA', () => {
    const made = plan({ tls: { source: 'private-ca', names: ['x.box.local'] } }, appliedHost());
    expect(stepsOf(made)).not.toContain('private-ca');
    expect(stepsOf(made)).toContain('server-certificate');
  });
});

describe('what cannot be tried is said instead', () => {
  test.each<[string, DeploymentDraft, Partial<HostFacts>, RegExp]>([
    [
      'a certificate of the user',
      { tls: { source: 'files', certificate: 'a', key: 'b' } },
      { serverCertificate: certificateFact({ names: ['*.x.org', 'mcp.x.org'] }) },
      /mcp-deploy doctor https:\/\/mcp\.x\.org:8443\/mcp$/,
    ],
    [
      'a certificate of the user for this address',
      { tls: { source: 'files', certificate: 'a', key: 'b' }, server: { listen: '[::1]:9000' } },
      { serverCertificate: certificateFact({ names: ['mcp.x.org', '::1'] }) },
      /mcp-deploy doctor https:\/\/\[::1\]:9000\/mcp$/,
    ],
    ['Unix sockets only', { server: { listen: 'unix:/run/x.sock' } }, {}, /Unix sockets only/],
    ['a key that was taken away', {}, { activeKeyLabels: ['laptop'] }, /no key lies here in the clear/],
  ])('%s', (_, draft, changes, text) => {
    const made = plan(draft, emptyHost(changes));
    expect(stepsOf(made)).not.toContain('verify-endpoint');
    expect(made.notices.map((notice) => notice.text).join('\n')).toMatch(text);
  });

  test('a server on Unix sockets only is started without waiting', () => {
    expect(stepsOf(plan({ server: { listen: 'unix:/run/x.sock' } }, emptyHost())).at(-1)).toBe('start-server');
  });

  test('a user certificate near its end is a warning', () => {
    const facts = emptyHost({ serverCertificate: certificateFact({ daysLeft: 5 }) });
    const made = plan({ tls: { source: 'files', certificate: 'a.pem', key: 'b' } }, facts);
    expect(made.notices[0]).toEqual({
      level: 'warning',
      text: 'Your certificate a.pem expires in 5 days; mcp-deploy does not renew it.',
    });
  });

  test('without required keys the endpoint is verified without one', () => {
    expect(actionOf(plan({ auth: { required: false } }, emptyHost()), 'verify-endpoint')).not.toHaveProperty('keyFile');
  });
});

describe('a port that somebody else holds', () => {
  const takenPorts = [
    { port: 8443, holder: 'nginx (pid 812)' },
    { port: 8444, holder: null },
  ];

  test('stops the plan before anything, with exit code 3, the holder and a free one', () => {
    expect(() => plan({}, emptyHost({ takenPorts }))).toThrow(
      expect.objectContaining({
        message: 'Port 8443 is taken by nginx (pid 812).',
        exitCode: 3,
        next: expect.stringContaining('localhost:8445'),
      }) as Error,
    );
  });

  test('does not matter when it is not wanted, or nothing needs to be started', () => {
    expect(() => plan({ server: { listen: 'localhost:9000' } }, emptyHost({ takenPorts }))).not.toThrow();
    expect(plan({}, appliedHost({}, { takenPorts })).steps).toEqual([]);
  });
});

test('a cut-off apply and files changed since the release are told', () => {
  const facts = appliedHost();
  const made = plan(
    {},
    {
      ...facts,
      unfinishedJournal: { file: `${state}/journal/2-apply.jsonl`, purpose: 'apply' },
      files: {
        ...without(facts, `${state}/pki/ca.crt`),
        [`${state}/pki/server.crt`]: fileFact('mine'),
        [`${state}/keys/keys.json`]: fileFact('rotated'),
      },
    },
  );
  expect(made.notices.map(({ text }) => text)).toEqual([
    'An earlier apply was cut off (.mcp-deploy/journal/2-apply.jsonl); it is undone before anything else.',
    '.mcp-deploy/pki/ca.crt was removed since release 1.',
    '.mcp-deploy/pki/server.crt was changed by hand since release 1.',
  ]);
});

test('over random machines and wishes: the plan is data, the same every time, and once applied nothing is left to do', () => {
  const random = seededRandom(5);
  for (let round = 0; round < 200; round += 1) {
    const draft: DeploymentDraft = {
      name: random.pick(['mcp', 'b']),
      server: {
        listen: random.pick<string | string[]>(['localhost:8443', ':9000', ['10.0.0.1:1', '[::1]:2'], 'unix:/s']),
        ...(random.chance(0.3) ? { publicUrl: 'https://mcp.example.com/mcp' } : {}),
        ...(random.chance(0.5) ? { upstreams: { a: { command: 'x', env: { A: '${B}' } } } } : {}),
      },
      tls: random.pick([
        { source: 'private-ca' as const },
        {
          source: 'private-ca' as const,
          names: random.pick([['localhost'], ['a.example.com', '*.a.example.com'], ['10.1.1.1', 'box.local']]),
          validDays: random.pick([1, 2, 90, 397]),
        },
        { source: 'off' as const },
        { source: 'files' as const, certificate: 'a', key: 'b' },
      ]),
      auth: { required: random.chance(0.8) },
    };
    const base = random.chance(0.5) ? emptyHost() : appliedHost(random.chance(0.5) ? draft : {});
    const facts: HostFacts = {
      ...base,
      hostName: random.pick(['box.local', 'other', 'my_box']),
      serverVersion: random.pick(['1.0.0', '1.1.0']),
      ...(random.chance(0.3) ? { server: { state: 'stopped' as const } } : {}),
      ...(random.chance(0.2) ? { activeKeyLabels: [] } : {}),
      ...(random.chance(0.2)
        ? { caCertificate: random.pick([null, certificateFact({ names: [] }), certificateFact({ daysLeft: 40 })]) }
        : {}),
      ...(random.chance(0.2)
        ? {
            serverCertificate: random.pick([
              null,
              certificateFact({ daysLeft: 1 }),
              certificateFact({ issuedByCa: false }),
            ]),
          }
        : {}),
      ...(random.chance(0.2) ? { files: { ...base.files, [`${state}/server.json`]: fileFact('{"mine":1}') } } : {}),
    };
    const text = random.chance(0.5) ? formatDeployment(draft) : null;
    const made = plan(draft, facts, text);
    expect(JSON.parse(JSON.stringify(made))).toEqual(made);
    expect(plan(draft, structuredClone(facts), text)).toEqual(made);
    const later = afterPlan(made, facts);
    const again = plan(draft, later, text);
    expect(stepsOf(again), JSON.stringify({ draft, first: stepsOf(made) })).toEqual([]);
    expect(again.release).toBe(later.release?.release ?? 0);
  }
});
