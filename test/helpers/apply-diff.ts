/** What `patch` does with a unified diff of one hunk; throws when a line is not as the diff says. */
export function applyDiff(path: string, text: string, diff: string): string {
  const [before, after, head = '', ...hunk] = diff.split('\n');
  if (before !== `--- ${path}` || after !== `+++ ${path}`) return text;
  const start = Number(/^@@ -(\d+)/.exec(head)?.[1]);
  const lines = text.split('\n');
  const out = lines.slice(0, start - 1);
  let at = start - 1;
  for (const line of hunk) {
    const said = line.slice(1);
    if (line.startsWith('+')) {
      out.push(said);
      continue;
    }
    if (lines[at] !== said) throw new Error(`line ${at + 1} of ${path} is "${lines[at]}", the diff says "${said}"`);
    if (line.startsWith(' ')) out.push(said);
    at += 1;
  }
  return [...out, ...lines.slice(at)].join('\n');
}
