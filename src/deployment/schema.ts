import { z } from 'zod';
import { authSchema } from './auth-schema.ts';
import { backupSchema } from './backup-schema.ts';
import { containerSchema } from './container-schema.ts';
import { hostsSchema } from './hosts-schema.ts';
import { limitsSchema } from './limits-schema.ts';
import { logsSchema } from './logs-schema.ts';
import { proxySchema } from './proxy-schema.ts';
import { redisSchema } from './redis-schema.ts';
import { serverSchema } from './server-schema.ts';
import { serviceSchema } from './service-schema.ts';
import { slug } from './slug-schema.ts';
import { tlsSchema } from './tls-schema.ts';

/**
 * The shape of `mcp-deploy.yaml`: the one file that says what the user wants.
 * Every setting has a default, so that `version: 1` alone is a deployment.
 * Objects are strict: an unknown setting is a mistake to name, never ignored.
 * `describe()` texts become the comments of the written file and the
 * descriptions of schema/mcp-deploy.schema.json.
 */
export const deploymentSchema = z.strictObject({
  version: z.literal(1).describe('format of this file'),
  name: slug.default('mcp').describe('names the service, its folders and its unit'),
  server: serverSchema.prefault({}),
  tls: tlsSchema.default({ source: 'private-ca', validDays: 397 }),
  auth: authSchema.prefault({}),
  limits: limitsSchema.prefault({}),
  redis: redisSchema.default('off').describe('what replicas of this deployment share; off = nothing'),
  logs: logsSchema,
  proxy: proxySchema.prefault({}),
  service: serviceSchema,
  hosts: hostsSchema,
  container: containerSchema.prefault({}),
  backup: backupSchema.describe('what mcp-deploy backup keeps, for how long, and who can open it'),
});

/** What may be written in the file: everything but `version` can be left out. */
export type DeploymentInput = z.input<typeof deploymentSchema>;
/** What the user wants, every default filled in. */
export type Deployment = z.output<typeof deploymentSchema>;
/** Anything that can stand behind the endpoint: a program, or a server over HTTP. */
export type Upstream = Deployment['server']['upstreams'][string];
export type { RateLimit } from './limits-schema.ts';
