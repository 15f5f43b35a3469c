import type { ProxyConfigSeen } from '../observations.ts';
import { effective, effectiveList, type NginxScope } from './nginx-scope.ts';
import type { NginxDirective } from './parse-nginx.ts';
import { changeFile } from './change-file.ts';
import type { Suspect } from './suspect.ts';

/** Try, then load, what was changed. */
const commands: readonly string[] = ['nginx -t', 'nginx -s reload'];

/** Finds directives of one scope and says what to change in them. */
export class NginxReader {
  readonly scope: NginxScope;
  readonly #files: ProxyConfigSeen['files'];

  constructor(files: ProxyConfigSeen['files'], scope: NginxScope) {
    this.#files = files;
    this.scope = scope;
  }

  get(name: string): NginxDirective | null {
    return effective(this.scope, name);
  }

  list(name: string): readonly NginxDirective[] {
    return effectiveList(this.scope, name);
  }

  /** The directive as it is, or the block that lacks it. */
  suspect(
    found: NginxDirective | null,
    words: Pick<Suspect, 'code' | 'expected' | 'cause' | 'summary'> & {
      readonly observed?: string;
      /** Lines in place of the directive; put into the location when there is none. Null: what belongs there is not known. */
      readonly lines: readonly string[] | null;
    },
  ): Suspect {
    const { lines, observed, ...rest } = words;
    const place = found ?? this.scope.location ?? (this.scope.levels.at(-1) as NginxDirective);
    const text = this.#files.find(({ path }) => path === place.file)?.text ?? '';
    const change =
      lines === null
        ? { commands }
        : changeFile(place.file, text, (found === null ? insertIn : replaceIn)(place, text, lines), commands);
    return {
      ...rest,
      file: place.file,
      line: place.line,
      observed: observed ?? (found === null ? 'not set' : textOfDirective(found)),
      ...change,
    };
  }
}

/** Other directives in the place of one, of which there may be more on its line. */
function replaceIn({ from, to }: NginxDirective, text: string, lines: readonly string[]): string {
  const start = text.lastIndexOf('\n', from - 1) + 1;
  const before = text.slice(start, from);
  const alone = before.trim() === '';
  if (lines.length > 0) {
    return text.slice(0, from) + lines.join(alone ? `\n${before}` : ' ') + text.slice(to);
  }
  const [rest = ''] = /^[ \t]*(?:#[^\n]*)?(?:\r?\n|$)/.exec(text.slice(to)) ?? [];
  if (alone && rest !== '') return text.slice(0, start) + text.slice(to + rest.length);
  return text.slice(0, from) + text.slice(to).replace(/^[ \t]+/, '');
}

/** Directives as the first of a block, one step deeper than the line that opens it. */
function insertIn({ from, to }: NginxDirective, text: string, lines: readonly string[]): string {
  const start = text.lastIndexOf('\n', from - 1) + 1;
  const [rest] = /^[ \t]*(?:#[^\n]*)?(?=\r?\n)/.exec(text.slice(to)) ?? [];
  if (rest === undefined) return `${text.slice(0, to)} ${lines.join(' ')}${text.slice(to)}`;
  const own = /^[ \t]*/.exec(text.slice(start, from))?.[0] ?? '';
  const deeper = own + (own.includes('\t') ? '\t' : '    ');
  const end = to + rest.length;
  return text.slice(0, end) + lines.map((line) => `\n${deeper}${line}`).join('') + text.slice(end);
}

/** The directive of that name in a block; null when it is not there. */
export function hasDirective(block: readonly NginxDirective[], name: string): NginxDirective | null {
  return block.find((directive) => directive.name === name) ?? null;
}

/** A directive as it is written. */
export function textOfDirective({ name, args }: NginxDirective): string {
  const words = args.map((arg) => (arg === '' || /[\s;{}]/.test(arg) ? `"${arg}"` : arg));
  return `${[name, ...words].join(' ')};`;
}
