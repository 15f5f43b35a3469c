/** Frames of a stack, as Node and Python write them. */
const frame = /^\s+(?:at |File ")|^\s*\.\.\. \d+ lines matching/;
/** What stands around an error and says nothing of it: code with a caret, heads of stacks, properties, versions, where a log is. */
const noise =
  /^\s*(?:[\^~]+|throw .*|[[\]{}(),;]*)$|^(?:node:|file:|\/)\S*:\d+$|^Node\.js v\d|^Traceback |^During handling of |^The above exception |^Emitted 'error' event|^\s+(?:code|errno|syscall|address|port|path|requireStack|spawnargs): |^(?:npm (?:error|ERR!))(?: \d{3}| (?:code|errno|syscall|path) .*| A complete log .*)?\s*$|^\[?note: run with `RUST_BACKTRACE/;
/** Unindented, so that the cause within another error is not taken for it. */
const strong =
  /^(?:Uncaught )?(?:[A-Za-z_][\w.]*\.)?(?:[A-Z]\w*)?(?:Error|Exception)(?: \[\w+\])?(?::|$)|^Exception in thread |^\s*[×x] No solution found|error while loading shared libraries|^panic: |^thread '.*' panicked|No module named /;
const npm = /^npm (?:error|ERR!) /;
const weak = /\b(?:error|fatal|cannot|could not|failed|not found|denied|missing|required|no such|must be|not set)\b/i;

/**
 * The lines that say why a program ended, from its last lines on standard error: the error with what follows it, without the
 * frames, code and versions that Node, Python and npm write around it; the last lines where none of them looks like an error.
 * Pure.
 */
export function tellingWords(lines: readonly string[], most = 3): readonly string[] {
  const said = lines.filter((line) => !isNoise(line));
  const at = [
    () => said.findLastIndex((line) => strong.test(line)),
    // npm says first what is wrong, then what one could do.
    () => said.findIndex((line) => npm.test(line)),
    () => said.findLastIndex((line) => weak.test(line)),
  ].reduce((found, look) => (found === -1 ? look() : found), -1);
  if (at !== -1) return said.slice(at, at + most);
  return (said.length > 0 ? said : lines).slice(-most);
}

/** Whether a line is a frame of a stack: the first to be forgotten where not all lines can be kept. Pure. */
export function isStackFrame(line: string): boolean {
  return frame.test(line);
}

function isNoise(line: string): boolean {
  return line.trim() === '' || frame.test(line) || noise.test(line);
}
