import { execa } from 'execa';

/** Runs a program and hands on each line of both its outputs as it comes, until it ends or the signal aborts. Exit code; null when aborted. */
export async function streamLines(
  argv: readonly string[],
  options: { readonly signal: AbortSignal; readonly onLine: (line: string) => void },
): Promise<number | null> {
  const [program = '', ...args] = argv;
  const child = execa(program, args, {
    stdin: 'ignore',
    all: true,
    buffer: false,
    reject: false,
    cancelSignal: options.signal,
  });
  let pending = '';
  child.all.setEncoding('utf8');
  child.all.on('data', (chunk: string) => {
    const lines = (pending + chunk).split('\n');
    pending = lines.pop() ?? '';
    for (const line of lines) options.onLine(line);
  });
  const { exitCode } = await child;
  if (pending !== '') options.onLine(pending);
  return exitCode ?? null;
}
