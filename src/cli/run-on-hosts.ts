import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EnvironmentError, ExplainedError, UserError } from '../deployment/errors.ts';
import { packFiles, runOverSsh, type RemoteRun } from '../host/ssh.ts';
import { quoteShell } from '../render/quote/shell.ts';
import { confirmOrRefuse } from './confirm.ts';
import { requireDeployment } from './deployment-folder.ts';
import type { CommandContext } from './context.ts';

/** Commands that may be carried out on other hosts. */
const remoteCommands: ReadonlySet<string> = new Set([
  'plan',
  'apply',
  'rollback',
  'history',
  'status',
  'start',
  'stop',
  'restart',
  'uninstall',
]);

interface HostResult {
  readonly host: string;
  readonly exitCode: number;
  /** What the command there said in JSON; null when it did not come to that. */
  readonly document: unknown;
}

/**
 * Carries a command out on each host, one after the other, by this very mcp-deploy: it is copied there, reads what mcp-deploy.yaml
 * says here, and plans, applies and keeps its journal there. The first host on which it fails is the last one.
 *
 * @param words the words of the command itself, without those that say where
 * @returns the exit code of the host that failed; 0 otherwise
 */
export async function runOnHosts(
  command: string,
  words: readonly string[],
  hosts: readonly string[],
  context: CommandContext,
): Promise<number> {
  if (!remoteCommands.has(command)) {
    throw new UserError(`mcp-deploy ${command} works on this machine only.`, {
      next: `--host goes with: ${[...remoteCommands].join(', ')}`,
    });
  }
  const { text, deployment } = await requireDeployment(context);
  if (deployment.service.manager !== 'systemd') {
    throw new UserError('--host is for services of a host.', {
      why: `service.manager is ${deployment.service.manager}.`,
      next: 'Set service: { manager: systemd } in mcp-deploy.yaml.',
    });
  }
  const asked = `Remove ${deployment.name} from ${hosts.join(', ')}?`;
  if (command === 'uninstall' && !(await confirmOrRefuse(context, asked, 'uninstall'))) {
    context.output.result('  Nothing was removed.');
    return 0;
  }
  const { output } = context;
  const results: HostResult[] = [];
  const args = [command, ...words, '--yes', '--json', '--file', `/srv/${deployment.name}/mcp-deploy.yaml`];
  let problem: ExplainedError | null = null;
  for (const host of hosts) {
    output.progress(`  ${host}`);
    try {
      const place = await prepare(host, context);
      const ran = await runThere(host, place, { args, text: takesFile.has(command) ? text : null }, context);
      const document = parseDocument(ran.stdout);
      if (ran.exitCode === 255 && document === null) throw lost(host, ran);
      results.push({ host, exitCode: ran.exitCode ?? 130, document });
    } catch (error) {
      if (!(error instanceof ExplainedError)) throw error;
      problem = error;
      results.push({ host, exitCode: error.exitCode, document: { ok: false, error: { what: error.message } } });
    }
    if (results.at(-1)?.exitCode !== 0) break;
  }
  if (problem !== null) output.failure(problem);
  const failed = results.find(({ exitCode }) => exitCode !== 0);
  output.document({
    ok: failed === undefined,
    hosts: hosts.map((host) => results.find((each) => each.host === host) ?? { host, exitCode: null, document: null }),
  });
  const width = Math.max(...hosts.map((host) => host.length));
  for (const host of hosts) {
    const found = results.find((each) => each.host === host);
    output.result(`  ${host.padEnd(width)}  ${describeResult(found)}`);
  }
  return failed?.exitCode ?? 0;
}

/** The words of a command without those that say where it works and how it answers. */
export function wordsForHosts(command: string, args: readonly string[]): readonly string[] {
  const names = command.split(' ');
  const kept: string[] = [];
  for (let at = 0; at < args.length; at += 1) {
    const word = args[at] ?? '';
    if (['--host', '--file', '--root'].includes(word)) at += 1;
    else if (/^--(?:host|file|root)=/.test(word)) continue;
    else if (!['--json', '--yes', '-y', '--quiet', '-q', '--verbose'].includes(word)) kept.push(word);
  }
  for (const name of names) if (kept.includes(name)) kept.splice(kept.indexOf(name), 1);
  return kept;
}

/** What these are given is the file of here; the others look at what was applied there. */
const takesFile: ReadonlySet<string> = new Set(['plan', 'apply']);

interface Place {
  /** Where this mcp-deploy lies there. */
  readonly folder: string;
  readonly node: string;
  readonly needsSudo: boolean;
}

