import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import type { Deployment } from '../../src/deployment/schema.ts';
import { UserError } from '../../src/deployment/errors.ts';
import { findTarget, targets } from '../../src/targets/index.ts';
import type { Target, TargetInput, TargetName } from '../../src/targets/types.ts';
import { parseDeployment } from '../../src/deployment/parse-deployment.ts';
import { targetInput } from './target-input.ts';

export interface GoldenCase {
  readonly name: string;
  readonly folder: string;
  readonly input: TargetInput;
  /** All, unless the case says which. */
  readonly targets: readonly Target[];
}

/** A dozen files each: only for the cases that are about them. */
const clusterTargets: ReadonlySet<string> = new Set([
  'kubernetes',
  'swarm',
  'systemd-user',
  'systemd-timer',
  'launchd-timer',
  'cron',
  'prometheus',
  'grafana',
  'launchd-daemon',
  'logrotate',
  'firewall',
]);

/** The cases below test/golden/targets: deployment.yaml, and input.yaml for what is not part of a deployment. */
export function goldenCases(): readonly GoldenCase[] {
  const root = fileURLToPath(new URL('../golden/targets', import.meta.url));
  return readdirSync(root)
    .toSorted()
    .map((name) => {
      const folder = join(root, name);
      const rest = existsSync(join(folder, 'input.yaml'))
        ? (parse(read(folder, 'input.yaml')) as Partial<TargetInput> & { targets?: string[] })
        : {};
      const base = targetInput({ version: 1 }, { ...rest, deployment: deploymentOf(folder) });
      const wanted = 'targets' in rest ? rest.targets : undefined;
      return {
        name,
        folder,
        targets: targets.filter(({ name: target }) => wanted?.includes(target) ?? !clusterTargets.has(target)),
        input: { ...base, paths: { ...targetInput({ version: 1 }).paths, ...rest.paths } },
      };
    });
}

/** Through the parser that users meet, so that a case is always something they can write. */
function deploymentOf(folder: string): Deployment {
  const parsed = parseDeployment(read(folder, 'deployment.yaml'), { file: join(folder, 'deployment.yaml') });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  return parsed.deployment;
}

function read(folder: string, name: string): string {
  return readFileSync(join(folder, name), 'utf8');
}

/** Whether a case is for a target and not refused by it; what is refused, and why, stands in its golden files. */
export function isRendered({ input, targets }: Pick<GoldenCase, 'input' | 'targets'>, target: TargetName): boolean {
  if (!targets.some((wanted) => wanted.name === target)) return false;
  try {
    return findTarget(target).files(input).length > 0;
  } catch (error) {
    if (error instanceof UserError) return false;
    throw error;
  }
}
