import { EnvironmentError, ExplainedError, UserError } from '../deployment/errors.ts';
import { packEntries } from '../host/pack-folder.ts';
import { runOverSsh, type RemoteRun } from '../host/ssh.ts';
import { quoteShell } from '../render/quote/shell.ts';
import { confirmOrRefuse } from './confirm.ts';
import { requireDeployment, readWanted } from './deployment-folder.ts';
import type { CommandContext } from './context.ts';
import { describeHostStatus } from './output/host-status.ts';
import { readHostTargets, readSentFiles, type HostTarget } from './host-targets.ts';
import { inShell, prepareHost, sshOptions, type RemotePlace } from './prepare-host.ts';

/** Commands that may be carried out on other hosts, and whether they only look: then one that fails does not end it. */
const remoteCommands: Readonly<Record<string, 'looks' | 'changes'>> = {
  plan: 'looks',
  apply: 'changes',
  rollback: 'changes',
  upgrade: 'changes',
  history: 'looks',
  status: 'looks',
  doctor: 'looks',
  start: 'changes',
  stop: 'changes',
  restart: 'changes',
  uninstall: 'changes',
};

/** What these are given is the file of here; the others look at what was applied there. */
const takesFile: ReadonlySet<string> = new Set(['plan', 'apply']);

/** Flags that name a file of one machine, or never end. */
const forOneMachine: readonly string[] = [
  '-o',
  '--output',
  '--out',
  '--bundle',
  '--baseline',
  '--write-baseline',
  '--fix',
  '-w',
  '--watch',
];

interface HostResult {
  readonly host: string;
  readonly exitCode: number;
  /** What the command there said in JSON; null when it did not come to that, or nobody asked for it. */
  readonly document: unknown;
}

/**
 * Carries a command out on each host, one after the other, by this very mcp-deploy: it is copied there, is given mcp-deploy.yaml with
 * the files that it names, and plans, applies and keeps its journal there. A change that fails on one host is not begun on the next.
 *
 * @param words the words of the command itself, without those that say where
 * @returns the exit code of the first host that failed; 0 otherwise
 */
export async function runOnHosts(
  command: string,
  words: readonly string[],
  asked: readonly string[],
  context: CommandContext,
): Promise<number> {
  refuseWords(command, words);
  const onlyLooks = command === 'upgrade' && words.some((word) => word === '--check' || word === '--dry-run');
  const kind = onlyLooks ? 'looks' : remoteCommands[command];
  const file = context.deploymentSource ?? context.deploymentFile;
  const targets = await readHostTargets(asked, file, await readText(context), context);
  for (const { deployment } of targets) {
    if (deployment.service.manager === 'systemd') continue;
    throw new UserError('--host is for services of a host.', {
      why: `service.manager is ${deployment.service.manager}.`,
      next: 'Set service: { manager: systemd } in mcp-deploy.yaml.',
    });
  }
  const hosts = targets.map(({ host }) => host.text);
  const name = targets[0]?.deployment.name ?? '';
  const question = `Remove ${name} from ${hosts.join(', ')}?`;
  if (command === 'uninstall' && !(await confirmOrRefuse(context, question, 'uninstall'))) {
    context.output.result('  Nothing was removed.');
    return 0;
  }
  // All of it before the first host is touched: what is missing here is missing for each.
  const inputs = new Map<HostTarget, Buffer | null>();
  for (const target of targets)
    inputs.set(target, takesFile.has(command) ? await packTarget(target, file, context) : null);

  const { output } = context;
  const inText = kind === 'looks' && command !== 'status' && !output.json;
  const results: HostResult[] = [];
  for (const target of targets) {
    const { text: host } = target.host;
    output.progress(`  ${host}`);
    try {
      const place = await prepareHost(target.host, context);
      const ran = await runThere(target, place, { command, words, inText, input: inputs.get(target) ?? null }, context);
      const document = inText ? null : parseDocument(ran.stdout);
      if (ran.exitCode === 255 && document === null) throw lost(host, ran);
      if (inText) output.result(`${host}\n${withHost(ran.stdout.trimEnd(), host)}\n`);
      results.push({ host, exitCode: ran.exitCode ?? 130, document });
    } catch (error) {
      if (!(error instanceof ExplainedError)) throw error;
      output.failure(error);
      results.push({ host, exitCode: error.exitCode, document: { ok: false, error: { what: error.message } } });
    }
    if (kind === 'changes' && results.at(-1)?.exitCode !== 0) break;
    if (context.signal.aborted) break;
  }
  const failed = results.find(({ exitCode }) => exitCode !== 0);
  output.document({
    ok: failed === undefined,
    hosts: hosts.map((host) => results.find((each) => each.host === host) ?? { host, exitCode: null, document: null }),
  });
  if (command === 'status') output.result(describeHostStatus(hosts, results));
  else if (!inText || failed !== undefined) {
    const width = Math.max(...hosts.map((host) => host.length));
    for (const host of hosts) {
      output.result(
        `  ${host.padEnd(width)}  ${describeResult(
          kind,
          results.find((each) => each.host === host),
        )}`,
      );
    }
    if (failed !== undefined && kind === 'changes') {
      const rest = hosts.slice(results.length - 1).map((host) => `--host ${host}`);
      output.result(`\n  Then go on with: mcp-deploy ${command} ${rest.join(' ')}`);
    }
  }
  return failed?.exitCode ?? 0;
}

