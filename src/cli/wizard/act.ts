import { dirname, relative } from 'node:path';
import { EnvironmentError } from '../../deployment/errors.ts';
import { planDeployment } from '../../plan/plan-deployment.ts';
import { changeHost } from '../apply-desired.ts';
import type { CommandContext } from '../context.ts';
import { writeEditorSchema } from '../editor-schema.ts';
import { describeEndpoint } from '../output/endpoint-summary.ts';
import { wrapText } from '../output/wrap-text.ts';
import { hostOf } from '../render-host.ts';
import { writeTogether, type OutputFile } from '../write-together.ts';
import type { ExistingDeployment } from './deployment-text.ts';
import type { Preview } from './preview.ts';
import { profileOf } from './profiles.ts';

/** What was done, for the one JSON document. */
export interface Done {
  readonly applied: boolean;
  /** Whether a file was written. */
  readonly wrote: boolean;
  /** Of `up` and `apply`, where something was applied. */
  readonly endpoint: Readonly<Record<string, unknown>>;
}

/**
 * Applies the deployment as `apply` does, with the file among what is undone when it fails.
 * @throws ExplainedError as changeHost does
 */
export async function applyPreview(preview: Preview, existing: ExistingDeployment | null): Promise<Done> {
  const { context, deployment, text, refusal } = preview;
  if (refusal !== null) throw refusal;
  const startedAt = context.ports.clock.elapsed();
  const outcome = await changeHost(context, 'apply', async (look) => {
    const facts = await look(deployment);
    const wanted = text === existing?.text ? null : text;
    return {
      plan: planDeployment({ deployment, deploymentText: wanted, ...hostOf(context, deployment) }, facts),
      facts,
    };
  });
  let endpoint: unknown = {};
  const output = { ...context.output, document: (value: unknown) => void (endpoint = value) };
  const tookMs = context.ports.clock.elapsed() - startedAt;
  await describeEndpoint({ ...context, output }, { deployment, outcome, tookMs });
  return { applied: true, wrote: true, endpoint: endpoint as Record<string, unknown> };
}

/**
 * Writes mcp-deploy.yaml, and what was rendered beside it: all of it or nothing.
 * @param force whether files of other content may be replaced
 * @throws EnvironmentError (exit 3) when one is there and may not
 */
export async function writePreview(
  preview: Preview,
  existing: ExistingDeployment | null,
  options: { readonly rendered: boolean; readonly force: boolean },
): Promise<Done> {
  const { context, text, rendered, replaced } = preview;
  const files: readonly OutputFile[] = [
    ...(options.rendered ? rendered : []),
    ...(text === existing?.text ? [] : [{ path: context.deploymentFile, content: text, mode: 0o644 }]),
  ];
  if (options.rendered && replaced.length > 0 && !options.force) {
    throw new EnvironmentError('Files are there already with other content; nothing was written.', {
      why: replaced.join('\n'),
      next: 'Choose another folder with --out, or overwrite with --yes.',
    });
  }
  const made: string[] = [];
  try {
    for (const { path } of files) await makeFolders(context, dirname(path), made);
    await writeTogether(context, context.baseDir, files, true);
  } catch (error) {
    for (const folder of made.toReversed()) await context.ports.files.removeEmptyDirectory(folder).catch(() => false);
    throw error;
  }
  if (files.some(({ path }) => path === context.deploymentFile)) await writeEditorSchema(context);
  return { applied: false, wrote: files.length > 0, endpoint: {} };
}

/** What is said at the end of a run that applied nothing. */
export function describeWritten(preview: Preview, done: Done, wroteRendered: boolean, folder: string): string {
  const { context, answers, refusal, rendered } = preview;
  const shown = relative(context.world.cwd, context.deploymentFile) || context.deploymentFile;
  const profile = profileOf(answers.profile);
  const near = relative(context.world.cwd, folder) || '.';
  const said = (text: string): string => wrapText(text, { columns: context.output.columns, indent: 2 });
  if (rendered.length > 0) {
    const render = `mcp-deploy render ${profile.renders.join(' ')} --out ${near}`;
    const steps = [...(wroteRendered ? [] : [render]), ...profile.next(answers, near)];
    const what = wroteRendered ? `${shown} and ${rendered.length} files in ${near} are` : `${shown} is`;
    return `${said(`${what} written; nothing was started.`)}\n\n${nextLines(steps)}`;
  }
  const apply = 'mcp-deploy apply';
  // What stands in the way comes first, and may name the command itself.
  const first = refusal?.next === undefined ? [] : refusal.next.split('\n');
  const steps = [
    ...first,
    ...(first.some((step) => step.startsWith('mcp-deploy apply')) ? [] : [apply]),
    ...profile.next(answers, near),
  ];
  const what = done.wrote
    ? `${shown} is written; nothing was started.`
    : `${shown} says all of this already; nothing was changed.`;
  return `${said(what)}\n\n${nextLines(steps)}`;
}

/** `Next` and what may follow it, one command a line. */
export function nextLines(steps: readonly string[]): string {
  return steps.map((step, index) => `  ${index === 0 ? 'Next' : '    '}   ${step}`).join('\n');
}

async function makeFolders({ ports }: CommandContext, folder: string, made: string[]): Promise<void> {
  const missing: string[] = [];
  for (let each = folder; (await ports.files.stat(each)) === null && dirname(each) !== each; each = dirname(each)) {
    missing.unshift(each);
  }
  for (const each of missing) {
    await ports.files.makeDirectory(each, 0o755);
    made.push(each);
  }
}
