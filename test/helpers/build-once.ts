import { execFileSync } from 'node:child_process';

/** Tests run what users run: the built files. Set SKIP_BUILD=1 to reuse dist/ while working. */
export default function buildOnce(): void {
  if (process.env['SKIP_BUILD'] === '1') return;
  execFileSync(process.execPath, ['scripts/build.mjs'], { cwd: new URL('../..', import.meta.url), stdio: 'inherit' });
}
