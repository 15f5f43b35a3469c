/** Fields that every log line has and that are said in another way. */
const framing: ReadonlySet<string> = new Set(['time', 'level', 'event', 'msg', 'message', 'pid', 'hostname']);
const longestLine = 400;

/**
 * The last lines of a log as a person reads them. The server writes one JSON
 * document a line; whatever else is in between (a stack trace, a child's
 * words) is kept as it is, without control characters.
 */
export function describeLogTail(text: string, lines = 20): readonly string[] {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .slice(-lines)
    .map(describeLogLine);
}

/** `12:03:04 error upstream-exit upstream=files code=1` for a JSON line. */
export function describeLogLine(line: string): string {
  const record = parseRecord(line);
  if (record === null) return printable(line);
  const time = typeof record['time'] === 'string' ? [record['time'].replace(/^.*T(\d\d:\d\d:\d\d).*$/, '$1')] : [];
  const words = ['level', 'event', 'msg', 'message'].flatMap((name) =>
    typeof record[name] === 'string' ? [record[name]] : [],
  );
  const facts = Object.entries(record)
    .filter(([name]) => !framing.has(name))
    .map(([name, value]) => `${name}=${typeof value === 'string' ? quoted(value) : JSON.stringify(value)}`);
  return printable([...time, ...words, ...facts].join(' '));
}

function parseRecord(line: string): Record<string, unknown> | null {
  if (!line.startsWith('{')) return null;
  try {
    const value = JSON.parse(line) as unknown;
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

function quoted(value: string): string {
  return /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
}

/** A log may hold what a stranger sent: it must not move the cursor or colour the terminal. */
export function printable(line: string): string {
  const clean = line.replaceAll('\t', '  ').replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, '');
  return clean.length > longestLine ? `${clean.slice(0, longestLine)}…` : clean;
}