/** Looks whether the host can carry it, and copies this mcp-deploy there, once for each build. Nothing else is changed. */
async function prepare(host: string, context: CommandContext): Promise<Place> {
  const { root } = context.package;
  const build = createHash('sha256');
  for (const name of ['package.json', 'dist/cli/main.js', 'dist/server/serve.js']) {
    build.update(await readFile(join(root, name)));
  }
  const name = build.digest('hex').slice(0, 16);
  const look = `d="$HOME/.cache/mcp-deploy/${name}"
printf 'folder %s\\n' "$d"
printf 'uid %s\\n' "$(id -u)"
printf 'node %s\\n' "$(command -v node)"
printf 'version %s\\n' "$(node --version 2>/dev/null)"
printf 'sudo %s\\n' "$(sudo -n true 2>/dev/null && echo yes)"
printf 'there %s\\n' "$([ -f "$d/package.json" ] && echo yes)"`;
  const looked = await runOverSsh(host, inShell(look), options(context));
  if (looked.exitCode !== 0) throw unreachable(host, looked);
  const facts = new Map(looked.stdout.split('\n').map((line) => split(line)));
  const [major = 0, minor = 0] = (facts.get('version') ?? '').replace(/^v/, '').split('.').map(Number);
  if (!(major > 20 || (major === 20 && minor >= 19))) {
    const found = facts.get('version') === '' ? 'There is none' : `It is ${facts.get('version') ?? 'not known'}`;
    throw new EnvironmentError(`${host} needs Node.js 20.19 or newer.`, {
      why: `${found}. Nothing was changed there.`,
      next: `Install it on ${host}, for example: apt-get install nodejs`,
    });
  }
  const needsSudo = facts.get('uid') !== '0';
  if (needsSudo && facts.get('sudo') !== 'yes') {
    throw new EnvironmentError(`${host} does not let this user become root without a password.`, {
      why: 'A service of a host is written below /etc, /opt and /var. Nothing was changed there.',
      next: `Try it: ssh ${host} sudo -n true`,
    });
  }
  const folder = facts.get('folder') ?? '';
  if (facts.get('there') !== 'yes') {
    context.output.progress(`    copying mcp-deploy ${context.package.version}`);
    const unpack = `set -e
umask 022
d=${quoteShell(folder, 'the home folder')}
rm -rf "$d.partial"
mkdir -p "$d.partial"
tar -xzf - -C "$d.partial"
mv "$d.partial" "$d"`;
    const names = ['bin', 'dist', 'templates', 'schema', 'package.json'];
    const unpacked = await runOverSsh(host, inShell(unpack), {
      ...options(context),
      input: packFiles(root, names),
    });
    if (unpacked.exitCode !== 0) {
      throw new EnvironmentError(`mcp-deploy could not be copied to ${host}.`, {
        why: 'It is needed there; nothing else was changed.',
        next: `Look for room: ssh ${host} df -h`,
        excerpt: unpacked.lastWords.slice(-5),
      });
    }
  }
  return { folder, node: facts.get('node') ?? 'node', needsSudo };
}

/** Runs it there. When the connection ends, so does what runs, and undoes itself. */
function runThere(
  host: string,
  { folder, node, needsSudo }: Place,
  { args, text }: { readonly args: readonly string[]; readonly text: string | null },
  context: CommandContext,
): Promise<RemoteRun> {
  const file = Buffer.from(text ?? '');
  const words = [node, `${folder}/bin/mcp-deploy.js`, ...args].map((word) => quoteShell(word, 'an argument'));
  const script = `umask 077
f=$(mktemp) || exit 3
trap 'rm -f "$f"' EXIT
head -c ${file.length} > "$f"
exec 3<&0
${words.join(' ')}${text === null ? '' : ' --from "$f"'} < /dev/null 3<&- &
run=$!
(cat <&3; kill -TERM "$run") > /dev/null 2>&1 &
watch=$!
wait "$run"
code=$?
kill "$watch" 2>/dev/null
exit "$code"`;
  return runOverSsh(host, `${needsSudo ? 'sudo -n -- ' : ''}${inShell(script)}`, {
    ...options(context),
    input: file,
    keepOpen: true,
    onLine: (line) => context.output.progress(`    ${line}`),
  });
}

/** Login shells differ; this one is the same everywhere. */
function inShell(script: string): string {
  return `sh -c ${quoteShell(script, 'a script')}`;
}

function options({ interactive, signal }: CommandContext): { interactive: boolean; signal: AbortSignal } {
  return { interactive, signal };
}

function split(line: string): readonly [string, string] {
  const at = line.indexOf(' ');
  return at === -1 ? [line, ''] : [line.slice(0, at), line.slice(at + 1).trim()];
}

function parseDocument(stdout: string): unknown {
  try {
    return JSON.parse(stdout);
  } catch {
    return null;
  }
}

function describeResult(result: HostResult | undefined): string {
  if (result === undefined) return 'not reached: as it was';
  const { exitCode, document } = result;
  const { changes, release, changed } = (document ?? {}) as { changes?: unknown; release?: unknown; changed?: unknown };
  if (exitCode === 0) {
    return [
      'done',
      ...(typeof changes === 'number' ? [`${changes} changes`] : []),
      ...(typeof release === 'number' ? [`release ${release}`] : []),
      ...(changed === false ? ['nothing to do'] : []),
    ].join(', ');
  }
  const states: Readonly<Record<number, string>> = {
    1: 'there is something to change',
    3: 'refused before any change: as it was',
    4: 'failed and undone: as it was',
    5: 'failed, and the undo is incomplete: see what it said above',
    130: 'interrupted and undone',
  };
  return states[exitCode] ?? `ended with ${exitCode}`;
}

/** What was begun there goes on there: it sees that nobody listens any more, and undoes. */
function lost(host: string, { lastWords }: RemoteRun): EnvironmentError {
  return new EnvironmentError(`The connection to ${host} was lost.`, {
    why: 'What was under way there is undone by itself, or by the next command there.',
    next: `mcp-deploy status --host ${host}`,
    excerpt: lastWords.slice(-5),
    exitCode: 5,
  });
}

function unreachable(host: string, { lastWords }: RemoteRun): EnvironmentError {
  return new EnvironmentError(`${host} cannot be reached over SSH.`, {
    why: 'Nothing was changed there.',
    next: `Try it: ssh ${host} true`,
    excerpt: lastWords.slice(-5),
  });
}
