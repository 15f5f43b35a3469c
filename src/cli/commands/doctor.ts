import { UserError } from '../../deployment/errors.ts';
import { exitCodeOf } from '../../doctor/exit-code-of.ts';
import { runDoctor } from '../../doctor/run-doctor.ts';
import type { DoctorReport } from '../../doctor/types.ts';
import type { CommandContext } from '../context.ts';
import { readBaselineChoice } from '../doctor-baseline.ts';
import { readDoctorTarget } from '../doctor-target.ts';
import { listFlag, numberFlag, textFlag } from '../flag-values.ts';
import { readReportChoice, showReport } from '../show-report.ts';
import { readBundleChoice, writeSupportBundle } from '../support-bundle.ts';
import { waitUntilHealthy } from '../wait-until-healthy.ts';
import { watchDoctor } from '../watch-doctor.ts';

/** `mcp-deploy doctor [URL]`: this folder's deployment, or any MCP server. Exit 1 when an error was found. */
export async function runDoctorCommand(
  context: CommandContext,
  url: string | undefined,
  options: Record<string, unknown>,
): Promise<number> {
  const choice = await readReportChoice(context, options);
  const rhythm = readRhythm(options);
  if (options['fix'] === true && url !== undefined) throw fixesOwnOnly();
  const bundle = await readBundleChoice(context, options);
  const baseline = await readBaselineChoice(context, options);
  const look: Look = async (repeated) => baseline.apply(await lookOnce(context, url, options, repeated));
  if (rhythm.kind === 'watch') return watchDoctor(context, look, { ...rhythm, shown: choice.shown });
  const seen = rhythm.kind === 'once' ? await look(false) : await waitUntilHealthy(context, look, rhythm.waitMs);
  const mended = options['fix'] === true ? await fixSeen(context, url, options, seen, look) : seen;
  const report = await baseline.finish(mended);
  await showReport(context, report, choice);
  if (bundle !== null) await writeSupportBundle(context, bundle, report, await readDoctorTarget(context, url, options));
  return exitCodeOf(report);
}

function fixesOwnOnly(): UserError {
  return new UserError('--fix mends the deployment of this folder only.', {
    why: 'Nothing is changed on a server that was not deployed from here.',
    next: 'mcp-deploy doctor --fix        in the folder of mcp-deploy.yaml',
  });
}

async function fixSeen(
  context: CommandContext,
  url: string | undefined,
  options: Record<string, unknown>,
  seen: DoctorReport,
  look: Look,
): Promise<DoctorReport> {
  const { fixDeployment } = await import('../fix-deployment.ts');
  const { own } = await readDoctorTarget(context, url, options);
  return fixDeployment(context, seen, own, () => look(false));
}

/** One look at everything. A repeated one leaves the burst up to the limit out, so that watching is no load. */
export type Look = (repeated: boolean) => Promise<DoctorReport>;

async function lookOnce(
  context: CommandContext,
  url: string | undefined,
  options: Record<string, unknown>,
  repeated: boolean,
): Promise<DoctorReport> {
  const { output } = context;
  const only = listFlag(options, 'only').filter((word) => word !== '');
  const skip = listFlag(options, 'skip').filter((word) => word !== '');
  const wantsLimits = only.some((word) => word === 'limits' || word.startsWith('limits/'));
  const watching = options['watch'] === true;
  try {
    return await runDoctor({
      ...(await readDoctorTarget(context, url, options)),
      only,
      skip: repeated && !wantsLimits ? [...skip, 'limits'] : skip,
      signal: context.signal,
      onProgress: (text) => {
        if (output.verbose) output.progress(`  ${text}`);
        // --watch draws a screen of its own.
        else if (!watching) output.passing(`  ${text} …`);
      },
    });
  } finally {
    output.passing(null);
  }
}

type Rhythm =
  | { readonly kind: 'once' }
  | { readonly kind: 'wait'; readonly waitMs: number }
  | { readonly kind: 'watch'; readonly intervalMs: number };

function readRhythm(options: Record<string, unknown>): Rhythm {
  const waits = textFlag(options, 'wait') !== undefined;
  if (options['watch'] === true) {
    const ended = (['fix', 'wait', 'writeBaseline', 'out', 'bundle'] as const).find((name) => {
      const value = options[name];
      return Array.isArray(value) ? value.length > 0 : value !== undefined;
    });
    if (ended !== undefined) {
      const flag = ended === 'writeBaseline' ? '--write-baseline' : `--${ended}`;
      throw new UserError(`--watch goes on until Ctrl-C, so ${flag} has no end to work at.`, {
        next: 'Leave one of the two out.',
      });
    }
    for (const format of ['junit', 'markdown', 'html']) {
      if (options[format] === true) throw new UserError(`--watch shows no --${format}.`, { next: '--watch --json' });
    }
    const seconds = inRange(numberFlag(options, 'interval', '--interval', 30), '--interval', 5, 3_600);
    return { kind: 'watch', intervalMs: seconds * 1_000 };
  }
  if (!waits) return { kind: 'once' };
  return { kind: 'wait', waitMs: inRange(numberFlag(options, 'wait', '--wait', 60), '--wait', 1, 86_400) * 1_000 };
}

function inRange(seconds: number, flag: string, least: number, most: number): number {
  if (seconds >= least && seconds <= most) return seconds;
  throw new UserError(`${flag} ${seconds} is not between ${least} and ${most} seconds.`, { next: `${flag} 60` });
}
