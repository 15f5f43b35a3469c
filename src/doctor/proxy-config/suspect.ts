import type { ProxyConfigSeen } from '../observations.ts';

/** A line of a proxy's configuration that explains a finding, or is one. */
export interface Suspect {
  /** Code of the finding that it explains. */
  readonly code: string;
  readonly file: string;
  readonly line: number;
  /** The directive as it stands there; values that may be secret are left out. */
  readonly observed: string;
  readonly expected: string;
  /** One sentence. */
  readonly cause: string;
  readonly summary: string;
  /** Applies with `patch -p0`. */
  readonly diff: string;
  /** Checks the configuration, then loads it. */
  readonly commands: readonly string[];
}

/** Where the request comes in and where it should come out: what decides which part of a configuration is meant. */
export interface ConfigTarget {
  readonly host: string;
  readonly port: number;
  /** Path of the endpoint as clients ask for it. */
  readonly path: string;
  /** Path at the server itself. */
  readonly upstreamPath: string;
  /** host:port of the server itself; null when it is not known. */
  readonly upstream: string | null;
}

/** Whether an address of a configuration is that of the server itself; null when the server's is not known. */
export function isUpstream(address: string, { upstream }: ConfigTarget): boolean | null {
  const plain = (text: string): string =>
    text.replace(/^\w+:\/\//, '').replace(/^(?:localhost|\[::1\])(?=:)/, '127.0.0.1');
  return upstream === null ? null : plain(address) === plain(upstream);
}

export interface Place {
  readonly file: string;
  readonly line: number;
}

/** How the lines from `line` to `lastLine` change: other text in their place, or lines put behind them. */
export type LineChange =
  | { readonly replace: readonly string[]; readonly lastLine?: number }
  | { readonly insert: readonly string[] };

const contextLines = 2;

/** A unified diff of one change. New lines are written without indentation and get that of their neighbour. */
export function diffOf(files: ProxyConfigSeen['files'], { file, line }: Place, change: LineChange): string {
  const all = (files.find(({ path }) => path === file)?.text ?? '').split('\n');
  const last = 'replace' in change ? (change.lastLine ?? line) : line;
  const from = Math.max(1, line - contextLines);
  const to = Math.min(all.length, last + contextLines);
  const at = (number: number): string => all[number - 1] ?? '';
  const added = 'replace' in change ? change.replace : change.insert;
  const indent = indentFor(at(line), 'insert' in change);
  const removed = 'replace' in change ? range(line, last).map((number) => `-${at(number)}`) : [` ${at(line)}`];
  const body = [
    ...range(from, line - 1).map((number) => ` ${at(number)}`),
    ...removed,
    ...added.map((text) => `+${indent}${text}`),
    ...range(last + 1, to).map((number) => ` ${at(number)}`),
  ];
  const before = to - from + 1;
  const after = before + added.length - ('replace' in change ? last - line + 1 : 0);
  return [`--- ${file}`, `+++ ${file}`, `@@ -${from},${before} +${from},${after} @@`, ...body].join('\n');
}

/** A unified diff from one text to another that differs in one place. */
export function diffOfTexts(file: string, before: string, after: string): string {
  const [old, now] = [before.split('\n'), after.split('\n')];
  let same = 0;
  while (same < Math.min(old.length, now.length) && old[same] === now[same]) same += 1;
  let alike = 0;
  while (alike < Math.min(old.length, now.length) - same && old.at(-1 - alike) === now.at(-1 - alike)) alike += 1;
  const from = Math.max(0, same - contextLines);
  const tail = Math.min(alike, contextLines);
  const until = (lines: readonly string[]): number => lines.length - alike;
  const body = [
    ...old.slice(from, same).map((text) => ` ${text}`),
    ...old.slice(same, until(old)).map((text) => `-${text}`),
    ...now.slice(same, until(now)).map((text) => `+${text}`),
    ...old.slice(until(old), until(old) + tail).map((text) => ` ${text}`),
  ];
  const lengthOf = (lines: readonly string[]): number => until(lines) + tail - from;
  return [
    `--- ${file}`,
    `+++ ${file}`,
    `@@ -${from + 1},${lengthOf(old)} +${from + 1},${lengthOf(now)} @@`,
    ...body,
  ].join('\n');
}

/** Behind a line that opens a block, one step deeper. */
function indentFor(neighbour: string, inside: boolean): string {
  const own = /^\s*/.exec(neighbour)?.[0] ?? '';
  if (!inside || !/\{\s*(?:#.*)?$/.test(neighbour)) return own;
  return own + (own.includes('\t') ? '\t' : '    ');
}

function range(from: number, to: number): readonly number[] {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, index) => from + index);
}

/** `60`, `60s`, `5m`, `1h30m`, `500ms`, `1d` in milliseconds; `unit` is that of a bare number. Null when it is none. */
export function durationMs(text: string, unit: 's' | 'ms'): number | null {
  if (/^\d+$/.test(text)) return Number(text) * (unit === 's' ? 1_000 : 1);
  const units: Readonly<Record<string, number>> = {
    us: 0.001,
    ms: 1,
    s: 1_000,
    m: 60_000,
    h: 3_600_000,
    d: 86_400_000,
  };
  const parts = [...text.matchAll(/(\d+)(us|ms|s|m|h|d)/g)];
  if (parts.length === 0 || parts.map(([all]) => all).join('') !== text) return null;
  return parts.reduce((sum, [, count, of]) => sum + Number(count) * (units[of ?? ''] ?? 0), 0);
}

/** `1m`, `512k`, `10MB`, `1048576`, `0` in bytes; null when it is none. `decimal`: k is 1,000, as Caddy has it. */
export function sizeBytes(text: string, decimal: boolean): number | null {
  const [, count, unit = ''] = /^(\d+(?:\.\d+)?)\s*([kmg]?i?b?)$/i.exec(text) ?? [];
  if (count === undefined) return null;
  const base = decimal && !/i/i.test(unit) ? 1_000 : 1_024;
  const power = { k: 1, m: 2, g: 3 }[unit.charAt(0).toLowerCase()] ?? 0;
  return Number(count) * base ** power;
}

/** What is shorter cuts long calls and, beyond the keep-alive comments, streams. */
export const shortTimeoutMs = 300_000;
/** The request that sizes/body sends. */
export const neededBodyBytes = 1_200_000;
/** The header that sizes/header sends, with its name. */
export const neededHeaderBytes = 6_100;
