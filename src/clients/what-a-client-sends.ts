import type { McpClient, SettingTable } from './types.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** How a written entry comes to the key that it sends. */
export type KeySource =
  | { readonly kind: 'none' }
  | { readonly kind: 'value'; readonly key: string; readonly from: string }
  /** A variable that is not set in this environment. */
  | { readonly kind: 'missing-variable'; readonly variable: string }
  /** A question of the client; it keeps the answer where nobody else can read it. */
  | { readonly kind: 'asked' }
  /** A file that is read when the client starts its bridge. */
  | { readonly kind: 'file'; readonly path: string };

/** Follows an entry, as somebody wrote it, to the key it would send in this environment. */
export function describeKeySource(value: SettingTable, env: Environment): KeySource {
  const variable = value['bearer_token_env_var'];
  if (typeof variable === 'string') return fromVariable(variable, env);
  const { args } = value;
  if (Array.isArray(args)) {
    const words = args.map(String);
    const marker = words.indexOf('mcp-remote');
    const path = words[marker + 1];
    return words[0] === '-c' && marker !== -1 && path !== undefined ? { kind: 'file', path } : { kind: 'none' };
  }
  const headers = value['headers'] ?? value['http_headers'] ?? {};
  const header = Object.entries(headers).find(([name]) => /^(?:authorization|x-api-key)$/i.test(name));
  if (header === undefined) return { kind: 'none' };
  const text = String(header[1]).replace(/^Bearer +/i, '');
  if (/\$\{input:/.test(text)) return { kind: 'asked' };
  const reference = /^\$(?:\{(?:env:)?([A-Za-z_]\w*)(?::-[^}]*)?\}|([A-Za-z_]\w*))$/.exec(text);
  const name = reference?.[1] ?? reference?.[2];
  return name === undefined ? { kind: 'value', key: text, from: 'the settings' } : fromVariable(name, env);
}

/** The file with further authorities that a client would read, and who names it; null when nobody does. */
export function describeTrustSource(
  client: McpClient,
  value: SettingTable,
  env: Environment,
): { readonly variable: string; readonly path: string } | null {
  const own = (typeof value['env'] === 'object' ? value['env'] : {}) as SettingTable;
  // A bridge is a Node program, whoever starts it.
  const variables = Array.isArray(value['args']) ? ['NODE_EXTRA_CA_CERTS'] : client.trust;
  if (variables === 'system') return null;
  for (const variable of variables) {
    const path = own[variable] ?? env[variable];
    if (typeof path === 'string' && path !== '') return { variable, path };
  }
  return null;
}

function fromVariable(variable: string, env: Environment): KeySource {
  const key = env[variable];
  return key === undefined || key === ''
    ? { kind: 'missing-variable', variable }
    : { kind: 'value', key, from: `the variable ${variable}` };
}
