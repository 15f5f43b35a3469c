import type { Log } from './observe/log.ts';
import { openTraces, type Traces } from './observe/traces.ts';
import type { ServerConfig } from './server-config.ts';
import { serverVersion } from './version.ts';

/**
 * Opens the way of spans to the collector of this configuration; null when it names none.
 * @throws UserError or EnvironmentError for a header or a certificate that cannot be read.
 */
export function openServerTraces(
  { deployment }: ServerConfig,
  env: NodeJS.ProcessEnv,
  log: Log,
): Promise<Traces | null> {
  return openTraces(deployment.logs.traces, { deploymentName: deployment.name, version: serverVersion, env, log });
}

/** Where spans go is decided at the start; a reload that wants it changed is told so. */
export function sayWhatNeedsRestart(first: ServerConfig, next: ServerConfig, log: Log): void {
  if (JSON.stringify(first.deployment.logs.traces) === JSON.stringify(next.deployment.logs.traces)) return;
  log.warn('config.needs-restart', { setting: 'logs.traces', why: 'where spans go is decided at the start' });
}
