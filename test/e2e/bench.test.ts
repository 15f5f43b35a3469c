import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { documentOf, runBin, withFolder } from '../helpers/cli.ts';

interface Document {
  readonly ok: boolean;
  readonly interrupted: boolean;
  readonly cautions: readonly string[];
  readonly runs: readonly {
    readonly calls: number;
    readonly rateLimited: number;
    readonly latency: { readonly p99Ms: number } | null;
    readonly steps?: readonly { readonly connections: number; readonly calls: number }[];
  }[];
}

test('bench measures the deployment of its folder, says what its limit did, and loads nobody else', async () => {
  await withFolder(async (cwd) => {
    const bench = (...args: string[]) => runBin(['bench', ...args], { cwd });
    expect(await bench()).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('There is no deployment in this folder to measure.'),
    });
    const { url } = documentOf<{ url: string }>(await runBin(['up', '--json'], { cwd }));

    const text = await bench('--calls', '30', '--warm-up', '0', '--connections', '2');
    expect(text).toMatchObject({ exitCode: 0 });
    expect(text.stdout).toMatch(/Load {8}tools\/call echo, modern era, 2 connections/);
    expect(text.stdout).toMatch(/✓ 30 right/);
    expect(text.stdout).toMatch(/p50 .* p90 .* p95 .* p99 .* max /);
    expect(text.stdout).toContain('█');

    // What is left of 120 at once, and then 20 a second.
    const limited = documentOf<Document>(
      await bench('--json', '--duration', '1', '--rate', '500', '--warm-up', '0', '--connections', '4'),
    );
    expect(limited.ok).toBe(true);
    expect(limited.runs[0]?.rateLimited).toBeGreaterThan(0);
    expect(limited.cautions.join('\n')).toContain('keys create bench --tier bench');

    // Lists are free, so this one is not held back.
    writeFileSync(join(cwd, 'wrong.key'), 'wrong\r\n');
    for (const [args, exitCode, said] of [
      [['https://mcp.example.com/mcp'], 2, 'is not the deployment of this folder'],
      [['--connections', '5000'], 2, 'is not between 1 and 1000'],
      [['--tool', 'echo', '--arguments', '{'], 2, 'is not an object in JSON'],
      [['--arguments', '{}'], 2, 'none is named'],
      [['--key-file', 'no.key'], 2, '--key-file no.key is not there'],
      [['--key-file', 'wrong.key'], 3, 'The key is not accepted'],
      [['http://127.0.0.1:1/mcp', '--i-run-this-server'], 3, 'Nothing listens at 127.0.0.1:1'],
    ] as const) {
      const { stderr, ...ended } = await bench(...args);
      expect({ args, exitCode: ended.exitCode, said: stderr.includes(said) }).toEqual({ args, exitCode, said: true });
      expect(stderr).toMatch(/^ {2}next {4}\S/m);
    }

    // Its own address is its own, however it is written.
    const own = url.replace('localhost', '127.0.0.1');
    const stepwise = documentOf<Document>(
      await bench(own, '--json', '--until-saturated', '--connections', '2', '--duration', '1', '--warm-up', '0'),
    );
    expect(stepwise.runs[0]?.steps?.[0]?.connections).toBe(1);

    let seen = '';
    const cut = await runBin(['bench', '--json', '--duration', '60', '--warm-up', '0'], {
      cwd,
      onStart: (child) => {
        child.stderr?.on('data', (part: string) => {
          seen += part;
          // The look is over; the load goes on until it is told to end.
          if (seen.includes('Ctrl-C ends it')) setTimeout(() => child.kill('SIGINT'), 1_000);
        });
      },
    });
    expect(documentOf<Document>(cut, 130)).toMatchObject({ interrupted: true, ok: false });
  });
}, 120_000);
