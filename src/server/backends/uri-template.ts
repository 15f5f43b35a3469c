/** What a URI must consist of to come from a template: literal parts in order, with anything between them. */
export interface UriPattern {
  readonly literals: readonly string[];
}

/**
 * Reads an RFC 6570 template for routing only: an expression stands for any
 * text. No regular expression is built, so that no template and no URI can
 * make matching slow.
 */
export function parseUriTemplate(template: string): UriPattern {
  return { literals: template.split(/\{[^{}]*\}/) };
}

/** Number of literal characters when the URI fits the pattern, -1 when it does not: the larger, the closer the fit. */
export function matchUri(pattern: UriPattern, uri: string): number {
  const { literals } = pattern;
  const first = literals[0] ?? '';
  const last = literals.at(-1) ?? '';
  if (literals.length === 1) return uri === first ? first.length : -1;
  if (!uri.startsWith(first) || !uri.endsWith(last) || uri.length < first.length + last.length) return -1;
  const end = uri.length - last.length;
  let at = first.length;
  let fit = first.length + last.length;
  for (const literal of literals.slice(1, -1)) {
    const found = uri.indexOf(literal, at);
    if (found === -1 || found + literal.length > end) return -1;
    at = found + literal.length;
    fit += literal.length;
  }
  return fit;
}
