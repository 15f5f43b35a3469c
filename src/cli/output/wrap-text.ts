/**
 * Words in lines of at most so many columns; a word that is longer has a line of its own.
 * @param options.indent columns in front of every line
 * @param options.hang columns more in front of every line but the first
 */
export function wrapText(
  text: string,
  { columns, indent, hang = 0 }: { readonly columns: number; readonly indent: number; readonly hang?: number },
): string {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    const room = columns - indent - (lines.length === 0 ? 0 : hang);
    if (line !== '' && line.length + 1 + word.length > room) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line].map((each, index) => ' '.repeat(indent + (index === 0 ? 0 : hang)) + each).join('\n');
}

/** Every line that is longer than the columns in several, the others as they are; what is aligned stays so in the first. */
export function wrapLines(text: string, columns: number): string {
  return text
    .split('\n')
    .map((line) => {
      if (line.length <= columns) return line;
      const words = line.trimStart();
      const indent = line.length - words.length;
      return wrapText(words, { columns, indent, hang: 4 }).replaceAll(/ +$/gm, '');
    })
    .join('\n');
}
