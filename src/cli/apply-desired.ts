import { basename } from 'node:path';
import { acquireLock } from '../apply/lock.ts';
import { applyPlan, type ApplyResult } from '../apply/apply-plan.ts';
import { recoverUnfinished } from '../apply/recover.ts';
import { runWithProgress } from '../apply/progress.ts';
import type { Deployment } from '../deployment/schema.ts';
import { ExplainedError, UserError } from '../deployment/errors.ts';
import { readHostFacts } from '../host/read-facts.ts';
import type { ReadSystemOptions } from '../host/read-system-facts.ts';
import { deploymentSchema } from '../deployment/schema.ts';
import { scopeOf } from '../plan/deployment-paths.ts';
import { hostProxyOf, watchedProxyFiles } from '../plan/host-proxies.ts';
import { ownerFilesOf } from '../plan/staged-owners.ts';
import { planForStage } from '../plan/staged-plan.ts';
import { refuseEditedObjects } from '../plan/refuse-cluster.ts';
import { refuseWithoutRights } from '../plan/refuse-host.ts';
import { nameOnHost } from '../targets/name-on-host.ts';
import { readAppliedDeployment } from './applied-deployment.ts';
import type { PersonalWish } from '../host/read-personal-facts.ts';
import { isPersonal } from '../plan/personal-service.ts';
import { renderHost, renderPersonal, unitsOf } from './render-host.ts';
import { clusterOptions } from './cluster-options.ts';
import { containerOptions } from './render-containers.ts';
import type { HostFacts } from '../plan/facts.ts';
import type { Plan } from '../plan/types.ts';
import type { PlacedFiles } from '../plan/plan-sent-files.ts';
import { lookAhead, placesOf } from './placed-files.ts';
import { stepsForRoot } from '../plan/needs-root.ts';
import { NeedsRoot } from './needs-root.ts';
import type { CommandContext } from './context.ts';
import { describeSearchedPath } from './describe-searched-path.ts';
import { writeEditorSchema } from './editor-schema.ts';
import { refuseUnsetVariables } from './refuse-unset-variables.ts';

/** Reads what is there now, for this run's folder. Changes nothing. */
export async function lookAtHost(
  context: CommandContext,
  deployment: Deployment | null,
  placed?: PlacedFiles,
): Promise<HostFacts> {
  if (placed === undefined) return lookNow(context, deployment);
  const ahead = lookAhead(context, placed);
  return ahead.correct(await lookNow(ahead.context, deployment, placesOf(placed, context)));
}

async function lookNow(
  context: CommandContext,
  deployment: Deployment | null,
  more?: ReturnType<typeof placesOf>,
): Promise<HostFacts> {
  const isSystem = scopeOf(context.stateDir) === 'system';
  const applied = isSystem || deployment !== null ? null : await readAppliedDeployment(context).catch(() => null);
  const containers = isSystem ? null : await containerOptions(context, deployment, applied);
  const cluster = isSystem ? null : await clusterOptions(context, deployment, applied);
  return readHostFacts({
    baseDir: context.baseDir,
    deploymentFile: context.deploymentFile,
    nodePath: process.execPath,
    serverFile: context.package.serverFile,
    serverVersion: context.package.version,
    deployment,
    now: new Date(context.ports.clock.now()),
    ports: context.ports,
    stateDir: context.stateDir,
    ...(more === undefined ? {} : { more }),
    ...(containers === null ? {} : { containers }),
    ...(cluster === null ? {} : { cluster }),
    ...(isSystem ? { system: await systemOptions(context, deployment) } : await personalOptions(context, deployment)),
  });
}

/** The service of a person that is wanted, or was applied last. */
async function personalOptions(
  context: CommandContext,
  deployment: Deployment | null,
): Promise<{ readonly personal?: PersonalWish }> {
  const applied = await readAppliedDeployment(context).catch(() => null);
  const found = [deployment, applied].find((each) => each !== null && isPersonal(each));
  return found === undefined || found === null ? {} : { personal: renderPersonal(context, found).wish };
}

/** What is looked at beside: what the targets would write now, or, without a wish, what they wrote last. */
async function systemOptions(context: CommandContext, deployment: Deployment | null): Promise<ReadSystemOptions> {
  const wanted = deployment ?? (await readAppliedDeployment(context).catch(() => null));
  const host = wanted === null ? null : renderHost(context, wanted);
  const siteName = nameOnHost(basename(context.stateDir));
  return {
    user: wanted?.service.user ?? 'mcp',
    watched: [
      ...(host?.files.map(({ path }) => path) ?? []),
      ...watchedProxyFiles(siteName),
      ...Object.values(ownerFilesOf(basename(context.stateDir))),
    ],
    units: unitsOf(host ?? { files: [] }),
    siteName,
    front: wanted === null ? null : { proxy: hostProxyOf(wanted), ports: host?.proxyPorts ?? [] },
    stageDir: context.stageDir,
  };
}

export interface Outcome {
  readonly plan: Plan;
  readonly facts: HostFacts;
  readonly result: ApplyResult;
}

/**
 * Runs `change` while nobody else can change this deployment. What a crash left is finished or undone first, so that
 * its undo cannot take `change` away again later.
 *
 * @throws EnvironmentError exit 3 when another process holds the lock
 */
