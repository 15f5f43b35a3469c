import { resolve } from 'node:path';
import { UserError } from '../../deployment/errors.ts';
import type { Deployment } from '../../deployment/schema.ts';
import { lookBeforeLoad, type WantedTool } from '../../host/load/look-before-load.ts';
import type { LoadTarget } from '../../host/load/post-message.ts';
import type { Era, Work } from '../../host/load/rpc-texts.ts';
import { runLoad, type LoadPlan, type LoadResult } from '../../host/load/run-load.ts';
import { deploymentPaths } from '../../plan/deployment-paths.ts';
import { endpointUrl } from '../../plan/endpoint-url.ts';
import { readAppliedDeployment } from '../applied-deployment.ts';
import type { CommandContext } from '../context.ts';
import { findKnee, isSaturated, planSteps, type Knee } from '../find-knee.ts';
import { numberFlag, textFlag, type FlagValues } from '../flag-values.ts';
import { describeCautions, describeLoad, describeSteps } from '../output/bench-text.ts';

/** An endpoint that may be called a great deal, and what its limits let through. */
interface Target extends LoadTarget {
  readonly limits: Deployment['limits'] | null;
  readonly keyed: boolean;
}

type Shape = Omit<LoadPlan, 'era' | 'work'>;

/** `mcp-deploy bench [URL]`: a load of calls with latencies. Exit 1 when calls went wrong, 130 with what there is when interrupted. */
export async function runBench(context: CommandContext, url: string | undefined, options: FlagValues): Promise<number> {
  const { output, signal } = context;
  const stepwise = options['untilSaturated'] === true;
  const shape = shapeOf(options, stepwise);
  const era = eraOf(options);
  const tool = toolOf(options);
  const target = await targetOf(context, url, options);
  const look = await lookBeforeLoad(target, era, tool, signal);
  if (look.readsOnly === false) {
    output.warning('This tool does not say that it only reads: every call of the load does what it does.');
  }
  const runs: { readonly steps: readonly LoadResult[]; readonly knee: Knee | null }[] = [];
  for (const each of look.eras) {
    if (signal.aborted) break;
    const plan = { ...shape, era: each, work: look.work };
    output.progress(`  … ${each} era, ${describePlan(plan, stepwise)}; Ctrl-C ends it and shows what there is`);
    const steps = stepwise ? await climb(target, plan, signal) : [await runLoad(target, plan, signal)];
    runs.push({ steps, knee: stepwise ? findKnee(steps) : null });
  }
  const all = runs.flatMap(({ steps }) => steps);
  // Where nothing was answered yet there is nothing to show.
  if (all.every(({ calls, errors }) => calls === 0 && Object.keys(errors).length === 0)) signal.throwIfAborted();
  const cautions = describeCautions(all, { isHere: isHere(target.url), limitAdvice: limitAdvice(target) });
  const failed = all.some(({ errors, calls }) => calls === 0 || Object.keys(errors).length > 0);
  output.document({
    ok: !failed && !signal.aborted,
    url: target.url.href,
    work: look.work,
    runs: runs.map(({ steps, knee }) => (stepwise ? { era: steps[0]?.era, steps, knee } : steps[0])),
    cautions,
    interrupted: signal.aborted,
  });
  const lines = [`  Endpoint    ${target.url.href}`];
  for (const { steps, knee } of runs) {
    const [first] = steps;
    if (first === undefined) continue;
    lines.push(
      ...(stepwise ? headOf(first, look.work) : []),
      ...describeRun(context, steps, knee, look.work, stepwise),
      '',
    );
  }
  if (signal.aborted)
    lines.push(`  ${output.out.yellow('!')} Interrupted: the figures are of what was done until then.`);
  for (const line of cautions) lines.push(`  ${output.out.yellow('!')} ${line}`);
  if (all.some(({ ended }) => ended === 'failures')) {
    lines.push(`  ${output.out.red('✗')} Ended early: nothing was answered right any more.`);
  }
  lines.push('', `  Next   ${nextCommand(failed, stepwise)}`);
  output.result(lines.join('\n'));
  return signal.aborted ? 130 : failed ? 1 : 0;
}

function describeRun(
  { output }: CommandContext,
  steps: readonly LoadResult[],
  knee: Knee | null,
  work: Work,
  stepwise: boolean,
): readonly string[] {
  if (stepwise) return describeSteps(steps, knee, output.out);
  return steps.flatMap((step) => describeLoad(step, work, output.out, output.columns));
}

function headOf({ era }: LoadResult, work: Work): readonly string[] {
  return [`  Load        ${work.kind === 'list' ? 'tools/list' : `tools/call ${work.tool}`}, ${era} era`, ''];
}

