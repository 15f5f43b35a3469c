/**
 * One line of the server log for a person: time, level, event, then the
 * fields. Lines that are not our JSON (a Node.js crash, for instance) stay as
 * they are. Control characters are shown, never executed by the terminal.
 */
export function formatLogLine(line: string): string {
  const entry = parseEntry(line);
  if (entry === null) return visible(line);
  const { time, level, event, ...fields } = entry;
  const clock = typeof time === 'string' ? time.slice(11, 23) : '';
  const facts = Object.entries(fields).map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  return visible([clock, String(level ?? '').padEnd(5), String(event ?? ''), ...facts].join(' ').trimEnd());
}

function parseEntry(line: string): Record<string, unknown> | null {
  if (!line.startsWith('{')) return null;
  try {
    const parsed: unknown = JSON.parse(line);
    return typeof parsed === 'object' && parsed !== null && 'event' in parsed ? (parsed as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

function visible(text: string): string {
  return text.replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
}
