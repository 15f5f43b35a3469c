import { fillVariables } from '../deployment/fill-variables.ts';
import { UserError } from '../deployment/errors.ts';
import type { Deployment } from '../deployment/schema.ts';
import { parseSecretReference, placeSecrets, secretReferencesIn } from '../deployment/secret-reference.ts';
import type { Log } from './observe/log.ts';
import { createSecretReader, type SecretReader } from './secret-reader.ts';
import type { ServeSettings } from './serve-settings.ts';
import type { ServerConfig } from './server-config.ts';
import type { ExtraKey } from './startup-checks.ts';

/**
 * Follows every reference to a secret: what `serve` does before it starts.
 * @throws UserError or EnvironmentError that names the setting.
 */
export async function followReferences(
  { config, extraKeys }: Pick<ServeSettings, 'config' | 'extraKeys'>,
  env: NodeJS.ProcessEnv,
  log: Log,
): Promise<{
  readonly config: ServerConfig;
  readonly extraKeys: readonly ExtraKey[];
  readonly readKeys?: () => Promise<readonly ExtraKey[]>;
}> {
  const { deployment } = config;
  const secrets = createSecretReader({ env, baseDir: config.baseDir, log });
  const redis = await readRedisUrl(deployment.redis, secrets, env);
  const resolved = { ...config, deployment: { ...(await resolveSecrets(deployment, secrets)), redis } };
  if (deployment.auth.keys.length === 0 || !deployment.auth.required) return { config: resolved, extraKeys };
  const readKeys = async (): Promise<readonly ExtraKey[]> => {
    const found = [...extraKeys, ...(await readDeclaredKeys(deployment, secrets, env))];
    secrets.forget();
    return found;
  };
  return { config: resolved, extraKeys: await readKeys(), readKeys };
}

/**
 * The deployment with the secrets of upstreams and declared tools in the place of `${file:…}` and `${exec:…}`. It stays
 * in memory: nothing of it is written anywhere.
 * @throws UserError or EnvironmentError that names the setting.
 */
async function resolveSecrets(deployment: Deployment, secrets: SecretReader): Promise<Deployment> {
  const { server, logs } = deployment;
  const { traces } = logs;
  const texts = async (setting: string, given: Readonly<Record<string, string>>): Promise<Record<string, string>> => {
    const filled = await Promise.all(
      Object.entries(given).map(async ([name, text]) => [name, await fill(`${setting}.${name}`, text, secrets)]),
    );
    return Object.fromEntries(filled) as Record<string, string>;
  };
  const upstreams = await Promise.all(
    Object.entries(server.upstreams).map(async ([name, upstream]) => {
      const setting = `server.upstreams.${name}`;
      return [
        name,
        'url' in upstream
          ? { ...upstream, headers: await texts(`${setting}.headers`, upstream.headers) }
          : { ...upstream, env: await texts(`${setting}.env`, upstream.env) },
      ] as const;
    }),
  );
  const tools = await Promise.all(
    Object.entries(server.tools).map(async ([name, tool]) => {
      const setting = `server.tools.${name}`;
      if ('http' in tool) {
        const headers = await texts(`${setting}.http.headers`, tool.http.headers);
        return [name, { ...tool, http: { ...tool.http, headers } }] as const;
      }
      if (!('command' in tool)) return [name, tool] as const;
      const env = await texts(`${setting}.command.env`, tool.command.env);
      return [name, { ...tool, command: { ...tool.command, env } }] as const;
    }),
  );
  return {
    ...deployment,
    logs: {
      ...logs,
      traces: traces === 'off' ? traces : { ...traces, headers: await texts('logs.traces.headers', traces.headers) },
    },
    server: { ...server, upstreams: Object.fromEntries(upstreams), tools: Object.fromEntries(tools) },
  };
}

/**
 * The keys that the deployment keeps elsewhere.
 * @throws UserError or EnvironmentError that names the key by its label.
 */
async function readDeclaredKeys(
  { auth }: Pick<Deployment, 'auth'>,
  secrets: SecretReader,
  env: NodeJS.ProcessEnv,
): Promise<ExtraKey[]> {
  return Promise.all(
    auth.keys.map(async ({ label, secret, tools, upstreams, tier, expires }) => {
      const name = `The key "${label}"`;
      const whole = parseSecretReference(secret) !== null;
      const text = whole ? await secrets.read(name, secret) : await fill(name, secret, secrets);
      const { text: key, missing } = whole ? { text, missing: [] } : fillVariables(text, env);
      if (missing.length > 0 || key.trim() === '') {
        throw new UserError(`${name} cannot be read`, {
          why: missing.length > 0 ? `${missing.join(', ')} is not set.` : 'It is empty.',
          next: 'Set it in the environment of the server, or keep the key in a file: file:PATH.',
        });
      }
      return { label, key: key.trim(), scope: { tools, upstreams }, tier: tier ?? null, expiresAt: expires ?? null };
    }),
  );
}

async function readRedisUrl(
  redis: Deployment['redis'],
  secrets: SecretReader,
  env: NodeJS.ProcessEnv,
): Promise<Deployment['redis']> {
  if (redis === 'off') return redis;
  const whole = parseSecretReference(redis.url) !== null;
  const text = whole ? await secrets.read('redis.url', redis.url) : await fill('redis.url', redis.url, secrets);
  const { text: url, missing } = whole ? { text, missing: [] } : fillVariables(text, env);
  if (missing.length === 0) return { ...redis, url: url.trim() };
  throw new UserError('The URL of Redis cannot be read', {
    why: `${missing.join(', ')} is not set.`,
    next: 'Set it in the environment of the server, or keep the URL in a file: file:PATH.',
  });
}

/** Stand-ins for those keys, to judge a configuration without reading a secret or running a command. */
export function standInKeys({ auth }: Pick<Deployment, 'auth'>): ExtraKey[] {
  return auth.keys.map(({ label }, index) => ({
    label,
    key: `stand-in-for-${index}-${label.replaceAll(' ', '_')}-0Zq7`,
  }));
}

async function fill(name: string, text: string, secrets: SecretReader): Promise<string> {
  const references = [...new Set(secretReferencesIn(text))];
  if (references.length === 0) return text;
  const values = new Map(
    await Promise.all(references.map(async (reference) => [reference, await secrets.read(name, reference)] as const)),
  );
  return placeSecrets(text, (reference) => values.get(reference) ?? '');
}