/** What is said there of the next command is typed here. */
function withHost(text: string, host: string): string {
  return text
    .replace(/with: mcp-deploy apply(?: --from \S+)?/, `with: mcp-deploy apply --host ${host}`)
    .replace(/mcp-deploy upgrade\b/, `mcp-deploy upgrade --host ${host}`);
}

/** The words of a command without those that say where it works and how it answers. */
export function wordsForHosts(command: string, args: readonly string[]): readonly string[] {
  const names = command.split(' ');
  const kept: string[] = [];
  for (let at = 0; at < args.length; at += 1) {
    const word = args[at] ?? '';
    if (['--host', '--file', '--root', '--from'].includes(word)) at += 1;
    else if (/^--(?:host|file|root|from)=/.test(word)) continue;
    else if (!['--json', '--yes', '-y', '--quiet', '-q', '--verbose'].includes(word)) kept.push(word);
  }
  for (const name of names) if (kept.includes(name)) kept.splice(kept.indexOf(name), 1);
  return kept;
}

function refuseWords(command: string, words: readonly string[]): void {
  if (remoteCommands[command] === undefined) {
    throw new UserError(`mcp-deploy ${command} works on this machine only.`, {
      next: `--host goes with: ${Object.keys(remoteCommands).join(', ')}`,
    });
  }
  if (command === 'upgrade' && words.some((each) => /^--(?:to|integrity)(?:=|$)/.test(each))) {
    throw new UserError('--to does not go with --host.', {
      why: 'The mcp-deploy that is started here goes to the host, and what runs there becomes its version.',
      next: 'npx mcp-deploy@VERSION upgrade --host HOST',
    });
  }
  const word = words.find((each) => forOneMachine.some((flag) => each === flag || each.startsWith(`${flag}=`)));
  const first = ['apply', 'doctor'].includes(command)
    ? words.find((each, at) => !each.startsWith('-') && !(words[at - 1] ?? '').startsWith('-'))
    : undefined;
  const found = word ?? first;
  if (found === undefined) return;
  throw new UserError(`${found.replace(/=.*/s, '')} does not go with --host.`, {
    why: 'It is about one machine: a file of it, an address seen from it, or a look that does not end.',
    next: `mcp-deploy ${command} --host HOST        or run it on that host`,
  });
}

