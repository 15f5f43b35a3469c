import { relative } from 'node:path';
import { editDeployment } from '../deployment/edit-deployment.ts';
import { planDeployment } from '../plan/plan-deployment.ts';
import { liveCertificateOf } from '../plan/plan-renewal.ts';
import type { Step } from '../plan/types.ts';
import { changeHost } from './apply-desired.ts';
import type { CommandContext } from './context.ts';
import { parseOrThrow, requireDeployment } from './deployment-folder.ts';
import { findProxy } from './find-proxy.ts';

/**
 * Has the deployment serve a pair of files: writes `tls` of mcp-deploy.yaml, applies it, and compares what the live sockets
 * show. A failure takes all of it back, mcp-deploy.yaml too.
 * @throws ExplainedError when there is no deployment, or when it failed and was undone
 */
export async function serveOwnFiles(
  context: CommandContext,
  pair: { readonly certificate: string; readonly key: string },
): Promise<void> {
  const existing = await requireDeployment(context);
  const named = (path: string): string => {
    const way = relative(context.baseDir, path);
    return way.startsWith('..') ? path : way;
  };
  const value = { source: 'files', certificate: named(pair.certificate), key: named(pair.key) };
  const text = editDeployment(existing.text, [{ path: ['tls'], value }]);
  const deployment = parseOrThrow(text, context);
  const live = liveCertificateOf(deployment, context, await findProxy(context, deployment));
  await changeHost(context, 'apply', async (look) => {
    const facts = await look(deployment);
    const plan = planDeployment({ deployment, deploymentText: text }, facts);
    const prove: Step = {
      id: 'serve-certificate',
      title: 'have it served, and prove it',
      why: 'an imported file helps nobody until it is shown',
      group: 'verified',
      action: { type: 'serve-certificate', live },
      undo: { type: 'none' },
    };
    const release = plan.steps.length === 0 ? plan.release + 1 : plan.release;
    return { plan: { ...plan, release, steps: [...plan.steps, prove] }, facts };
  });
}
