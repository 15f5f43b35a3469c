import { realpath } from 'node:fs/promises';
import { sep } from 'node:path';
import { readUnfinished } from '../apply/recover.ts';
import { ExplainedError } from '../deployment/errors.ts';
import type { OwnFacts } from '../doctor/run-doctor.ts';
import type { DoctorReport, FixOutcome } from '../doctor/types.ts';
import { describePlan } from '../plan/describe-plan.ts';
import type { Deployment } from '../deployment/schema.ts';
import { deploymentPaths, scopeOf } from '../plan/deployment-paths.ts';
import { serviceOwner } from '../plan/host-folders.ts';
import { hostProxyOf } from '../plan/host-proxies.ts';
import type { Owner } from '../plan/action.ts';
import { planFix, type FixPlan, type OpenFile } from '../plan/plan-fix.ts';
import type { HostFacts } from '../plan/facts.ts';
import { readAppliedDeployment } from './applied-deployment.ts';
import { changeHost, lookAtHost } from './apply-desired.ts';
import { confirmOrRefuse } from './confirm.ts';
import type { CommandContext } from './context.ts';
import { hostOf } from './render-host.ts';

/**
 * Mends what is safe of a result, through the journal, after asking; then looks again. What is not ours, and what its
 * users would feel, stays as it is: its finding says what to do.
 * @throws ExplainedError when nobody can be asked, and as apply does (exit 4, 5, 130)
 */
export async function fixDeployment(
  context: CommandContext,
  before: DoctorReport,
  own: OwnFacts | null,
  look: () => Promise<DoctorReport>,
): Promise<DoctorReport> {
  const { output, ports, stateDir } = context;
  const deployment = await readAppliedDeployment(context);
  if (own === null || deployment === null) throw new Error('--fix without a deployment of this folder');
  const planFor = async (facts: HostFacts, seen = before): Promise<FixPlan> =>
    planFix(
      {
        deployment,
        open: await openFiles(context, deployment, seen, own),
        timers: stoppedTimers(context, seen),
        ...hostOf(context, deployment),
      },
      facts,
    );

  const unfinished = await readUnfinished({ ports, stateDir });
  const facts = await lookAtHost(context, deployment);
  const planned = await tryPlan(() => planFor(facts));
  if (planned instanceof ExplainedError) {
    output.warning(`${planned.message} ${planned.next ?? ''}`.trimEnd());
    return withOutcome(before, before, []);
  }
  for (const title of planned.unsafe) {
    output.warning(`Left to you, since clients would notice: ${title}. It is done by: mcp-deploy apply`);
  }
  if (planned.plan.steps.length === 0 && unfinished === null) {
    if (before.findings.length > 0)
      output.progress('  Nothing of this can be mended safely; each finding says what to do.');
    return withOutcome(before, before, []);
  }
  if (unfinished !== null) {
    output.progress(
      `  ${output.err.bold('~')} what an interrupted ${unfinished.purpose} left (${unfinished.startedAt}) is undone first`,
    );
  }
  if (planned.plan.steps.length > 0) output.progress(describePlan(planned.plan, facts, 'mcp-deploy doctor --fix'));
  if (!(await confirmOrRefuse(context, 'Do this now?', '--fix'))) return before;

  // Under the lock everything is looked at anew: also what the undo of something interrupted has changed.
  const outcome = await changeHost(context, 'apply', async (lookAgain) => {
    const now = await lookAgain(deployment);
    // The undo may have opened again what an interrupted --fix had closed, and so was well when it was looked at.
    const seen = unfinished === null ? before : await look();
    return { plan: (await planFor(now, seen)).plan, facts: now };
  });
  const done = [
    ...(unfinished === null ? [] : [`undo what an interrupted ${unfinished.purpose} left`]),
    ...outcome.plan.steps.map(({ title }) => title),
  ];
  const after = withOutcome(before, await lookOnceTaken(context, look), done);
  describeOutcome(context, after.fix);
  return after;
}

/**
 * The server takes a new certificate up by itself within moments, and one that the undo of something interrupted has started
 * listens within moments; until then neither is a finding.
 */
async function lookOnceTaken(
  { ports, signal }: CommandContext,
  look: () => Promise<DoctorReport>,
): Promise<DoctorReport> {
  const until = ports.clock.elapsed() + takenWithinMs;
  for (;;) {
    const report = await look();
    const isOld = report.findings.some(({ code }) => code === 'tls/served-matches-file');
    if ((!isOld && !isStarting(report)) || ports.clock.elapsed() >= until) return report;
    await ports.clock.sleep(500, signal);
  }
}

const takenWithinMs = 10_000;

