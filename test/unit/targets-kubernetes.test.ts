import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { parseDeployment } from '../../src/deployment/parse-deployment.ts';
import type { DeploymentInput } from '../../src/deployment/schema.ts';
import { UserError } from '../../src/deployment/errors.ts';
import { findTarget, renderTarget } from '../../src/targets/index.ts';
import { findUnknownFields, judgeManifest, type Manifest } from '../helpers/kubernetes-schemas.ts';
import { targetInput } from '../helpers/target-input.ts';
import { findProgram } from '../helpers/tools.ts';

const full: DeploymentInput = {
  version: 1,
  name: 'notes',
  server: {
    publicUrl: 'https://mcp.example.com/mcp',
    aliases: ['/message'],
    legacySse: { sse: '/sse', messages: '/messages' },
    toolPath: '/tools',
    drainSeconds: 45,
    upstreams: { up: { command: 'npx', args: ['-y', 'pkg'], env: { TOKEN: '${TOKEN}', LEVEL: '${LEVEL:-info}' } } },
  },
  redis: { url: '${REDIS_URL}' },
  logs: { audit: 'audit.log', auditKeyFile: '/etc/audit.key' },
  proxy: { serverName: 'mcp.example.com' },
  container: {
    image: 'registry.example.com:5000/team/mcp:1.4.2',
    replicas: 3,
    kubernetes: {
      namespace: 'tools',
      ingress: {},
      gateway: { name: 'edge', namespace: 'infra', section: 'https' },
      reachableFrom: ['ingress-nginx', 'agents'],
      monitoring: 'monitoring',
      environments: {
        staging: {
          replicas: 1,
          serverName: 'mcp-staging.example.com',
          image: 'registry.example.com:5000/team/mcp:1.5.0-rc.1',
        },
        production: { namespace: 'tools-live', replicas: 6 },
      },
    },
  },
};

const variants: Readonly<Record<string, DeploymentInput>> = {
  'as it comes': { version: 1 },
  'all options': full,
  'no scaling, no metrics': {
    version: 1,
    server: { metrics: false },
    container: { replicas: 1, kubernetes: { autoscale: 'off', environments: { test: { replicas: 2 } } } },
  },
  'another ingress class': {
    version: 1,
    proxy: { serverName: 'mcp.example.com' },
    container: { kubernetes: { ingress: { class: 'traefik', tlsSecret: 'public' } } },
  },
};

/** What kubectl reads: there `no` and `0777` are not what they are in YAML 1.2. */
const clusterYaml = { version: '1.1' } as const;
const rendered = new WeakMap<DeploymentInput, Readonly<Record<string, string>>>();
const parsed = new WeakMap<DeploymentInput, readonly Manifest[]>();

function filesOf(deployment: DeploymentInput): Readonly<Record<string, string>> {
  const known = rendered.get(deployment);
  if (known !== undefined) return known;
  const files = renderTarget('kubernetes', targetInput(deployment));
  const byPath = Object.fromEntries(files.map(({ path, content }) => [path.replace('kubernetes/', ''), content]));
  rendered.set(deployment, byPath);
  return byPath;
}

function manifestsOf(deployment: DeploymentInput): readonly Manifest[] {
  const known = parsed.get(deployment);
  if (known !== undefined) return known;
  const manifests = Object.entries(filesOf(deployment))
    .filter(([path]) => path.startsWith('base/manifests/'))
    .map(([, content]) => parse(content, clusterYaml) as Manifest);
  parsed.set(deployment, manifests);
  return manifests;
}

/** One object, as loosely typed as YAML is: tests name the path that they look at. */
function at(value: unknown, ...path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>((inner, key) => (inner as Record<string | number, unknown> | undefined)?.[key], value);
}

function kindOf(deployment: DeploymentInput, kind: string): Manifest {
  const found = manifestsOf(deployment).find((one) => one.kind === kind);
  if (found === undefined) throw new Error(`no ${kind}`);
  return found;
}

