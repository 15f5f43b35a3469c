import { readFile } from 'node:fs/promises';
import { deploymentSchema, type Deployment } from '../../deployment/schema.ts';
import { deploymentPaths } from '../../plan/deployment-paths.ts';
import type { HostSeen } from '../observations.ts';
import type { OwnFacts } from '../types.ts';

type Rate = Exclude<Deployment['limits']['perKey'], 'off'>;

/** A look must not shut its owner out: beyond this, a limit that was reached is no passing matter. */
const bearableSeconds = 10;

/**
 * Why the limits of this folder's deployment are better not reached on purpose: a window that ends late keeps the
 * owner's key, address or everybody out until then. Null when nothing speaks against it.
 */
export async function readLockout(own: OwnFacts): Promise<string | null> {
  try {
    const { limits } = readDeployment(await readFile(deploymentPaths(own.stateDir).serverConfig, 'utf8'));
    for (const name of ['perKey', 'perAddress', 'global'] as const) {
      const limit = limits[name];
      const seconds = limit === 'off' ? 0 : secondsUntilNextCall(limit);
      if (seconds > bearableSeconds) {
        return `not tried: limits.${name} would keep you out for up to ${Math.ceil(seconds)} s (--limits tries it all the same)`;
      }
    }
  } catch {
    // No configuration, no reason: the look at the host says what is wrong with it.
  }
  return null;
}

/** From the configuration that the server was started with; without `burst` as its rate limiter has it. */
export function callLimitOf(configText: string): HostSeen['callLimit'] {
  const { perKey } = readDeployment(configText).limits;
  if (perKey === 'off') return 'off';
  const perSecond = perKey.requests / windowSecondsOf(perKey);
  if (perKey.form === 'fixed-window') return { atOnce: perKey.requests, perSecond };
  return {
    atOnce: perKey.burst ?? Math.min(perKey.requests, Math.max(20, Math.ceil(perKey.requests / 10))),
    perSecond,
  };
}

function readDeployment(configText: string): Deployment {
  const { deployment } = JSON.parse(configText) as { deployment?: unknown };
  return deploymentSchema.parse(deployment);
}

function secondsUntilNextCall(limit: Rate): number {
  const window = windowSecondsOf(limit);
  return limit.form === 'fixed-window' ? window : window / limit.requests;
}

function windowSecondsOf({ windowMs, windowSeconds }: Rate): number {
  return windowMs === undefined ? windowSeconds : windowMs / 1_000;
}
