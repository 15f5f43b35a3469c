import type { ChalkInstance } from 'chalk';
import { diffLines } from '../../plan/line-diff.ts';

/** How many unchanged lines are shown around a change. */
const contextLines = 2;

/** Two texts as the lines that differ, `-` before `+`, with their neighbours; `…` stands for what is left out. */
export function formatChanges(from: string, to: string, style: ChalkInstance | null): string[] {
  const lines = diffLines(from, to);
  const near = lines.map((_, index) =>
    lines.slice(Math.max(0, index - contextLines), index + contextLines + 1).some(({ kind }) => kind !== 'same'),
  );
  const shown: string[] = [];
  lines.forEach(({ kind, text }, index) => {
    const line = printable(text);
    if (kind === 'removed') shown.push(style === null ? `- ${line}` : style.red(`- ${line}`));
    else if (kind === 'added') shown.push(style === null ? `+ ${line}` : style.green(`+ ${line}`));
    else if (near[index] === true) shown.push(`  ${line}`.trimEnd());
    else if (shown.length > 0 && shown.at(-1) !== '…') shown.push('…');
  });
  if (shown.at(-1) === '…') shown.pop();
  return shown;
}

/** A file must not move the cursor of who looks at it. */
function printable(text: string): string {
  return text.replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '\uFFFD');
}
