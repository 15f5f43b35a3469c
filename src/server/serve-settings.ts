import { existsSync, readFileSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { EnvironmentError, UserError } from '../deployment/errors.ts';
import { deploymentSchema, listenAddress } from '../deployment/schema.ts';
import { applyEnvironment, type Settings } from './environment.ts';
import { isPlannedConfig, parseServerConfig, type ServerConfig } from './server-config.ts';
import type { ServeFlags } from './serve-flags.ts';
import { hasOtherIdentities, type ExtraKey } from './startup-checks.ts';

/** What `serve` was asked for, from all places. */
export interface ServeSettings {
  readonly config: ServerConfig;
  readonly extraKeys: readonly ExtraKey[];
  readonly stdio: boolean;
}

/**
 * Puts flags, environment and file together: flags before environment before file. What apply wrote stands as it is,
 * or a PORT in somebody's shell would make a server that differs from its plan; keys are added to it all the same.
 * @throws UserError or EnvironmentError that names the flag, the variable or the place in the file.
 */
export async function readServeSettings(
  flags: Exclude<ServeFlags, { mode: 'help' }>,
  configBytes: Buffer | null,
  env: NodeJS.ProcessEnv,
): Promise<ServeSettings> {
  if (flags.mode === 'flags') return readFlagSettings(flags, env);
  const text = configBytes?.toString('utf8') ?? '';
  const config = await parseServerConfig(text, flags.configFile, env);
  const base = { deployment: config.deployment, extraKeys: [], stdio: false };
  if (isPlannedConfig(text)) {
    const { MCP_API_KEY, MCP_API_KEYS } = env;
    const { extraKeys } = applyEnvironment(base, { MCP_API_KEY, MCP_API_KEYS });
    return { config, extraKeys, stdio: flags.stdio };
  }
  const { deployment, extraKeys, stdio } = applyEnvironment(base, env);
  // Keys of the environment alone are enough: a file of keys need not be there too.
  const hasOtherKeys = extraKeys.length > 0 || deployment.auth.keys.length > 0 || hasOtherIdentities(deployment);
  const withoutFile = hasOtherKeys && config.keyStoreFile !== null && !existsSync(config.keyStoreFile);
  const keyStoreFile = withoutFile || !deployment.auth.required ? null : config.keyStoreFile;
  return { config: { ...config, deployment, keyStoreFile }, extraKeys, stdio: flags.stdio || stdio };
}

export function readConfigFile(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    throw new UserError(`${file} cannot be read`, {
      why: code === 'ENOENT' ? 'There is no such file.' : error instanceof Error ? error.message : String(error),
      next: 'Give the deployment file, or the server.json that mcp-deploy apply writes.',
    });
  }
}

type GivenFlags = Extract<ServeFlags, { mode: 'flags' }>;

function readFlagSettings(flags: GivenFlags, env: NodeJS.ProcessEnv): ServeSettings {
  for (const address of flags.listen ?? []) {
    const judged = listenAddress.safeParse(address);
    if (!judged.success)
      throw new UserError(`--listen ${address} is no address`, { next: String(judged.error.issues[0]?.message) });
  }
  const [command, ...args] = flags.command;
  const base = deploymentSchema.parse({
    version: 1,
    server: {
      listen: 'localhost:8080',
      ...(command === undefined || command === '' ? {} : { upstreams: { main: { command, args } } }),
    },
    tls: { source: 'off' },
  });
  const fromEnvironment = applyEnvironment({ deployment: base, extraKeys: [], stdio: false }, env);
  const { deployment } = placeFlags(fromEnvironment, flags);
  // The URL of Redis was judged as a value: in the environment it may hold the password that no file may.
  const parsed = deploymentSchema.safeParse({ ...deployment, redis: 'off' });
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new UserError(`The flags do not fit: ${issue?.path.join('.')}`, { why: issue?.message ?? 'unknown' });
  }
  const extraKeys = [...(flags.keyFile === null ? [] : readKeyFile(flags.keyFile)), ...fromEnvironment.extraKeys];
  return {
    config: { deployment: { ...parsed.data, redis: deployment.redis }, baseDir: process.cwd(), keyStoreFile: null },
    extraKeys,
    // An address on the command line goes before MCP_TRANSPORT.
    stdio: flags.stdio || (fromEnvironment.stdio && flags.listen === null),
  };
}

function placeFlags({ deployment }: Settings, flags: GivenFlags): Pick<Settings, 'deployment'> {
  const { server } = deployment;
  return {
    deployment: {
      ...deployment,
      server: {
        ...server,
        ...(flags.listen === null ? {} : { listen: [...flags.listen] }),
        ...(flags.path === null ? {} : { path: flags.path }),
      },
      ...(flags.tls === null
        ? {}
        : {
            tls: { source: 'files', certificate: resolve(flags.tls.certificate), key: resolve(flags.tls.key) } as const,
          }),
      auth: { ...deployment.auth, required: flags.keyFile !== null || (deployment.auth.required && !flags.noAuth) },
    },
  };
}

/** Keys, one a line; empty lines and lines that start with # are left out. */
function readKeyFile(file: string): ExtraKey[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new EnvironmentError(`The key file ${file} cannot be read`, {
      why: error instanceof Error ? error.message : String(error),
      cause: error,
    });
  }
  const keys = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  if (keys.length === 0) throw new UserError(`The key file ${file} is empty`, { next: 'Put one key on each line.' });
  return keys.map((key) => ({ label: basename(file), key }));
}
