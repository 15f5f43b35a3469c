import { UserError } from '../deployment/errors.ts';
import { headerName } from '../deployment/http-upstream-schema.ts';
import type { CommandContext } from './context.ts';
import { textFlag, type FlagValues } from './flag-values.ts';
import { slugFrom } from './slug.ts';

export interface HttpUpstreamSettings {
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Headers whose value lets somebody in: it is only ever taken by reference. */
const secretHeader = /authorization|cookie|key|token|secret|password/i;

/**
 * The upstream that --url and --header name; null without --url.
 * @throws UserError for what is no URL, a secret that would end up in the file, and a variable that is not set
 */
export function readHttpUpstream(
  context: CommandContext,
  options: FlagValues,
): { readonly name: string; readonly settings: HttpUpstreamSettings } | null {
  const url = textFlag(options, 'url');
  const given = Array.isArray(options['header']) ? (options['header'] as string[]) : [];
  const example = "mcp-deploy up --url https://mcp.example.com/mcp --header 'Authorization=Bearer ${MCP_TOKEN}'";
  if (url === undefined) {
    if (given.length === 0) return null;
    throw new UserError('--header needs --url: it is sent to an MCP server that is reached over HTTP.', {
      next: example,
    });
  }
  if (context.serverCommand !== null) {
    throw new UserError('--url and a command behind -- contradict each other.', {
      why: 'Both name the MCP server that stands behind the endpoint.',
      next: 'Leave out one of them; mcp-deploy.yaml may name several under server.upstreams.',
    });
  }
  if (!/^https?:\/\//i.test(url) || !URL.canParse(url)) {
    throw new UserError(`--url ${url.replace(/\/\/[^/@]*@/, '//…@')} is not the URL of an MCP server.`, {
      next: example,
    });
  }
  const { username, password, hostname } = new URL(url);
  if (username !== '' || password !== '') {
    throw new UserError('--url holds a user name or a password, which would end up in the file.', {
      why: 'Secrets are taken from the environment when the server starts.',
      next: "Name it in a header: --header 'Authorization=Basic ${UPSTREAM_LOGIN}'",
    });
  }
  const headers = Object.fromEntries(given.map((text) => readHeader(context, text)));
  return {
    name: slugFrom(hostname, 'remote'),
    settings: { url, ...(given.length === 0 ? {} : { headers }) },
  };
}

function readHeader(context: CommandContext, text: string): readonly [string, string] {
  const [, name = '', value = ''] = /^([^=:]*)[=:] ?(.*)$/s.exec(text) ?? [];
  // What follows may be a secret: it is not shown.
  if (!headerName.safeParse(name).success || value === '' || /[\r\n\0]/.test(value)) {
    throw new UserError(`--header ${name || '…'} is not NAME=VALUE.`, {
      next: "--header 'Authorization=Bearer ${MCP_TOKEN}'",
    });
  }
  const references = [...value.matchAll(/\$\{([A-Za-z_]\w*)\}/g)].map(([, variable]) => variable ?? '');
  if (references.length === 0 && secretHeader.test(name)) {
    throw new UserError(`The value of --header ${name} looks like a secret, and it would end up in the file.`, {
      why: 'Name the environment variable that holds it; it is read when the server starts and is never written.',
      next: `--header '${name}=Bearer \${MCP_TOKEN}'        in single quotes, so that your shell leaves it alone`,
    });
  }
  for (const variable of references) {
    if (context.world.env[variable] === undefined) {
      throw new UserError(`The environment variable ${variable} is not set.`, {
        why: `--header ${name} refers to it, and your MCP server would refuse the gateway.`,
        next: `export ${variable}=…  and run the command again`,
      });
    }
  }
  return [name, value];
}
