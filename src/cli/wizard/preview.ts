import { dirname, join, relative, resolve } from 'node:path';
import { EnvironmentError, ExplainedError } from '../../deployment/errors.ts';
import type { Deployment } from '../../deployment/schema.ts';
import { hideSecretArguments } from '../../deployment/secrets-in-arguments.ts';
import { describePlan } from '../../plan/describe-plan.ts';
import { planDeployment } from '../../plan/plan-deployment.ts';
import type { Plan } from '../../plan/types.ts';
import { findTarget, renderTarget } from '../../targets/index.ts';
import { lookAtHost } from '../apply-desired.ts';
import { inputFor } from '../target-input.ts';
import type { CommandContext } from '../context.ts';
import { parseOrThrow } from '../deployment-folder.ts';
import { stateDirOf } from '../find-state-dir.ts';
import { wrapText } from '../output/wrap-text.ts';
import { quoteCommand } from '../quote-command.ts';
import { hostOf } from '../render-host.ts';
import type { OutputFile } from '../write-together.ts';
import type { Answers } from './answers.ts';
import { deploymentText, type ExistingDeployment } from './deployment-text.ts';
import type { WizardFacts } from './facts.ts';
import { profileOf } from './profiles.ts';
import { whyNotHere } from './propose.ts';

/** What answers come to on this machine; nothing is changed yet. */
export interface Preview {
  readonly answers: Answers;
  readonly text: string;
  readonly deployment: Deployment;
  /** With the state folder that this deployment has. */
  readonly context: CommandContext;
  /** Null where other programs run what is rendered. */
  readonly plan: Plan | null;
  /** Why apply would not do it here. */
  readonly refusal: ExplainedError | null;
  /** Whether it is for root, and this is not. */
  readonly needsRoot: boolean;
  /** Files for programs that apply does not manage. */
  readonly rendered: readonly OutputFile[];
  /** Those of them that are there with other content. */
  readonly replaced: readonly string[];
  /** Answers and plan, as a person reads them. */
  readonly view: string;
}

/**
 * Looks at the machine with the deployment that the answers stand for.
 * @throws UserError when the answers make no deployment
 */
export async function previewAnswers(
  context: CommandContext,
  answers: Answers,
  parts: { readonly existing: ExistingDeployment | null; readonly folder: string; readonly facts: WizardFacts },
): Promise<Preview> {
  const { existing, folder, facts: seen } = parts;
  const text = deploymentText(answers, existing);
  const deployment = parseOrThrow(text, context);
  const own = { ...context, stateDir: stateDirOf(context.deploymentFile, text) };
  const base = { answers, text, deployment, context: own, plan: null, refusal: null, needsRoot: false };
  const summary = describeAnswers(context, answers, deployment);
  const profile = profileOf(answers.profile);
  if (profile.renders.length > 0) {
    const rendered = renderFiles(own, deployment, profile.renders, folder);
    const replaced = await findReplaced(own, rendered);
    const steps = profile.next(answers, relative(context.world.cwd, folder) || '.');
    const view = describeFiles(own, { text, existing, rendered, replaced, steps });
    return { ...base, rendered, replaced, view: `${summary}\n\n${view}` };
  }
  const nothing = { ...base, rendered: [], replaced: [] };
  const unfit = whyNotHere(profile, seen);
  const elsewhere =
    unfit === null
      ? null
      : new EnvironmentError(`The profile ${profile.id} cannot be applied on this machine: ${unfit}.`, {
          why: 'Nothing was changed.',
          next: 'mcp-deploy apply        on the machine that it is for',
        });
  const remark = unfit === null ? '' : `\n  ! It cannot be applied on this machine: ${unfit}.`;
  try {
    const facts = await lookAtHost(own, deployment);
    const wanted = text === existing?.text ? null : text;
    const plan = planDeployment({ deployment, deploymentText: wanted, ...hostOf(own, deployment) }, facts);
    const needsRoot = plan.steps.length > 0 && facts.system?.isRoot === false;
    const shown = describePlan(plan, facts, 'mcp-deploy apply');
    return { ...nothing, plan, refusal: elsewhere, needsRoot, view: `${summary}\n\n${shown}${remark}` };
  } catch (error) {
    // The answers are fine; this machine, as it is now, cannot carry them.
    if (!(error instanceof ExplainedError) || error.exitCode !== 3) throw error;
    const lines = [error.message, ...(error.why ?? '').split('\n')].filter((line) => line !== '');
    const shown = lines.map((line, index) => `  ${index === 0 ? '!' : ' '} ${line}`).join('\n');
    return { ...nothing, refusal: elsewhere ?? error, view: `${summary}\n\n${shown}${remark}` };
  }
}

