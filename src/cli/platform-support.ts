import { EnvironmentError } from '../deployment/errors.ts';

/**
 * What works where. Servers are found, told and stopped by what Unix has for it (signals, process groups, `ps` or /proc),
 * and one change at a time is kept by the identity of a process. Windows has none of these, so what needs them says so there.
 */

/** Commands that neither start, look for nor stop a server, nor change what one runs on. Others are refused until somebody has looked. */
const worksOnWindows: ReadonlySet<string> = new Set([
  'audit errors',
  'audit slow',
  'audit tail',
  'audit tools',
  'audit verify',
  'backup key',
  'backup list',
  'bench',
  'cert ca',
  'cert crl',
  'cert csr',
  'cert export',
  'cert import',
  'cert issue',
  'cert revoke',
  'cert self-signed',
  'cert show',
  'cert trust',
  'cert untrust',
  'cert verify',
  'client add',
  'client check',
  'client handover',
  'client list',
  'client print',
  'client remove',
  'complete',
  'completion',
  'doctor',
  'explain',
  'man',
  'render',
  'schema',
]);

/** Commands that write a private key into a file for its owner alone. */
const writePrivateKeys: ReadonlySet<string> = new Set([
  'backup key',
  'cert ca',
  'cert csr',
  'cert export',
  'cert import',
  'cert issue',
  'cert self-signed',
]);

/**
 * Refuses a command that cannot work on this operating system.
 * @param name its words, such as `keys create`
 * @throws EnvironmentError that says what does work there.
 */
export function refuseOnPlatform(platform: NodeJS.Platform, name: string): void {
  if (platform !== 'win32' || worksOnWindows.has(name)) return;
  throw new EnvironmentError(`mcp-deploy ${name} does not work on Windows itself.`, {
    why: 'Servers are found and stopped by signals and process groups, which Windows does not have.',
    next: `Inside WSL: wsl npx mcp-deploy ${name}        or in the foreground, on Windows itself: mcp-deploy serve --help`,
  });
}

/** What has to be known of a command on this operating system; null when nothing. */
export function platformCaution(platform: NodeJS.Platform, name: string): string | null {
  if (platform !== 'win32' || !writePrivateKeys.has(name)) return null;
  return 'Windows has no file modes: whoever may read this folder can read the private keys in it.';
}

/**
 * Signals that ask a command to end. SIGHUP is the end of a terminal; on Windows it comes when the window is closed, and
 * SIGBREAK is Ctrl-Break.
 */
export function interruptSignals(platform: NodeJS.Platform): readonly NodeJS.Signals[] {
  return ['SIGINT', 'SIGTERM', 'SIGHUP', ...(platform === 'win32' ? (['SIGBREAK'] as const) : [])];
}
