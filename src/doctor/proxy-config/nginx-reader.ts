import type { ProxyConfigSeen } from '../observations.ts';
import { effective, effectiveList, type NginxScope } from './nginx-scope.ts';
import type { NginxDirective } from './parse-nginx.ts';
import { diffOf, type LineChange, type Suspect } from './suspect.ts';

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
      /** Lines in place of the directive; put into the location when there is none. */
      readonly lines: readonly string[];
    },
  ): Suspect {
    const { lines, observed, ...rest } = words;
    const place = found ?? this.scope.location ?? (this.scope.levels.at(-1) as NginxDirective);
    const change: LineChange = found === null ? { insert: lines } : { replace: lines };
    return {
      ...rest,
      file: place.file,
      line: place.line,
      observed: observed ?? (found === null ? 'not set' : textOfDirective(found)),
      diff: diffOf(this.#files, place, change),
      commands,
    };
  }
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
