import { execa } from 'execa';
import { EnvironmentError } from '../deployment/errors.ts';
import { printableText } from './acme/printable-text.ts';

/**
 * Ends its program when its own input ends, and that ends with the process that holds the other end: also one that is killed
 * leaves nothing running. (Linux could say so with one flag; macOS could not.)
 */
const guard =
  `const{spawn}=require('node:child_process');const[p,...a]=process.argv.slice(1);` +
  `const c=spawn(p,a,{stdio:['ignore','inherit','inherit']});` +
  `c.on('exit',(s)=>{process.exitCode=s??1;process.stdin.destroy()});` +
  `process.on('SIGTERM',()=>c.kill('SIGTERM'));process.stdin.on('end',()=>c.kill('SIGTERM')).on('error',()=>c.kill('SIGTERM')).resume()`;

/**
 * Runs a program for as long as `use` takes, and ends it.
 *
 * @throws EnvironmentError with its last words when it ends, or says nothing that matches in time
 */
export async function runBeside<T>(
  argv: readonly string[],
  ready: { readonly line: RegExp; readonly timeoutMs: number },
  use: (line: string) => Promise<T>,
): Promise<T> {
  const child = execa(process.execPath, ['-e', guard, ...argv], {
    stdin: 'pipe',
    all: true,
    buffer: false,
    reject: false,
    forceKillAfterDelay: 2_000,
  });
  const said: string[] = [];
  let line: string;
  try {
    line = await new Promise<string>((resolve, reject) => {
      const fail = (why: string): void =>
        reject(
          new EnvironmentError(`This command ${why}: ${argv.join(' ')}`, {
            next: 'Try it by hand, mend what it says, then run the command again.',
            excerpt: said.slice(-5).map(printableText),
          }),
        );
      const timer = setTimeout(() => fail('did not begin in time'), ready.timeoutMs);
      let pending = '';
      child.all.setEncoding('utf8');
      child.all.on('data', (chunk: string) => {
        const lines = (pending + chunk).split('\n');
        pending = lines.pop() ?? '';
        said.splice(0, Math.max(0, said.length - 20));
        for (const each of lines) {
          said.push(each);
          if (!ready.line.test(each)) continue;
          clearTimeout(timer);
          resolve(each);
        }
      });
      child.all.once('end', () => {
        clearTimeout(timer);
        fail('ended at once');
      });
    });
    return await use(line);
  } finally {
    child.stdin.end();
    child.kill('SIGTERM');
    await child;
  }
}
