import { UserError } from '../deployment/errors.ts';
import { mostWorkers } from '../deployment/server-schema.ts';
import { asksToServe, describeEnvironment } from './environment.ts';

/** What was asked on the command line of `serve`. */
export type ServeFlags =
  | { readonly mode: 'help' }
  | {
      readonly mode: 'config';
      readonly configFile: string;
      readonly pidFile: string | null;
      readonly stdio: boolean;
      readonly check: boolean;
      /** Reads the file again when it changes, not on SIGHUP alone. */
      readonly watch: boolean;
      /** Null where the flag was not given. */
      readonly workers: number | 'auto' | null;
    }
  | {
      readonly mode: 'flags';
      /** Null where the flag was not given, so that the environment may say it. */
      readonly listen: readonly string[] | null;
      readonly keyFile: string | null;
      readonly tls: { readonly certificate: string; readonly key: string } | null;
      readonly noAuth: boolean;
      readonly path: string | null;
      readonly command: readonly string[];
      readonly pidFile: string | null;
      readonly stdio: boolean;
      readonly check: boolean;
      /** Null where the flag was not given. */
      readonly workers: number | 'auto' | null;
    };

const withValue = new Set([
  '--config',
  '--pid-file',
  '--listen',
  '--key-file',
  '--tls-cert',
  '--tls-key',
  '--path',
  '--workers',
]);
const withoutValue = new Set(['--no-auth', '--stdio', '--check', '--watch', '--help', '-h']);
/** Flags that say how to run, not what to serve. */
const neutral: ReadonlySet<string> = new Set(['--config', '--pid-file', '--stdio', '--check', '--watch', '--workers']);
/** Flags of a server that listens. */
const listening: readonly string[] = ['--listen', '--key-file', '--tls-cert', '--tls-key', '--path', '--workers'];

/**
 * Reads the arguments after `serve`. Everything after `--` is the MCP server to start. Pure.
 * @param env CONFIG_PATH stands for --config when nothing else says what to serve
 * @throws UserError that names the flag.
 */
export function parseServeFlags(argv: readonly string[], env: NodeJS.ProcessEnv = {}): ServeFlags {
  const end = argv.indexOf('--');
  const command = end === -1 ? [] : argv.slice(end + 1);
  const given = readPairs(end === -1 ? argv : argv.slice(0, end));
  if (given.has('--help') || given.has('-h')) return { mode: 'help' };
  if (end !== -1 && (command.length === 0 || command[0] === '')) {
    throw new UserError('There is no command behind --', {
      next: 'Write the command of the MCP server there, or leave -- out: then the built-in tools answer.',
    });
  }
  const one = (flag: string): string | null => given.get(flag)?.at(-1) ?? null;
  const stdio = given.has('--stdio');
  const check = given.has('--check');
  const useless = stdio ? listening.find((flag) => given.has(flag)) : undefined;
  if (useless !== undefined) {
    throw new UserError(`${useless} does not go with --stdio`, { next: 'Leave it out: nothing listens with --stdio.' });
  }

  const workers = parseWorkers(one('--workers'));
  const pidFile = one('--pid-file');
  const saysWhat = command.length > 0 || [...given.keys()].some((flag) => !neutral.has(flag));
  const fromEnvironment = saysWhat ? '' : (env['CONFIG_PATH']?.trim() ?? '');
  const configFile = one('--config') ?? (fromEnvironment === '' ? null : fromEnvironment);
  if (configFile !== null) {
    const extra = [...given.keys()].find((flag) => !neutral.has(flag));
    if (extra !== undefined)
      throw new UserError(`${extra} does not go with --config`, { next: `Write it into ${configFile}.` });
    if (command.length > 0) {
      throw new UserError('A command does not go with --config', {
        next: `Write it into ${configFile}, under server.upstreams.`,
      });
    }
    return { mode: 'config', configFile, pidFile, stdio, check, watch: given.has('--watch'), workers };
  }

  if (given.has('--watch')) {
    throw new UserError('--watch needs a file to watch', { next: 'mcp-deploy serve --config FILE --watch' });
  }
  const certificate = one('--tls-cert');
  const key = one('--tls-key');
  if ((certificate === null) !== (key === null)) {
    throw new UserError('--tls-cert and --tls-key go together', { next: 'Give both, or neither for plain HTTP.' });
  }
  if (given.has('--no-auth') && given.has('--key-file'))
    throw new UserError('--no-auth and --key-file exclude each other');
  if (argv.length === 0 && !asksToServe(env)) {
    throw new UserError('serve needs something to serve', {
      next: 'mcp-deploy serve --config FILE, or mcp-deploy serve --listen 127.0.0.1:8080 --key-file F -- COMMAND',
    });
  }
  return {
    mode: 'flags',
    listen: given.get('--listen') ?? null,
    keyFile: one('--key-file'),
    tls: certificate === null || key === null ? null : { certificate, key },
    noAuth: given.has('--no-auth'),
    path: one('--path'),
    command,
    pidFile,
    stdio,
    check,
    workers,
  };
}

function parseWorkers(text: string | null): number | 'auto' | null {
  if (text === null || text === 'auto') return text;
  const count = Number(text);
  if (/^\d{1,3}$/.test(text) && count >= 1 && count <= mostWorkers) return count;
  throw new UserError(`--workers ${text} is no number of workers`, { next: `Give 1 to ${mostWorkers}, or auto.` });
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

/** Text of `serve --help`; a function, since the table is only needed here. */
export function describeServe(): string {
  return `Usage: mcp-deploy serve --config FILE [--stdio | --check] [--watch] [--workers N] [--pid-file F]
       mcp-deploy serve [--listen ADDR...] [--key-file F] [flags] [-- COMMAND ARGS...]
       mcp-deploy serve --stdio [-- COMMAND ARGS...]

Runs the MCP endpoint in the foreground: what service managers start.

  --config FILE     a deployment file (YAML or JSON), or the server.json that apply writes
  --watch           read the file again when it changes, as SIGHUP does
  --listen ADDR     host:port, [IPv6]:port or unix:/path; may be given several times (localhost:8080)
  --key-file F      file with the API keys that are let in, one a line
  --no-auth         let everyone in; on loopback only
  --tls-cert C      certificate and intermediates, PEM; with --tls-key K
  --tls-key K       its private key, PEM
  --workers N       processes that share the work behind one port, or auto for one per core (1)
  --path PATH       path of the endpoint (/mcp)
  --stdio           answer on standard input and output in place of listening; no key is needed
  --check           judge configuration, certificate, keys and start-up rules, and start nothing
  --pid-file F      write process id and configuration hash to F, removed at the end
  -- COMMAND ARGS   the MCP server to put behind the endpoint; without one the built-in tools answer

Environment (flags go before it, it goes before a deployment file; the server.json of apply is not changed by it):
${describeEnvironment()}
Signals: SIGTERM and SIGINT finish the calls in flight and end (a second one ends now); SIGHUP reads
configuration, certificates and keys again and opens the audit file anew; what cannot be used is refused as a whole.
Exit codes: 0 ended as asked; 2 wrong flags or configuration; 3 refused to start; 70 a bug.
`;
}
