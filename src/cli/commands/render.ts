import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { EnvironmentError, UserError } from '../../deployment/errors.ts';
import { findTarget, renderTarget, targets } from '../../targets/index.ts';
import type { RenderedFile, TargetCommands, TargetInput } from '../../targets/types.ts';
import type { CommandContext } from '../context.ts';
import { projectPaths } from '../../plan/project-paths.ts';
import { requireDeployment } from '../deployment-folder.ts';
import { quoteCommand } from '../quote-command.ts';

/** `mcp-deploy render TARGET… [--out DIR]`: configuration for the programs around the server. */
export async function runRender(
  context: CommandContext,
  names: readonly string[],
  options: Record<string, unknown>,
): Promise<number> {
  if (options['list'] === true || names.length === 0) return listTargets(context, options['list'] === true);
  const chosen = names.map((name) => findTarget(name));
  const { deployment } = await requireDeployment(context);
  const version = programVersion(options['for']);
  if (version !== null && !names.includes(version.program)) {
    throw new UserError(`--for ${version.program}@${version.version} fits none of: ${names.join(', ')}.`, {
      next: `mcp-deploy render ${version.program} --for ${version.program}@${version.version}`,
    });
  }
  const inputs = chosen.map((target) => ({
    target,
    input: {
      ...inputFor(context),
      deployment,
      ...(version !== null && version.program === target.name ? { programVersion: version.version } : {}),
    },
  }));
  const files = inputs.flatMap(({ target, input }) =>
    renderTarget(target.name, input).map((file) => ({ target: target.name, ...file })),
  );
  const commands = inputs.map(({ target, input }) => ({ target: target.name, ...target.commands(input) }));
  if (typeof options['out'] === 'string') {
    return writeFiles(context, resolve(context.world.cwd, options['out']), files, commands);
  }

  context.output.document({ ok: true, files, commands });
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

async function listTargets(context: CommandContext, asked: boolean): Promise<number> {
  if (!asked) {
    throw new UserError('Name what to render.', {
      why: `There is ${targets.map((target) => target.name).join(', ')}.`,
      next: 'mcp-deploy render nginx        or: mcp-deploy render --list',
    });
  }
  context.output.document({ ok: true, targets: targets.map(({ name, summary }) => ({ name, summary })) });
  context.output.result(targets.map(({ name, summary }) => `  ${name.padEnd(10)} ${summary}`).join('\n'));
  return 0;
}

function inputFor(context: CommandContext): Omit<TargetInput, 'deployment'> {
  const paths = projectPaths(context.stateDir);
  return {
    templates: (path) => readFileSync(join(context.package.templatesDir, path), 'utf8'),
    readServerBundle: () => readFileSync(context.package.serverFile, 'utf8'),
    paths: {
      nodePath: process.execPath,
      serverFile: context.package.serverFile,
      baseDir: context.baseDir,
      stateDir: context.stateDir,
      configFile: paths.serverConfig,
      caFile: paths.caCertificate,
      certificateFile: paths.serverCertificate,
      keyFile: paths.serverKey,
      keyStoreFile: paths.keyStore,
      logFile: paths.logFile,
      homeDir: homedir(),
      ...(process.getuid === undefined ? {} : { uid: process.getuid() }),
    },
  };
}

/** Writes into a folder of the user's choice; a file that is there with other content is never overwritten silently. */
async function writeFiles(
  context: CommandContext,
  folder: string,
  files: readonly (RenderedFile & { target: string })[],
  commands: readonly (TargetCommands & { target: string })[],
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

function programVersion(given: unknown): { program: string; version: string } | null {
  if (typeof given !== 'string') return null;
  const parsed = /^([a-z]+)@(\d+(?:\.\d+){0,3})$/.exec(given);
  const [, program, version] = parsed ?? [];
  if (program === undefined || version === undefined) {
    throw new UserError(`--for ${given} is not program@version.`, { next: '--for nginx@1.22' });
  }
  return { program, version };
}
