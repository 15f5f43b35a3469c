import { dirname, join, resolve } from 'node:path';
import { editDeployment } from '../../deployment/edit-deployment.ts';
import { EnvironmentError, UserError } from '../../deployment/errors.ts';
import { planDeployment } from '../../plan/plan-deployment.ts';
import type { Plan, Step } from '../../plan/types.ts';
import { quoteShell } from '../../render/quote/shell.ts';
import { changeHost } from '../apply-desired.ts';
import type { CommandContext } from '../context.ts';
import { parseOrThrow, requireDeployment } from '../deployment-folder.ts';

/**
 * `mcp-deploy cert acme --adopt /etc/letsencrypt/live/NAME`: the server shows what certbot keeps there. certbot goes
 * on renewing; its links are followed, and the deploy hook has the renewed certificate proven on the live socket.
 */
export async function adoptCertbot(
  context: CommandContext,
  given: string,
  options: Record<string, unknown>,
): Promise<number> {
  const { output, ports, world } = context;
  const folder = resolve(world.cwd, given);
  const [certificate, key] = [join(folder, 'fullchain.pem'), join(folder, 'privkey.pem')];
  for (const file of [certificate, key]) {
    if ((await ports.files.read(file)) !== null) continue;
    throw new UserError(`${file} is not there.`, {
      why: 'A live folder of certbot holds fullchain.pem and privkey.pem.',
      next: 'mcp-deploy cert acme --adopt /etc/letsencrypt/live/NAME',
    });
  }
  const existing = await requireDeployment(context);
  const text = editDeployment(existing.text, [{ path: ['tls'], value: { source: 'files', certificate, key } }]);
  const deployment = parseOrThrow(text, context);
  const hookFile = join(dirname(dirname(folder)), 'renewal-hooks', 'deploy', `mcp-deploy-${deployment.name}.sh`);
  const hook = hookText(context);
  const install = options['installHook'] === true;
  if (install && (await ports.files.stat(dirname(hookFile)))?.kind !== 'directory') {
    throw new EnvironmentError(`${dirname(hookFile)} is not there.`, {
      why: 'certbot runs the deploy hooks that lie in it.',
      next: `Make it: sudo mkdir -p ${dirname(hookFile)}   or leave --install-hook out and put the hook where yours are`,
    });
  }
  const present = (await ports.files.read(hookFile))?.toString('utf8') ?? null;
  const outcome = await changeHost(context, 'apply', async (look) => {
    const facts = await look(deployment);
    const plan = planDeployment({ deployment, deploymentText: text }, facts);
    return { plan: install && present !== hook ? withStep(plan, hookStep(hookFile, hook)) : plan, facts };
  });
  output.document({
    ok: true,
    changed: outcome.plan.steps.length > 0,
    certificate,
    key,
    hook: { file: hookFile, installed: install || present === hook, content: hook },
  });
  output.result(
    install || present === hook
      ? `  Served from ${folder}; certbot renews it, and ${hookFile} has each renewal proven.`
      : `  Served from ${folder}; certbot renews it. To have each renewal proven, add --install-hook, or write ${hookFile}:\n\n${hook}`,
  );
  return 0;
}

function hookText(context: CommandContext): string {
  const bin = join(context.package.root, 'bin', 'mcp-deploy.js');
  const argv = [process.execPath, bin, 'cert', 'renew', '--quiet', '--file', context.deploymentFile];
  return `#!/bin/sh\n# Run by certbot after a renewal: proves that the server shows the new certificate.\nexec ${argv.map((word) => quoteShell(word, 'a path')).join(' ')}\n`;
}

function hookStep(path: string, content: string): Step {
  return {
    id: 'certbot-hook',
    title: 'write the deploy hook of certbot',
    why: 'each renewal is to be proven',
    group: 'configuration',
    action: { type: 'write-file', path, mode: 0o755, content },
    undo: { type: 'restore' },
  };
}

function withStep(plan: Plan, step: Step): Plan {
  const release = plan.steps.length === 0 ? plan.release + 1 : plan.release;
  return { ...plan, release, steps: [step, ...plan.steps] };
}
