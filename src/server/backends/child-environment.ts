import { fillVariables } from '../../deployment/fill-variables.ts';

export type ChildEnvironment =
  | { readonly kind: 'ready'; readonly env: Readonly<Record<string, string>> }
  /** Names without a value, and the setting that asked for the first of them. */
  | { readonly kind: 'missing'; readonly names: readonly string[]; readonly setting: string };

const inherited: ReadonlySet<string> = new Set([
  'PATH',
  'HOME',
  'USER',
  'LOGNAME',
  'SHELL',
  'LANG',
  'LANGUAGE',
  'TERM',
  'TMPDIR',
  'TZ',
]);

/**
 * How this machine reaches the network: without them nothing can be downloaded
 * behind a company's proxy or its own certificate authority (npx, uvx).
 */
const network: ReadonlySet<string> = new Set([
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'ALL_PROXY',
  'NO_PROXY',
  'NODE_EXTRA_CA_CERTS',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
]);

/** Without these a Windows program finds neither its libraries nor its folders. */
const inheritedOnWindows: ReadonlySet<string> = new Set([
  'APPDATA',
  'COMSPEC',
  'HOMEDRIVE',
  'HOMEPATH',
  'LOCALAPPDATA',
  'PATH',
  'PATHEXT',
  'PROCESSOR_ARCHITECTURE',
  'PROGRAMDATA',
  'PROGRAMFILES',
  'SYSTEMDRIVE',
  'SYSTEMROOT',
  'TEMP',
  'TMP',
  'USERNAME',
  'USERPROFILE',
  'WINDIR',
]);

/**
 * The environment of an upstream: the few variables every program needs, so
 * that the server's own secrets stay its own, and what the deployment names,
 * with `${NAME}` filled from the server's environment.
 */
export function buildChildEnvironment(
  serverEnv: NodeJS.ProcessEnv,
  upstreamEnv: Readonly<Record<string, string>>,
  platform: NodeJS.Platform,
): ChildEnvironment {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(serverEnv)) {
    if (value !== undefined && isInherited(name, platform)) env[name] = value;
  }
  const missing: string[] = [];
  let setting = '';
  for (const [name, value] of Object.entries(upstreamEnv)) {
    const filled = fillVariables(value, serverEnv);
    if (filled.missing.length > 0 && missing.length === 0) setting = name;
    missing.push(...filled.missing);
    env[name] = filled.text;
  }
  return missing.length === 0 ? { kind: 'ready', env } : { kind: 'missing', names: [...new Set(missing)], setting };
}

function isInherited(name: string, platform: NodeJS.Platform): boolean {
  // Proxies are written in either case; programs read one or the other.
  if (network.has(name.toUpperCase())) return true;
  if (platform === 'win32') return inheritedOnWindows.has(name.toUpperCase());
  return inherited.has(name) || name.startsWith('LC_');
}
