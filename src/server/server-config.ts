import { dirname, isAbsolute, join, resolve } from 'node:path';
import { z } from 'zod';
import { UserError } from '../deployment/errors.ts';
import { deploymentSchema } from '../deployment/schema.ts';

/**
 * What `serve --config` reads as the planner writes it: the deployment with every default filled in, and the places
 * that the planner chose. Paths are absolute; `tls.source` is `files` or `off`.
 */
export const serverConfigSchema = z.strictObject({
  deployment: deploymentSchema,
  /** Folder of mcp-deploy.yaml: where upstreams start. */
  baseDir: z.string().min(1),
  /** Hashes of the API keys; null when everyone is let in. */
  keyStoreFile: z.string().min(1).nullable(),
  /** What `mcp-deploy backup create` notes of its last success; absent where nobody makes backups. */
  backupRecordFile: z.string().min(1).optional(),
});

export type ServerConfig = z.output<typeof serverConfigSchema>;

/**
 * Reads a configuration file's text: what the planner wrote, or a deployment file (YAML or JSON) as a person writes it.
 * @param env what `${NAME}` in a deployment file is filled from; what the planner wrote is filled already
 * @throws UserError that names what is wrong, with file, line and column where there is one.
 */
export async function parseServerConfig(
  text: string,
  file: string,
  env: NodeJS.ProcessEnv = {},
): Promise<ServerConfig> {
  const planned = readJson(text);
  if (planned !== null && 'deployment' in planned) {
    const parsed = serverConfigSchema.safeParse(planned);
    if (parsed.success) return refuseBadSchemas(parsed.data, file);
    const [issue] = parsed.error.issues;
    throw new UserError(`${file} is not a server configuration`, {
      why: issue === undefined ? 'It has an unknown form.' : `${issue.path.join('.')}: ${issue.message}`,
      next: 'Write it anew with: mcp-deploy apply',
    });
  }
  // The YAML parser is a third of the start-up time, and the planner's file does not need it.
  const [{ formatProblems }, { parseWithSchemas }] = await Promise.all([
    import('../deployment/parse-deployment.ts'),
    import('../deployment/parse-with-schemas.ts'),
  ]);
  const parsed = await parseWithSchemas(text, { file, env });
  if (!parsed.ok) {
    throw new UserError(`${file} has mistakes`, { excerpt: formatProblems(parsed.problems, file).split('\n') });
  }
  const baseDir = dirname(resolve(file));
  const state = join(baseDir, '.mcp-deploy');
  const { deployment } = parsed;
  return {
    baseDir,
    backupRecordFile: join(state, 'backup.json'),
    keyStoreFile: deployment.auth.required ? join(state, 'keys/keys.json') : null,
    deployment: {
      ...deployment,
      tls: resolveTls(deployment.tls, baseDir, state),
      logs: resolveLogs(deployment.logs, baseDir),
    },
  };
}

async function refuseBadSchemas(config: ServerConfig, file: string): Promise<ServerConfig> {
  if (Object.keys(config.deployment.server.tools).length === 0) return config;
  const { judgeToolSchemas } = await import('../deployment/parse-with-schemas.ts');
  const problems = await judgeToolSchemas(config.deployment);
  if (problems.length === 0) return config;
  throw new UserError(`${file} has tools with mistakes in their schemas`, {
    next: 'Mend them in mcp-deploy.yaml and run: mcp-deploy apply',
    excerpt: problems.map(({ path, message }) => `${path.join('.')} ${message}`),
  });
}

/** Whether the planner wrote it, in contrast to a person. */
export function isPlannedConfig(text: string): boolean {
  const planned = readJson(text);
  return planned !== null && 'deployment' in planned;
}

type Tls = ServerConfig['deployment']['tls'];
type Logs = ServerConfig['deployment']['logs'];

function resolveTls(tls: Tls, baseDir: string, state: string): Tls {
  if (tls.source === 'off') return tls;
  if (tls.source === 'files') {
    return { source: 'files', certificate: absolute(tls.certificate, baseDir), key: absolute(tls.key, baseDir) };
  }
  return { source: 'files', certificate: join(state, 'pki/server.crt'), key: join(state, 'pki/server.key') };
}

function resolveLogs(logs: Logs, baseDir: string): Logs {
  const { audit, auditKeyFile, file, traces } = logs;
  return {
    ...logs,
    audit: audit === 'off' ? 'off' : absolute(audit, baseDir),
    ...(file === undefined ? {} : { file: absolute(file, baseDir) }),
    ...(traces === 'off' || traces.caFile === undefined
      ? {}
      : { traces: { ...traces, caFile: absolute(traces.caFile, baseDir) } }),
    ...(auditKeyFile === undefined ? {} : { auditKeyFile: absolute(auditKeyFile, baseDir) }),
  };
}

function absolute(path: string, baseDir: string): string {
  return isAbsolute(path) ? path : join(baseDir, path);
}

function readJson(text: string): Record<string, unknown> | null {
  if (!text.trimStart().startsWith('{')) return null;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
