import { isIP } from 'node:net';
import { isDnsName } from '../deployment/host-name.ts';
import { parseListenAddress } from '../deployment/listen-address.ts';
import { listenAddress } from '../deployment/listen-schema.ts';
import type { Deployment, RateLimit } from '../deployment/schema.ts';

/** The value, or what is wrong with the text, as the end of the sentence "It …". */
export type Parsed<Value> = { readonly value: Value } | { readonly problem: string };

/** `host:port`, `:port` or `unix:/path`. */
export function parseAddress(text: string): Parsed<string> {
  const problem = 'is no address like 127.0.0.1:8080, localhost:8080, [::1]:8080 or :8080';
  if (!listenAddress.safeParse(text).success) return { problem };
  const address = parseListenAddress(text);
  if (address.kind === 'unix') return { value: text };
  if (address.port < 1 || address.port > 65_535) return { problem: 'has a port that is not from 1 to 65535' };
  const { host } = address;
  return host === '' || isIP(host) !== 0 || isDnsName(host) ? { value: text } : { problem };
}

export function parsePort(text: string): Parsed<number> {
  const port = wholeNumber(text);
  return port !== null && port >= 1 && port <= 65_535 ? { value: port } : { problem: 'is no port from 1 to 65535' };
}

export function parseCount(text: string, least: number, most: number): Parsed<number> {
  const count = wholeNumber(text);
  if (count !== null && count >= least && count <= most) return { value: count };
  return { problem: `is no whole number from ${least} to ${most}` };
}

export function parseSwitch(text: string): Parsed<boolean> {
  const lower = text.toLowerCase();
  if (['true', '1', 'yes', 'on'].includes(lower)) return { value: true };
  if (['false', '0', 'no', 'off'].includes(lower)) return { value: false };
  return { problem: 'is neither true nor false' };
}

/** Calls per second; a fraction becomes calls per minute. 0 is no limit. */
export function parseRate(text: string): Parsed<RateLimit | 'off'> {
  const perSecond = /^\d{1,9}(?:\.\d{1,6})?$/.test(text) ? Number(text) : Number.NaN;
  if (perSecond === 0) return { value: 'off' };
  if (!(perSecond * 60 >= 1) || perSecond > 100_000_000) {
    return { problem: 'is no number of calls per second, and not 0 either' };
  }
  // As many at once as a second brings, as servers with this setting count.
  const burst = Math.ceil(perSecond);
  if (Number.isInteger(perSecond)) return { value: { requests: perSecond, windowSeconds: 1, burst } };
  return { value: { requests: Math.round(perSecond * 60), windowSeconds: 60, burst } };
}

const unitSeconds: Readonly<Record<string, number>> = { ms: 0.001, s: 1, m: 60, h: 3_600 };

/**
 * A length of time in seconds: a number with ms, s, m or h, or a bare number.
 * @param bareUnit seconds that a number without unit counts in
 */
export function parseSeconds(text: string, bareUnit: number, least: number, most: number): Parsed<number> {
  const found = /^(\d{1,12}(?:\.\d{1,6})?)\s*(ms|s|m|h)?$/.exec(text);
  const unit = found?.[2] === undefined ? bareUnit : (unitSeconds[found[2]] ?? bareUnit);
  const seconds = found === null ? Number.NaN : Number(found[1]) * unit;
  if (seconds >= least && seconds <= most) return { value: seconds };
  return { problem: `is no length of time from ${least} s to ${most} s, like 30s or 500ms` };
}

/** Bytes: a number with kb, mb or gb (of 1024), or alone. */
export function parseSize(text: string, least: number, most: number): Parsed<number> {
  const found = /^(\d{1,12}(?:\.\d{1,3})?)\s*(b|kb|mb|gb|k|m|g)?$/i.exec(text);
  const power = found?.[2] === undefined ? 0 : 'bkmg'.indexOf(found[2].charAt(0).toLowerCase());
  const bytes = found === null ? Number.NaN : Math.floor(Number(found[1]) * 1_024 ** power);
  if (bytes >= least && bytes <= most) return { value: bytes };
  return { problem: `is no size from ${least} to ${most} bytes, like 512kb or 10mb` };
}

/** Levels of other loggers are taken for the nearest of ours. */
const levels: Readonly<Record<string, Deployment['logs']['level']>> = {
  trace: 'debug',
  debug: 'debug',
  info: 'info',
  notice: 'info',
  warn: 'warn',
  warning: 'warn',
  error: 'error',
  critical: 'error',
  fatal: 'error',
};

export function parseLogLevel(text: string): Parsed<Deployment['logs']['level']> {
  const level = Object.hasOwn(levels, text.toLowerCase()) ? levels[text.toLowerCase()] : undefined;
  return level === undefined ? { problem: 'is not debug, info, warn or error' } : { value: level };
}

/** `NAME=VALUE,NAME=VALUE` as OpenTelemetry writes headers, with values percent-encoded; a `${` in a value is no reference. */
export function parsePairs(text: string): Parsed<Record<string, string>> {
  const pairs: Record<string, string> = {};
  for (const entry of splitList(text)) {
    const found = /^([A-Za-z0-9!#$%&'*+.^_`|~-]+)\s*=\s*(.*)$/.exec(entry);
    try {
      if (found !== null) pairs[found[1] ?? ''] = decodeURIComponent(found[2] ?? '').replaceAll('${', () => '$${');
    } catch {
      return { problem: 'has a value that is not percent-encoded as it should be' };
    }
    if (found === null) return { problem: 'is no list like NAME=VALUE,NAME=VALUE' };
  }
  return { value: pairs };
}

export function parseRatio(text: string): Parsed<number> {
  const ratio = /^(?:0|1|0?\.\d{1,9}|[01]\.\d{1,9})$/.test(text) ? Number(text) : Number.NaN;
  return ratio >= 0 && ratio <= 1 ? { value: ratio } : { problem: 'is no number from 0 to 1' };
}

/** Entries between commas, without the empty ones. */
export function splitList(text: string): string[] {
  return text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
}

function wholeNumber(text: string): number | null {
  return /^\d{1,12}$/.test(text) ? Number(text) : null;
}
