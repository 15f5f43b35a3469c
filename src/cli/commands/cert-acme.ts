import { relative, resolve } from 'node:path';
import { readOrderSpec } from '../../apply/act-acme.ts';
import { rehearsalDirectoryOf, type AcmeTls } from '../../deployment/acme-schema.ts';
import { editDeployment } from '../../deployment/edit-deployment.ts';
import { UserError } from '../../deployment/errors.ts';
import type { Deployment } from '../../deployment/schema.ts';
import { acmeOrderOf } from '../../plan/plan-acme.ts';
import { planDeployment } from '../../plan/plan-deployment.ts';
import { changeHost } from '../apply-desired.ts';
import type { CommandContext } from '../context.ts';
import { parseOrThrow, requireDeployment } from '../deployment-folder.ts';
import { adoptCertbot } from './adopt-certbot.ts';

/**
 * `mcp-deploy cert acme [NAME…]`: writes what was asked into `tls` of mcp-deploy.yaml and applies it, so that renewal
 * and every later apply know it. `--dry-run` rehearses the order with an account that is thrown away and writes nothing.
 */
export async function runCertAcme(
  context: CommandContext,
  names: readonly string[],
  options: Record<string, unknown>,
): Promise<number> {
  if (typeof options['adopt'] === 'string') return adoptCertbot(context, options['adopt'], options);
  const { output } = context;
  const existing = await requireDeployment(context);
  const wanted = wantedTls(existing.deployment, context, names, options);
  if (wanted['agreeTos'] !== true) {
    throw new UserError('An authority signs for those who accept its terms, and that is not said here.', {
      why: 'Those of Let’s Encrypt: https://letsencrypt.org/repository/',
      next: `mcp-deploy cert acme ${names.length === 0 ? '' : `${names.join(' ')} `}--agree-tos`,
    });
  }
  const text = editDeployment(existing.text, [{ path: ['tls'], value: wanted }]);
  const deployment = parseOrThrow(text, context);
  if (deployment.tls.source !== 'acme') throw new Error('the edited deployment lost its tls.source');
  if (options['dryRun'] === true) return rehearse(context, deployment.tls);

  const outcome = await changeHost(context, 'apply', async (look) => {
    const facts = await look(deployment);
    return { plan: planDeployment({ deployment, deploymentText: text }, facts), facts };
  });
  const changed = outcome.plan.steps.length > 0;
  output.document({ ok: true, changed, names: deployment.tls.names, directory: deployment.tls.directory });
  output.result(
    changed
      ? `  Certificate for ${deployment.tls.names.join(', ')} is served.\n\n  Next   mcp-deploy cert renew --install-timer    keep it fresh\n         mcp-deploy cert show                     look at it`
      : `  Nothing to do: there is a certificate for ${deployment.tls.names.join(', ')}. Another one now: mcp-deploy cert renew --force`,
  );
  return 0;
}

async function rehearse(context: CommandContext, tls: AcmeTls): Promise<number> {
  const { output, ports, signal } = context;
  const directory = rehearsalDirectoryOf(tls.directory);
  const { host } = new URL(directory);
  const order = acmeOrderOf({ ...tls, directory }, context.baseDir);
  const accountKeyPem = await ports.issuer.acmeAccountKey();
  const spec = await readOrderSpec(order, ports.files, { accountKeyPem, keyPem: null, replacesPem: null });
  let last = '';
  const { leftBehind } = await ports.issuer.acme(spec, {
    signal,
    onDoing(text) {
      if (text !== last) output.progress(`  ${output.err.dim('·')} ${text}`);
      last = text;
    },
  });
  for (const each of leftBehind) output.warning(`could not be taken away: ${each}`);
  output.document({ ok: true, dryRun: true, directory, names: order.names, leftBehind });
  output.result(
    `  It works: ${host} issued a certificate for ${order.names.join(', ')}. It was thrown away; nothing was written.`,
  );
  return 0;
}

/** What stands in the file, with what the flags say over it. Texts only: the schema judges them. */
function wantedTls(
  { tls }: Deployment,
  context: CommandContext,
  names: readonly string[],
  options: Record<string, unknown>,
): Record<string, unknown> {
  const present: Record<string, unknown> = tls.source === 'acme' ? { ...tls } : { source: 'acme' };
  const path = (given: string): string => {
    const way = relative(context.baseDir, resolve(context.world.cwd, given));
    return way.startsWith('..') ? resolve(context.world.cwd, given) : way;
  };
  const given: Record<string, unknown> = {
    ...(names.length > 0 ? { names: [...names] } : {}),
    ...(options['agreeTos'] === true ? { agreeTos: true } : {}),
    ...(options['reuseKey'] === true ? { reuseKey: true } : {}),
    ...textFlags(options, ['directory', 'email', 'challenge', 'listen', 'profile']),
    ...(typeof options['ca'] === 'string' ? { caFile: path(options['ca']) } : {}),
    ...(typeof options['webroot'] === 'string' ? { webroot: path(options['webroot']), challenge: 'http-01' } : {}),
    ...(Array.isArray(options['dnsHook']) ? { dnsHook: options['dnsHook'], challenge: 'dns-01' } : {}),
    ...(Array.isArray(options['dnsServer']) ? { dnsServers: options['dnsServer'] } : {}),
    ...bindingOf(options, path),
  };
  const merged = { ...present, ...given };
  // What was only a default before must not become a line of the user's file.
  const wanted = Object.fromEntries(
    Object.entries(merged).filter(([key, value]) => key in given || !isDefault(key, value)),
  );
  if (wanted['names'] === undefined) {
    throw new UserError('For which names should the certificate be?', {
      why: 'Name the public DNS names that clients use.',
      next: 'mcp-deploy cert acme mcp.example.com --email you@example.com --agree-tos',
    });
  }
  return wanted;
}

function isDefault(key: string, value: unknown): boolean {
  const defaults: Readonly<Record<string, unknown>> = {
    directory: 'letsencrypt',
    challenge: 'http-01',
    propagationSeconds: 120,
    timeoutSeconds: 180,
    agreeTos: false,
    reuseKey: false,
  };
  return (
    value === undefined ||
    defaults[key] === value ||
    (key === 'dnsServers' && Array.isArray(value) && value.length === 0)
  );
}

function textFlags(options: Record<string, unknown>, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => (typeof options[name] === 'string' ? [[name, options[name]] as const] : [])),
  );
}

function bindingOf(options: Record<string, unknown>, path: (given: string) => string): Record<string, unknown> {
  const [keyId, keyFile] = [options['eabKeyId'], options['eabKeyFile']];
  if (keyId === undefined && keyFile === undefined) return {};
  if (typeof keyId !== 'string' || typeof keyFile !== 'string') {
    throw new UserError('--eab-key-id and --eab-key-file belong together.', {
      why: 'The authority gave you both: an identifier, and a secret that is kept in a file.',
      next: '--eab-key-id ID --eab-key-file FILE',
    });
  }
  return { eab: { keyId, keyFile: path(keyFile) } };
}
