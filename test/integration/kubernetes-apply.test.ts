import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect } from 'vitest';
import { openClusterFolder, type ClusterFolder } from '../helpers/cluster-folder.ts';
import { startFakeKubernetes, type FakeKubernetes } from '../helpers/fake-kubernetes.ts';
import { findProgram, testWithTools } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';

// The built command line and the real kubectl against a server that speaks as much of a cluster's API as they use. What a cluster
// would do with the pods is not in it, but for one: where a port is forwarded, the bundled server runs with what the pods are given.

const wanted = `version: 1
name: notes
service: { manager: kubernetes }
server: { tools: { ask: { description: asks, http: { url: 'http://127.0.0.1:9/', headers: { authorization: '\${NOTES_TOKEN}' } } } } }
container: { image: 'registry.example.com/team/notes:1', replicas: 2, kubernetes: { autoscale: off } }
`;
const token = 'Bearer hunter2-of-the-notes';
const ours = [
  'configmap/mcp-notes-config',
  'deployment.apps/mcp-notes',
  'networkpolicy.networking.k8s.io/mcp-notes',
  'poddisruptionbudget.policy/mcp-notes',
  'secret/mcp-notes-env',
  'secret/mcp-notes-keys',
  'service/mcp-notes',
  'serviceaccount/mcp-notes',
];
const serverFile = fileURLToPath(new URL('../../dist/server/serve.js', import.meta.url));
let fake: FakeKubernetes;
let folder: ClusterFolder;
let pod: ChildProcess | null = null;

beforeEach(async () => {
  fake = await startFakeKubernetes();
  folder = openClusterFolder(fake, process.env['MCP_DEPLOY_KUBECTL'] ?? findProgram('kubectl'), { NOTES_TOKEN: token });
  folder.want(wanted);
});

afterEach(async () => {
  pod?.kill('SIGKILL');
  pod = null;
  await fake.close();
  folder.remove();
});

testWithTools(
  ['kubectl'],
  'a deployment is applied, scaled, rolled and rolled back; a roll that fails is undone, an edit by hand is shown and kept, and uninstall leaves what is of others',
  async () => {
    // There before, so it stays.
    fake.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'mcp' } });
    fake.create({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'of-others', namespace: 'mcp' } });
    fake.denied.add('create pods/portforward');
    const first = await folder.must('apply');
    expect(first).toContain('2 copies ready in mcp');
    expect(first).toContain('you may not forward a port to its pods');
    expect(fake.names('mcp')).toEqual(['configmap/of-others', ...ours].toSorted());
    expect((await folder.cli(['plan', '--check'])).status).toBe(0);
    expect(await folder.must('status')).toContain('2 copies of registry.example.com/team/notes:1');

    // From here on clients of both eras call what the pods would run.
    fake.denied.clear();
    fake.forwardTo = await runPod();
    folder.want(wanted.replace('replicas: 2', 'replicas: 3'));
    const scaled = await folder.must('apply');
    expect(scaled).toContain('3 copies ready in mcp');
    expect(scaled).toMatch(/modern and legacy client, .*through kubectl port-forward/);

    folder.want(wanted.replace('replicas: 2', 'replicas: 3').replace('notes:1', 'notes:2'));
    fake.failing.set('registry.example.com/team/notes:2', 'ImagePullBackOff');
    const before = asItIs();
    const failed = await folder.cli(['apply']);
    expect([failed.status, failed.stderr]).toEqual([
      4,
      expect.stringContaining('Back-off pulling image "registry.example.com/team/notes:2"'),
    ]);
    expect(failed.stderr).toContain('Everything was undone');
    expect(asItIs()).toEqual(before);

    fake.failing.clear();
    expect(await folder.must('apply')).toContain('3 copies ready in mcp');
    expect(imageNow()).toBe('registry.example.com/team/notes:2');
    await folder.must('rollback');
    expect(imageNow()).toBe('registry.example.com/team/notes:1');
    // Never fewer than were wanted in all of this.
    expect(fake.leastAvailable.get('mcp-notes')).toBeGreaterThanOrEqual(2);

    fake.edit('deployment.apps/mcp-notes', 'mcp', { 'spec.replicas': 5 });
    folder.want(wanted.replace('replicas: 2', 'replicas: 3'));
    const drifted = await folder.cli(['plan', '--check', '--json']);
    expect([drifted.status, drifted.stdout]).toEqual([1, expect.stringContaining('"deployment.apps/mcp-notes"')]);
    const refused = await folder.cli(['apply']);
    expect([refused.status, refused.stderr]).toEqual([3, expect.stringContaining('spec.replicas: 5 in place of 3')]);
    expect(refused.stderr).toContain('--force-conflicts');

    expect(secretsIn(folder.state)).toEqual([]);
    expect(fake.requests.filter(({ line }) => line.includes('hunter2'))).toEqual([]);
    expect(await folder.must('uninstall', '--yes')).toContain('Removed');
    expect(fake.names('mcp')).toEqual(['configmap/of-others', 'secret/mcp-notes-env', 'secret/mcp-notes-keys']);
    expect(fake.hasNamespace('mcp')).toBe(true);
  },
  400_000,
);

/** CI takes the later moment of each; `all` the others too. */
const kills = process.env['MCP_DEPLOY_KILLS'];