function describeAnswers({ output }: CommandContext, answers: Answers, deployment: Deployment): string {
  const { command, url, serverName, name } = answers;
  const server = url ?? (command === null ? 'built-in tools' : quoteCommand(hideSecretArguments(command, '…')));
  const { server: settings, tls, auth } = deployment;
  const certificates = {
    'private-ca': 'from a private CA, made here',
    acme: "from Let's Encrypt",
    files: 'your files',
    off: 'none: plain HTTP',
  } as const;
  const isCluster = profileOf(answers.profile).renders.includes('kubernetes');
  const isOthers = answers.certificate === 'letsencrypt' && serverName !== null && tls.source === 'private-ca';
  const rows: readonly (readonly [string, string])[] = [
    ['profile', profileOf(answers.profile).title],
    ['name', name],
    ['MCP server', server],
    ['endpoint', settings.publicUrl ?? [settings.listen].flat().join(', ')],
    [
      'certificate',
      isCluster
        ? 'of the Ingress'
        : isOthers
          ? "from Let's Encrypt, kept by what stands in front"
          : certificates[tls.source],
    ],
    ['keys', auth.required ? 'required' : 'not asked for'],
  ];
  return rows
    .map(([label, value]) => wrapText(`${label.padEnd(12)} ${value}`, { columns: output.columns, indent: 2, hang: 13 }))
    .join('\n');
}

function renderFiles(
  context: CommandContext,
  deployment: Deployment,
  targets: readonly string[],
  folder: string,
): readonly OutputFile[] {
  const input = inputFor(context, deployment);
  return targets
    .map((target) => findTarget(target))
    .flatMap((target) => renderTarget(target.name, input))
    .map(({ path, content, mode }) => ({ path: join(folder, path), content, mode }));
}

async function findReplaced({ ports }: CommandContext, files: readonly OutputFile[]): Promise<readonly string[]> {
  const replaced: string[] = [];
  for (const { path, content } of files) {
    const there = await ports.files.read(path);
    if (there !== null && there.toString('utf8') !== content) replaced.push(path);
  }
  return replaced;
}

/** In the form of a plan: what is made, what changes, what comes then. */
function describeFiles(
  { world, deploymentFile }: CommandContext,
  parts: {
    readonly text: string;
    readonly existing: ExistingDeployment | null;
    readonly rendered: readonly OutputFile[];
    readonly replaced: readonly string[];
    readonly steps: readonly string[];
  },
): string {
  const { text, existing, rendered, replaced, steps } = parts;
  const shown = (path: string): string => relative(world.cwd, path) || path;
  const own = existing === null ? ['+', 'none yet'] : text === existing.text ? [] : ['~', 'settings changed'];
  const folders = new Map<string, number>();
  for (const { path } of rendered) folders.set(dirname(path), (folders.get(dirname(path)) ?? 0) + 1);
  return [
    ...(own.length === 0 ? [] : [`  ${own[0]} ${shown(deploymentFile)}  ${own[1]}`]),
    ...[...folders].map(([folder, count]) => `  + ${shown(folder)}/  ${count === 1 ? '1 file' : `${count} files`}`),
    ...replaced.map((path) => `  ! ${shown(path)}  is there with other content, and would be replaced`),
    ...steps.map((step, index) => `  ${index === 0 ? 'then' : '    '}  ${step}`),
  ].join('\n');
}

/** The folder of rendered files, absolute. */
export function renderFolder({ world }: CommandContext, out: string | null): string {
  return resolve(world.cwd, out ?? 'deploy');
}
