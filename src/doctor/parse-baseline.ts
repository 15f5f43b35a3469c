import { z } from 'zod';
import { UserError } from '../deployment/errors.ts';
import { nearestWord } from '../deployment/nearest-word.ts';
import { offsetsOf, readYamlText } from '../deployment/read-yaml-text.ts';
import { catalogue } from './checks/catalogue.ts';
import { printable } from './printable.ts';
import { hops, type Hop } from './types.ts';

/** A finding that somebody has looked at and lives with for a while. */
export interface BaselineEntry {
  readonly code: string;
  readonly hop: Hop;
  /** The places that evidence may name; a finding that is also seen elsewhere is a new one. */
  readonly where: readonly string[];
  readonly reason: string;
  /** YYYY-MM-DD: the last day on which it holds. */
  readonly expires: string;
  /** In the file, from 1. */
  readonly line: number;
}

const entrySchema = z.strictObject({
  code: z.string(),
  hop: z.enum(hops),
  where: z.array(z.string().min(1).max(4_000)).min(1).max(100),
  reason: z.string().trim().min(1).max(500),
  expires: z.string().refine(isDay),
});

const baselineSchema = z.strictObject({ version: z.literal(1), accepted: z.array(entrySchema).max(500) });

/**
 * Reads a file of accepted findings (YAML).
 * @throws UserError with the line of everything that is wrong with it.
 */
export function parseBaseline(text: string, file: string): readonly BaselineEntry[] {
  const yaml = readYamlText(text);
  const problems = yaml.problems.map(({ offset, message }) => ({ line: yaml.position(offset).line, message }));
  const lineOf = (path: readonly (string | number)[]): number =>
    yaml.position(offsetsOf(yaml.document, path).value).line;
  if (problems.length === 0) {
    const parsed = baselineSchema.safeParse(yaml.data);
    if (parsed.success) {
      const entries = parsed.data.accepted.map((entry, index) => ({ ...entry, line: lineOf(['accepted', index]) }));
      problems.push(...judgeEntries(entries));
      if (problems.length === 0) return entries;
    } else {
      problems.push(
        ...parsed.error.issues.map(({ path, code, message, ...issue }) => {
          const at = path.map((part) => (typeof part === 'number' ? part : String(part)));
          const unknown = code === 'unrecognized_keys' && 'keys' in issue ? issue.keys[0] : undefined;
          return {
            line: lineOf(unknown === undefined ? at : [...at, unknown]),
            message: unknown === undefined ? sentenceFor(at, message) : `${quote(unknown)} is no setting of a baseline`,
          };
        }),
      );
    }
  }
  const shown = problems.slice(0, 10).map(({ line, message }) => `${file}:${line}  ${printable(message)}`);
  throw new UserError(`The baseline ${file} cannot be used.`, {
    why: 'A finding that is accepted by mistake is not seen again.',
    excerpt: problems.length > shown.length ? [...shown, `and ${problems.length - shown.length} more`] : shown,
    next: 'Mend the lines, or write it anew: mcp-deploy doctor --write-baseline FILE --reason TEXT',
  });
}

function judgeEntries(entries: readonly BaselineEntry[]): readonly { line: number; message: string }[] {
  const codes = catalogue.map(({ code }) => code);
  return entries.flatMap(({ code, hop, where, line }, index) => {
    if (!codes.includes(code)) {
      const near = nearestWord(code, codes);
      return [
        { line, message: `${quote(code)} is no code of a finding${near === null ? '' : `; did you mean ${near}?`}` },
      ];
    }
    const same = entries
      .slice(0, index)
      .find((earlier) => earlier.code === code && earlier.hop === hop && sameSet(earlier.where, where));
    return same === undefined ? [] : [{ line, message: `the same as line ${same.line}` }];
  });
}

const sentences: Readonly<Record<string, string>> = {
  version: 'version must be 1',
  accepted: 'accepted must be a list of at most 500 findings',
  code: 'code must be the code of a finding',
  hop: `hop must be one of ${hops.join(', ')}`,
  where: 'where must be a list of the places that the finding names',
  reason: 'reason must say why, in at most 500 characters',
  expires: 'expires must be a day, for example 2027-01-31',
};

function sentenceFor(path: readonly (string | number)[], message: string): string {
  const name = path.findLast((part) => typeof part === 'string');
  return typeof path.at(-1) === 'number' && name === 'accepted'
    ? 'must be a map with code, hop, where, reason and expires'
    : (sentences[name ?? ''] ?? (path.length === 0 ? 'must be a map with version: 1 and accepted' : message));
}

function isDay(text: string): boolean {
  return /^\d{4}-\d{2}-\d{2}$/.test(text) && new Date(`${text}T00:00:00Z`).toJSON()?.slice(0, 10) === text;
}

function sameSet(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((member) => other.includes(member));
}

function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}
