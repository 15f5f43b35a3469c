import { describeChanges, type ReportChange } from '../doctor/describe-changes.ts';
import { describeReport } from '../doctor/report/report-schema.ts';
import { shownText } from '../doctor/report/shown-text.ts';
import { summarize } from '../doctor/report/summarize.ts';
import { formatReportText } from '../doctor/report/text.ts';
import type { DoctorReport } from '../doctor/types.ts';
import type { Look } from './commands/doctor.ts';
import type { CommandContext } from './context.ts';
import { canRedraw, createScreen } from './output/screen.ts';

/** As many changes as stay on the screen. */
const keptChanges = 6;

/**
 * Looks again and again until interrupted, which is its ordinary end: exit 0. A terminal is redrawn, with what changed
 * below; otherwise there is a line per change, or with --json a document per look, each on one line.
 */
export async function watchDoctor(
  context: CommandContext,
  look: Look,
  { intervalMs, shown }: { readonly intervalMs: number; readonly shown: string },
): Promise<number> {
  const { output, world, ports, signal } = context;
  const redraw = canRedraw(world, output);
  const draw = createScreen(world, output);
  const kept: string[] = [];
  let former: DoctorReport | null = null;
  try {
    for (;;) {
      const report: DoctorReport = await look(true);
      const time = ports.clock.now().slice(11, 19);
      const lines = describeChanges(former, report).map((change) => `${time}  ${lineOf(change, context)}`);
      if (shown === 'json') output.raw(`${JSON.stringify(describeReport(report))}\n`);
      else if (redraw) {
        if (former !== null) kept.push(...lines);
        kept.splice(0, kept.length - keptChanges);
        draw(screenOf(report, kept, intervalMs, context));
      } else {
        if (former === null) lines.push(`${time}  ${countsOf(report)}`);
        for (const line of lines) output.result(line);
      }
      former = report;
      await ports.clock.sleep(intervalMs, signal);
    }
  } catch (error) {
    if (signal.aborted) return 0;
    throw error;
  }
}

function screenOf(
  report: DoctorReport,
  kept: readonly string[],
  intervalMs: number,
  context: CommandContext,
): string[] {
  const { green, red, yellow, dim, bold } = context.output.out;
  const style = { good: green, bad: red, warn: yellow, dim, bold };
  return [
    ...formatReportText(report, style).split('\n'),
    '',
    ...(kept.length === 0 ? [] : [`  ${bold('Changed')}`, ...kept.map((line) => `    ${line}`), '']),
    `  ${dim(`every ${intervalMs / 1_000} s, without the limit; Ctrl-C ends it`)}`,
  ];
}

function countsOf(report: DoctorReport): string {
  return summarize(report)
    .map(({ text }) => text)
    .join(', ');
}

function lineOf({ code, state, text }: ReportChange, { output }: CommandContext): string {
  const { green, red, yellow } = output.out;
  const glyph = { broken: red('✗'), warning: yellow('!'), mended: green('✓'), unknown: yellow('?') }[state];
  const words = shownText(text, 200).replaceAll(/\s+/g, ' ');
  if (state !== 'mended') return `${glyph} ${code} ${words}`;
  return `${glyph} ${code} ${words === '' ? 'is in order' : `mended (was: ${words})`}`;
}
