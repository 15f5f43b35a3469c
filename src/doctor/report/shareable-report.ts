import type { DoctorReport } from '../types.ts';
import { shownText } from './shown-text.ts';

/**
 * The report as it may be handed to others: every text is bounded and cannot steer what shows it, and the values of the
 * query of the URL, which some servers take for a key, are hidden wherever they occur.
 */
export function shareableReport(report: DoctorReport): DoctorReport {
  const hidden = queryValues(report.target);
  const clean = (text: string): string =>
    shownText(hidden.reduce((rest, value) => rest.replaceAll(value, '[hidden]'), text));
  return mapTexts(report, clean) as DoctorReport;
}

/** As written and decoded, the longest first. Short ones are no secrets, and hiding a 1 everywhere would spoil the report. */
function queryValues(target: string): readonly string[] {
  if (!URL.canParse(target)) return [];
  const { search, searchParams } = new URL(target);
  const written = search
    .slice(1)
    .split('&')
    .map((pair) => pair.slice(pair.indexOf('=') + 1));
  return [...new Set([...written, ...searchParams.values()])]
    .filter((value) => value.length >= 6)
    .toSorted((a, b) => b.length - a.length);
}

/** The same plain data with every text changed. */
export function mapTexts(value: unknown, change: (text: string) => string): unknown {
  if (typeof value === 'string') return change(value);
  if (Array.isArray(value)) return value.map((member) => mapTexts(member, change));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, mapTexts(member, change)]));
}