describe.each(Object.entries(variants))('%s', (_name, deployment) => {
  test('every manifest is valid by the published schema of its kind', () => {
    const manifests = manifestsOf(deployment);
    expect(manifests.length).toBeGreaterThan(6);
    for (const one of manifests) expect([one.kind, judgeManifest(one)]).toEqual([one.kind, []]);
  });

  test('the pod keeps each rule of the Pod Security Standard "restricted"', () => {
    const pod = at(kindOf(deployment, 'Deployment'), 'spec', 'template', 'spec');
    for (const rule of podSecurityRules(pod)) expect(rule).toMatchObject({ kept: true });
    // Else a Service called mcp would be MCP_PORT=tcp://… in its own pods.
    expect(at(pod, 'enableServiceLinks')).toBe(false);
  });

  test('every object that is named by another is there, and labels select what they mean to', () => {
    const manifests = manifestsOf(deployment);
    const app = kindOf(deployment, 'Deployment');
    const labels = at(app, 'spec', 'template', 'metadata', 'labels') as Record<string, string>;
    const selectors = manifests.flatMap((one) => [
      at(one, 'spec', 'selector', 'matchLabels'),
      at(one, 'spec', 'podSelector', 'matchLabels'),
      one.kind === 'Service' ? at(one, 'spec', 'selector') : undefined,
    ]);
    for (const selector of selectors.filter((each) => each !== undefined))
      expect(labels).toMatchObject(selector as object);
    for (const one of manifests) {
      if (one.kind !== 'Namespace') expect(one.metadata.namespace).toBe(kindOf(deployment, 'Namespace').metadata.name);
    }
    const config = kindOf(deployment, 'ConfigMap').metadata.name;
    expect(JSON.stringify(app)).toContain(`"configMap":{"name":"${config}"}`);
    const read = parseDeployment(String(at(kindOf(deployment, 'ConfigMap'), 'data', 'mcp-deploy.yaml')), {
      file: 'x',
    });
    expect(read.ok ? [] : read.problems).toEqual([]);
  });

  test('the grace period is longer than the wait before SIGTERM and the draining time together', () => {
    const pod = at(kindOf(deployment, 'Deployment'), 'spec', 'template', 'spec');
    const script = String(at(pod, 'containers', 0, 'lifecycle', 'preStop', 'exec', 'command', 2));
    const waitSeconds = Number(/,(\d+)\)/.exec(script)?.[1]) / 1_000;
    const drainSeconds = deployment.server?.drainSeconds ?? 30;
    expect(waitSeconds).toBeGreaterThan(2);
    expect(at(pod, 'terminationGracePeriodSeconds')).toBeGreaterThanOrEqual(waitSeconds + drainSeconds + 10);
  });

  test('probes ask the port of the pages, which no Service and no route leads to', () => {
    const container = at(kindOf(deployment, 'Deployment'), 'spec', 'template', 'spec', 'containers', 0);
    for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe']) {
      expect(at(container, probe, 'httpGet', 'port')).toBe('health');
    }
    expect(at(container, 'readinessProbe', 'httpGet', 'path')).toBe('/readyz');
    const outside = manifestsOf(deployment).filter(({ kind }) => /Service$|Ingress|HTTPRoute/.test(kind));
    expect(JSON.stringify(outside)).not.toMatch(/8081|"health"/);
  });

  test('an overlay gives what a merge of its patches gives, and kubectl kustomize says the same where it is', () => {
    const files = filesOf(deployment);
    const { environments = {} } = deployment.container?.kubernetes ?? {};
    for (const environment of Object.keys(environments)) {
      const merged = mergeOverlay(files, environment);
      for (const one of merged) expect([one.kind, judgeManifest(one)]).toEqual([one.kind, []]);
      const kubectl = findProgram('kubectl');
      // No Debian package of today has it: where it is missing, the merge above is what is known.
      if (kubectl === null) continue;
      expect(byKind(kustomize(kubectl, files, environment))).toEqual(byKind(merged));
    }
  });
});

