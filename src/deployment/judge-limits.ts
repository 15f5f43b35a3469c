import type { MeaningProblem } from './judge-texts.ts';
import type { RateLimit } from './limits-schema.ts';
import type { Deployment } from './schema.ts';
import type { SettingPath } from './setting-path.ts';

/** What of `limits` contradicts itself. */
export function judgeLimits({ limits }: Deployment): readonly MeaningProblem[] {
  const { perKey, freePerKey, global, perAddress } = limits;
  const rates: (readonly [SettingPath, RateLimit | 'off' | undefined])[] = [
    ...Object.entries({ perKey, freePerKey, global, perAddress }).map(([name, rate]) => [[name], rate] as const),
    ...Object.entries(limits.tiers).flatMap(([tier, own]) =>
      [['perKey', own.perKey] as const, ['freePerKey', own.freePerKey] as const].map(
        ([name, rate]) => [['tiers', tier, name], rate] as const,
      ),
    ),
    ...Object.entries(limits.perTool).map(([tool, { rate }]) => [['perTool', tool, 'rate'], rate] as const),
  ];
  const problems: MeaningProblem[] = [];
  for (const [path, rate] of rates) {
    if (rate === undefined || rate === 'off' || rate.form !== 'fixed-window' || rate.burst === undefined) continue;
    const message = 'has no meaning for a fixed window: all its calls may come at once';
    problems.push({ path: ['limits', ...path, 'burst'], at: 'key', message, hint: 'remove it' });
  }
  for (const [tool, { rate, concurrency }] of Object.entries(limits.perTool)) {
    if (rate !== 'off' || concurrency !== undefined) continue;
    problems.push({
      path: ['limits', 'perTool', tool],
      at: 'key',
      message: 'limits nothing',
      hint: 'set rate or concurrency',
    });
  }
  return problems;
}
