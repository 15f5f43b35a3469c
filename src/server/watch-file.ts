import { statSync } from 'node:fs';

/** A look by stat and not by inotify: editors and tools replace files and links in ways that end a watch. */
const lookEveryMs = 500;

/**
 * Calls `changed` when a file is another one and has been the same for two looks: one that is still being written is
 * not read half. A file that is gone is no change; the next one in its place is.
 * @returns ends the watching
 */
export function watchFile(file: string, changed: () => void, everyMs: number = lookEveryMs): () => void {
  let known = look(file);
  let before = known;
  const timer = setInterval(() => {
    const seen = look(file);
    const isStill = seen === before;
    before = seen;
    if (!isStill || seen === known || seen === null) return;
    known = seen;
    changed();
  }, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}

function look(file: string): string | null {
  try {
    const { ino, size, mtimeMs, ctimeMs } = statSync(file);
    return `${ino} ${size} ${mtimeMs} ${ctimeMs}`;
  } catch {
    return null;
  }
}
