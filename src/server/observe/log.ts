import { writeSync } from 'node:fs';
import { ExplainedError } from '../../deployment/errors.ts';
import { quoteText } from './quote-text.ts';
import { isSecretField, redactText } from './redact.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFields = Readonly<Record<string, unknown>>;

/** One JSON object a line. `event` is a fixed word (`keys.reloaded`), what varies is in the fields. Never throws. */
export interface Log {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
  /** Whether lines of this level are written: asked where putting the fields together is on the way of every call. */
  writes?(level: LogLevel): boolean;
  /** A log that adds these fields to every line. */
  child(fields: LogFields): Log;
}

/** A log whose level can be changed while it is in use. */
export interface LevelledLog extends Log {
  /** The lowest level that is written from now on, by its children too. */
  useLevel(level: LogLevel): void;
}

const WEIGHT: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };
const VALUE_CHARACTERS = 2_048;
const LINE_CHARACTERS = 16_384;
const DEEPEST = 4;
const MOST_ITEMS = 50;

export interface LogOptions {
  readonly level: LogLevel;
  readonly write?: (line: string) => void;
  /** Puts the priority in front of each line, as systemd's journal reads it: sd-daemon(3). */
  readonly forJournal?: boolean;
  /** Told of every line at level error, also of one that cannot be written. Must neither wait nor log an error. */
  readonly onError?: (line: string) => void;
}

/** Of syslog: error 3, warning 4, informational 6, debug 7. */
const PRIORITY: Readonly<Record<LogLevel, string>> = { debug: '<7>', info: '<6>', warn: '<4>', error: '<3>' };

/**
 * A log of JSON lines `{time, level, event, ...fields}`, to standard error unless `write` is given. Secrets are taken
 * out by field name and by form, values are bounded (2 kB each, 16 kB a line, 4 levels), and no character can end a
 * line or steer a terminal. A line that cannot be written is dropped; the next one says how many were.
 */
export function createLog(options: LogOptions): LevelledLog {
  let lowest = WEIGHT[options.level];
  const write = options.write ?? ((line: string) => writeWhole(line));
  let dropped = 0;

  function emit(level: LogLevel, event: string, own: LogFields | undefined, inherited: LogFields | undefined): void {
    if (WEIGHT[level] < lowest) return;
    try {
      const missed = dropped === 0 ? undefined : { droppedLines: dropped };
      const line = renderLine(level, event, [inherited, own, missed]);
      if (level === 'error') options.onError?.(line);
      write(options.forJournal === true ? PRIORITY[level] + line : line);
      dropped = 0;
    } catch {
      // A full disk or a closed pipe must not take the server down.
      dropped += 1;
    }
  }

  function bind(inherited: LogFields | undefined): Log {
    return {
      debug: (event, fields) => emit('debug', event, fields, inherited),
      info: (event, fields) => emit('info', event, fields, inherited),
      warn: (event, fields) => emit('warn', event, fields, inherited),
      error: (event, fields) => emit('error', event, fields, inherited),
      writes: (level) => WEIGHT[level] >= lowest,
      child: (fields) => bind({ ...inherited, ...fields }),
    };
  }
  return {
    ...bind(undefined),
    useLevel(level) {
      lowest = WEIGHT[level];
    },
  };
}

function renderLine(level: LogLevel, event: string, groups: readonly (LogFields | undefined)[]): string {
  const budget = { left: LINE_CHARACTERS };
  const fields = new Map<string, unknown>();
  for (const group of groups) {
    for (const [name, value] of Object.entries(group ?? {})) {
      fields.set(name === 'time' || name === 'level' || name === 'event' ? `${name}_` : name, value);
    }
  }
  let line = `{"time":"${new Date().toISOString()}","level":"${level}","event":${renderText(event, budget)}`;
  let count = 0;
  for (const [name, value] of fields) {
    if (value === undefined) continue;
    count += 1;
    if (count > MOST_ITEMS || budget.left <= 0) {
      line += ',"cut":true';
      break;
    }
    line += `,${renderText(name, budget)}:${renderField(name, value, budget)}`;
  }
  return `${line}}\n`;
}

