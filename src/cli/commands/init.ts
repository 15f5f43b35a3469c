import { hostname } from 'node:os';
import { basename } from 'node:path';
import { hideSecretArguments } from '../../deployment/secrets-in-arguments.ts';
import { UserError } from '../../deployment/errors.ts';
import type { Deployment } from '../../deployment/schema.ts';
import { upstreamFromCommand } from '../../deployment/upstream-from-command.ts';
import { editDeployment } from '../../deployment/edit-deployment.ts';
import { formatDeployment } from '../../deployment/write-deployment.ts';
import { describePlan } from '../../plan/describe-plan.ts';
import { defaultCertificateNames } from '../../plan/certificate-names.ts';
import { planDeployment } from '../../plan/plan-deployment.ts';
import { changeHost, lookAtHost } from '../apply-desired.ts';
import type { CommandContext } from '../context.ts';
import { parseOrThrow, readDeployment } from '../deployment-folder.ts';
import { describeEndpoint } from '../output/endpoint-summary.ts';
import { slugFrom } from '../slug.ts';
import { quoteCommand } from '../quote-command.ts';
import { judgeNames, judgeServerName, splitNames, type Answers } from '../wizard/questions.ts';
import { findFreePort, readFlags } from '../decide-wanted.ts';

/**
 * `mcp-deploy init`: asks first, acts last. Shows the plan, offers to apply,
 * and ends with the command that gives the same without a question. Without a
 * terminal the flags and defaults are taken.
 */
export async function runInit(context: CommandContext, options: Record<string, unknown>): Promise<number> {
  const { output } = context;
  const existing = await readDeployment(context);
  const { defaults, given } = await readDefaults(context, options, existing?.deployment ?? null);
  // The prompts are loaded only where somebody can answer them.
  const answers = context.interactive
    ? await (await import('../wizard/ask.ts')).askQuestions(context, defaults, given)
    : defaults;
  const text = deploymentText(answers, existing);
  const deployment = parseOrThrow(text, context);

  const preview = await lookAtHost(context, deployment);
  const plan = planDeployment({ deployment, deploymentText: text === existing?.text ? null : text }, preview);
  output.progress(`\n${describePlan(plan, preview)}`);

  const apply = await decideApply(context, options);
  const startedAt = context.ports.clock.elapsed();
  if (apply) {
    const outcome = await changeHost(context, 'apply', async (look) => {
      const facts = await look(deployment);
      return {
        plan: planDeployment({ deployment, deploymentText: text === existing?.text ? null : text }, facts),
        facts,
      };
    });
    await describeEndpoint(context, { deployment, outcome, tookMs: context.ports.clock.elapsed() - startedAt });
  } else {
    await context.ports.files.writeAtomic(context.deploymentFile, text, 0o644);
    output.document({ ok: true, deploymentFile: context.deploymentFile, applied: false, plan });
    output.result(`  ${context.deploymentFile} is written; nothing else was changed.\n\n  Next   mcp-deploy apply`);
  }
  output.progress(`\n  The same without questions:\n    ${equivalentCommand(answers, apply)}`);
  return 0;
}

async function decideApply(context: CommandContext, options: Record<string, unknown>): Promise<boolean> {
  if (typeof options['apply'] === 'boolean') return options['apply'];
  if (!context.interactive) return false;
  const { confirm } = await import('@inquirer/prompts');
  return confirm({ message: 'Apply now?', default: true }, { signal: context.signal, output: context.world.stderr });
}

