import type { ProxyConfigSeen } from '../observations.ts';

/** One directive of nginx with its place; `block` is null for a simple one. */
export interface NginxDirective {
  readonly name: string;
  readonly args: readonly string[];
  readonly block: readonly NginxDirective[] | null;
  readonly file: string;
  readonly line: number;
  /** Where it begins, and ends with its semicolon or the brace that opens its block: offsets in the text of the file. */
  readonly from: number;
  readonly to: number;
}

interface Token {
  readonly text: string;
  readonly line: number;
  /** Offsets of its first character, and behind its last. */
  readonly from: number;
  readonly to: number;
  readonly quoted: boolean;
}

/** Deeper includes go in circles. */
const maxDepth = 16;

/**
 * Directives of the main file (the first), includes put in their place when
 * their files are among those given. What cannot be read is left out: the
 * program itself says what is wrong with it.
 */
export function parseNginx(files: ProxyConfigSeen['files']): readonly NginxDirective[] {
  const [main] = files;
  return main === undefined ? [] : parseFile(main, files, 0);
}

function parseFile(
  { path, text }: ProxyConfigSeen['files'][number],
  files: ProxyConfigSeen['files'],
  depth: number,
): readonly NginxDirective[] {
  const tokens = tokensOf(text);
  let at = 0;
  const parseBlock = (): NginxDirective[] => {
    const directives: NginxDirective[] = [];
    let words: Token[] = [];
    while (at < tokens.length) {
      const token = tokens[at] as Token;
      at += 1;
      if (!token.quoted && token.text === '}') return directives;
      if (!token.quoted && (token.text === ';' || token.text === '{')) {
        const [name, ...args] = words;
        words = [];
        const block = token.text === '{' ? parseBlock() : null;
        if (name === undefined) continue;
        const place = { file: path, line: name.line, from: name.from, to: token.to };
        const directive = { name: name.text, args: args.map((arg) => arg.text), block, ...place };
        if (name.text === 'include' && depth < maxDepth) {
          directives.push(...includesOf(directive.args[0] ?? '', path, files, depth));
        } else directives.push(directive);
        continue;
      }
      words.push(token);
    }
    return directives;
  };
  return parseBlock();
}

function includesOf(
  pattern: string,
  from: string,
  files: ProxyConfigSeen['files'],
  depth: number,
): readonly NginxDirective[] {
  const [main] = files;
  const folder = (main?.path ?? from).replace(/[^/]*$/, '');
  const wanted = globToRegex(pattern.startsWith('/') ? pattern : folder + pattern);
  return files
    .filter(({ path }) => path !== from && wanted.test(path))
    .flatMap((file) => parseFile(file, files, depth + 1));
}

/** Only the star and the question mark, within one folder, as nginx itself expands them. */
export function globToRegex(pattern: string): RegExp {
  const source = pattern.replaceAll(/[.*+?^${}()|[\]\\]/g, (char) =>
    char === '*' ? '[^/]*' : char === '?' ? '[^/]' : `\\${char}`,
  );
  return new RegExp(`^${source}$`);
}

function tokensOf(text: string): readonly Token[] {
  const tokens: Token[] = [];
  let line = 1;
  let at = 0;
  while (at < text.length) {
    const char = text[at] as string;
    if (char === '\n') line += 1;
    if (/\s/.test(char)) {
      at += 1;
    } else if (char === '#') {
      while (at < text.length && text[at] !== '\n') at += 1;
    } else if (char === ';' || char === '{' || char === '}') {
      tokens.push({ text: char, line, from: at, to: at + 1, quoted: false });
      at += 1;
    } else if (char === '"' || char === "'") {
      const startedAt = { line, from: at };
      let value = '';
      at += 1;
      while (at < text.length && text[at] !== char) {
        if (text[at] === '\\' && at + 1 < text.length) at += 1;
        if (text[at] === '\n') line += 1;
        value += text[at];
        at += 1;
      }
      at += 1;
      tokens.push({ text: value, ...startedAt, to: at, quoted: true });
    } else {
      let value = '';
      const from = at;
      // A brace within a word belongs to it when a variable is written ${name}.
      while (at < text.length && !/[\s;{}]/.test(text[at] as string)) {
        if (text[at] === '$' && text[at + 1] === '{') {
          const end = text.indexOf('}', at);
          const stop = end === -1 ? text.length : end + 1;
          value += text.slice(at, stop);
          at = stop;
        } else {
          if (text[at] === '\\' && at + 1 < text.length) {
            value += text[at];
            at += 1;
          }
          value += text[at];
          at += 1;
        }
      }
      tokens.push({ text: value, line, from, to: at, quoted: false });
    }
  }
  return tokens;
}
