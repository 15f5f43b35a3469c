import type { ChalkInstance } from 'chalk';
import type { LatencyBucket } from '../../host/load/latency-record.ts';
import type { LoadResult } from '../../host/load/run-load.ts';
import type { Work } from '../../host/load/rpc-texts.ts';
import type { Knee } from '../find-knee.ts';

/** A measured load as a person reads it: figures, picture, what to know about them. Pure. */
export function describeLoad(result: LoadResult, work: Work, style: ChalkInstance, columns: number): string[] {
  const { latency, errors, rateLimited, unanswered } = result;
  const lines: string[] = [];
  const add = (title: string, text: string): void => void lines.push(`  ${title.padEnd(12)}${text}`);
  const what = work.kind === 'list' ? 'tools/list' : `tools/call ${work.tool}`;
  const many = `${result.connections} ${result.connections === 1 ? 'connection' : 'connections'}`;
  add('Load', `${what}, ${result.era} era, ${many}, ${number(result.seconds, 1)} s`);
  const failed = sumOf(errors);
  const glyph = failed === 0 && result.calls > 0 ? style.green('✓') : style.red('✗');
  add('Calls', `${glyph} ${whole(result.calls)} right, ${number(result.callsPerSecond, 1)}/s`);
  for (const [kind, count] of Object.entries(errors)) add('', `${style.red('✗')} ${whole(count)} ${kind}`);
  if (rateLimited > 0)
    add('', `${style.yellow('!')} ${whole(rateLimited)} refused by a limit (429), not in the figures`);
  if (unanswered > 0) add('', `${style.yellow('!')} ${whole(unanswered)} not answered when it ended`);
  if (latency !== null) {
    const { p50Ms, p90Ms, p95Ms, p99Ms, maxMs } = latency;
    const parts = [`p50 ${ms(p50Ms)}`, `p90 ${ms(p90Ms)}`, `p95 ${ms(p95Ms)}`, `p99 ${ms(p99Ms)}`, `max ${ms(maxMs)}`];
    const oneLine = parts.join('   ');
    if (oneLine.length + 14 <= columns) add('Latency', oneLine);
    else for (const [at, part] of parts.entries()) add(at === 0 ? 'Latency' : '', part);
    lines.push('', ...drawBuckets(result.buckets, columns));
  }
  return lines;
}

/** One line for each width of latencies; the longest bar fills the line. */
export function drawBuckets(buckets: readonly LatencyBucket[], columns: number): string[] {
  const most = Math.max(1, ...buckets.map(({ calls }) => calls));
  const total = Math.max(
    1,
    buckets.reduce((sum, { calls }) => sum + calls, 0),
  );
  const room = Math.max(4, Math.min(columns, 80) - 34);
  return buckets.map(({ upToMs, calls }) => {
    const label = upToMs === null ? 'more' : `to ${ms(upToMs)}`;
    const bar = '█'.repeat(Math.max(calls > 0 ? 1 : 0, Math.round((calls / most) * room)));
    const share = `${((calls / total) * 100).toFixed(1)} %`;
    return `  ${label.padEnd(12)}${share.padStart(7)} ${whole(calls).padStart(9)}  ${bar}`.trimEnd();
  });
}

/** The table of a load that grew. */
export function describeSteps(steps: readonly LoadResult[], knee: Knee | null, style: ChalkInstance): string[] {
  const head = '  Connections   Calls/s       p50       p95       p99   Wrong    429';
  const rows = steps.map((step) => {
    const { connections, callsPerSecond, latency, errors, rateLimited } = step;
    const cells = [
      String(connections).padStart(11),
      number(callsPerSecond, callsPerSecond < 100 ? 1 : 0).padStart(9),
      ...[latency?.p50Ms, latency?.p95Ms, latency?.p99Ms].map((each) =>
        (each === undefined ? '-' : ms(each)).padStart(9),
      ),
      whole(sumOf(errors)).padStart(7),
      whole(rateLimited).padStart(6),
    ];
    const isKnee = knee?.connections === connections;
    return `  ${cells.join(' ')}${isKnee ? style.bold('  <- knee') : ''}`;
  });
  const last = steps.at(-1);
  const held = steps.some(({ rateLimited }) => rateLimited > 0);
  const said = held
    ? 'A limit came before the end of the server: this table is of the limit.'
    : knee === null
      ? `More connections still gave more calls: the end is beyond ${last?.connections ?? 0}. Go on with --connections ${(last?.connections ?? 0) * 4}.`
      : `One node ends at about ${number(knee.callsPerSecond, 0)} calls/s with ${knee.connections} ${knee.connections === 1 ? 'connection' : 'connections'}: more of them only wait.`;
  return [head, ...rows, '', `  ${said}`];
}

/** What has to be known to read the figures right. */
export function describeCautions(
  results: readonly LoadResult[],
  facts: { readonly isHere: boolean; readonly limitAdvice: readonly string[] },
): string[] {
  const lines: string[] = [];
  const busy = Math.max(0, ...results.map((result) => result.busy));
  if (busy >= 0.9) {
    lines.push(
      `This program itself was busy ${Math.round(busy * 100)} % of the time: the server may be quicker than these figures.`,
    );
  }
  if (facts.isHere) lines.push('Server and load share this machine: each takes from the other.');
  const limited = results.find(({ rateLimited }) => rateLimited > 0);
  if (limited !== undefined) {
    const words = limited.limitWords === null ? '' : ` (${limited.limitWords})`;
    lines.push(
      `A limit held calls back${words}: calls/s is what it lets in, not what the server can do.`,
      ...facts.limitAdvice,
    );
  }
  return lines;
}

function sumOf(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

function whole(count: number): string {
  return count.toLocaleString('en');
}

function number(value: number, digits: number): string {
  return value.toLocaleString('en', { minimumFractionDigits: 0, maximumFractionDigits: digits });
}

function ms(value: number): string {
  if (value < 1) return `${Number(value.toPrecision(2))} ms`;
  if (value < 1_000) return `${value < 10 ? Number(value.toPrecision(2)) : Math.round(value)} ms`;
  return `${Number((value / 1_000).toPrecision(3))} s`;
}