export async function withLock<T>(context: CommandContext, purpose: string, change: () => Promise<T>): Promise<T> {
  const { ports, stateDir, baseDir, output, signal } = context;
  const lock = await acquireLock({
    ports,
    stateDir,
    purpose,
    signal,
    waitMs: context.lockWaitMs,
    onWait: (holder) => output.progress(`  ${output.err.dim('·')} waiting: ${holder}`),
  });
  try {
    const recovered = await recoverUnfinished({ ports, stateDir, baseDir });
    if (recovered !== null) output.warning(recovered.summary);
    signal.throwIfAborted();
    return await change();
  } finally {
    await lock.release();
  }
}

type Look = (deployment: Deployment | null, placed?: PlacedFiles) => Promise<HostFacts>;

/**
 * The one road to every change: lock, recover, look, plan, apply through the
 * journal. `makePlan` is called with facts that nobody else can change
 * meanwhile.
 *
 * @throws ExplainedError when a step failed and all was undone (exit 4), when the undo is incomplete (5) or on interrupt (130)
 */
export async function changeHost(
  context: CommandContext,
  purpose: Plan['purpose'],
  makePlan: (look: Look) => Promise<{ plan: Plan; facts: HostFacts }>,
): Promise<Outcome> {
  if (context.onlyPlans) return planAsUser(context, makePlan);
  const { ports, stateDir, baseDir, output, signal } = context;
  return withLock(context, purpose, async () => {
    const made = await makePlan((deployment, placed) => lookAtHost(context, deployment, placed));
    const { facts } = made;
    const plan = context.stageDir === null ? made.plan : planForStage(made.plan, facts);
    for (const notice of plan.notices) {
      if (notice.level === 'warning') output.warning(notice.text);
      else output.progress(`  ${output.err.dim('·')} ${notice.text}`);
    }
    if (plan.steps.length === 0) {
      if (plan.purpose !== 'uninstall') await writeEditorSchema(context);
      return { plan, facts, result: { outcome: 'nothing-to-do' } };
    }
    refuseUnsetVariables(plan, context.world.env);
    refuseWithoutRights(facts, `mcp-deploy ${plan.purpose}`);
    refuseEditedObjects(facts, plan.purpose);

    const toolVersion = context.package.version;
    const result = await runWithProgress(
      { plan, stream: context.world.stderr, silent: output.quiet, style: output.err },
      (onProgress) =>
        applyPlan(plan, { ports, stateDir, baseDir, toolVersion, signal, onProgress, ...keepReleases(plan) }),
    );
    throwUnlessApplied(result, plan, output.verbose ? context.world.env : null);
    if (plan.purpose !== 'uninstall') await writeEditorSchema(context);
    return { plan, facts, result };
  });
}

/**
 * Who is not root looks and plans: what is refused is refused without sudo, and a host that is as wanted needs none.
 * @throws NeedsRoot when there is something to do
 */
async function planAsUser(
  context: CommandContext,
  makePlan: (look: Look) => Promise<{ plan: Plan; facts: HostFacts }>,
): Promise<Outcome> {
  const { plan, facts } = await makePlan((deployment, placed) => lookAtHost(context, deployment, placed));
  if (plan.steps.length === 0 && (plan.purge ?? []).length === 0 && facts.unfinishedJournal === null) {
    return { plan, facts, result: { outcome: 'nothing-to-do' } };
  }
  refuseUnsetVariables(plan, context.world.env);
  throw new NeedsRoot(`${stepsForRoot(plan, context.stateDir).length} of ${plan.steps.length} steps need root`);
}

function keepReleases(plan: Plan): { readonly keepReleases?: number } {
  const desired = deploymentSchema.safeParse(plan.desired);
  return desired.success ? { keepReleases: desired.data.service.keepReleases } : {};
}

/** @param env of this command, where everything that is known is to be said */
function throwUnlessApplied(result: ApplyResult, plan: Plan, env: NodeJS.ProcessEnv | null): void {
  const what = plan.purpose === 'apply' ? 'Apply' : plan.purpose;
  switch (result.outcome) {
    case 'applied':
    case 'nothing-to-do':
      return;
    case 'interrupted':
      throw new UserError('Interrupted; everything was undone.', {
        why: 'The folder is as it was before.',
        next: 'Run the command again.',
        exitCode: 130,
      });
    case 'undone':
      throw restated(result.failure?.error, `The ${what} failed at “${result.failure?.step.title ?? 'a step'}”.`, {
        after: 'Everything was undone: this machine is as it was before.',
        exitCode: 4,
        searched: env === null ? [] : describeSearchedPath(result.failure?.error, plan.desired, env),
      });
    case 'undo-incomplete':
      throw restated(result.failure?.error, `The ${what} failed and the undo is incomplete.`, {
        after: `Not restored:\n${(result.leftovers ?? []).map((path) => `  ${path}`).join('\n')}`,
        exitCode: 5,
      });
  }
}

/** Keeps what the failed step said, and adds in what state the machine is now. */
function restated(
  error: unknown,
  fallback: string,
  state: { after: string; exitCode: number; searched?: readonly string[] },
): ExplainedError {
  if (error instanceof ExplainedError) {
    return new UserError(error.message, {
      why: [error.why, state.after].filter((line) => line !== undefined).join('\n'),
      ...(error.next === undefined ? {} : { next: error.next }),
      excerpt: [...error.excerpt, ...(state.searched ?? [])],
      exitCode: state.exitCode,
      cause: error,
    });
  }
  const message = error instanceof Error ? error.message : String(error);
  return new UserError(fallback, { why: `${message}\n${state.after}`, exitCode: state.exitCode, cause: error });
}
