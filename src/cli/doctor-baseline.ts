import { dirname, resolve } from 'node:path';
import { EnvironmentError, UserError } from '../deployment/errors.ts';
import { applyBaseline } from '../doctor/apply-baseline.ts';
import { formatBaseline } from '../doctor/format-baseline.ts';
import { parseBaseline } from '../doctor/parse-baseline.ts';
import type { DoctorReport } from '../doctor/types.ts';
import type { CommandContext } from './context.ts';
import { textFlag, type FlagValues } from './flag-values.ts';

/** What --baseline and --write-baseline do with a result. */
export interface BaselineChoice {
  apply(report: DoctorReport): DoctorReport;
  /** Writes the file of --write-baseline; what it accepts is accepted at once. */
  finish(report: DoctorReport): Promise<DoctorReport>;
}

/**
 * Reads the flags, and the baseline, before anything is looked at.
 * @throws UserError when the file is wrong, with the lines; when one would be overwritten; when the reason is missing.
 */
export async function readBaselineChoice(context: CommandContext, options: FlagValues): Promise<BaselineChoice> {
  const { ports, world } = context;
  const today = (): string => ports.clock.now().slice(0, 10);
  const named = textFlag(options, 'baseline');
  const writes = textFlag(options, 'writeBaseline');
  if (named !== undefined && writes !== undefined) {
    throw new UserError('--baseline and --write-baseline cannot go together.', {
      next: 'Write to another name first, and join the two files by hand.',
    });
  }
  if (writes === undefined) {
    for (const flag of ['reason', 'expires']) {
      if (options[flag] !== undefined) {
        throw new UserError(`--${flag} belongs to --write-baseline.`, { next: 'Add --write-baseline FILE.' });
      }
    }
  }
  if (named !== undefined) {
    const file = resolve(world.cwd, named);
    const bytes = await ports.files.read(file);
    if (bytes === null) {
      throw new UserError(`The baseline ${named} does not exist.`, {
        next: `mcp-deploy doctor --write-baseline ${named} --reason TEXT`,
      });
    }
    const entries = parseBaseline(bytes.toString('utf8'), named);
    const apply = (report: DoctorReport): DoctorReport => applyBaseline(report, entries, today());
    return { apply, finish: async (report) => report };
  }
  if (writes === undefined) return { apply: (report) => report, finish: async (report) => report };

  const file = resolve(world.cwd, writes);
  const reason = textFlag(options, 'reason')?.trim() ?? '';
  if (reason === '' || reason.length > 500) {
    throw new UserError('--write-baseline needs --reason TEXT, at most 500 characters.', {
      why: 'Who finds the entry in half a year wants to know why it was accepted.',
      next: `mcp-deploy doctor --write-baseline ${writes} --reason "mended with the move in May"`,
    });
  }
  const expires = textFlag(options, 'expires') ?? dayAfter(today(), 90);
  if (!isDay(expires) || expires < today()) {
    throw new UserError(`--expires ${expires} is no day to come.`, { next: `--expires ${dayAfter(today(), 90)}` });
  }
  if ((await ports.files.stat(file)) !== null) {
    throw new UserError(`${writes} is there already; nothing was written.`, {
      why: 'It holds the reasons of others.',
      next: 'Write to another name and join the two by hand, or remove it first.',
    });
  }
  if ((await ports.files.stat(dirname(file)))?.kind !== 'directory') {
    throw new UserError(`The folder ${dirname(file)} does not exist.`, { next: `mkdir -p ${dirname(file)}` });
  }
  return {
    apply: (report) => report,
    finish: async (report) => {
      const text = formatBaseline(report, { reason, expires });
      if (!(await createFile(context, file, text))) {
        throw new EnvironmentError(`${writes} came into being meanwhile; nothing was written.`, {
          next: 'Look at it.',
        });
      }
      context.output.progress(`  ${context.output.err.green('✓')} baseline written: ${file}, until ${expires}`);
      return applyBaseline(report, parseBaseline(text, writes), today());
    },
  };
}

async function createFile({ ports }: CommandContext, file: string, text: string): Promise<boolean> {
  try {
    return await ports.files.createExclusive(file, text, 0o644);
  } catch (error) {
    throw new EnvironmentError(`The baseline ${file} could not be written.`, {
      why: error instanceof Error ? error.message : String(error),
      next: 'Name a file that you may write.',
      cause: error,
    });
  }
}

function dayAfter(day: string, days: number): string {
  return new Date(Date.parse(day) + days * 86_400_000).toISOString().slice(0, 10);
}

function isDay(text: string): boolean {
  return /^\d{4}-\d{2}-\d{2}$/.test(text) && new Date(`${text}T00:00:00Z`).toJSON()?.slice(0, 10) === text;
}