/** Its process is there, and nothing answers on its port. */
function isStarting({ passed, findings, notChecked }: DoctorReport): boolean {
  const isSilent =
    findings.some(({ code }) => code === 'tcp/reachable') ||
    notChecked.some(({ reason }) => reason === 'follows from tcp/reachable');
  return isSilent && passed.some(({ code }) => code === 'host/server-running');
}

async function tryPlan(plan: () => Promise<FixPlan>): Promise<FixPlan | ExplainedError> {
  try {
    return await plan();
  } catch (error) {
    if (error instanceof ExplainedError) return error;
    throw error;
  }
}

/** Secrets of this deployment that host/file-modes names, when they really lie in its own folder and belong to us. */
async function openFiles(
  context: CommandContext,
  deployment: Deployment,
  report: DoctorReport,
  own: OwnFacts,
): Promise<readonly OpenFile[]> {
  const { files } = context.ports;
  if (scopeOf(own.stateDir) === 'system') return openHostFiles(context, deployment, report, own);
  const finding = report.findings.find(({ code }) => code === 'host/file-modes');
  const home = await realpath(own.stateDir);
  const found = await Promise.all(
    [own.caKeyFile, own.keyFile, own.keyStoreFile, own.apiKeyFile, own.stateDir].map(async (named) => {
      if (named === null || finding?.evidence.some(({ source }) => source === named) !== true) return [];
      const path = await realpath(named).catch(() => null);
      const stat = path === null ? null : await files.stat(path);
      if (path === null || stat === null || stat.owner.uid !== process.getuid?.()) return [];
      if (named === own.stateDir) return [{ path, mode: stat.mode & 0o7755 }];
      if (!path.startsWith(home + sep) || stat.kind !== 'file') return [];
      return [{ path, mode: named === own.caKeyFile ? 0o400 : 0o600 }];
    }),
  );
  return found.flat();
}

/** The same of a service of the host, whose group reads some of them, and of which one may belong to the proxy. */
async function openHostFiles(
  { ports: { files }, stateDir }: CommandContext,
  deployment: Deployment,
  report: DoctorReport,
  own: OwnFacts,
): Promise<readonly OpenFile[]> {
  const named = new Set(
    report.findings
      .filter(({ code }) => code === 'host/file-modes' || code === 'host/file-owners')
      .flatMap(({ evidence }) => evidence.map(({ source }) => source)),
  );
  const ofRoot: Owner = { user: 'root', group: 'root' };
  const shared = serviceOwner(deployment);
  const wanted: readonly (readonly [string | null, number, Owner])[] = [
    [own.caKeyFile, 0o400, ofRoot],
    [own.keyFile, 0o640, { ...shared, user: hostProxyOf(deployment)?.readsKeysAs ?? 'root' }],
    [own.keyStoreFile, 0o640, shared],
    [own.apiKeyFile, 0o600, ofRoot],
  ];
  const home = deploymentPaths(stateDir).configDir;
  const found = await Promise.all(
    wanted.map(async ([file, mode, owner]) => {
      if (file === null || !named.has(file)) return [];
      const path = await realpath(file).catch(() => null);
      if (path === null || !path.startsWith(home + sep) || (await files.stat(path))?.kind !== 'file') return [];
      return [{ path, mode, owner }];
    }),
  );
  return found.flat();
}

/** Timers of the host that were stopped or disabled; one whose files are not as they were written is left to a person. */
function stoppedTimers({ stateDir }: CommandContext, report: DoctorReport): readonly string[] {
  if (scopeOf(stateDir) !== 'system') return [];
  return report.findings
    .filter(
      ({ code, evidence }) =>
        timerCodes.has(code) && evidence.every(({ source }) => source.endsWith('.timer') && !source.includes('/')),
    )
    .flatMap(({ evidence }) => evidence.map(({ source }) => source));
}

const timerCodes: ReadonlySet<string> = new Set(['host/renewal-timer', 'host/backup-timer']);

function withOutcome(
  before: DoctorReport,
  after: DoctorReport,
  done: readonly string[],
): DoctorReport & { readonly fix: FixOutcome } {
  const isFound = (code: string): boolean => after.findings.some((each) => each.code === code);
  const codes = before.findings.map(({ code }) => code);
  return {
    ...after,
    fix: {
      done,
      healed: codes.filter((code) => after.passed.some((each) => each.code === code)),
      left: codes.filter(isFound),
    },
  };
}

function describeOutcome({ output }: CommandContext, { healed, left }: FixOutcome): void {
  if (healed.length > 0) output.progress(`  ${output.err.green('✓')} mended: ${healed.join(', ')}`);
  if (left.length > 0) output.progress(`  ${output.err.yellow('!')} left: ${left.join(', ')}`);
  output.progress('');
}
