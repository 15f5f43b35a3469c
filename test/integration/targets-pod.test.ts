import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { parse } from 'yaml';
import type { DeploymentInput } from '../../src/deployment/schema.ts';
import { createKeyIn } from '../../src/server/policy/key-store.ts';
import { requireBench, startContainerBench, type ContainerBench } from '../helpers/container-bench.ts';
import { relayInto } from '../helpers/docker-daemon.ts';
import { callHttp, type HttpAnswer } from '../helpers/http-call.ts';
import { modernRequest } from '../helpers/server-rig.ts';
import { testWithTools } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';

// There is no cluster here. What the kubelet would do with the rendered pod is done with Docker instead, and every
// value is taken from the manifest: user, file system, capabilities, mounts, environment, probes, end.

const tools = ['dockerd', 'docker', 'unshare', 'nsenter', 'ldd', 'tar'];
const deployment: DeploymentInput = {
  version: 1,
  server: {
    drainSeconds: 10,
    tools: {
      slow: {
        description: 'takes a moment',
        command: { command: 'node', args: ['-e', 'setTimeout(()=>console.log("slept"),3000)'] },
      },
    },
  },
  logs: { audit: 'audit.log' },
  container: { kubernetes: { namespace: 'tools' } },
};

interface Pod {
  readonly terminationGracePeriodSeconds: number;
  readonly securityContext: { readonly runAsUser: number; readonly runAsGroup: number; readonly fsGroup: number };
  readonly volumes: readonly { readonly name: string; readonly emptyDir?: { readonly sizeLimit: string } }[];
  readonly containers: readonly [
    {
      readonly args: readonly string[];
      readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
      readonly startupProbe: Probe;
      readonly livenessProbe: Probe;
      readonly readinessProbe: Probe;
      readonly lifecycle: { readonly preStop: { readonly exec: { readonly command: readonly string[] } } };
      readonly resources: { readonly limits: { readonly memory: string } };
      readonly securityContext: {
        readonly allowPrivilegeEscalation: boolean;
        readonly readOnlyRootFilesystem: boolean;
        readonly capabilities: { readonly drop: readonly string[] };
      };
      readonly volumeMounts: readonly {
        readonly name: string;
        readonly mountPath: string;
        readonly subPath?: string;
      }[];
    },
  ];
}

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string };
  readonly periodSeconds: number;
  readonly failureThreshold: number;
}

let bench: ContainerBench | null = null;

beforeAll(async () => {
  bench = await startContainerBench(tools);
}, 180_000);

afterAll(async () => {
  await bench?.stop();
}, 60_000);

testWithTools(
  tools,
  'the pod of the manifest starts, is probed, serves, sees a Secret change, and ends without losing a call',
  async (context) => {
    const at = requireBench(bench, context);
    const { engine } = at;
    const image = at.render('docker', deployment);
    engine.docker(['build', '--tag', 'mcp:latest', '.'], { cwd: image });
    const folder = at.render('kubernetes', deployment);
    const read = (name: string): unknown => parse(readFileSync(join(folder, `base/manifests/${name}.yaml`), 'utf8'));
    const pod = (read('deployment') as { spec: { template: { spec: Pod } } }).spec.template.spec;
    const config = (read('configmap') as { data: Record<string, string> }).data['mcp-deploy.yaml'] ?? '';
    const [container] = pod.containers;
    const secret = secretFolder(at, pod.securityContext.fsGroup);
    const id = engine.docker(['run', '--detach', ...runArguments(at, pod, config, secret.path)]).trim();
    const address = engine.docker(['inspect', '--format', '{{.NetworkSettings.IPAddress}}', id]).trim();
    const portOf = (name: string): number => container.ports.find((port) => port.name === name)?.containerPort ?? 0;
    const relays = await Promise.all(
      ['mcp', 'health', 'metrics'].map((name) => relayInto(engine, portOf(name), address)),
    );
    const [mcp = 0, health = 0, metrics = 0] = relays.map(({ port }) => port);
    const probe = async ({ httpGet }: Probe): Promise<number> => {
      expect(httpGet.port).toBe('health');
      // As the kubelet asks: by the address of the pod.
      const headers = { host: `${address}:${portOf('health')}` };
      return (
        (await callHttp({ url: `http://127.0.0.1:${health}${httpGet.path}`, headers }).catch(() => null))?.status ?? 0
      );
    };
    const call = (name: string, host = 'mcp.tools.svc'): Promise<HttpAnswer> => {
      const { message, headers } = modernRequest(1, 'tools/call', {
        name,
        arguments: name === 'echo' ? { message: 'x' } : {},
      });
      return callHttp({
        url: `http://127.0.0.1:${mcp}/mcp`,
        method: 'POST',
        headers: {
          ...headers,
          host,
          authorization: `Bearer ${at.key}`,
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
        },
        body: JSON.stringify(message),
      });
    };
    try {
      const { periodSeconds, failureThreshold } = container.startupProbe;
      await waitUntil(
        async () => (await probe(container.startupProbe)) === 200,
        periodSeconds * failureThreshold * 1_000,
        'the startup probe to pass in its time',
      ).catch((error: unknown) => {
        throw new Error(`${String(error)}\n${at.logs(id)}`);
      });
      await waitUntil(async () => (await probe(container.readinessProbe)) === 200, 30_000, 'the pod to be ready');
      expect(await probe(container.livenessProbe)).toBe(200);
      expect((await call('slow')).body).toContain('slept');
      expect((await call('slow', 'evil.example')).status).toBe(403);
      const page = await callHttp({
        url: `http://127.0.0.1:${metrics}/metrics`,
        headers: { host: `${address}:${portOf('metrics')}` },
      });
      expect([page.status, page.body]).toEqual([200, expect.stringContaining('mcp_requests_total')]);

      const inside = (script: string): string => engine.docker(['exec', id, 'node', '-p', script]).trim();
      expect(inside('`${process.getuid()}:${process.getgid()}`')).toBe(
        `${pod.securityContext.runAsUser}:${pod.securityContext.runAsGroup}`,
      );
      expect(inside("/^CapEff:\\t0+$/m.test(require('fs').readFileSync('/proc/1/status','utf8'))")).toBe('true');
      const tried = inside(
        `JSON.stringify(['/app', '/etc', '/', '/tmp', '/home/node', '/var/lib/mcp'].map((f) => { try { require('fs').writeFileSync(f + '/x', ''); return true } catch { return false } }))`,
      );
      expect(JSON.parse(tried)).toEqual([false, false, false, true, true, true]);

      // The kubelet puts another folder in the place of a Secret's: the key that is not in it any more is refused.
      expect((await call('slow')).status).toBe(200);
      secret.replace(createKeyIn(null, { label: 'other', now: new Date().toISOString() }).storeText);
      await waitUntil(async () => (await call('slow')).status === 401, 30_000, 'the revoked key to be refused');
      secret.restore();
      await waitUntil(async () => (await call('slow')).status === 200, 30_000, 'the key to be known again');

      // The end of a pod: the hook first, during which everything is as before, then SIGTERM and the rest of the grace.
      const hook = at.start(['exec', id, ...container.lifecycle.preStop.exec.command]);
      expect((await call('slow')).status).toBe(200);
      expect(await hook).toBe(0);
      const last = call('slow');
      const isRunning = `require('fs').readdirSync('/proc').some((p) => { try { return /console.log.*,3000/.test(require('fs').readFileSync('/proc/' + p + '/cmdline', 'utf8')) } catch { return false } })`;
      await waitUntil(() => inside(isRunning) === 'true', 20_000, 'the last call to be at work');
      const waited = Number(/,(\d+)\)/.exec(container.lifecycle.preStop.exec.command.join(' '))?.[1]) / 1_000;
      const stopped = at.start(['stop', '--time', String(pod.terminationGracePeriodSeconds - waited), id]);
      const answer = await last;
      expect([answer.status, answer.body]).toEqual([200, expect.stringContaining('slept')]);
      expect(await stopped).toBe(0);
      expect(engine.docker(['inspect', '--format', '{{.State.ExitCode}} {{.State.OOMKilled}}', id]).trim()).toBe(
        '0 false',
      );
    } finally {
      await Promise.all(relays.map((relay) => relay.close()));
      engine.docker(['rm', '--force', id]);
    }
  },
  240_000,
);

