import { exitCodeOf } from '../doctor/exit-code-of.ts';
import type { DoctorReport } from '../doctor/types.ts';
import type { Look } from './commands/doctor.ts';
import type { CommandContext } from './context.ts';

const firstPauseMs = 1_000;
const longestPauseMs = 15_000;

/**
 * Looks until everything is in order, or the time is over: the last result. The pauses grow up to 15 s; between the
 * first and the last look nothing is sent to reach a limit.
 */
export async function waitUntilHealthy(context: CommandContext, look: Look, waitMs: number): Promise<DoctorReport> {
  const { output, ports, signal } = context;
  const until = performance.now() + waitMs;
  let pauseMs = firstPauseMs;
  let report = await look(false);
  while (exitCodeOf(report) !== 0) {
    const leftMs = until - performance.now();
    if (leftMs <= 0) return report;
    output.progress(`  ${output.err.dim('·')} ${describeState(report)}; ${Math.ceil(leftMs / 1_000)} s left`);
    await ports.clock.sleep(Math.min(pauseMs, leftMs), signal);
    pauseMs = Math.min(pauseMs * 1.5, longestPauseMs);
    report = await look(true);
    // Also what the looks in between left out.
    if (exitCodeOf(report) === 0) report = await look(false);
  }
  return report;
}

function describeState(report: DoctorReport): string {
  const root = report.findings.find(({ code }) => code === report.rootCause);
  return root === undefined ? 'not everything could be judged yet' : `not healthy yet: ${root.code}, ${root.title}`;
}