testWithTools(
  ['kubectl'],
  'killed while it works, the next command undoes it: a first install leaves nothing, an upgrade leaves the former release',
  async () => {
    fake.denied.add('create pods/portforward');
    for (const step of kills === 'all' ? ['secret-mcp-notes-env', 'roll-out'] : ['roll-out']) {
      await folder.killAt(step, 'apply');
      expect(await folder.must('uninstall', '--yes', '--purge')).toContain('was cut off');
      expect([step, fake.names('mcp'), fake.hasNamespace('mcp')]).toEqual([step, [], false]);
    }
    await folder.must('apply');
    const before = asItIs();
    fake.denied.clear();
    fake.forwardTo = await runPod();
    for (const step of kills === 'all' ? ['roll-out', 'verify-endpoint'] : ['verify-endpoint']) {
      folder.want(wanted.replace('notes:1', 'notes:2'));
      await folder.killAt(step, 'apply');
      folder.want(wanted);
      expect(await folder.must('apply')).toContain('was cut off');
      expect([step, asItIs()]).toEqual([step, before]);
    }
    // One of its own namespace goes with all in it, where that is asked for.
    await folder.must('uninstall', '--yes', '--purge');
    expect(fake.hasNamespace('mcp')).toBe(false);
  },
  400_000,
);

testWithTools(
  ['kubectl'],
  'a cluster that cannot be used is refused in one sentence with the next command, and nothing is changed',
  async () => {
    const empty = join(folder.path, 'empty');
    writeFileSync(empty, 'apiVersion: v1\nkind: Config\n');
    const refused = async (env: NodeJS.ProcessEnv, text = wanted): Promise<string> => {
      folder.want(text);
      const { status, stderr } = await folder.cli(['apply'], env);
      expect([status, fake.names('mcp')]).toEqual([3, []]);
      return stderr;
    };
    expect(await refused({ PATH: '/nowhere' })).toContain('There is no kubectl on this machine.');
    expect(await refused({ KUBECONFIG: empty })).toContain('kubectl knows no cluster here.');
    const other = wanted.replace('autoscale: off', 'autoscale: off, context: other');
    expect(await refused({}, other)).toContain('kubectl knows no context other.');
    expect(await refused({ NOTES_TOKEN: undefined })).toContain('NOTES_TOKEN is not');
    fake.denied.add('create namespaces');
    expect(await refused({})).toContain('There is no namespace mcp, and you may not make one.');
    fake.denied.add('patch deployments.apps');
    fake.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'mcp' } });
    expect(await refused({})).toContain('You may not patch deployments.apps in the namespace mcp.');
    fake.denied.clear();
    fake.create({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'mcp-notes', namespace: 'mcp' } });
    const foreign = await folder.cli(['apply']);
    expect([foreign.status, foreign.stderr]).toEqual([
      3,
      expect.stringContaining('service/mcp-notes in mcp is not ours.'),
    ]);
    await fake.close();
    const silent = await folder.cli(['apply']);
    expect([silent.status, silent.stderr]).toEqual([3, expect.stringContaining('does not answer')]);
  },
  400_000,
);

/** What of the deployment is in the cluster, without what the server counts. */
function asItIs(): unknown {
  return fake.names('mcp').map((name) => {
    const { metadata, ...object } = structuredClone(fake.get(name, 'mcp')) ?? { metadata: { name } };
    return [name, metadata.labels, { ...object, status: null }];
  });
}

function imageNow(): string | undefined {
  const deployment = fake.get('deployment.apps/mcp-notes', 'mcp') as
    | { spec?: { template: { spec: { containers: { image: string }[] } } } }
    | undefined;
  return deployment?.spec?.template.spec.containers[0]?.image;
}

/** Files of the state folder that hold the value of the variable, plain or as a Secret has it. */
function secretsIn(path: string): readonly string[] {
  return readdirSync(path).flatMap((name): readonly string[] => {
    const each = join(path, name);
    if (statSync(each).isDirectory()) return secretsIn(each);
    const text = readFileSync(each, 'utf8');
    return text.includes('hunter2') || text.includes(Buffer.from(token).toString('base64')) ? [each] : [];
  });
}

/** The server with the configuration, the keys and the variables that a pod gets; on ports that are free here. */
async function runPod(): Promise<number> {
  const data = (name: string) => (fake.get(name, 'mcp')?.['data'] ?? {}) as Record<string, string>;
  const home = join(folder.path, '..', 'pod');
  mkdirSync(join(home, '.mcp-deploy/keys'), { recursive: true });
  const decode = (text = ''): string => Buffer.from(text, 'base64').toString('utf8');
  writeFileSync(join(home, '.mcp-deploy/keys/keys.json'), decode(data('secret/mcp-notes-keys')['keys.json']), {
    mode: 0o600,
  });
  const [port, health, metrics] = [await freePort(), await freePort(), await freePort()];
  const text = (data('configmap/mcp-notes-config')['mcp-deploy.yaml'] ?? '')
    .replaceAll(':8080', `127.0.0.1:${port}`)
    .replaceAll(':8081', `127.0.0.1:${health}`)
    .replaceAll(':9090', `127.0.0.1:${metrics}`);
  writeFileSync(join(home, 'mcp-deploy.yaml'), text);
  const env = { PATH: process.env['PATH'] ?? '', NOTES_TOKEN: decode(data('secret/mcp-notes-env')['NOTES_TOKEN']) };
  const child = spawn(process.execPath, [serverFile, '--config', join(home, 'mcp-deploy.yaml')], { cwd: home, env });
  pod = child;
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  await waitUntil(
    () =>
      fetch(`http://127.0.0.1:${health}/livez`).then(
        ({ ok }) => ok,
        () => false,
      ),
    60_000,
    'the server of the pod',
  ).catch(() => {
    throw new Error(said);
  });
  return port;
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
