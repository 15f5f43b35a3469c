import { existsSync, readFileSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { EnvironmentError, UserError } from '../deployment/errors.ts';
import { parseListenAddress } from '../deployment/listen-address.ts';
import { deploymentSchema } from '../deployment/schema.ts';
import { listenAddress } from '../deployment/listen-schema.ts';
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
    throw new UserError(`${file} cannot be read`, {
      why: whyUnread(error),
      next: 'Give the deployment file, or the server.json that mcp-deploy apply writes.',
    });
  }
}

const unreadable: Readonly<Record<string, string>> = {
  ENOENT: 'There is no such file.',
  EISDIR: 'It is a folder.',
  EACCES: 'This user may not read it.',
};

function whyUnread(error: unknown): string {
  const why = unreadable[(error as NodeJS.ErrnoException).code ?? ''];
  return why ?? (error instanceof Error ? error.message : String(error));
}

type GivenFlags = Extract<ServeFlags, { mode: 'flags' }>;

function readFlagSettings(flags: GivenFlags, env: NodeJS.ProcessEnv): ServeSettings {
  judgeAddresses(flags);
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

/** Port 0, any that is free, may be asked for here: standard output says which it is. */
function judgeAddresses({ listen, command }: GivenFlags): void {
  const addresses = listen ?? [];
  for (const [index, text] of addresses.entries()) {
    const judged = listenAddress.safeParse(text);
    if (!judged.success) {
      const isCommand = index > 0 && command.length === 0 && !text.includes(':');
      throw new UserError(`--listen ${text} is no address`, {
        ...(isCommand ? { why: 'It stands behind an address, as a further one would.' } : {}),
        next: isCommand
          ? `Put the command of the MCP server after --, for example: -- ${addresses.slice(index).join(' ')}`
          : String(judged.error.issues[0]?.message),
      });
    }
    const address = parseListenAddress(text);
    if (address.kind === 'unix' || address.port <= 65_535) continue;
    throw new UserError(`--listen ${text} has no port that exists`, { next: 'Ports go from 1 to 65535.' });
  }
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
      why: whyUnread(error),
      next: 'Give a file with one key on each line, for example made by: openssl rand -base64 32 > keys; chmod 600 keys',
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
