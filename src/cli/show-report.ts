import { readFileSync } from 'node:fs';
import { dirname, extname, join, resolve } from 'node:path';
import { EnvironmentError, UserError } from '../deployment/errors.ts';
import { formatReportHtml } from '../doctor/report/html.ts';
import { formatReportJunit } from '../doctor/report/junit.ts';
import { formatReportMarkdown } from '../doctor/report/markdown.ts';
import type { ReportFrame } from '../doctor/report/report-frame.ts';
import { describeReport } from '../doctor/report/report-schema.ts';
import { formatReportText, type ReportStyle } from '../doctor/report/text.ts';
import type { DoctorReport } from '../doctor/types.ts';
import type { CommandContext } from './context.ts';

type Format = 'text' | 'json' | 'junit' | 'markdown' | 'html';

/** Where one result goes: one format to standard output, any number of them into files. */
export interface ReportChoice {
  readonly shown: Format;
  readonly files: readonly { readonly path: string; readonly format: Format }[];
}

const endings: Readonly<Record<string, Format>> = {
  '.html': 'html',
  '.xml': 'junit',
  '.md': 'markdown',
  '.json': 'json',
  '.txt': 'text',
};

/**
 * Reads the flags of the formats, before anything is looked at.
 * @throws UserError when two formats want standard output, or a file cannot be written there.
 */
export async function readReportChoice(
  context: CommandContext,
  options: Record<string, unknown>,
): Promise<ReportChoice> {
  const wanted = (['json', 'junit', 'markdown', 'html'] as const).filter((format) => options[format] === true);
  const [shown = 'text', second] = wanted;
  if (second !== undefined) {
    throw new UserError(`--${shown} and --${second} cannot both go to standard output.`, {
      why: 'One result is shown in one format; files can have the others.',
      next: `--${shown} --out FILE${Object.keys(endings).find((ending) => endings[ending] === second) ?? ''}`,
    });
  }
  const named = Array.isArray(options['out']) ? (options['out'] as string[]) : [];
  const files = named.map((name) => ({ path: resolve(context.world.cwd, name), format: formatOf(name) }));
  for (const { path } of files) await refuseUnwritable(context, path);
  return { shown, files };
}

function formatOf(name: string): Format {
  const format = endings[extname(name).toLowerCase()];
  if (format !== undefined) return format;
  throw new UserError(`--out ${name} does not say in which format.`, {
    why: `The ending of the file does: ${Object.entries(endings)
      .map(([ending, of]) => `${ending} ${of === 'junit' ? 'JUnit' : of}`)
      .join(', ')}.`,
    next: `--out ${name}.html`,
  });
}

async function refuseUnwritable(context: CommandContext, path: string): Promise<void> {
  const { files } = context.ports;
  const there = await files.stat(path);
  if (there !== null && there.kind !== 'file') {
    throw new UserError(`${path} is no plain file; it stays as it is.`, { next: 'Name another file with --out.' });
  }
  if ((await files.stat(dirname(path)))?.kind !== 'directory') {
    throw new UserError(`The folder ${dirname(path)} does not exist.`, { next: `mkdir -p ${dirname(path)}` });
  }
}

/** Shows the report and writes its files, each as a whole or not at all. A report holds no secret: others may read it. */
export async function showReport(context: CommandContext, report: DoctorReport, choice: ReportChoice): Promise<void> {
  const { output, ports } = context;
  const { shown } = choice;
  if (shown === 'json') output.document(describeReport(report));
  else if (shown === 'text') output.result(formatReport(report, 'text', context));
  else output.raw(formatReport(report, shown, context));
  for (const { path, format } of choice.files) {
    try {
      await ports.files.writeAtomic(path, formatReport(report, format, context, true), 0o644);
    } catch (error) {
      throw new EnvironmentError(`The report ${path} could not be written.`, {
        why: error instanceof Error ? error.message : String(error),
        next: 'Name a file that you may write with --out.',
        cause: error,
      });
    }
    output.progress(`  ${output.err.green('✓')} report written: ${path}`);
  }
}

/** The text without colour. */
export function formatPlainReport(report: DoctorReport): string {
  return `${formatReportText(report, noStyle)}\n`;
}

function formatReport(report: DoctorReport, format: Format, context: CommandContext, forFile = false): string {
  const frame: ReportFrame = {
    version: context.package.version,
    templates: (path) => readFileSync(join(context.package.templatesDir, path), 'utf8'),
  };
  switch (format) {
    case 'text':
      return `${formatReportText(report, forFile ? noStyle : styleOf(context))}\n`;
    case 'json':
      return `${JSON.stringify(describeReport(report), null, 2)}\n`;
    case 'junit':
      return formatReportJunit(report, frame);
    case 'markdown':
      return formatReportMarkdown(report, frame);
    case 'html':
      return formatReportHtml(report, frame);
  }
}

function styleOf({ output }: CommandContext): ReportStyle {
  const { green, red, yellow, dim, bold } = output.out;
  return { good: green, bad: red, warn: yellow, dim, bold };
}

const same = (text: string): string => text;
const noStyle: ReportStyle = { good: same, bad: same, warn: same, dim: same, bold: same };
