/** Breaks at spaces into lines of at most so many columns; a longer word is cut. */
export function wrapText(text: string, columns: number): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/).flatMap((whole) => piecesOf(whole, columns))) {
    if (line !== '' && line.length + 1 + word.length > columns) {
      lines.push(line);
      line = '';
    }
    line = line === '' ? word : `${line} ${word}`;
  }
  if (line !== '') lines.push(line);
  return lines;
}

function piecesOf(word: string, columns: number): readonly string[] {
  const pieces: string[] = [];
  for (let start = 0; start < word.length; start += columns) pieces.push(word.slice(start, start + columns));
  return pieces;
}
