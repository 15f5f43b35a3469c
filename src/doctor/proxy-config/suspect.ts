import type { ProxyConfigSeen } from '../observations.ts';
import { changeFile, type FileChange } from './change-file.ts';

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
  /** Applies with `patch -p0 -d /`; left out where it would show a secret. */
  readonly diff?: string;
  /** Makes the change where there is no diff, checks the configuration, then loads it. */
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

/** How lines change: others in the place of `count` (one), or lines put behind one. Null: a diff cannot say it. */
export type LineChange =
  | { readonly replace: readonly string[]; readonly count?: number }
  | { readonly insert: readonly string[] }
  | null;

/** New lines are written without indentation and get that of their neighbour. */
export function changeLines(
  files: ProxyConfigSeen['files'],
  { file, line }: Place,
  change: LineChange,
  commands: readonly string[],
): FileChange {
  if (change === null) return { commands };
  const before = files.find(({ path }) => path === file)?.text ?? '';
  const lines = before.split('\n');
  const inserts = 'insert' in change;
  const added = inserts ? change.insert : change.replace;
  const indent = indentFor(lines[line - 1] ?? '', inserts);
  const after = lines.toSpliced(
    inserts ? line : line - 1,
    inserts ? 0 : (change.count ?? 1),
    ...added.map((text) => indent + text),
  );
  return changeFile(file, before, after.join('\n'), commands);
}

/** Behind a line that opens a block, one step deeper. */
function indentFor(neighbour: string, inside: boolean): string {
  const own = /^\s*/.exec(neighbour)?.[0] ?? '';
  if (!inside || !/\{\s*(?:#.*)?$/.test(neighbour)) return own;
  return own + (own.includes('\t') ? '\t' : '    ');
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
