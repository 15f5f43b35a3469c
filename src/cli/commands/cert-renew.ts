import { resolve } from 'node:path';
import { serveCertificate } from '../../apply/serve-certificate.ts';
import { directoryUrlOf } from '../../deployment/acme-schema.ts';
import { EnvironmentError, UserError } from '../../deployment/errors.ts';
import type { Deployment } from '../../deployment/schema.ts';
import { findProxy } from '../find-proxy.ts';
import { describePlan } from '../../plan/describe-plan.ts';
import { liveCertificateOf, planRenewal, type RenewalPlan } from '../../plan/plan-renewal.ts';
import { deploymentPaths } from '../../plan/deployment-paths.ts';
import { isInCluster } from '../cluster-options.ts';
import { isInContainers } from '../render-containers.ts';
import { readAppliedDeployment } from '../applied-deployment.ts';
import { changeHost, lookAtHost } from '../apply-desired.ts';
import type { CommandContext } from '../context.ts';
import { readDeployment, UnsetVariables, type LoadedDeployment } from '../deployment-folder.ts';

/** Exit code of `cert renew --exit-code` when a certificate was renewed: a service manager can tell it from "not due". */
const renewedExitCode = 10;

/**
 * `mcp-deploy cert renew`: renews the certificate when it is due, has it served and proves it on the live socket. When
 * that fails the former pair is put back, served and proven again (exit 4). One that is the user's own is only looked at.
 */
export async function runCertRenew(context: CommandContext, options: Record<string, unknown>): Promise<number> {
  const deployment = await deploymentToRenew(context);
  if (deployment === null) {
    throw new UserError(`There is nothing to renew: no deployment was applied in ${context.baseDir}.`, {
      next: 'mcp-deploy up        or name its file: --file /path/to/mcp-deploy.yaml',
    });
  }
  if (deployment.tls.source === 'off') {
    throw new UserError('This deployment has no certificate: tls.source is off.', { next: 'mcp-deploy status' });
  }
  if (isInCluster(deployment)) {
    throw new UserError('The certificate is one of the cluster: TLS ends at its Ingress or Gateway.', {
      next: 'kubectl get ingress,certificate        (cert-manager renews there)',
      exitCode: 3,
    });
  }
  if (isInContainers(deployment)) {
    throw new UserError('Containers have copies of the certificate, which only apply can replace.', {
      why: 'It renews a certificate that is due, and starts containers that have the new one.',
      next: 'mcp-deploy apply',
      exitCode: 3,
    });
  }
  if (options['installTimer'] !== undefined) {
    const { installTimer } = await import('./install-timer.ts');
    return installTimer(context, deployment, {
      job: 'renew',
      kind: options['installTimer'],
      dryRun: options['dryRun'] === true,
    });
  }
  const renewal = {
    force: options['force'] === true,
    window: await readWindow(context, deployment),
    proxy: await findProxy(context, deployment),
  };
  if (options['dryRun'] === true) {
    const facts = await lookAtHost(context, deployment);
    const planned = planRenewal(deployment, facts, renewal);
    describe(context, deployment, planned, { dryRun: true, renewed: false, proven: null });
    if (planned.plan.steps.length > 0)
      context.output.result(describePlan(planned.plan, facts, 'mcp-deploy cert renew'));
    return 0;
  }
  if (deployment.tls.source === 'files') return lookAfterOwn(context, deployment, renewal);

  let planned: RenewalPlan | null = null;
  await changeHost(context, 'apply', async (look) => {
    const facts = await look(deployment);
    planned = planRenewal(deployment, facts, renewal);
    return { plan: planned.plan, facts };
  });
  const done = planned as RenewalPlan | null;
  if (done === null) throw new Error('the renewal was not planned');
  const renewed = done.plan.steps.length > 0;
  describe(context, deployment, done, { dryRun: false, renewed, proven: renewed });
  return renewed && options['exitCode'] === true ? renewedExitCode : 0;
}

/**
 * What runs is what was applied. How its certificate is renewed and where it is proven is taken from mcp-deploy.yaml as it
 * is now: such settings change nothing that runs, so that an apply has nothing to do for them.
 */
async function deploymentToRenew(context: CommandContext): Promise<Deployment | null> {
  const applied = await readAppliedDeployment(context);
  const written = await readWritten(context);
  if (applied === null || written === null || written.deployment.tls.source !== applied.tls.source) return applied;
  const { tls, proxy } = written.deployment;
  return { ...applied, tls, proxy };
}

/** A timer has no variables of a shell: what was applied counts then. */
async function readWritten(context: CommandContext): Promise<LoadedDeployment | null> {
  try {
    return await readDeployment(context);
  } catch (error) {
    if (!(error instanceof UnsetVariables)) throw error;
    context.output.warning(`${error.message} The certificate is renewed as it was applied.`);
    return null;
  }
}

/** Somebody else renews it; what can be done here is to have it taken up, and to see that it is. */
async function lookAfterOwn(
  context: CommandContext,
  deployment: Deployment,
  renewal: Parameters<typeof planRenewal>[2],
): Promise<number> {
  const { ports, signal } = context;
  const facts = await lookAtHost(context, deployment);
  const planned = planRenewal(deployment, facts, { ...renewal, force: false });
  for (const notice of planned.plan.notices) context.output.warning(notice.text);
  await serveCertificate(liveCertificateOf(deployment, context, renewal.proxy ?? null), { ports, signal });
  describe(context, deployment, planned, { dryRun: false, renewed: false, proven: facts.server.state === 'running' });
  return 0;
}

async function readWindow(
  { ports, stateDir, baseDir, signal }: CommandContext,
  { tls }: Deployment,
): Promise<{ readonly start: string; readonly end: string } | null> {
  if (tls.source !== 'acme') return null;
  const certificate = await ports.files.read(deploymentPaths(stateDir).serverCertificate);
  if (certificate === null) return null;
  const ca = tls.caFile === undefined ? null : await ports.files.read(resolve(baseDir, tls.caFile));
  if (tls.caFile !== undefined && ca === null) {
    throw new EnvironmentError(`The file of tls.caFile is not there: ${tls.caFile}`, {
      next: 'Put it back, or correct the setting.',
    });
  }
  const authority = { directoryUrl: directoryUrlOf(tls.directory), caPem: ca?.toString('utf8') ?? null };
  try {
    return await ports.issuer.renewalWindow(certificate.toString('utf8'), authority, signal);
  } catch {
    signal.throwIfAborted();
    // A damaged certificate names no window; the plan sees that it is damaged.
    return null;
  }
}

function describe(
  { output }: CommandContext,
  { tls }: Deployment,
  { judgement }: RenewalPlan,
  state: { readonly dryRun: boolean; readonly renewed: boolean; readonly proven: boolean | null },
): void {
  const dueAt = judgement?.dueAt ?? null;
  output.document({ ok: true, source: tls.source, ...state, due: judgement?.due ?? true, dueAt });
  if (output.quiet || state.dryRun) {
    if (state.dryRun && judgement?.due === false)
      output.result(`  Not due: it will be on ${judgement.dueAt.slice(0, 10)}.`);
    return;
  }
  if (state.renewed) output.result('  Renewed, served and proven.   mcp-deploy cert show');
  else if (tls.source === 'files') {
    output.result(
      `  Your own certificate${state.proven === true ? ' is what the live socket shows' : ''}; ${judgement?.reason ?? 'its dates are unknown'}.`,
    );
  } else
    output.result(
      `  Nothing to do: ${judgement?.reason ?? 'the certificate is fine'}. Now all the same: mcp-deploy cert renew --force`,
    );
}
