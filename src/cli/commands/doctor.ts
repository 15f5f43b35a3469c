import { runDoctor } from '../../doctor/run-doctor.ts';
import { exitCodeOf } from '../../doctor/exit-code-of.ts';
import type { CommandContext } from '../context.ts';
import { readDoctorTarget } from '../doctor-target.ts';
import { readReportChoice, showReport } from '../show-report.ts';

/** `mcp-deploy doctor [URL]`: this folder's deployment, or any MCP server. Exit 1 when an error was found. */
export async function runDoctorCommand(
  context: CommandContext,
  url: string | undefined,
  options: Record<string, unknown>,
): Promise<number> {
  const { output } = context;
  const choice = await readReportChoice(context, options);
  const target = await readDoctorTarget(context, url, options);
  const report = await runDoctor({
    ...target,
    only: codeList(options['only']),
    skip: codeList(options['skip']),
    signal: context.signal,
    onProgress: (text) => {
      if (output.verbose) output.progress(`  ${text}`);
    },
  });
  await showReport(context, report, choice);
  return exitCodeOf(report);
}

function codeList(given: unknown): readonly string[] {
  return typeof given === 'string'
    ? given
        .split(',')
        .map((code) => code.trim())
        .filter((code) => code !== '')
    : [];
}
