import { join } from 'node:path';
import { readReleases } from '../../apply/commit.ts';
import { UserError } from '../../deployment/errors.ts';
import { deploymentSchema } from '../../deployment/schema.ts';
import { deploymentPaths } from '../../plan/deployment-paths.ts';
import type { ReleaseRecord } from '../../plan/facts.ts';
import { chooseRollback } from '../../plan/choose-rollback.ts';
import type { Desired } from '../../plan/desired.ts';
import { planDeployment } from '../../plan/plan-deployment.ts';
import { placedOfRelease } from '../../plan/plan-sent-files.ts';
import { changeHost } from '../apply-desired.ts';
import type { CommandContext } from '../context.ts';
import { hostOf } from '../render-host.ts';
import { describeEndpoint } from '../output/endpoint-summary.ts';

/** `mcp-deploy rollback [RELEASE]`: what an earlier release wanted, through the same pipeline as every apply. */
export async function runRollback(context: CommandContext, [text]: readonly string[]): Promise<number> {
  const startedAt = context.ports.clock.elapsed();
  const wanted = text === undefined ? null : readNumber(text);
  const { releases } = await readReleases(context.ports.files, context.stateDir);
  const record = chooseRollback(releases, wanted);
  const desired = deploymentSchema.safeParse(record.desired);
  if (!desired.success) {
    throw new UserError(`Release ${record.release} is not as this version of mcp-deploy writes it.`, {
      next: 'mcp-deploy history',
    });
  }
  const deployment = desired.data;
  const build = await buildOf(context, record);
  const outcome = await changeHost(context, 'apply', async (look) => {
    const placed = placedOfRelease(record, context.stateDir) ?? undefined;
    const facts = await look(deployment, placed);
    return {
      plan: planDeployment(
        {
          deployment,
          deploymentText: null,
          rollbackOf: record.release,
          ...(placed === undefined ? {} : { placed }),
          ...hostOf(context, deployment),
          ...build,
          ...(record.image === undefined ? {} : { image: record.image }),
        },
        facts,
      ),
      facts,
    };
  });
  if (outcome.plan.steps.length > 0) {
    context.output.progress(
      `  ${context.output.err.yellow('·')} release ${record.release} is back as release ${outcome.plan.release}; mcp-deploy.yaml stays, so the next apply goes forward again`,
    );
  }
  await describeEndpoint(context, { deployment, outcome, tookMs: context.ports.clock.elapsed() - startedAt });
  return 0;
}

function readNumber(text: string): number {
  if (/^[1-9][0-9]{0,8}$/.test(text)) return Number(text);
  throw new UserError(`${text} is not the number of a release.`, { next: 'mcp-deploy history' });
}

/**
 * The server that a release started, from the folder in which it is kept. One of another version gets the configuration that was
 * written for it: it need not know the settings of this one.
 */
async function buildOf(
  { package: own, ports, stateDir }: CommandContext,
  { build }: ReleaseRecord,
): Promise<Pick<Desired, 'build' | 'config'>> {
  if (build === undefined) return {};
  const folder = join(deploymentPaths(stateDir).releasesDir, String(build.folder));
  const wanted = { file: join(folder, 'serve.js'), sha256: build.sha256, version: build.version };
  const config = build.version === own.version ? null : await ports.files.read(join(folder, 'server.json'));
  return { build: wanted, ...(config === null ? {} : { config: config.toString('utf8') }) };
}
