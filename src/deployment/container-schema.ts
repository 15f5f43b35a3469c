import { z } from 'zod';

/** `[host[:port]/]path[:tag][@sha256:…]`, as Docker and Kubernetes read it. Source: github.com/distribution/reference. */
export const imageReference = z
  .string()
  .max(255)
  .regex(
    /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?\/)?[a-z0-9]+(?:(?:__|[._]|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:__|[._]|-+)[a-z0-9]+)*)*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$/,
    'write the name of an image, for example registry.example.com/team/mcp:1.4.2',
  );

/** Names of namespaces, Secrets, classes and Gateways (RFC 1123 labels). */
const label = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, 'use 1 to 63 of a-z, 0-9 and -, not starting or ending with -');

const npmPackage = z
  .string()
  .max(255)
  .regex(
    /^(?:@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]*@[0-9]+\.[0-9]+\.[0-9]+(?:[-+][A-Za-z0-9.-]+)?$/,
    'write name@version with the whole version, for example @modelcontextprotocol/server-memory@2026.1.26',
  );

const percent = z.int().min(1).max(100);
const replicas = z.int().min(1).max(1_000);

const environmentSchema = z.strictObject({
  namespace: label.optional().describe('namespace; that of kubernetes.namespace, - and the name by default'),
  image: imageReference.optional().describe('in place of container.image'),
  replicas: replicas.optional().describe('in place of container.replicas'),
  serverName: z.string().max(253).optional().describe('public DNS name, in place of proxy.serverName'),
});

const kubernetesSchema = z.strictObject({
  namespace: label.default('mcp').describe('namespace that everything is put into'),
  context: z
    .string()
    .min(1, 'give the name of a context')
    .max(253)
    .regex(/^[^-\s][^\s]*$/, 'write the name of a context as kubectl config get-contexts shows it')
    .optional()
    .describe('context of kubectl that apply uses; its current one by default'),
  kubeconfig: z
    .string()
    .min(1, 'give the path of a file')
    .optional()
    .describe(
      'file with the cluster and its credentials, from the folder of mcp-deploy.yaml; what kubectl uses by default',
    ),
  autoscale: z
    .union([
      z.literal('off'),
      z.strictObject({
        max: replicas.default(10).describe('most copies; container.replicas is the least'),
        cpuPercent: percent.default(70).describe('of the reserved processors; more copies above it'),
        memoryPercent: percent.default(80).describe('of the reserved memory; more copies above it'),
      }),
    ])
    .prefault({})
    .describe('a HorizontalPodAutoscaler; off = always container.replicas'),
  ingress: z
    .union([
      z.literal('off'),
      z.strictObject({
        class: label
          .default('nginx')
          .describe('ingressClassName; nginx also gets what keeps legacy sessions on one pod'),
        tlsSecret: label.optional().describe('Secret with the certificate of the public name; NAME-tls by default'),
      }),
    ])
    .default('off')
    .describe('an Ingress for proxy.serverName'),
  gateway: z
    .union([
      z.literal('off'),
      z.strictObject({
        name: label.describe('the Gateway that the route is attached to'),
        namespace: label.optional().describe('where the Gateway is; the own namespace by default'),
        section: label.optional().describe('its listener; all that fit by default'),
      }),
    ])
    .default('off')
    .describe('an HTTPRoute of the Gateway API for proxy.serverName'),
  reachableFrom: z
    .array(label)
    .default([])
    .describe('namespaces whose pods may connect, such as that of the ingress controller; all when empty'),
  monitoring: label
    .optional()
    .describe('namespace of a Prometheus operator: a ServiceMonitor, and metrics for that namespace alone'),
  environments: z
    .record(label, environmentSchema)
    .default({})
    .describe('a kustomize overlay each, by name, such as staging'),
});

/** The image, and what runs it: Docker, Compose, Swarm, Kubernetes. */
export const containerSchema = z.strictObject({
  image: imageReference
    .optional()
    .describe('name that the image is built, pushed and pulled under; mcp-NAME:latest by default'),
  baseImage: imageReference
    .default('node:24-bookworm-slim')
    .describe('image with Node that ours stands on; add @sha256:… to pin its content'),
  packages: z
    .array(npmPackage)
    .default([])
    .describe('npm packages with their whole version that are put into the image, so that npx downloads nothing'),
  replicas: replicas.default(2).describe('copies of the server in Swarm and Kubernetes; Compose runs one'),
  cpus: z
    .strictObject({
      reserved: z.number().min(0.01).max(1_024).default(0.25).describe('processors that are kept free for a copy'),
      limit: z.number().min(0.01).max(1_024).default(1).describe('processors that a copy may use'),
    })
    .prefault({}),
  memoryMegabytes: z
    .strictObject({
      reserved: z.int().min(64).max(16_777_216).default(256).describe('memory that is kept free for a copy'),
      limit: z.int().min(64).max(16_777_216).default(1_024).describe('memory that a copy may use with its upstreams'),
    })
    .prefault({}),
  proxy: z
    .enum(['none', 'nginx', 'caddy', 'haproxy', 'traefik'])
    .default('none')
    .describe('reverse proxy in the Compose file; nothing else is published then'),
  redis: z
    .boolean()
    .default(false)
    .describe('a Redis in the Compose file and the stack, for limits that replicas share'),
  watch: z.boolean().default(false).describe('Prometheus and Grafana in the Compose file, started by --profile watch'),
  kubernetes: kubernetesSchema.prefault({}),
});