test('no manifest has a field that the API does not know', () => {
  const all = Object.values(variants).flatMap((deployment) => [
    ...manifestsOf(deployment),
    ...Object.keys(deployment.container?.kubernetes?.environments ?? {}).flatMap((environment) =>
      mergeOverlay(filesOf(deployment), environment),
    ),
  ]);
  expect(findUnknownFields(all)).toEqual([]);
  const misspelt = structuredClone(kindOf(full, 'Deployment')) as unknown as { spec: { template: { spec: object } } };
  Object.assign(misspelt.spec.template.spec, { terminationGracePeriod: 3 });
  expect(findUnknownFields([misspelt as unknown as Manifest]).join()).toContain('terminationGracePeriod');
}, 60_000);

test('the checks of the schemas trip: a wrong type, an unknown field of a CRD, a rule of "restricted" that is broken', () => {
  const app = structuredClone(kindOf(full, 'Deployment')) as unknown as { spec: Record<string, unknown> };
  app.spec['minReadySeconds'] = 'many';
  expect(judgeManifest(app as unknown as Manifest)).not.toEqual([]);
  const route = structuredClone(kindOf(full, 'HTTPRoute')) as unknown as { spec: Record<string, unknown> };
  route.spec['hostname'] = 'x';
  expect(judgeManifest(route as unknown as Manifest).join()).toContain('additional properties');
  const pod = structuredClone(at(kindOf(full, 'Deployment'), 'spec', 'template', 'spec')) as Record<string, unknown>;
  pod['hostNetwork'] = true;
  expect(podSecurityRules(pod).filter(({ kept }) => !kept)).toEqual([
    { rule: 'no namespace of the host', kept: false },
  ]);
});

test('keys and variables come from Secrets by reference, and nothing of them is in a file', () => {
  const app = kindOf(full, 'Deployment');
  expect(at(app, 'spec', 'template', 'spec', 'containers', 0, 'env')).toEqual(
    ['TOKEN', 'LEVEL', 'REDIS_URL'].map((name) => ({
      name,
      valueFrom: { secretKeyRef: { name: 'mcp-notes-env', key: name } },
    })),
  );
  expect(manifestsOf(full).map(({ kind }) => kind)).not.toContain('Secret');
  const { notices, install } = findTarget('kubernetes').commands(targetInput(full));
  expect(notices.join('\n')).toContain('mcp-notes-env has to hold: TOKEN, LEVEL, REDIS_URL');
  expect(install.map(({ argv }) => argv.join(' ')).join('\n')).toContain(
    '--from-file=keys.json=/srv/mcp/.mcp-deploy/keys/keys.json',
  );
});

test('a changed configuration starts new pods: its hash is in the template of the pod, in overlays too', () => {
  const hash = (deployment: DeploymentInput): unknown =>
    at(kindOf(deployment, 'Deployment'), 'spec', 'template', 'metadata', 'annotations', 'mcp-deploy/config');
  expect(hash(full)).toBe(hash(structuredClone(full)));
  const changed = { ...full, server: { ...full.server, keepAliveSeconds: 7 } };
  expect(hash(changed)).not.toBe(hash(full));
  const staged = mergeOverlay(filesOf(full), 'staging').find(({ kind }) => kind === 'Deployment');
  expect(at(staged, 'spec', 'template', 'metadata', 'annotations', 'mcp-deploy/config')).not.toBe(hash(full));
});

test('only an Ingress of the class nginx gets its annotations, and legacy sessions hang on the key there', () => {
  const annotations = at(kindOf(full, 'Ingress'), 'metadata', 'annotations') as Record<string, string>;
  expect(annotations['nginx.ingress.kubernetes.io/upstream-hash-by']).toBe('$http_authorization$http_x_api_key');
  expect(Object.values(annotations).every((value) => typeof value === 'string')).toBe(true);
  expect(kindOf(variants['another ingress class'] ?? full, 'Ingress').metadata).not.toHaveProperty('annotations');
});

