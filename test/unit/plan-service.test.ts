import { describe, expect, test } from 'vitest';
import { deploymentSchema, type Deployment } from '../../src/deployment/schema.ts';
import type { DeploymentDraft } from '../../src/deployment/write-deployment.ts';
import { choosePort } from '../../src/plan/choose-port.ts';
import { endpointUrl, readyUrl } from '../../src/plan/endpoint-url.ts';
import type { HostFacts } from '../../src/plan/facts.ts';
import { planRemoval } from '../../src/plan/plan-removal.ts';
import { planRestart, planStart, planStop } from '../../src/plan/plan-service.ts';
import type { Plan } from '../../src/plan/types.ts';
import { emptyHost, fileFact } from '../helpers/host-facts.ts';

const state = '/srv/app/.mcp-deploy';
const file = '/srv/app/mcp-deploy.yaml';

function deploy(draft: DeploymentDraft = {}): Deployment {
  return deploymentSchema.parse({ ...draft, version: 1 });
}

function ids(plan: Plan): string[] {
  return plan.steps.map(({ id }) => id);
}

const files = { [`${state}/server.json`]: fileFact('{}'), [file]: fileFact('version: 1\n') };
const stopped = emptyHost({
  files,
  directories: [state, `${state}/run`, `${state}/logs`],
  deploymentFile: { path: file, text: 'version: 1\n' },
  release: { release: 3, appliedAt: '', toolVersion: '', desired: deploy(), files, directories: [`${state}/run`] },
});
const running: HostFacts = { ...stopped, server: { state: 'running', pid: 4711, configSha256: 'x', version: '1.0.0' } };

describe('start, stop and restart', () => {
  test.each<[string, (facts: HostFacts, deployment: Deployment) => Plan, HostFacts, string[]]>([
    ['start when stopped', planStart, stopped, ['start-server', 'wait-until-ready']],
    ['start when running', planStart, running, []],
    [
      'start without the folders',
      planStart,
      { ...stopped, directories: [] },
      ['logs-folder', 'run-folder', 'start-server', 'wait-until-ready'],
    ],
    ['stop when running', planStop, running, ['stop-server']],
    ['stop when stopped', planStop, stopped, []],
    ['restart when running', planRestart, running, ['stop-server', 'start-server', 'wait-until-ready']],
    ['restart when stopped', planRestart, stopped, ['start-server', 'wait-until-ready']],
  ])('%s', (_, planFor, facts, steps) => {
    const plan = planFor(facts, deploy());
    expect(ids(plan)).toEqual(steps);
    expect(plan).toMatchObject({ release: 3, deployment: 'mcp', schemaVersion: 1 });
    expect(JSON.parse(JSON.stringify(plan))).toEqual(plan);
    if (steps.length === 0) expect(plan.notices).toHaveLength(1);
  });

  test('a stop leaves the drain its time, and can be taken back', () => {
    const [step] = planStop(running, deploy({ server: { drainSeconds: 2.5 } })).steps;
    expect(step?.action).toEqual({ type: 'stop-server', pidFile: `${state}/run/server.json`, graceMs: 7_500 });
    expect(step?.undo.type).toBe('start-server');
  });

  test('waiting is as long as the slowest upstream may take, and ten seconds', () => {
    const upstreams = { a: { command: 'x' }, b: { command: 'x', startSeconds: 90.5 } };
    expect(planStart(stopped, deploy({ server: { upstreams } })).steps.at(-1)?.action).toMatchObject({
      timeoutMs: 100_500,
    });
  });

  test('nothing applied is nothing to start', () => {
    expect(() => planStart(emptyHost(), deploy())).toThrow(
      expect.objectContaining({ exitCode: 3, next: 'mcp-deploy up' }) as Error,
    );
    expect(() => planRestart(emptyHost(), deploy())).toThrow('nothing to start');
  });

  test('a taken port stops start and restart before anything', () => {
    const takenPorts = [{ port: 8443, holder: null }];
    expect(() => planStart({ ...stopped, takenPorts }, deploy())).toThrow('Port 8443 is taken.');
    expect(() => planRestart({ ...running, takenPorts }, deploy())).toThrow('Port 8443 is taken.');
  });
});

