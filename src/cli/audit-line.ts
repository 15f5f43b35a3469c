import { printable } from '../apply/log-lines.ts';
import { UserError } from '../deployment/errors.ts';

/** What the commands read of an audit line; what else stands there is kept in `text`. */
export interface AuditLine {
  readonly text: string;
  readonly timeMs: number;
  readonly time: string;
  readonly status: string;
  readonly method: string;
  readonly tool: string | null;
  readonly seconds: number;
  readonly key: string;
  readonly address: string;
  readonly request: string;
  readonly error: string | null;
}

/** Which lines are wanted; null takes all. */
export interface AuditFilter {
  readonly sinceMs: number | null;
  readonly key: string | null;
  readonly tool: string | null;
}

/** Null for what is no audit line: a torn piece, something else. */
export function parseAuditLine(text: string): AuditLine | null {
  let fields: unknown;
  try {
    fields = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof fields !== 'object' || fields === null) return null;
  const line = fields as Record<string, unknown>;
  const word = (name: string): string => (typeof line[name] === 'string' ? line[name] : '');
  const time = word('time');
  const timeMs = Date.parse(time);
  if (Number.isNaN(timeMs)) return null;
  return {
    text,
    timeMs,
    time,
    status: typeof line['status'] === 'string' ? line['status'] : '',
    method: word('method'),
    tool: typeof line['tool'] === 'string' ? line['tool'] : null,
    seconds: typeof line['duration_seconds'] === 'number' ? line['duration_seconds'] : 0,
    key: word('key'),
    address: word('address'),
    request: word('request'),
    error: typeof line['error'] === 'string' ? line['error'] : null,
  };
}

export function isWanted(line: AuditLine, { sinceMs, key, tool }: AuditFilter): boolean {
  if (sinceMs !== null && line.timeMs < sinceMs) return false;
  return (key === null || line.key === key) && (tool === null || line.tool === tool);
}

/** One line for a person: when, how it went, what, how long, who, why not. */
export function describeAuditLine(line: AuditLine): string {
  const what = line.tool ?? (line.method === '' ? '-' : line.method);
  const who = [line.key, line.address].filter((word) => word !== '').join('  ');
  const why = line.error === null ? '' : `  ${line.error}`;
  const time = `${line.time.slice(0, 10)} ${line.time.slice(11, 19)}`;
  return printable(
    `${time}  ${line.status.padEnd(9)}  ${what.padEnd(24)}  ${formatSeconds(line.seconds).padStart(8)}  ${who}${why}`,
  );
}

/** `2.1 ms`, `340 ms`, `12.5 s`. */
export function formatSeconds(seconds: number): string {
  if (seconds >= 10) return `${seconds.toFixed(1)} s`;
  if (seconds >= 1) return `${seconds.toFixed(2)} s`;
  const milliseconds = seconds * 1_000;
  return `${milliseconds >= 10 ? milliseconds.toFixed(0) : milliseconds.toFixed(1)} ms`;
}

const unitMs: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** Reads `30m`, `1h`, `2d` or a date as milliseconds since 1970. @throws UserError */
export function parseSince(text: string, nowMs: number): number {
  const [, count, unit = ''] = /^(\d{1,9})(s|m|h|d|w)$/.exec(text) ?? [];
  if (count !== undefined) return nowMs - Number(count) * (unitMs[unit] ?? 0);
  const date = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(date)) return date;
  throw new UserError(`--since ${text} is no length of time and no date.`, {
    next: '--since 1h   or: --since 2026-03-01',
  });
}
