import { UserError } from '../deployment/errors.ts';

/** What was asked on the command line of `serve`. */
export type ServeFlags =
  | { readonly mode: 'help' }
  | { readonly mode: 'config'; readonly configFile: string; readonly pidFile: string | null }
  | {
      readonly mode: 'flags';
      readonly listen: readonly string[];
      readonly keyFile: string | null;
      readonly tls: { readonly certificate: string; readonly key: string } | null;
      readonly noAuth: boolean;
      readonly path: string;
      readonly command: readonly string[];
      readonly pidFile: string | null;
    };

const withValue = new Set(['--config', '--pid-file', '--listen', '--key-file', '--tls-cert', '--tls-key', '--path']);
const withoutValue = new Set(['--no-auth', '--help', '-h']);

/**
 * Reads the arguments after `serve`. Everything after `--` is the MCP server to start. Pure.
 * @throws UserError that names the flag.
 */
export function parseServeFlags(argv: readonly string[]): ServeFlags {
  const end = argv.indexOf('--');
  const command = end === -1 ? [] : argv.slice(end + 1);
  const given = readPairs(end === -1 ? argv : argv.slice(0, end));
  if (given.has('--help') || given.has('-h')) return { mode: 'help' };
  const one = (flag: string): string | null => given.get(flag)?.at(-1) ?? null;

  const pidFile = one('--pid-file');
  const configFile = one('--config');
  if (configFile !== null) {
    const extra = [...given.keys()].find((flag) => flag !== '--config' && flag !== '--pid-file');
    if (extra !== undefined)
      throw new UserError(`${extra} does not go with --config`, { next: `Write it into ${configFile}.` });
    if (command.length > 0) {
      throw new UserError('A command does not go with --config', {
        next: `Write it into ${configFile}, under server.upstreams.`,
      });
    }
    return { mode: 'config', configFile, pidFile };
  }

  const certificate = one('--tls-cert');
  const key = one('--tls-key');
  if ((certificate === null) !== (key === null)) {
    throw new UserError('--tls-cert and --tls-key go together', { next: 'Give both, or neither for plain HTTP.' });
  }
  if (given.has('--no-auth') && given.has('--key-file'))
    throw new UserError('--no-auth and --key-file exclude each other');
  if (argv.length === 0) {
    throw new UserError('serve needs something to serve', {
      next: 'mcp-deploy serve --config FILE, or mcp-deploy serve --listen 127.0.0.1:8080 --key-file F -- COMMAND',
    });
  }
  return {
    mode: 'flags',
    listen: given.get('--listen') ?? ['localhost:8080'],
    keyFile: one('--key-file'),
    tls: certificate === null || key === null ? null : { certificate, key },
    noAuth: given.has('--no-auth'),
    path: one('--path') ?? '/mcp',
    command,
    pidFile,
  };
}

function readPairs(argv: readonly string[]): Map<string, string[]> {
  const given = new Map<string, string[]>();
  const add = (flag: string, value: string): void => {
    given.set(flag, [...(given.get(flag) ?? []), value]);
  };
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] ?? '';
    const equals = word.indexOf('=');
    const flag = equals === -1 ? word : word.slice(0, equals);
    if (withoutValue.has(word)) {
      add(word, '');
    } else if (!withValue.has(flag)) {
      throw new UserError(`serve does not know ${word}`, {
        next: word.startsWith('-') ? 'mcp-deploy serve --help' : 'Put the command of the MCP server after --',
      });
    } else if (equals !== -1) {
      add(flag, word.slice(equals + 1));
    } else {
      const values = valuesAfter(argv, at, flag === '--listen');
      if (values.length === 0) throw new UserError(`${flag} needs a value`, { next: 'mcp-deploy serve --help' });
      for (const value of values) add(flag, value);
      at += values.length;
    }
  }
  return given;
}

/** The value after a flag; several addresses may follow one --listen. */
function valuesAfter(argv: readonly string[], at: number, several: boolean): string[] {
  const values: string[] = [];
  for (const word of argv.slice(at + 1)) {
    if (withValue.has(word) || withoutValue.has(word) || (values.length > 0 && !several)) break;
    values.push(word);
  }
  return values;
}

export const serveHelp = `Usage: mcp-deploy serve --config FILE [--pid-file F]
       mcp-deploy serve [--listen ADDR...] [--key-file F] [flags] [-- COMMAND ARGS...]

Runs the MCP endpoint in the foreground: what service managers start.

  --config FILE     a deployment file (YAML or JSON), or the server.json that apply writes
  --listen ADDR     host:port, [IPv6]:port or unix:/path; may be given several times (localhost:8080)
  --key-file F      file with the API keys that are let in, one a line
  --no-auth         let everyone in; on loopback only
  --tls-cert C      certificate and intermediates, PEM; with --tls-key K
  --tls-key K       its private key, PEM
  --path PATH       path of the endpoint (/mcp)
  --pid-file F      write process id and configuration hash to F, removed at the end
  -- COMMAND ARGS   the MCP server to put behind the endpoint; without one the built-in tools answer

Environment: MCP_API_KEY (one key) and MCP_API_KEYS (several, separated by commas) are let in too.
Signals: SIGTERM and SIGINT finish the calls in flight and end (a second one ends now); SIGHUP reads
certificates and keys again.
Exit codes: 0 ended as asked; 2 wrong flags or configuration; 3 refused to start; 70 a bug.
`;
