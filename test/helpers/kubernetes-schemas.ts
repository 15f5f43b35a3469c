import { spawnSync } from 'node:child_process';
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv } from 'ajv';

/** A parsed manifest. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly labels?: Record<string, string> };
  readonly [field: string]: unknown;
}

const modules = realpathSync(fileURLToPath(new URL('../../node_modules', import.meta.url)));
const load = createRequire(import.meta.url);

/** What the published API schema of the kind, or the shape of a CRD written down below, says against a manifest. */
export function judgeManifest(manifest: Manifest): readonly string[] {
  const shape = crdShapes[`${manifest.apiVersion} ${manifest.kind}`];
  if (shape !== undefined) {
    const ajv = new Ajv({ allErrors: true, strict: true });
    return ajv.validate(shape, manifest) ? [] : [ajv.errorsText()];
  }
  const model = load(modelPath(manifest)) as Record<string, new (data: unknown) => { validate(): void }>;
  const Model = model[manifest.kind];
  if (Model === undefined) return [`no schema for ${manifest.apiVersion} ${manifest.kind}`];
  try {
    new Model(manifest).validate();
    return [];
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
}

/**
 * Fields that the API does not have. The published schemas let them pass (a cluster drops them without a word), so the
 * compiler looks: each manifest as a literal of the published type, which may have no other properties.
 */
export function findUnknownFields(manifests: readonly Manifest[]): readonly string[] {
  const folder = mkdtempSync(join(tmpdir(), 'mcp-manifests-'));
  try {
    const texts = manifests
      .filter(({ apiVersion, kind }) => crdShapes[`${apiVersion} ${kind}`] === undefined)
      .map(
        (manifest, index) =>
          `import { I${manifest.kind} as T${index} } from ${JSON.stringify(modelPath(manifest))};\n` +
          `export const m${index}: T${index} = ${JSON.stringify(manifest)};\n`,
      );
    writeFileSync(join(folder, 'manifests.ts'), texts.join(''));
    const { status, stdout } = spawnSync(
      process.execPath,
      [join(modules, 'typescript/bin/tsc'), '--noEmit', '--strict', '--skipLibCheck', '--ignoreConfig', 'manifests.ts'],
      { cwd: folder, encoding: 'utf8' },
    );
    return status === 0 ? [] : stdout.split('\n').filter((line) => line.trim() !== '');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function modelPath({ apiVersion, kind }: Manifest): string {
  return join(modules, 'kubernetes-models', apiVersion, kind);
}

const text = { type: 'string', minLength: 1 } as const;
const metadata = {
  type: 'object',
  additionalProperties: false,
  required: ['name', 'namespace'],
  properties: { name: text, namespace: text, labels: { type: 'object', additionalProperties: text } },
} as const;
const dnsName = {
  type: 'string',
  maxLength: 253,
  pattern: '^(\\*\\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$',
};
const duration = { type: 'string', pattern: '^([0-9]{1,5}(h|m|s|ms)){1,4}$' };

/** The fields of these CRDs that are used here, as gateway-api.sigs.k8s.io and prometheus-operator.dev publish them. */
const crdShapes: Readonly<Record<string, object>> = {
  'gateway.networking.k8s.io/v1 HTTPRoute': withSpec({
    type: 'object',
    additionalProperties: false,
    properties: {
      parentRefs: {
        type: 'array',
        maxItems: 32,
        items: {
          type: 'object',
          additionalProperties: false,
          required: ['name'],
          properties: { name: text, namespace: text, sectionName: text },
        },
      },
      hostnames: { type: 'array', maxItems: 16, items: dnsName },
      rules: {
        type: 'array',
        maxItems: 16,
        items: {
          type: 'object',
          additionalProperties: false,
          properties: {
            matches: {
              type: 'array',
              maxItems: 64,
              items: {
                type: 'object',
                additionalProperties: false,
                properties: {
                  path: {
                    type: 'object',
                    additionalProperties: false,
                    properties: {
                      type: { enum: ['Exact', 'PathPrefix', 'RegularExpression'] },
                      value: { type: 'string', maxLength: 1024, pattern: '^/' },
                    },
                  },
                },
              },
            },
            timeouts: {
              type: 'object',
              additionalProperties: false,
              properties: { request: duration, backendRequest: duration },
            },
            backendRefs: {
              type: 'array',
              maxItems: 16,
              items: {
                type: 'object',
                additionalProperties: false,
                required: ['name', 'port'],
                properties: { name: text, port: { type: 'integer', minimum: 1, maximum: 65535 } },
              },
            },
          },
        },
      },
    },
  }),
  'monitoring.coreos.com/v1 ServiceMonitor': withSpec({
    type: 'object',
    additionalProperties: false,
    required: ['selector', 'endpoints'],
    properties: {
      selector: {
        type: 'object',
        additionalProperties: false,
        properties: { matchLabels: { type: 'object', additionalProperties: text } },
      },
      endpoints: {
        type: 'array',
        items: {
          type: 'object',
          additionalProperties: false,
          properties: { port: text, path: text, interval: duration, scrapeTimeout: duration },
        },
      },
    },
  }),
};

/** A resource that has these fields in its `spec`, and no others. */
function withSpec(spec: object): object {
  return {
    type: 'object',
    additionalProperties: false,
    required: ['apiVersion', 'kind', 'metadata', 'spec'],
    properties: { apiVersion: text, kind: text, metadata, spec },
  };
}