async function readText(context: CommandContext) {
  if (context.deploymentSource === null) return requireDeployment(context);
  const { deployment, deploymentText } = await readWanted({ ...context, stateDir: `${context.baseDir}/.mcp-deploy` });
  return { deployment, text: deploymentText ?? '' };
}

/** One archive: mcp-deploy.yaml as it is to be there, and the files beside it that it names. */
async function packTarget(target: HostTarget, file: string, { output }: CommandContext): Promise<Buffer> {
  const { files, folders, leftOut } = readSentFiles(target, file);
  const secrets = files.filter(({ isSecret }) => isSecret).map(({ path }) => `secret ${path}, 0600`);
  const others = files.length - secrets.length;
  if (files.length > 0) {
    const parts = [...(others === 0 ? [] : [`${others} ${others === 1 ? 'file' : 'files'}`]), ...secrets];
    output.progress(`  ${target.host.text}: sends ${parts.join('; ')}`);
  }
  for (const path of leftOut) {
    output.warning(`${path} looks like a secret and is not sent; a setting that names it makes it go`);
  }
  return packEntries([
    { path: 'mcp-deploy.yaml', content: Buffer.from(target.text) },
    ...folders.map((path) => ({ path, content: null })),
    ...files.filter(({ path }) => path !== 'mcp-deploy.yaml'),
  ]);
}

/** Runs it there. When the connection ends, so does what runs, and undoes itself. */
function runThere(
  { host, deployment }: HostTarget,
  { folder, node, needsSudo }: RemotePlace,
  call: {
    readonly command: string;
    readonly words: readonly string[];
    readonly inText: boolean;
    readonly input: Buffer | null;
  },
  context: CommandContext,
): Promise<RemoteRun> {
  const { command, input } = call;
  const args = [
    command,
    ...call.words,
    '--yes',
    ...(call.inText ? ['--quiet'] : ['--json']),
    '--file',
    `/srv/${deployment.name}/mcp-deploy.yaml`,
  ];
  const words = [node, `${folder}/bin/mcp-deploy.js`, ...args].map((word) => quoteShell(word, 'an argument'));
  const unpack =
    input === null
      ? ''
      : `d=$(mktemp -d) || exit 3
trap 'rm -rf "$d"' EXIT
head -c ${input.length} | tar -xof - -C "$d" || exit 3`;
  const script = `umask 077
${unpack}
exec 3<&0
${words.join(' ')}${input === null ? '' : ' --from "$d/mcp-deploy.yaml"'} < /dev/null 3<&- &
run=$!
(cat <&3; kill -TERM "$run") > /dev/null 2>&1 &
watch=$!
wait "$run"
code=$?
kill "$watch" 2>/dev/null
exit "$code"`;
  return runOverSsh(host, `${needsSudo ? 'sudo -n -- ' : ''}${inShell(script)}`, {
    ...sshOptions(context),
    ...(input === null ? {} : { input }),
    keepOpen: true,
    onLine: (line) => context.output.progress(`    ${line}`),
  });
}

function parseDocument(stdout: string): unknown {
  try {
    return JSON.parse(stdout);
  } catch {
    return null;
  }
}

function describeResult(kind: 'looks' | 'changes' | undefined, result: HostResult | undefined): string {
  if (result === undefined) return 'not reached: as it was';
  const { exitCode, document } = result;
  const { changes, release, changed } = (document ?? {}) as { changes?: unknown; release?: unknown; changed?: unknown };
  if (exitCode === 0) {
    return [
      kind === 'looks' ? 'shown' : 'done',
      ...(typeof changes === 'number' ? [`${changes} changes`] : []),
      ...(typeof release === 'number' ? [`release ${release}`] : []),
      ...(changed === false ? ['nothing to do'] : []),
    ].join(', ');
  }
  const states: Readonly<Record<number, string>> =
    kind === 'looks'
      ? { 1: 'something is to be done: see above', 3: 'could not look: see above' }
      : {
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
