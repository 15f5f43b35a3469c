/**
 * Text from outside as words of Markdown (GFM): no markup, no HTML, no link, and no mention of a person or an issue where
 * that notifies somebody. On one line.
 */
export function quoteMarkdown(text: string): string {
  return oneLine(text)
    .replaceAll(/[\\`*_{}[\]<>|~!&$]/g, String.raw`\$&`)
    .replaceAll(/^[-+#=]/g, String.raw`\$&`)
    .replaceAll(/^(\d+)([.)])(?=\s)/g, String.raw`$1\$2`)
    .replaceAll(/(?<=[a-z]):(?=\/\/)/gi, String.raw`\:`)
    .replaceAll(/(?<=www)\./gi, String.raw`\.`)
    .replaceAll(/[@#](?=\w)/g, '$&<!-- -->');
}

/** A code span, also within a cell of a table: its fence is longer than any run of backticks inside. */
export function quoteMarkdownCode(text: string): string {
  const line = oneLine(text).replaceAll('|', String.raw`\|`);
  if (line === '') return '';
  const fence = '`'.repeat(longestRun(line) + 1);
  const pad = line.startsWith('`') || line.endsWith('`') ? ' ' : '';
  return `${fence}${pad}${line}${pad}${fence}`;
}

/** A block of code in a language, as lines of its own. */
export function quoteMarkdownBlock(text: string, language: string): string {
  const fence = '`'.repeat(Math.max(3, longestRun(text) + 1));
  return `${fence}${language}\n${text.trimEnd()}\n${fence}`;
}

function longestRun(text: string): number {
  return Math.max(0, ...Array.from(text.matchAll(/`+/g), ([run]) => run.length));
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim();
}
