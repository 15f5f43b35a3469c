import { posix, win32 } from 'node:path';
import type { McpClient } from './types.ts';

/** Where settings are looked for. */
export interface SettingsPlace {
  readonly platform: NodeJS.Platform;
  readonly home: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** The settings file of a client for its user, absolute; null where the client does not run or keeps none. */
export function userSettingsPath(client: McpClient, place: SettingsPlace): string | null {
  const { platform, home, env } = place;
  const system = platform === 'darwin' ? 'macos' : platform === 'win32' ? 'windows' : 'linux';
  const path = platform === 'win32' ? win32 : posix;
  const written = client.files[system];
  if (written === null) return null;
  const moved = client.homeVariable;
  const folder = moved === undefined ? undefined : env[moved.name];
  if (moved !== undefined && folder !== undefined && folder !== '') {
    return path.resolve(folder, `.${written.slice(moved.replaces.length)}`);
  }
  const roots: readonly (readonly [string, string])[] = [
    ['%APPDATA%', env['APPDATA'] ?? path.join(home, 'AppData', 'Roaming')],
    ...(system === 'linux' ? [['~/.config', env['XDG_CONFIG_HOME'] || path.join(home, '.config')] as const] : []),
    ['~', home],
  ];
  const root = roots.find(([prefix]) => written.startsWith(prefix));
  return root === undefined ? written : path.join(root[1], written.slice(root[0].length));
}