test('what a cluster would refuse, or nobody could reach, is refused with the setting', () => {
  const refused: readonly [DeploymentInput, RegExp][] = [
    [{ version: 1, container: { kubernetes: { ingress: {} } } }, /no public name is known/],
    [{ version: 1, container: { cpus: { reserved: 2, limit: 1 } } }, /container\.cpus\.reserved is more/],
    [{ version: 1, container: { memoryMegabytes: { reserved: 2_000 } } }, /memoryMegabytes\.reserved is more/],
    [{ version: 1, container: { replicas: 20 } }, /container\.replicas is more/],
    [{ version: 1, auth: { required: false } }, /auth\.required is false/],
    [
      { version: 1, container: { kubernetes: { environments: { x: { serverName: 'a b' } } } } },
      /environments\.x\.serverName/,
    ],
  ];
  for (const [deployment, sentence] of refused) {
    expect(() => filesOf(deployment)).toThrow(UserError);
    expect(() => filesOf(deployment)).toThrow(sentence);
  }
});

test('texts that YAML could take for something else stay texts', () => {
  for (const name of ['no', '1e3', '0x1f', 'null', 'true', '0', 'y']) {
    const container: DeploymentInput['container'] = {
      kubernetes: {
        namespace: name,
        monitoring: name,
        reachableFrom: [name],
        environments: { [name]: { replicas: 3 } },
      },
    };
    const deployment: DeploymentInput = { version: 1, name, container };
    for (const one of [...manifestsOf(deployment), ...mergeOverlay(filesOf(deployment), name)]) {
      expect(judgeManifest(one)).toEqual([]);
      expect(Object.values(one.metadata.labels ?? {}).every((value) => typeof value === 'string')).toBe(true);
    }
    expect(kindOf(deployment, 'Namespace').metadata.name).toBe(name);
  }
});

test('the configuration in the ConfigMap is the one that was given, whatever its texts', () => {
  for (const value of [
    '; } {',
    'line\nkind: Secret\n',
    'trailing  \n\n',
    '"\'`',
    '$HOME %h {{x}}',
    '🚀 #c',
    '\u0085\u2028',
    '---\n',
    '\ttab',
    'no',
  ]) {
    const upstreams = { up: { command: 'npx', args: [value], env: { A: value } } };
    const config = String(at(kindOf({ version: 1, server: { upstreams } }, 'ConfigMap'), 'data', 'mcp-deploy.yaml'));
    expect(parse(config)).toMatchObject({ server: { upstreams } });
  }
});

/** https://kubernetes.io/docs/concepts/security/pod-security-standards/, "Restricted" and what it takes over from "Baseline". */
function podSecurityRules(pod: unknown): readonly { rule: string; kept: boolean }[] {
  const containers = at(pod, 'containers') as unknown[];
  const volumes = at(pod, 'volumes') as Record<string, unknown>[];
  const each = (judge: (context: unknown, container: unknown) => boolean): boolean =>
    containers.every((container) => judge(at(container, 'securityContext'), container));
  const allowedVolumes = new Set([
    'configMap',
    'csi',
    'downwardAPI',
    'emptyDir',
    'ephemeral',
    'persistentVolumeClaim',
    'projected',
    'secret',
  ]);
  return [
    {
      rule: 'no namespace of the host',
      kept: ['hostNetwork', 'hostPID', 'hostIPC'].every((name) => at(pod, name) === undefined),
    },
    { rule: 'not privileged', kept: each((context) => at(context, 'privileged') === undefined) },
    { rule: 'no privilege escalation', kept: each((context) => at(context, 'allowPrivilegeEscalation') === false) },
    {
      rule: 'no capabilities',
      kept: each((context) => JSON.stringify(at(context, 'capabilities')) === '{"drop":["ALL"]}'),
    },
    {
      rule: 'only the allowed kinds of volumes',
      kept: volumes.every((volume) => Object.keys(volume).every((name) => name === 'name' || allowedVolumes.has(name))),
    },
    {
      rule: 'no ports of the host',
      kept: each((_context, container) => (at(container, 'ports') as object[]).every((port) => !('hostPort' in port))),
    },
    {
      rule: 'not root, said',
      kept:
        at(pod, 'securityContext', 'runAsNonRoot') === true && each((context) => at(context, 'runAsNonRoot') !== false),
    },
    {
      rule: 'not root, by number',
      kept: Number(at(pod, 'securityContext', 'runAsUser')) > 0 && each((context) => at(context, 'runAsUser') !== 0),
    },
    {
      rule: 'the seccomp profile of the runtime',
      kept: at(pod, 'securityContext', 'seccompProfile', 'type') === 'RuntimeDefault',
    },
    {
      rule: 'no sysctls, SELinux or AppArmor of its own',
      kept: ['sysctls', 'seLinuxOptions', 'appArmorProfile'].every(
        (name) => at(pod, 'securityContext', name) === undefined,
      ),
    },
    { rule: 'the default view of /proc', kept: each((context) => at(context, 'procMount') === undefined) },
  ];
}

