import { readNewestRelease } from '../../apply/commit.ts';
import { EnvironmentError, UserError } from '../../deployment/errors.ts';
import { readNewestVersion } from '../../host/fetch-package.ts';
import { compareVersions } from '../../plan/compare-versions.ts';
import { describePlan } from '../../plan/describe-plan.ts';
import { describeSettingsMoves, type SettingMove } from '../../plan/describe-settings-moves.ts';
import { endpointUrl } from '../../plan/endpoint-url.ts';
import type { HostFacts, ReleaseRecord } from '../../plan/facts.ts';
import { planDeployment } from '../../plan/plan-deployment.ts';
import { versionOfRelease } from '../../plan/refuse-downgrade.ts';
import type { Plan } from '../../plan/types.ts';
import { changeHost, lookAtHost } from '../apply-desired.ts';
import type { CommandContext } from '../context.ts';
import { requireDeployment } from '../deployment-folder.ts';
import { textFlag, type FlagValues } from '../flag-values.ts';
import { hostOf } from '../render-host.ts';
import { upgradeTo } from '../upgrade-to.ts';

/**
 * `mcp-deploy upgrade`: what runs becomes what this mcp-deploy brings, or the package of --to, by the same plan and journal as every
 * apply. With --check exit 1 says that a newer one is here; --dry-run shows the plan alone.
 */
export async function runUpgrade(context: CommandContext, options: FlagValues): Promise<number> {
  const release = await requireRelease(context);
  const to = textFlag(options, 'to');
  if (options['check'] === true && options['registry'] === true) return checkRegistry(context, release);
  if (options['registry'] === true) {
    throw new UserError('--registry belongs to --check.', { next: 'mcp-deploy upgrade --check --registry' });
  }
  if (to !== undefined) return upgradeTo(context, to, options);
  if (textFlag(options, 'integrity') !== undefined) {
    throw new UserError('--integrity belongs to --to.', {
      next: 'mcp-deploy upgrade --to FILE.tgz --integrity sha512-…',
    });
  }
  if (options['check'] === true) return checkOwn(context, release);

  const { deployment } = await requireDeployment(context);
  const allowDowngrade = options['allowDowngrade'] === true;
  const planWith = (facts: HostFacts): Plan =>
    planDeployment({ deployment, deploymentText: null, allowDowngrade, ...hostOf(context, deployment) }, facts);
  const about: Upgrade = {
    from: versionOfRelease(release),
    to: context.package.version,
    settings: describeSettingsMoves(release.desired, JSON.parse(JSON.stringify(deployment))),
  };
  if (options['dryRun'] === true) {
    const facts = await lookAtHost(context, deployment);
    const plan = planWith(facts);
    context.output.document({ ok: true, dryRun: true, ...about, changes: plan.steps.length, plan });
    context.output.result(
      [...headOf(about), describePlan(plan, facts, applyCommand(options)), ...(await toolLines(context))].join('\n'),
    );
    return 0;
  }

  const { plan, result } = await changeHost(context, 'apply', async (look) => {
    const facts = await look(deployment);
    const made = planWith(facts);
    if (made.steps.length > 0) for (const line of headOf(about)) context.output.progress(line);
    return { plan: made, facts };
  });
  const url = endpointUrl(deployment);
  const changed = plan.steps.length > 0;
  context.output.document({
    ok: true,
    changed,
    ...about,
    url,
    release: plan.release,
    verified: result.outcome === 'applied' ? (result.verified ?? null) : null,
    steps: plan.steps.map(({ id, title, why }) => ({ id, title, why })),
    notices: plan.notices,
    durationMs: null,
  });
  context.output.result(
    changed
      ? [
          `  Upgraded   ${about.from} -> ${about.to}, release ${plan.release}`,
          `  Endpoint   ${url}`,
          '',
          '  Next   mcp-deploy doctor                     check everything',
          '         mcp-deploy rollback                   back to the former build',
          ...(await toolLines(context)),
        ].join('\n')
      : `  Nothing to upgrade: ${about.to} runs, as this mcp-deploy would make it.`,
  );
  return 0;
}

interface Upgrade {
  readonly from: string;
  readonly to: string;
  readonly settings: readonly SettingMove[];
}

function headOf({ from, to, settings }: Upgrade): readonly string[] {
  const words = { new: 'new', gone: 'not known any more', changed: 'another value' } as const;
  return [
    `  server ${from} -> ${to}${from === to ? ' (another build, or nothing)' : ''}`,
    ...settings.slice(0, 20).map(({ path, state }) => `  setting ${path}: ${words[state]}`),
    ...(settings.length > 20 ? [`  and ${settings.length - 20} settings more`] : []),
  ];
}

function applyCommand(options: FlagValues): string {
  return `mcp-deploy upgrade${options['allowDowngrade'] === true ? ' --allow-downgrade' : ''}`;
}

/** The command line that a person types is not the one that lies in the state folder. */
async function toolLines({ package: own, stateDir }: CommandContext): Promise<readonly string[]> {
  if (!own.root.startsWith(`${stateDir}/`)) return [];
  return [`         npm install -g mcp-deploy@${own.version}        the command line of the same version`];
}

async function requireRelease(context: CommandContext): Promise<ReleaseRecord> {
  if (context.stageDir !== null) {
    throw new UserError('upgrade is for what runs; --root stages a system that does not.', {
      next: 'mcp-deploy apply --root DIR',
    });
  }
  const release = await readNewestRelease(context.ports.files, context.stateDir);
  if (release !== null) return release;
  throw new UserError('There is nothing to upgrade here.', {
    why: `No deployment was applied in ${context.baseDir}.`,
    next: 'mcp-deploy up        or name another file with --file',
  });
}

function checkOwn(context: CommandContext, release: ReleaseRecord): number {
  return tellCheck(context, release, context.package.version, 'mcp-deploy upgrade');
}

async function checkRegistry(context: CommandContext, release: ReleaseRecord): Promise<number> {
  const newest = await readNewestVersion(context.ports.processes);
  return tellCheck(context, release, newest, `mcp-deploy upgrade --to ${newest}`);
}

function tellCheck(context: CommandContext, release: ReleaseRecord, available: string, next: string): number {
  const current = versionOfRelease(release);
  const order = compareVersions(available, current);
  if (order === null) {
    throw new EnvironmentError(`${JSON.stringify(current)} cannot be compared with ${available}.`, {
      why: `Release ${release.release} names a version that is none.`,
      next: 'mcp-deploy history',
    });
  }
  const isNewer = order > 0;
  context.output.document({ ok: true, current, available, newer: isNewer });
  context.output.result(
    isNewer
      ? [`  ${current} runs, ${available} is newer.`, '', `  Next   ${next}`].join('\n')
      : `  ${current} runs; ${available} is not newer.`,
  );
  return isNewer ? 1 : 0;
}
