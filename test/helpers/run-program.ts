import { execFile } from 'node:child_process';

/** As the port of the command line does. */
export function runProgram(
  argv: readonly string[],
  timeoutMs: number,
): Promise<{ exitCode: number | null; output: string }> {
  return new Promise((done) => {
    const [program = '', ...args] = argv;
    execFile(program, args, { encoding: 'utf8', timeout: timeoutMs, maxBuffer: 16_777_216 }, (error, output) => {
      done({ exitCode: error === null ? 0 : typeof error.code === 'number' ? error.code : null, output });
    });
  });
}
