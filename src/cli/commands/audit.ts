import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { UserError } from '../../deployment/errors.ts';
import { listRotated } from '../../server/observe/append-file.ts';
import { formerKeysFile, parseFormerKeys, type FormerAuditKey } from '../../server/observe/audit-keys.ts';
import { AuditVerifier } from '../../server/observe/audit-verify.ts';
import { readChainKey } from '../../server/open-audit.ts';
import {
  describeAuditLine,
  formatSeconds,
  isWanted,
  parseAuditLine,
  parseSince,
  type AuditFilter,
  type AuditLine,
} from '../audit-line.ts';
import { findTime, readLines, readLinesBackwards } from '../audit-reader.ts';
import type { CommandContext } from '../context.ts';
import { requireDeployment } from '../deployment-folder.ts';
import { ToolDurations } from '../tool-durations.ts';

/** Lines that a command shows at most: more is a matter of reading the file itself. */
const mostShown = 10_000;
const pollMs = 200;

type Options = Record<string, unknown>;

/** `mcp-deploy audit verify [FILE...]`: exit 1 with the place of the first break. */
export async function runAuditVerify(
  context: CommandContext,
  given: readonly string[],
  options: Options,
): Promise<number> {
  const files = await auditFiles(context, given);
  const keyFile = await keyFileOf(context, options, given.length === 0);
  const verifier = new AuditVerifier({
    key: keyFile === null ? null : readChainKey(keyFile),
    former: keyFile === null ? [] : await readFormerKeys(context, keyFile),
    expected: Array.isArray(options['expect']) ? options['expect'].map(String) : [],
  });
  for (const file of files) {
    verifier.startFile(file);
    await readLines(file, (text, start, end) => verifier.takeLine(text, start, end), 0, context.signal);
  }
  const verdict = verifier.finish();
  const { firstBreaks, ...counts } = verdict;
  context.output.document({ ok: verdict.breaks === 0, files, ...counts, firstBreaks });
  const notes = [
    verdict.unprotected > 0 ? `${verdict.unprotected} lines were written before there was a chain: not protected` : '',
    verdict.torn > 0 ? `${verdict.torn} torn pieces, as a kill or a full disk leaves them` : '',
    verdict.lost > 0 ? `${verdict.lost} lines were lost, as the server itself wrote down` : '',
    verdict.beginningsElsewhere > 0
      ? `${verdict.beginningsElsewhere} chains begin in older files that were not read`
      : '',
  ].filter((note) => note !== '');
  const { out } = context.output;
  const last = verdict.heads.at(-1);
  context.output.result(
    [
      ...firstBreaks.map(({ kind, file, line, what }) => `  ${out.red('✗')} ${file}:${line}  ${kind}: ${what}`),
      verdict.breaks === 0
        ? `  ${out.green('✓')} ${verdict.lines} lines in ${files.length} ${files.length === 1 ? 'file' : 'files'}: none changed, removed or moved`
        : `  ${verdict.breaks} ${verdict.breaks === 1 ? 'break' : 'breaks'} in ${verdict.lines} lines`,
      ...notes.map((note) => `    ${note}`),
      ...(last === undefined || verdict.breaks > 0
        ? []
        : [`    the last line has the hash ${last.hash}; kept elsewhere, it shows a cut end: --expect HASH`]),
    ].join('\n'),
  );
  return verdict.breaks === 0 ? 0 : 1;
}

/** `mcp-deploy audit tail [-n N] [--follow]`: the last lines, read from the end. */
export async function runAuditTail(context: CommandContext, options: Options): Promise<number> {
  const files = await auditFiles(context, []);
  const filter = filterOf(context, options);
  const following = options['follow'] === true;
  // Noted before the lines are read: what is written meanwhile is shown by --follow, and once.
  const current = files.at(-1) ?? '';
  const from = (await stat(current)).size;
  const lines = await lastLines(files, countOf('--lines', options['lines']), (line) => isWanted(line, filter), filter);
  showLines(context, files, lines, following);
  if (following) await follow(context, current, from, filter);
  return 0;
}

/** `mcp-deploy audit errors`: the last calls that failed, were cancelled or refused. */
export async function runAuditErrors(context: CommandContext, options: Options): Promise<number> {
  const files = await auditFiles(context, []);
  const filter = filterOf(context, options);
  const wanted = (line: AuditLine): boolean => line.status !== 'ok' && isWanted(line, filter);
  const lines = await lastLines(files, countOf('--lines', options['lines']), wanted, filter);
  showLines(context, files, lines, false);
  if (lines.length === 0) context.output.result('  No call failed or was refused.');
  return 0;
}