describe('uninstall', () => {
  test('stops the server and removes the file that is as it was written', () => {
    const plan = planRemoval(running);
    expect(ids(plan)).toEqual(['stop-server', 'remove-deployment-file']);
    expect(plan).toMatchObject({ purpose: 'uninstall', desired: null, notices: [] });
    expect(JSON.parse(JSON.stringify(plan))).toEqual(plan);
  });

  test('an edited mcp-deploy.yaml stays and is told; with purge it goes', () => {
    const edited: HostFacts = { ...running, files: { ...files, [file]: fileFact('version: 1\n# mine\n') } };
    expect(ids(planRemoval(edited))).toEqual(['stop-server']);
    expect(planRemoval(edited).notices[0]?.text).toBe('mcp-deploy.yaml was changed since it was written; it stays.');
    expect(ids(planRemoval(edited, { purge: true }))).toEqual(['stop-server', 'remove-deployment-file']);
  });

  test('a mcp-deploy.yaml that was never ours stays', () => {
    const theirs: HostFacts = {
      ...running,
      release: { ...(running.release as NonNullable<HostFacts['release']>), files: {} },
    };
    expect(ids(planRemoval(theirs))).toEqual(['stop-server']);
    expect(ids(planRemoval(theirs, { purge: true }))).toEqual(['stop-server']);
    expect(planRemoval(theirs).notices[0]?.text).toBe('mcp-deploy.yaml is yours; it stays.');
  });

  test('only the text of mcp-deploy.yaml known is enough to compare it', () => {
    const { [file]: _, ...others } = files;
    expect(ids(planRemoval({ ...running, files: others }))).toContain('remove-deployment-file');
    expect(ids(planRemoval({ ...running, files: others, deploymentFile: { path: file, text: 'edited' } }))).toEqual([
      'stop-server',
    ]);
  });

  test('a stopped server has its step too, so that the state folder is removed behind it', () => {
    expect(ids(planRemoval(stopped))).toEqual(['stop-server', 'remove-deployment-file']);
    expect(ids(planRemoval(emptyHost({ directories: [state] })))).toEqual(['stop-server']);
  });

  test('a machine without anything of ours gets no steps', () => {
    expect(planRemoval(emptyHost()).steps).toEqual([]);
    expect(planRemoval(emptyHost({ deploymentFile: { path: file, text: 'x' } })).steps).toEqual([]);
  });

  test('what lies outside of the state folder goes file by file, folders last and the deepest first', () => {
    const release = {
      ...(running.release as NonNullable<HostFacts['release']>),
      files: {
        '/etc/x/a.conf': fileFact('a'),
        '/etc/x/edited.conf': fileFact('b'),
        '/etc/x/gone.conf': fileFact('c'),
        [`${state}/server.json`]: fileFact('{}'),
      },
      directories: [state, `${state}/pki`, '/etc/x', '/etc/x/y'],
    };
    const plan = planRemoval({
      ...running,
      release,
      files: { '/etc/x/a.conf': fileFact('a'), '/etc/x/edited.conf': fileFact('B') },
      deploymentFile: { path: file, text: null },
    });
    expect(
      plan.steps.slice(1).map(({ action }) => ('path' in action ? `${action.type} ${action.path}` : action.type)),
    ).toEqual(['remove-file /etc/x/a.conf', 'remove-directory /etc/x/y', 'remove-directory /etc/x']);
    expect(plan.notices.map(({ text }) => text)).toEqual([
      '/etc/x/edited.conf was changed since it was written; it stays.',
    ]);
    expect(new Set(ids(plan)).size).toBe(plan.steps.length);
  });
});

describe('URLs', () => {
  test.each<[DeploymentDraft, string, string | null]>([
    [{}, 'https://localhost:8443/mcp', 'https://127.0.0.1:8443/readyz'],
    [
      { tls: { source: 'off' }, server: { listen: ':80', path: '/x' } },
      'http://localhost:80/x',
      'http://127.0.0.1:80/readyz',
    ],
    [{ server: { listen: '*:1' } }, 'https://localhost:1/mcp', 'https://127.0.0.1:1/readyz'],
    [{ server: { listen: '0.0.0.0:1' } }, 'https://localhost:1/mcp', 'https://127.0.0.1:1/readyz'],
    [{ server: { listen: '[::]:1' } }, 'https://localhost:1/mcp', 'https://127.0.0.1:1/readyz'],
    [{ server: { listen: '[::1]:1' } }, 'https://[::1]:1/mcp', 'https://[::1]:1/readyz'],
    [{ server: { listen: 'Box.local:1' } }, 'https://box.local:1/mcp', 'https://box.local:1/readyz'],
    [{ server: { listen: ['unix:/x', '10.0.0.1:1'] } }, 'https://10.0.0.1:1/mcp', 'https://10.0.0.1:1/readyz'],
    [{ server: { listen: 'unix:/x' } }, 'unix:/x', null],
    [{ server: { listen: 'unix:/x', publicUrl: 'https://a.example.com/mcp' } }, 'https://a.example.com/mcp', null],
  ])('%j', (draft, endpoint, ready) => {
    expect(endpointUrl(deploy(draft))).toBe(endpoint);
    expect(readyUrl(deploy(draft))).toBe(ready);
  });
});

describe('choosePort', () => {
  test('takes the wanted port, or the next free one', async () => {
    expect(await choosePort(8443, () => false)).toBe(8443);
    expect(await choosePort(8443, (port) => Promise.resolve(port < 8446))).toBe(8446);
  });

  test('gives up after fifty, and never leaves the range of ports', async () => {
    const tried: number[] = [];
    await expect(choosePort(65_530, (port) => tried.push(port) > 0)).rejects.toMatchObject({ exitCode: 3 });
    expect(tried).toEqual([65_530, 65_531, 65_532, 65_533, 65_534, 65_535]);
    await expect(choosePort(100, () => true)).rejects.toThrow('from 100 to 149');
  });
});