async function readDefaults(
  context: CommandContext,
  options: Record<string, unknown>,
  existing: Deployment | null,
): Promise<{ defaults: Answers; given: ReadonlySet<keyof Answers> }> {
  const flags = readFlags(context, options);
  const given = new Set<keyof Answers>();
  const chosen = <T>(key: keyof Answers, value: T | null | undefined, otherwise: T): T => {
    if (value === null || value === undefined) return otherwise;
    given.add(key);
    return value;
  };
  const names = typeof options['names'] === 'string' ? options['names'] : null;
  const serverName = typeof options['serverName'] === 'string' ? options['serverName'] : null;
  for (const [flag, judged] of [
    ['--names', names === null ? true : judgeNames(names)],
    ['--server-name', serverName === null ? true : judgeServerName(serverName)],
  ] as const) {
    if (judged !== true) throw new UserError(`${flag}: ${judged}`, { next: 'mcp-deploy init --help' });
  }

  const upstream = Object.values(existing?.server.upstreams ?? {})[0];
  const listenNow = existing?.server.listen;
  const remarks: string[] = [...flags.remarks];
  const listen = chosen(
    'listen',
    flags.listen,
    (typeof listenNow === 'string' ? listenNow : listenNow?.[0]) ?? `localhost:${await findFreePort(remarks)}`,
  );
  for (const remark of remarks) context.output.progress(`  · ${remark}`);
  const defaults: Answers = {
    command: chosen(
      'command',
      context.serverCommand,
      upstream === undefined || !('command' in upstream) ? null : [upstream.command, ...upstream.args],
    ),
    name: chosen('name', flags.name, existing?.name ?? slugFrom(basename(context.baseDir), 'mcp')),
    listen,
    names: chosen(
      'names',
      names === null ? null : splitNames(names),
      (existing?.tls.source === 'private-ca' ? existing.tls.names : undefined) ??
        defaultCertificateNames({ listen, hostName: hostname() }),
    ),
    serverName: chosen('serverName', serverName, existing?.proxy.serverName ?? null),
    // commander makes --no-keys the false of `keys`, which is true when nothing was said.
    keys: chosen('keys', options['keys'] === false ? false : null, existing?.auth.required ?? true),
  };
  return { defaults, given };
}

/** The file for the answers: a new commented one, or the existing one with only the answers changed. */
function deploymentText(answers: Answers, existing: { text: string; deployment: Deployment } | null): string {
  const upstream = answers.command === null ? null : upstreamFromCommand(answers.command);
  if (existing === null) {
    return formatDeployment({
      version: 1,
      name: answers.name,
      server: {
        listen: answers.listen,
        ...(upstream === null ? {} : { upstreams: { [upstream.name]: upstream.upstream } }),
      },
      tls: { source: 'private-ca', names: [...answers.names] },
      ...(answers.keys ? {} : { auth: { required: false } }),
      ...(answers.serverName === null ? {} : { proxy: { serverName: answers.serverName } }),
    });
  }
  const { deployment } = existing;
  const changes: { path: (string | number)[]; value: unknown }[] = [];
  const change = (path: (string | number)[], now: unknown, wanted: unknown): void => {
    if (JSON.stringify(now) !== JSON.stringify(wanted)) changes.push({ path, value: wanted });
  };
  change(['name'], deployment.name, answers.name);
  if (typeof deployment.server.listen === 'string')
    change(['server', 'listen'], deployment.server.listen, answers.listen);
  if (upstream !== null) {
    const known = Object.entries(deployment.server.upstreams).find(
      ([, each]) =>
        'command' in each && JSON.stringify([each.command, ...each.args]) === JSON.stringify(answers.command),
    );
    if (known === undefined) change(['server', 'upstreams', upstream.name], undefined, upstream.upstream);
  }
  if (deployment.tls.source === 'private-ca') {
    const now = deployment.tls.names ?? defaultCertificateNames({ listen: answers.listen, hostName: hostname() });
    change(['tls', 'names'], now, answers.names);
  }
  change(['auth', 'required'], deployment.auth.required, answers.keys);
  if (answers.serverName !== null) change(['proxy', 'serverName'], deployment.proxy.serverName, answers.serverName);
  return changes.length === 0 ? existing.text : editDeployment(existing.text, changes);
}

function equivalentCommand(answers: Answers, apply: boolean): string {
  const words = [
    'mcp-deploy init --yes',
    `--name ${answers.name}`,
    `--listen ${quoteCommand([answers.listen])}`,
    `--names ${quoteCommand([answers.names.join(',')])}`,
    ...(answers.serverName === null ? [] : [`--server-name ${quoteCommand([answers.serverName])}`]),
    ...(answers.keys ? [] : ['--no-keys']),
    apply ? '--apply' : '--no-apply',
    ...(answers.command === null ? [] : [`-- ${quoteCommand(hideSecretArguments(answers.command, '…'))}`]),
  ];
  return words.join(' ');
}
