import { basename, relative } from 'node:path';
import { UserError } from '../deployment/errors.ts';
import { editDeployment } from '../deployment/edit-deployment.ts';
import { judgeAddressForms } from '../deployment/judge-addresses.ts';
import { parseListenAddress } from '../deployment/listen-address.ts';
import { listenAddress } from '../deployment/listen-schema.ts';
import type { Deployment } from '../deployment/schema.ts';
import { secretsInArguments } from '../deployment/secrets-in-arguments.ts';
import { upstreamFromCommand } from '../deployment/upstream-from-command.ts';
import { formatDeployment } from '../deployment/write-deployment.ts';
import { findPortHolder } from '../host/port-holder.ts';
import { choosePort } from '../plan/choose-port.ts';
import type { PlacedFiles } from '../plan/plan-sent-files.ts';
import type { CommandContext } from './context.ts';
import { parseOrThrow, readDeployment, readWanted } from './deployment-folder.ts';
import { readHttpUpstream, type HttpUpstreamSettings } from './http-upstream-flags.ts';
import { slugFrom } from './slug.ts';

export interface Wanted {
  readonly deployment: Deployment;
  /** Text to write to mcp-deploy.yaml, or null to leave the file alone. */
  readonly text: string | null;
  /** What comes with that text. */
  readonly placed?: PlacedFiles;
  readonly remarks: readonly string[];
  /** The port that was found free and chosen, null when somebody named the address. */
  readonly chosenPort: number | null;
}

/**
 * What the user wants now: the file if there is one, changed by the flags and
 * the command behind `--`; otherwise a new deployment from the defaults, on a
 * free port.
 */
export async function decideWanted(context: CommandContext, options: Record<string, unknown>): Promise<Wanted> {
  const flags = readFlags(context, options);
  if (context.deploymentSource !== null) {
    const { deploymentText, ...wanted } = await readWanted(context);
    return { ...wanted, text: deploymentText, remarks: [], chosenPort: null };
  }
  const existing = await readDeployment(context);
  if (existing !== null) return changeExisting(context, existing, flags);

  const remarks = [...flags.remarks];
  const free = flags.listen === null ? await findFreePort(remarks) : null;
  const listen = flags.listen ?? `localhost:${free}`;
  const input = {
    version: 1,
    name: flags.name ?? slugFrom(basename(context.baseDir), 'mcp'),
    server: {
      listen,
      ...(flags.upstream === null ? {} : { upstreams: { [flags.upstream.name]: flags.upstream.settings } }),
    },
  };
  const text = formatDeployment(input);
  return { deployment: parseOrThrow(text, context), text, remarks, chosenPort: free };
}

interface Flags {
  readonly name: string | null;
  readonly listen: string | null;
  readonly upstream: { readonly name: string; readonly settings: UpstreamSettings } | null;
  readonly remarks: readonly string[];
}

type UpstreamSettings =
  | {
      readonly command: string;
      readonly args: readonly string[];
      readonly env?: Readonly<Record<string, string>>;
    }
  | HttpUpstreamSettings;

/** Reads the flags that `up`, `plan` and `init` share. Throws UserError for what cannot be. */
export function readFlags(context: CommandContext, options: Record<string, unknown>): Flags {
  const name = typeof options['name'] === 'string' ? options['name'] : null;
  if (name !== null && slugFrom(name, '') !== name) {
    throw new UserError(`--name ${name} cannot be used as a name.`, {
      why: 'Names end up in file and service names: 1 to 40 of a-z, 0-9 and -.',
      next: `--name ${slugFrom(name, 'mcp')}`,
    });
  }
  const listen = typeof options['listen'] === 'string' ? options['listen'] : null;
  if (listen !== null && !listenAddress.safeParse(listen).success) {
    throw new UserError(`--listen ${listen} is not an address to listen on.`, {
      why: 'It is host:port, [IPv6]:port or unix:/path.',
      next: '--listen localhost:8443',
    });
  }
  const [impossible] = listen === null ? [] : judgeListen(listen);
  if (impossible !== undefined) {
    throw new UserError(`--listen ${listen} ${impossible.message}.`, { next: '--listen localhost:8443' });
  }
  const envNames = Array.isArray(options['env']) ? (options['env'] as string[]) : [];
  const remote = readHttpUpstream(context, options);
  if (remote !== null) return { name, listen, upstream: remote, remarks: [] };
  return { name, listen, ...readServerCommand(context, envNames) };
}