interface Budget {
  left: number;
}

function renderField(name: string, value: unknown, budget: Budget): string {
  if (isSecretField(name) && value !== null && typeof value !== 'boolean') return '"[secret]"';
  try {
    return renderValue(value, 1, budget);
  } catch {
    return '"[unreadable]"';
  }
}

function renderValue(value: unknown, depth: number, budget: Budget): string {
  switch (typeof value) {
    case 'string':
      return renderText(value, budget);
    case 'number':
      return Number.isFinite(value) ? String(value) : `"${value}"`;
    case 'boolean':
      return String(value);
    case 'bigint':
      return `"${value}"`;
    case 'undefined':
      return 'null';
    case 'function':
    case 'symbol':
      return `"[${typeof value}]"`;
    case 'object':
      return value === null ? 'null' : renderObject(value, depth, budget);
    default:
      return '"[unknown]"';
  }
}

function renderObject(value: object, depth: number, budget: Budget): string {
  if (depth > DEEPEST || budget.left <= 0) return '"[cut]"';
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return `"[${value.byteLength} bytes]"`;
  if (value instanceof Error) return renderEntries(describeError(value), depth, budget);
  if ('toJSON' in value && typeof value.toJSON === 'function') {
    const plain: unknown = value.toJSON();
    return plain === value ? '"[cut]"' : renderValue(plain, depth + 1, budget);
  }
  if (Array.isArray(value)) {
    const items = value.slice(0, MOST_ITEMS).map((item) => renderValue(item, depth + 1, budget));
    if (value.length > MOST_ITEMS) items.push(`"[${value.length - MOST_ITEMS} more]"`);
    return `[${items.join(',')}]`;
  }
  return renderEntries(Object.entries(value), depth, budget);
}

function renderEntries(entries: readonly (readonly [string, unknown])[], depth: number, budget: Budget): string {
  const parts: string[] = [];
  for (const [name, value] of entries) {
    if (value === undefined) continue;
    if (parts.length >= MOST_ITEMS || budget.left <= 0) {
      parts.push('"cut":true');
      break;
    }
    const shown = isSecretField(name) && value !== null ? '"[secret]"' : renderValue(value, depth + 1, budget);
    parts.push(`${renderText(name, budget)}:${shown}`);
  }
  return `{${parts.join(',')}}`;
}

/** An expected failure in its own words; an unexpected one with the place where it happened. */
function describeError(error: Error): [string, unknown][] {
  const about: [string, unknown][] = [
    ['name', error.name],
    ['message', error.message],
    ['code', (error as NodeJS.ErrnoException).code],
  ];
  if (error instanceof ExplainedError) about.push(['why', error.why], ['next', error.next]);
  else about.push(['stack', error.stack]);
  about.push(['cause', error.cause]);
  return about;
}

function renderText(text: string, budget: Budget): string {
  // Cut twice: before, so that a huge text is not searched in whole; after, for what the search made longer. A secret
  // that the first cut goes through is still recognised by its beginning.
  const clean = redactText(text.slice(0, 2 * VALUE_CHARACTERS));
  const most = Math.max(0, Math.min(VALUE_CHARACTERS, budget.left));
  const shown = clean.length > most || text.length > 2 * VALUE_CHARACTERS ? `${clean.slice(0, most)}…` : clean;
  budget.left -= shown.length;
  return quoteText(shown);
}

let endedMidLine = false;

/**
 * Writes to standard error, past process.stderr: that stream is closed for good by the first full disk, and reports a
 * closed pipe as an uncaught error. @throws what the system says when nothing could be written.
 */
function writeWhole(line: string): void {
  const bytes = Buffer.from(endedMidLine ? `\n${line}` : line);
  let written = 0;
  try {
    while (written < bytes.length) written += writeSync(2, bytes, written);
  } finally {
    if (written > 0) endedMidLine = written < bytes.length;
  }
}
