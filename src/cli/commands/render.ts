import { dirname, join, relative, resolve } from 'node:path';
import { EnvironmentError, UserError } from '../../deployment/errors.ts';
import { findTarget, renderTarget, targets } from '../../targets/index.ts';
import type { Deployment } from '../../deployment/schema.ts';
import type { RenderedFile, Target, TargetCommands, TargetInput } from '../../targets/types.ts';
import type { CommandContext } from '../context.ts';
import { inputFor } from '../target-input.ts';
import type { Judgement } from '../check-rendered.ts';
import { readDeployment, requireDeployment } from '../deployment-folder.ts';
import { quoteCommand } from '../quote-command.ts';
import { setSettings } from '../set-settings.ts';

/** `mcp-deploy render TARGET… [--out DIR]`: configuration for the programs around the server. */
export async function runRender(
  context: CommandContext,
  names: readonly string[],
  options: Record<string, unknown>,
): Promise<number> {
  const versions = listOf(options['for']).map(programVersion);
  const named = names.length === 0 ? versions.map(({ program }) => program) : names;
  if (options['list'] === true || named.length === 0) return listTargets(context, options['list'] === true);
  const isAll = named.length === 1 && named[0] === 'all';
  const chosen = isAll ? targets : [...new Set(named)].map((name) => findTarget(name));
  const unfit = versions.find((version) => !chosen.some((target) => isFor(version, target)));
  if (unfit !== undefined) {
    throw new UserError(`--for ${unfit.program}@${unfit.version} fits none of: ${named.join(', ')}.`, {
      next: `mcp-deploy render ${unfit.program} --for ${unfit.program}@${unfit.version}`,
    });
  }
  const deployment = await chooseDeployment(context, listOf(options['set']));
  const inputs = chosen.map((target) => {
    const version = versions.find((each) => isFor(each, target))?.version;
    return {
      target,
      input: { ...inputFor(context, deployment), ...(version === undefined ? {} : { programVersion: version }) },
    };
  });
  const rendered = isAll ? leaveOutRefused(context, inputs) : inputs;
  const files = rendered.flatMap(({ target, input }) =>
    renderTarget(target.name, input).map((file) => ({ target: target.name, ...file })),
  );
  const commands = rendered.map(({ target, input }) => ({ target: target.name, ...target.commands(input) }));
  const checks = options['check'] === true ? await checkAll(context, rendered) : null;
  if (typeof options['out'] === 'string') {
    return writeFiles(context, resolve(context.world.cwd, options['out']), files, commands, checks);
  }

  context.output.document({ ok: true, files, commands, ...(checks === null ? {} : { checks }) });
  for (const notice of commands.flatMap((each) => each.notices)) context.output.warning(notice);
  for (const file of files) {
    // The bundled server inside a Docker context is a megabyte of code: named, not shown.
    const shown =
      file.content.length > 200_000
        ? `(${Math.round(file.content.length / 1024)} KiB; written with --out DIR)\n`
        : file.content;
    if (files.length > 1) context.output.result(`# ---- ${file.path} -> ${file.installPath}`);
    context.output.result(shown);
  }
  return 0;
}

/** The deployment of the file, or the smallest one, with what --set says. */
async function chooseDeployment(context: CommandContext, settings: readonly string[]): Promise<Deployment> {
  if (settings.length === 0) return (await requireDeployment(context)).deployment;
  const loaded = await readDeployment(context);
  return setSettings(loaded?.text ?? 'version: 1\n', settings, context.world.env);
}

/** One format that cannot carry the deployment does not keep the others back. */
function leaveOutRefused<One extends { readonly target: Target; readonly input: TargetInput }>(
  context: CommandContext,
  inputs: readonly One[],
): readonly One[] {
  const refusals: UserError[] = [];
  const rendered = inputs.filter(({ target, input }) => {
    try {
      target.files(input);
      return true;
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      context.output.warning(`${target.name} is left out: ${error.message}`);
      refusals.push(error);
      return false;
    }
  });
  const [first] = refusals;
  if (rendered.length === 0 && first !== undefined) throw first;
  return rendered;
}