/** What kustomize does with the few things that our overlays use: namespace, labels, images, and patches whose lists replace. */
function mergeOverlay(files: Readonly<Record<string, string>>, environment: string): readonly Manifest[] {
  const overlay = parse(files[`overlays/${environment}/kustomization.yaml`] ?? '', clusterYaml) as {
    namespace: string;
    labels: { pairs: Record<string, string> }[];
    images?: { name: string; newName: string; newTag?: string }[];
    patches: { path: string }[] | null;
  };
  const patches = (overlay.patches ?? []).map(
    ({ path }) => parse(files[`overlays/${environment}/${path}`] ?? '', clusterYaml) as Manifest,
  );
  const base = parse(files['base/kustomization.yaml'] ?? '', clusterYaml) as { resources: string[] };
  return base.resources.map((path) => {
    const original = parse(files[`base/${path}`] ?? '', clusterYaml) as Manifest;
    const fitting = patches.filter(
      ({ kind, metadata }) => kind === original.kind && metadata.name === original.metadata.name,
    );
    let merged = fitting.reduce<unknown>((whole, patch) => deepMerge(whole, patch), original);
    const labels = Object.assign({}, ...overlay.labels.map(({ pairs }) => pairs)) as Record<string, string>;
    const place = original.kind === 'Namespace' ? { name: overlay.namespace } : { namespace: overlay.namespace };
    merged = deepMerge(merged, { metadata: { ...place, labels } });
    if (original.kind === 'Deployment') merged = deepMerge(merged, { spec: { template: { metadata: { labels } } } });
    const text = JSON.stringify(merged);
    return JSON.parse(
      (overlay.images ?? []).reduce(
        (whole, { name, newName, newTag }) =>
          whole.replaceAll(new RegExp(`"image":"${name}:[^"]*"`, 'g'), `"image":"${newName}:${newTag ?? ''}"`),
        text,
      ),
    ) as Manifest;
  });
}

function deepMerge(base: unknown, patch: unknown): unknown {
  const isMap = (value: unknown): value is Record<string, unknown> =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  if (!isMap(base) || !isMap(patch)) return patch;
  return {
    ...base,
    ...Object.fromEntries(Object.entries(patch).map(([key, value]) => [key, deepMerge(base[key], value)])),
  };
}

function kustomize(kubectl: string, files: Readonly<Record<string, string>>, environment: string): readonly Manifest[] {
  const folder = mkdtempSync(join(tmpdir(), 'mcp-kustomize-'));
  try {
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), content);
    }
    const { status, stdout, stderr } = spawnSync(kubectl, ['kustomize', join(folder, 'overlays', environment)], {
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(stderr);
    return stdout.split(/^---\n/m).map((text) => parse(text) as Manifest);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function byKind(manifests: readonly Manifest[]): readonly Manifest[] {
  return [...manifests].sort((a, b) => a.kind.localeCompare(b.kind));
}
