import { execFileSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { test, type TestFunction } from 'vitest';

const searchPath = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin', '/usr/local/sbin'];

/** Absolute path of a program, also in the sbin folders, or null. */
export function findProgram(name: string): string | null {
  for (const folder of searchPath) {
    if (folder === '') continue;
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // not here
    }
  }
  return null;
}

/**
 * A test that needs real programs. Missing ones skip it on a user's machine,
 * with their names in the title; with REQUIRE_TOOLS=1 (CI) it runs and fails.
 */
export function testWithTools(tools: readonly string[], name: string, run: TestFunction, timeoutMs?: number): void {
  const missing = tools.filter((tool) => findProgram(tool) === null);
  if (missing.length === 0 || process.env['REQUIRE_TOOLS'] === '1') {
    test(
      name,
      async (context) => {
        if (missing.length > 0) throw new Error(`REQUIRE_TOOLS=1 and not installed: ${missing.join(', ')}`);
        await run(context);
      },
      timeoutMs,
    );
    return;
  }
  test.skip(`${name} (needs ${missing.join(', ')})`, () => {});
}

/** Output of a program that must succeed. */
export function runTool(
  name: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): string {
  const path = findProgram(name);
  if (path === null) throw new Error(`${name} is not installed`);
  return execFileSync(path, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], ...options });
}