/** `mcp-deploy audit slow [--top N]`: the calls that took longest. */
export async function runAuditSlow(context: CommandContext, options: Options): Promise<number> {
  const files = await auditFiles(context, []);
  const filter = filterOf(context, options);
  const count = countOf('--top', options['top']);
  let slowest: AuditLine[] = [];
  await readWanted(context, files, filter, (line) => {
    if (slowest.length >= 2 * count + 64) slowest = slowestOf(slowest, count);
    if (line.status !== 'refused') slowest.push(line);
  });
  showLines(context, files, slowestOf(slowest, count), false);
  return 0;
}

/** `mcp-deploy audit tools`: calls, errors and times of each tool. */
export async function runAuditTools(context: CommandContext, options: Options): Promise<number> {
  const files = await auditFiles(context, []);
  const durations = new ToolDurations();
  await readWanted(context, files, filterOf(context, options), (line) => {
    if (line.tool !== null && line.status !== 'refused') durations.add(line.tool, line.status !== 'ok', line.seconds);
  });
  const tools = durations.summarize();
  context.output.document({ ok: true, files, tools });
  const width = Math.min(48, Math.max(4, ...tools.map(({ tool }) => tool.length)));
  const row = (tool: string, calls: string, errors: string, p50: string, p95: string): string =>
    `  ${tool.slice(0, width).padEnd(width)}  ${calls.padStart(9)}  ${errors.padStart(9)}  ${p50.padStart(9)}  ${p95.padStart(9)}`;
  context.output.result(
    tools.length === 0
      ? '  No tool was called.'
      : [
          row('TOOL', 'CALLS', 'ERRORS', 'P50', 'P95'),
          ...tools.map((each) =>
            row(
              each.tool.replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, ''),
              String(each.calls),
              String(each.errors),
              formatSeconds(each.p50Seconds),
              formatSeconds(each.p95Seconds),
            ),
          ),
        ].join('\n'),
  );
  return 0;
}

/** Files in the order in which they were written: those named, or all of this deployment. */
async function auditFiles(context: CommandContext, given: readonly string[]): Promise<readonly string[]> {
  if (given.length > 0) {
    const files = given.map((file) => resolve(context.world.cwd, file));
    for (const file of files) await requireFile(context, file);
    return files;
  }
  const { deployment } = await requireDeployment(context);
  if (deployment.logs.audit === 'off') {
    throw new UserError('This deployment writes no audit file.', {
      why: 'logs.audit is off in mcp-deploy.yaml.',
      next: 'Set logs.audit: audit.jsonl, then: mcp-deploy apply',
    });
  }
  const file = resolve(context.baseDir, deployment.logs.audit);
  await requireFile(context, file);
  return [...listRotated(file), file];
}

async function requireFile(context: CommandContext, file: string): Promise<void> {
  if ((await context.ports.files.stat(file)) !== null) return;
  throw new UserError(`There is no audit file ${file}.`, {
    why: 'It is made when the server starts with logs.audit set.',
    next: 'mcp-deploy up',
  });
}

async function keyFileOf(context: CommandContext, options: Options, isOwn: boolean): Promise<string | null> {
  const given = options['keyFile'];
  if (typeof given === 'string') return resolve(context.world.cwd, given);
  const own = isOwn ? (await requireDeployment(context)).deployment.logs.auditKeyFile : undefined;
  return own === undefined ? null : resolve(context.baseDir, own);
}

/** The keys that were in the file before, beside it. */
async function readFormerKeys({ ports }: CommandContext, keyFile: string): Promise<readonly FormerAuditKey[]> {
  const bytes = await ports.files.read(formerKeysFile(keyFile));
  return bytes === null ? [] : parseFormerKeys(bytes.toString('utf8'));
}

function filterOf(context: CommandContext, options: Options): AuditFilter {
  const word = (name: string): string | null => (typeof options[name] === 'string' ? options[name] : null);
  const since = word('since');
  return {
    sinceMs: since === null ? null : parseSince(since, Date.parse(context.ports.clock.now())),
    key: word('key'),
    tool: word('tool'),
  };
}