/** Twice the connections each time, until they bring nothing or things go wrong. */
async function climb(target: LoadTarget, plan: LoadPlan, signal: AbortSignal): Promise<readonly LoadResult[]> {
  const steps: LoadResult[] = [];
  for (const connections of planSteps(plan.connections)) {
    if (signal.aborted) break;
    steps.push(await runLoad(target, { ...plan, connections }, signal));
    if (isSaturated(steps) || steps.at(-1)?.ended === 'failures') break;
  }
  return steps;
}

function shapeOf(options: FlagValues, stepwise: boolean): Shape {
  const calls = boundedFlag(options, 'calls', '--calls', 10_000_000, 1, 10_000_000);
  const hasCalls = options['calls'] !== undefined;
  const seconds = boundedFlag(options, 'duration', '--duration', stepwise ? 3 : hasCalls ? 600 : 10, 1, 600);
  const rate = options['rate'] === undefined ? null : boundedFlag(options, 'rate', '--rate', 10, 1, 100_000);
  if (stepwise && rate !== null) {
    throw new UserError('--until-saturated and --rate do not go together.', {
      why: 'A fixed rate never finds the end.',
      next: 'mcp-deploy bench --until-saturated',
    });
  }
  return {
    connections: boundedFlag(options, 'connections', '--connections', stepwise ? 64 : 8, 1, 1_000),
    durationMs: seconds * 1_000,
    maxCalls: calls,
    ratePerSecond: rate,
    warmUpMs: boundedFlag(options, 'warmUp', '--warm-up', 1, 0, 60) * 1_000,
  };
}

function boundedFlag(
  options: FlagValues,
  name: string,
  flag: string,
  otherwise: number,
  least: number,
  most: number,
): number {
  const value = numberFlag(options, name, flag, otherwise);
  if (value >= least && value <= most) return value;
  throw new UserError(`${flag} ${value} is not between ${least} and ${most}.`, { next: `${flag} ${otherwise}` });
}

function eraOf(options: FlagValues): Era | 'both' | 'auto' {
  const text = textFlag(options, 'era') ?? 'auto';
  if (text === 'auto' || text === 'modern' || text === 'legacy' || text === 'both') return text;
  throw new UserError(`--era ${text} is not an era of the protocol.`, { next: '--era modern, legacy or both' });
}

function toolOf(options: FlagValues): WantedTool | null {
  const name = textFlag(options, 'tool');
  const text = textFlag(options, 'arguments');
  if (name === undefined) {
    if (text === undefined) return null;
    throw new UserError('--arguments are for a tool, and none is named.', {
      next: `mcp-deploy bench --tool NAME --arguments '${text.slice(0, 200)}'`,
    });
  }
  if (text === undefined) return { name, args: null };
  let args: unknown;
  try {
    args = JSON.parse(text);
  } catch (error) {
    throw badArguments(error instanceof Error ? error.message : 'It is no JSON.');
  }
  if (typeof args !== 'object' || args === null || Array.isArray(args)) throw badArguments('It is no object.');
  return { name, args: args as Record<string, unknown> };
}

function badArguments(why: string): UserError {
  return new UserError('--arguments is not an object in JSON.', { why, next: `--arguments '{"message":"hello"}'` });
}