/** Throws an EnvironmentError when a program refuses its files; what could not be asked is a warning. */
async function checkAll(
  context: CommandContext,
  inputs: readonly { readonly target: Target; readonly input: TargetInput }[],
): Promise<readonly Judgement[]> {
  // The checks need certificates of their own, whose making takes long to load.
  const { checkRendered } = await import('../check-rendered.ts');
  const judgements = await checkRendered(context, inputs);
  const refused = judgements.filter(({ verdict }) => verdict === 'refused');
  if (refused.length > 0) {
    throw new EnvironmentError(`${refused.map(({ target }) => target).join(', ')} would not take the files.`, {
      why: refused.map(({ words }) => words).join('\n'),
      next: 'Nothing was written. Which version is installed? For example: --for nginx@1.18',
    });
  }
  for (const { target, verdict, words } of judgements) {
    if (verdict === 'unknown') context.output.warning(`${target} was not checked: ${words}.`);
    else context.output.progress(`  ${words}`);
  }
  return judgements;
}

async function listTargets(context: CommandContext, asked: boolean): Promise<number> {
  if (!asked) {
    throw new UserError('Name what to render.', {
      why: `There is ${targets.map((target) => target.name).join(', ')}.`,
      next: 'mcp-deploy render nginx        or: mcp-deploy render --list',
    });
  }
  const rows = targets.map(({ name, summary, checkedBy = '' }) => ({ name, summary, checkedBy }));
  context.output.document({ ok: true, targets: rows });
  const width = Math.max(...rows.map(({ name }) => name.length)) + 2;
  context.output.result(
    rows
      .map(({ name, summary, checkedBy }) => {
        const check = checkedBy === '' ? '' : `\n  ${' '.repeat(width)}checked by ${checkedBy}`;
        return `  ${name.padEnd(width)}${summary}${check}`;
      })
      .join('\n'),
  );
  return 0;
}

/** Writes into a folder of the user's choice; a file that is there with other content is never overwritten silently. */
async function writeFiles(
  context: CommandContext,
  folder: string,
  files: readonly (RenderedFile & { target: string })[],
  commands: readonly (TargetCommands & { target: string })[],
  checks: readonly Judgement[] | null,
): Promise<number> {
  const { ports, output } = context;
  const foreign: string[] = [];
  for (const file of files) {
    const there = await ports.files.read(join(folder, file.path));
    if (there !== null && there.toString('utf8') !== file.content) foreign.push(join(folder, file.path));
  }
  if (foreign.length > 0 && !context.yes) {
    throw new EnvironmentError(
      `${foreign.length === 1 ? 'A file is' : 'Files are'} there already with other content; nothing was written.`,
      {
        why: foreign.join('\n'),
        next: 'Choose another folder, or overwrite with --yes.',
      },
    );
  }
  for (const file of files) {
    const path = join(folder, file.path);
    await makeFolders(context, dirname(path));
    await ports.files.writeAtomic(path, file.content, file.mode);
  }
  output.document({
    ok: true,
    files: files.map(({ content: _content, ...file }) => ({ ...file, path: join(folder, file.path) })),
    commands,
    ...(checks === null ? {} : { checks }),
  });
  const shown = files.map(
    (file) => `  ${relative(context.world.cwd, join(folder, file.path)).padEnd(44)} belongs at ${file.installPath}`,
  );
  const next = commands.flatMap(({ check, install, notices }) => [
    ...notices.map((notice) => `  ${output.out.yellow('!')} ${notice}`),
    ...[...check, ...install].map(({ title, argv }) => `  ${title}:  ${quoteCommand(argv)}`),
  ]);
  output.result([...shown, '', ...next].join('\n'));
  return 0;
}

/** Makes a folder and those above it that are missing. */
async function makeFolders(context: CommandContext, folder: string): Promise<void> {
  if ((await context.ports.files.stat(folder)) !== null) return;
  await makeFolders(context, dirname(folder));
  await context.ports.files.makeDirectory(folder, 0o755);
}

/** `systemd@252` counts for every target that systemd reads, also for those of another name. */
function isFor({ program }: { readonly program: string }, target: Target): boolean {
  return program === target.name || program === target.program;
}

function programVersion(given: string): { program: string; version: string } {
  const parsed = /^([a-z]+)@(\d+(?:\.\d+){0,3})$/.exec(given);
  const [, program, version] = parsed ?? [];
  if (program === undefined || version === undefined) {
    throw new UserError(`--for ${given} is not program@version.`, { next: '--for nginx@1.22' });
  }
  return { program, version };
}

/** A flag that may be given several times. */
function listOf(given: unknown): readonly string[] {
  return Array.isArray(given) ? given.filter((each) => typeof each === 'string') : [];
}