function runArguments(at: ContainerBench, pod: Pod, config: string, secret: string): readonly string[] {
  const [container] = pod.containers;
  const { runAsUser, runAsGroup, fsGroup } = pod.securityContext;
  const { securityContext } = container;
  const configFile = join(mkdtempSync(join(at.folder, 'config-')), 'mcp-deploy.yaml');
  writeFileSync(configFile, config);
  at.readable(configFile);
  const sources: Readonly<Record<string, string>> = { config: configFile, keys: secret };
  const mounts = container.volumeMounts.flatMap(({ name, mountPath }) => {
    const size = pod.volumes.find((volume) => volume.name === name)?.emptyDir?.sizeLimit;
    const source = size === undefined ? (sources[name] ?? '') : emptyFolder(at, fsGroup);
    return ['--mount', `type=bind,source=${source},target=${mountPath}${size === undefined ? ',readonly' : ''}`];
  });
  return [
    '--init',
    `--user=${runAsUser}:${runAsGroup}`,
    `--group-add=${fsGroup}`,
    ...(securityContext.readOnlyRootFilesystem ? ['--read-only'] : []),
    ...(securityContext.allowPrivilegeEscalation ? [] : ['--security-opt=no-new-privileges']),
    ...securityContext.capabilities.drop.map((name) => `--cap-drop=${name}`),
    `--memory=${container.resources.limits.memory.replace('Mi', 'm')}`,
    ...mounts,
    'mcp:latest',
    ...container.args,
  ];
}

/** An emptyDir as the kubelet makes it: of root and the group of the pod, and writable for everyone. */
function emptyFolder(at: ContainerBench, group: number): string {
  const path = mkdtempSync(join(at.folder, 'empty-'));
  chownSync(path, 0, group);
  chmodSync(path, 0o2777);
  return path;
}

/** A Secret as the kubelet lays it out: files are links into ..data, which is a link that is replaced at once. */
function secretFolder(
  at: ContainerBench,
  group: number,
): { path: string; replace(text: string): void; restore(): void } {
  const path = mkdtempSync(join(at.folder, 'secret-'));
  at.readable(path);
  const first = readFileSync(at.keyStoreFile, 'utf8');
  let version = 0;
  const put = (text: string): void => {
    version += 1;
    const folder = `..v${version}`;
    mkdirSync(join(path, folder), { mode: 0o755 });
    writeFileSync(join(path, folder, 'keys.json'), text, { mode: 0o440 });
    chownSync(join(path, folder, 'keys.json'), 0, group);
    symlinkSync(folder, join(path, '..new'));
    renameSync(join(path, '..new'), join(path, '..data'));
  };
  put(first);
  symlinkSync('..data/keys.json', join(path, 'keys.json'));
  return { path, replace: put, restore: () => put(first) };
}