/** This folder's deployment, or a URL whose owner says so. */
async function targetOf(context: CommandContext, text: string | undefined, options: FlagValues): Promise<Target> {
  const given = text === undefined ? null : parseUrl(text);
  // A URL is enough where there is no deployment, or none that can be read.
  const deployment = await readAppliedDeployment(context).catch((error: unknown) => {
    if (given === null) throw error;
    return null;
  });
  const own = deployment !== null && (given === null || isOwn(given, deployment)) ? deployment : null;
  const url = given ?? (own === null ? null : new URL(endpointUrl(own)));
  if (url === null) {
    throw new UserError('There is no deployment in this folder to measure.', {
      next: 'mcp-deploy up        or name a server of yours: mcp-deploy bench https://HOST/mcp --i-run-this-server --key-file FILE',
    });
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new UserError(`This deployment listens at ${url.href} alone, which this command cannot call.`, {
      next: 'mcp-deploy bench https://HOST/mcp --i-run-this-server        through the proxy in front',
    });
  }
  if (own === null && options['iRunThisServer'] !== true) {
    throw new UserError(`${url.href} is not the deployment of this folder.`, {
      why: 'A load of calls can slow a server down for others, and cost its owner money.',
      next: `If you run it, or its owner agreed: mcp-deploy bench ${url.href} --i-run-this-server`,
    });
  }
  const paths = deploymentPaths(context.stateDir);
  const keyFile = textFlag(options, 'keyFile');
  const caFile = textFlag(options, 'ca');
  const [key, caPem] = await Promise.all([
    keyFile !== undefined
      ? readNamed(context, keyFile, '--key-file')
      : own?.auth.required === true
        ? readOwn(context, paths.firstKey)
        : null,
    caFile !== undefined
      ? readNamed(context, caFile, '--ca')
      : own?.tls.source === 'private-ca'
        ? readOwn(context, paths.caCertificate)
        : own?.tls.source === 'files'
          ? readOwn(context, resolve(context.baseDir, own.tls.certificate))
          : null,
  ]);
  const timeoutMs = boundedFlag(options, 'timeout', '--timeout', 10, 1, 600) * 1_000;
  const trimmed = key?.trim() ?? null;
  if (trimmed !== null && !/^[\x21-\x7e]+$/.test(trimmed)) {
    throw new UserError(`The key file ${keyFile ?? paths.firstKey} does not hold one key.`, {
      why: 'A key is one word of printable characters.',
      next: 'mcp-deploy keys list',
    });
  }
  return { url, key: trimmed, caPem, timeoutMs, limits: own?.limits ?? null, keyed: keyFile !== undefined };
}

function isOwn(url: URL, deployment: Deployment): boolean {
  const { publicUrl } = deployment.server;
  const plain = (each: URL): string => each.href.replace(/\/\/(?:127\.0\.0\.1|\[::1\])([:/])/, '//localhost$1');
  const known = [endpointUrl(deployment), ...(publicUrl === undefined ? [] : [publicUrl])];
  return known.some((each) => URL.canParse(each) && plain(new URL(each)) === plain(url));
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw new UserError(`${text} is not an http or https URL.`, { next: 'mcp-deploy bench https://HOST/mcp' });
  }
  if (url.username === '' && url.password === '') return url;
  throw new UserError('A key or password in the URL is refused.', {
    why: 'It would end up in logs and in the process list.',
    next: 'mcp-deploy bench URL --key-file FILE',
  });
}

async function readNamed(context: CommandContext, file: string, flag: string): Promise<string> {
  const bytes = await context.ports.files.read(resolve(context.world.cwd, file));
  if (bytes !== null && bytes.length <= 1_048_576) return bytes.toString('utf8');
  throw new UserError(`${flag} ${file} ${bytes === null ? 'is not there' : 'is larger than 1 MiB'}.`, {
    next: `Check the path: ls -l ${file}`,
  });
}

async function readOwn(context: CommandContext, path: string): Promise<string | null> {
  return (await context.ports.files.read(path))?.toString('utf8') ?? null;
}

/** How to measure the server and not its limiter. */
function limitAdvice({ limits, keyed }: Target): readonly string[] {
  if (limits === null) return ['To measure the server itself, use a key of a tier without a limit: --key-file FILE'];
  const tier = Object.entries(limits.tiers).find(([, each]) => each.perKey === 'off')?.[0];
  const key = `mcp-deploy keys create bench --tier ${tier ?? 'bench'} --key-file ./bench.key`;
  const bench = 'mcp-deploy bench --key-file ./bench.key';
  if (limits.perKey === 'off' || keyed)
    return ['Limits of mcp-deploy.yaml that may be meant: limits.*, limits.tiers, limits.perTool.'];
  return [
    tier === undefined
      ? `To measure the server itself: limits: { tiers: { bench: { perKey: off } } } in mcp-deploy.yaml, mcp-deploy up, ${key}, ${bench}`
      : `To measure the server itself: ${key}, then ${bench}`,
    'Or stay below the limit: --rate N',
  ];
}

function describePlan(plan: LoadPlan, stepwise: boolean): string {
  const seconds = `${plan.durationMs / 1_000} s${stepwise ? ' for each step' : ''}`;
  const rate = plan.ratePerSecond === null ? '' : `, ${plan.ratePerSecond} calls/s`;
  return `${stepwise ? 'up to ' : ''}${plan.connections} connections${rate}, at most ${seconds}`;
}

function isHere({ hostname }: URL): boolean {
  return /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname);
}

function nextCommand(failed: boolean, stepwise: boolean): string {
  if (failed) return 'mcp-deploy doctor        finds out what is wrong';
  return stepwise
    ? 'mcp-deploy status --watch        beside a load, to see the server at work'
    : 'mcp-deploy bench --until-saturated        finds where one node ends';
}
