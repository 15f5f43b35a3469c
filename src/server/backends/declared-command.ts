import { spawn } from 'node:child_process';
import { basename, resolve } from 'node:path';
import { splitPlaceholders } from '../../deployment/placeholders.ts';
import type { CommandToolCall } from '../../deployment/tool-schema.ts';
import { compilePatterns } from '../policy/access.ts';
import { buildChildEnvironment } from './child-environment.ts';
import { findCommand } from './find-command.ts';
import { instanceMarker, prepareWatcher, unwatchGroup, watchGroup } from './orphan-watcher.ts';
import { MARKER_VARIABLE, signalGroup, signalTree } from './process-tree.ts';
import { argumentText, ToolFailure, ToolOutage, ToolRefusal, type RunTool, type ToolArguments } from './tool-runner.ts';

/** What a program can be given in all; the system's own limit is above it. */
const maxArgumentBytes = 100_000;
const shownErrorCharacters = 2_000;
let started = 0;

/**
 * A tool that is a program, run without a shell. An argument of the call
 * stands inside of one item of the command line and never becomes an option:
 * where an item begins with it, a value that begins with - is refused, unless
 * the item `--` stands before. Throws an Error when the program is missing.
 */
export function prepareCommandTool(
  command: CommandToolCall,
  options: { readonly env: NodeJS.ProcessEnv; readonly baseDir: string; readonly deny: readonly string[] },
): RunTool {
  const environment = buildChildEnvironment(options.env, command.env, process.platform);
  if (environment.kind === 'missing')
    throw new Error(`${environment.names.join(', ')} is not set, and env.${environment.setting} needs it`);
  const { env } = environment;
  const cwd = resolve(options.baseDir, command.cwd ?? '.');
  const found = findCommand(
    command.command,
    cwd,
    env['PATH'] ?? '',
    process.platform === 'win32' ? (env['PATHEXT'] ?? '.EXE') : '',
  );
  if (found.kind === 'missing') throw new Error(found.sentence);
  const items = command.args.map(splitPlaceholders);
  const endOfOptions = command.args.indexOf('--');
  const isDenied = compilePatterns([...options.deny, ...command.deny]);

  return async (input, { signal }) => {
    const argv: string[] = [];
    for (const [index, parts] of items.entries()) {
      const mayBeOption = endOfOptions === -1 || index < endOfOptions;
      const item = fillItem(parts, input, mayBeOption);
      if (item !== null) argv.push(item);
    }
    if (Buffer.byteLength(argv.join(' ')) > maxArgumentBytes)
      throw new ToolFailure(`the arguments are longer than ${maxArgumentBytes} bytes`);
    const line = argv.join(' ');
    // `rm -rf*` is meant for /bin/rm too.
    if (isDenied(`${command.command} ${line}`) || isDenied(`${basename(command.command)} ${line}`))
      throw new ToolRefusal('the command line matches a pattern that is denied here');
    return { kind: 'text', text: await run({ program: found.path, argv, cwd, env, command, signal }) };
  };
}

/** Null when an argument in it was left out: the whole item is. */
function fillItem(parts: readonly string[], input: ToolArguments, mayBeOption: boolean): string | null {
  let item = '';
  for (const [index, part] of parts.entries()) {
    const text = index % 2 === 0 ? part : argumentText(input, part);
    if (text === null) return null;
    if (index % 2 === 1) {
      if (text.includes('\0')) throw new ToolFailure(`${part} must not hold a NUL character`);
      if (item === '' && mayBeOption && text.startsWith('-')) {
        throw new ToolFailure(`${part} must not begin with "-": the program would take it for an option`);
      }
    }
    item += text;
  }
  return item;
}

interface Run {
  readonly program: string;
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly command: CommandToolCall;
  readonly signal: AbortSignal;
}

function run({ program, argv, cwd, env, command, signal }: Run): Promise<string> {
  prepareWatcher();
  return new Promise((resolvePromise, reject) => {
    const marker = `${instanceMarker}-tool-${++started}`;
    const child = spawn(program, argv, {
      argv0: command.command,
      cwd,
      env: { ...env, [MARKER_VARIABLE]: marker },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: process.platform !== 'win32',
      windowsHide: true,
    });
    const { pid } = child;
    if (pid !== undefined) watchGroup(pid);
    const output: Buffer[] = [];
    const errors: Buffer[] = [];
    let size = 0;
    let errorSize = 0;
    let failure: ToolFailure | null = null;

    const end = (why: ToolFailure): void => {
      failure ??= why;
      if (pid === undefined) return;
      signalGroup(pid, 'SIGKILL');
      void signalTree({ pid, marker }, true, 'SIGKILL');
      // A grandchild may hold the pipes open for ever.
      child.stdout.destroy();
      child.stderr.destroy();
    };
    const onAbort = (): void => end(new ToolFailure('it was stopped'));
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });

    child.stdout.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > command.maxOutputBytes) end(new ToolFailure(`it printed more than ${command.maxOutputBytes} bytes`));
      else output.push(chunk);
    });
    child.stderr.on('data', (chunk: Buffer) => {
      errorSize += chunk.length;
      if (errorSize <= 65_536) errors.push(chunk);
    });
    child.once('error', (error) => reject(new ToolOutage(`it cannot be started: ${error.message}`, false)));
    child.once('close', (code, endedBy) => {
      signal.removeEventListener('abort', onAbort);
      if (pid !== undefined) unwatchGroup(pid);
      const text = Buffer.concat(output).toString('utf8');
      if (failure !== null) reject(failure);
      else if (code === 0) resolvePromise(text);
      else {
        const how = endedBy === null ? `it ended with code ${code}` : `it was ended by ${endedBy}`;
        const words = Buffer.concat(errors).toString('utf8').trim() || text.trim();
        reject(new ToolFailure(`${how}${words === '' ? '' : `: ${words.slice(0, shownErrorCharacters)}`}`));
      }
    });
  });
}
