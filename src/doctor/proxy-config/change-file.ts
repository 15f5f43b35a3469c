import { redactText } from '../../deployment/redact-text.ts';
import { shellWord } from '../checks/shell-word.ts';

/** A change of a configuration file as it is shown, and what to run. */
export interface FileChange {
  /** Applies with `patch -p0 -d /`; left out where it would show a secret. */
  readonly diff?: string;
  readonly commands: readonly string[];
}

const contextLines = 2;

/**
 * A unified diff from one text of a file to another that differs in one place. A line that holds a secret is not shown: as
 * context it is left out, and where it is what changes a command takes it out by its number.
 */
export function changeFile(file: string, before: string, after: string, commands: readonly string[]): FileChange {
  const [old, now] = [linesOf(before), linesOf(after)];
  const same = countAlike(old, now);
  const alike = countAlike(old.slice(same).toReversed(), now.slice(same).toReversed());
  const removed = old.slice(same, old.length - alike);
  const added = now.slice(same, now.length - alike);
  const [hidden, hiddenNow] = [secretLines(before), secretLines(after)];
  if (removed.some((_, index) => hidden.has(same + index)) || added.some((_, index) => hiddenNow.has(same + index))) {
    if (added.length > 0) return { commands };
    const range = removed.length === 1 ? String(same + 1) : `${same + 1},${same + removed.length}`;
    return { commands: [`sed -i ${range}d ${shellWord(file)}`, ...commands] };
  }
  const head: string[] = [];
  for (let at = same - 1; at >= 0 && head.length < contextLines && !hidden.has(at); at -= 1)
    head.unshift(old[at] ?? '');
  const tail: string[] = [];
  for (let at = old.length - alike; at < old.length && tail.length < contextLines && !hidden.has(at); at += 1) {
    tail.push(old[at] ?? '');
  }
  const start = same - head.length + 1;
  const countOf = (changed: readonly string[]): number => head.length + changed.length + tail.length;
  const hunk = [
    ...head.map((line) => ` ${line}`),
    ...removed.map((line) => `-${line}`),
    ...added.map((line) => `+${line}`),
    ...tail.map((line) => ` ${line}`),
  ];
  // Without context a hunk that only adds names the line before it.
  const from = countOf(removed) === 0 ? start - 1 : start;
  const header = `@@ -${from},${countOf(removed)} +${start},${countOf(added)} @@`;
  return { diff: [`--- ${file}`, `+++ ${file}`, header, ...hunk.flatMap(marked)].join('\n'), commands };
}

/** Of a last line without a line break, which a diff says in a line of its own. */
const noBreak = '\0';

/** Lines without their breaks; the last one is marked when it has none. */
function linesOf(text: string): readonly string[] {
  const lines = text.split('\n');
  const last = lines.pop() ?? '';
  return last === '' ? lines : [...lines, last + noBreak];
}

function marked(line: string): readonly string[] {
  return line.endsWith(noBreak) ? [line.slice(0, -noBreak.length), String.raw`\ No newline at end of file`] : [line];
}

function countAlike(one: readonly string[], other: readonly string[]): number {
  const differs = one.findIndex((line, index) => line !== other[index]);
  return differs === -1 ? one.length : differs;
}

/** Empty values, variables of nginx, HAProxy and Caddy, and names of headers that are only taken off. */
const harmless =
  /""|''|\$\{?\w+\}?|%\[[^\]]*\]|\{[\w.$]+\}|\b(?:del-header|proxy_hide_header)\s+\S+|\s-[\w-]+|"(?:authorization|x-api-key|cookie|set-cookie)"(?!\s*:)/gi;
/** A name and its value, which in JSON may stand on the next line; a path that ends in .key has none. */
const namedSecret =
  /[\w-]*(?:key|token|secret|passw|cookie|credential)[\w-]*["']?(?:[ \t]*[:=[][\s:=[]*|[ \t]+)["']?[^\s"';{}/[]{6}/gi;

/** Which lines, from 0, hold what nobody else should read. Rather too many than too few. */
function secretLines(text: string): ReadonlySet<number> {
  const rest = text.replaceAll(harmless, (found) => found.replaceAll(/\S/g, ' '));
  const lineAt = (offset: number): number => rest.slice(0, offset).split('\n').length - 1;
  const named = [...rest.matchAll(namedSecret)].map((match) => lineAt(match.index + match[0].length));
  const formed = rest.split('\n').flatMap((line, index) => (redactText(line, []) === line ? [] : [index]));
  return new Set([...named, ...formed]);
}