function countOf(flag: string, given: unknown): number {
  const count = Number(given);
  if (Number.isInteger(count) && count >= 1 && count <= mostShown) return count;
  throw new UserError(`${flag} ${String(given)} is not a number from 1 to ${mostShown}.`, { next: `${flag} 20` });
}

/** Files that can hold lines of the time that is asked for. */
async function filesSince(files: readonly string[], { sinceMs }: AuditFilter): Promise<readonly string[]> {
  if (sinceMs === null) return files;
  const ages = await Promise.all(files.map(async (file) => (await stat(file)).mtimeMs));
  return files.filter((_, index) => (ages[index] ?? 0) >= sinceMs);
}

/** Every wanted line, oldest first. */
async function readWanted(
  context: CommandContext,
  files: readonly string[],
  filter: AuditFilter,
  onLine: (line: AuditLine) => void,
): Promise<void> {
  const take = (text: string): void => {
    const line = parseAuditLine(text);
    if (line !== null && isWanted(line, filter)) onLine(line);
  };
  for (const file of await filesSince(files, filter)) {
    const from = filter.sinceMs === null || file.endsWith('.gz') ? 0 : await findTime(file, filter.sinceMs);
    await readLines(file, take, from, context.signal);
  }
}

/** The last lines that are wanted, oldest first; a compressed file can be read from its start only. */
async function lastLines(
  files: readonly string[],
  count: number,
  wanted: (line: AuditLine) => boolean,
  filter: AuditFilter,
): Promise<AuditLine[]> {
  let found: AuditLine[] = [];
  for (const file of (await filesSince(files, filter)).toReversed()) {
    const missing = count - found.length;
    if (missing === 0) break;
    const here: AuditLine[] = [];
    if (file.endsWith('.gz')) {
      await readLines(file, (text) => {
        const line = parseAuditLine(text);
        if (line !== null && wanted(line)) here.push(line);
        if (here.length > 2 * missing) here.splice(0, here.length - missing);
      });
    } else {
      await readLinesBackwards(file, (await stat(file)).size, (text) => {
        const line = parseAuditLine(text);
        if (line !== null && wanted(line)) here.push(line);
        // Times of processes that share the file may go back a little.
        return (
          here.length < missing && (line === null || filter.sinceMs === null || line.timeMs > filter.sinceMs - 70_000)
        );
      });
      here.reverse();
    }
    found = [...here.slice(-missing), ...found];
  }
  return found;
}

function slowestOf(lines: readonly AuditLine[], count: number): AuditLine[] {
  return lines.toSorted((a, b) => b.seconds - a.seconds).slice(0, count);
}

function showLines(
  { output }: CommandContext,
  files: readonly string[],
  lines: readonly AuditLine[],
  following: boolean,
): void {
  if (following && output.json) for (const line of lines) output.raw(`${line.text}\n`);
  else output.document({ ok: true, files, lines: lines.map((line) => JSON.parse(line.text) as unknown) });
  for (const line of lines) output.result(describeAuditLine(line));
}

/** Until interrupted. A file that was rotated away is read to its end, then the new one from its start. */
async function follow(context: CommandContext, file: string, start: number, filter: AuditFilter): Promise<void> {
  const { output, signal } = context;
  let from = start;
  let inode = (await stat(file)).ino;
  const show = async (path: string): Promise<void> => {
    let end = from;
    await readLines(
      path,
      (text, lineStart, lineEnd) => {
        const line = parseAuditLine(text);
        // The last piece may be half of a line that is being written.
        if (lineEnd - lineStart === Buffer.byteLength(text)) return;
        end = lineEnd;
        if (line === null || !isWanted(line, filter)) return;
        output.raw(`${output.json ? text : describeAuditLine(line)}\n`);
      },
      from,
    );
    from = end;
  };
  while (!signal.aborted) {
    const found = await stat(file).catch(() => null);
    if (found !== null && (found.ino !== inode || found.size < from)) {
      const old = await rotatedWith(file, inode);
      if (old !== null) await show(old);
      inode = found.ino;
      from = 0;
    }
    if (found !== null && found.size > from) await show(file);
    await context.ports.clock.sleep(pollMs, signal).catch(() => {});
  }
}

async function rotatedWith(file: string, inode: number): Promise<string | null> {
  for (const path of listRotated(file).toReversed()) {
    if ((await stat(path).catch(() => null))?.ino === inode) return path;
  }
  return null;
}