function judgeListen(text: string): readonly { readonly message: string }[] {
  return judgeAddressForms([{ path: ['server', 'listen'], text, address: parseListenAddress(text) }]);
}

function readServerCommand(context: CommandContext, envNames: readonly string[]): Pick<Flags, 'upstream' | 'remarks'> {
  const command = context.serverCommand;
  if (command === null) {
    if (envNames.length > 0) {
      throw new UserError('--env needs the command of your MCP server behind --.', {
        next: `mcp-deploy up --env ${envNames[0] ?? 'NAME'} -- YOUR COMMAND`,
      });
    }
    return { upstream: null, remarks: [] };
  }
  if (command.length === 0 || command[0] === '') {
    throw new UserError('There is no command behind --.', {
      next: 'mcp-deploy up -- npx -y @modelcontextprotocol/server-everything',
    });
  }
  const env: Record<string, string> = {};
  for (const variable of envNames) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(variable)) {
      throw new UserError(`--env ${variable.replace(/=.*/s, '=…')} is not the name of an environment variable.`, {
        why: 'Give the name only; the value is read from the environment when the server starts and is never written.',
        next: `--env ${variable.split('=')[0] ?? 'NAME'}`,
      });
    }
    if (context.world.env[variable] === undefined) {
      throw new UserError(`The environment variable ${variable} is not set.`, {
        why: `--env ${variable} was asked for, and your MCP server would not find it.`,
        next: `export ${variable}=…  and run the command again`,
      });
    }
    env[variable] = `\${${variable}}`;
  }
  const { name, upstream } = upstreamFromCommand(command);
  const secrets = secretsInArguments(command);
  return {
    upstream: { name, settings: { ...upstream, ...(envNames.length === 0 ? {} : { env }) } },
    remarks: secrets.map(
      (argument) =>
        `${argument} looks like a secret on a command line, where every user of this machine can read it; better --env NAME`,
    ),
  };
}

/** The next free port from 8443 on; a remark says so when it is not 8443. */
export async function findFreePort(remarks: string[]): Promise<number> {
  const first = await findPortHolder(8443);
  if (!first.taken) return 8443;
  const port = await choosePort(8444, async (candidate) => (await findPortHolder(candidate)).taken);
  remarks.push(
    `port 8443 is taken${first.holder === null ? '' : ` by ${first.holder}`}, so this one listens on ${port}`,
  );
  return port;
}

function changeExisting(
  context: CommandContext,
  existing: { text: string; deployment: Deployment },
  flags: Flags,
): Wanted {
  const changes: { path: (string | number)[]; value: unknown }[] = [];
  const { deployment } = existing;
  if (flags.name !== null && flags.name !== deployment.name) changes.push({ path: ['name'], value: flags.name });
  if (flags.listen !== null && flags.listen !== deployment.server.listen) {
    changes.push({ path: ['server', 'listen'], value: flags.listen });
  }
  if (
    flags.upstream !== null &&
    !sameUpstream(deployment.server.upstreams[flags.upstream.name], flags.upstream.settings)
  ) {
    changes.push({ path: ['server', 'upstreams', flags.upstream.name], value: flags.upstream.settings });
  }
  if (changes.length === 0) return { deployment, text: null, remarks: flags.remarks, chosenPort: null };
  const text = editDeployment(existing.text, changes);
  const file = relative(context.world.cwd, context.deploymentFile);
  return {
    deployment: parseOrThrow(text, context),
    text,
    remarks: [...flags.remarks, `${file} changed: ${changes.map((change) => change.path.join('.')).join(', ')}`],
    chosenPort: null,
  };
}

function sameUpstream(now: Deployment['server']['upstreams'][string] | undefined, wanted: UpstreamSettings): boolean {
  if (now !== undefined && 'url' in now && 'url' in wanted) {
    return now.url === wanted.url && JSON.stringify(now.headers) === JSON.stringify(wanted.headers ?? {});
  }
  return (
    now !== undefined &&
    'command' in now &&
    'command' in wanted &&
    now.command === wanted.command &&
    JSON.stringify(now.args) === JSON.stringify(wanted.args) &&
    (wanted.env === undefined || JSON.stringify(now.env) === JSON.stringify(wanted.env))
  );
}
