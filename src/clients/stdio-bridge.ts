import type { SettingTable, SnippetOptions } from './types.ts';

/**
 * For clients that start a program and speak to its standard input and output: mcp-remote as the program. A shell reads the key from its file at every start, so that it stands neither in the
 * settings nor in a process list: mcp-remote itself fills in ${AUTH_HEADER}. No space behind the colon, because some
 * clients on Windows split arguments there.
 */
export function bridgeEntry(options: SnippetOptions): SettingTable {
  const { url, keyFile, caFile } = options;
  const env = caFile === null ? {} : { env: { NODE_EXTRA_CA_CERTS: caFile } };
  // It refuses plain HTTP to anything but localhost unless told otherwise.
  const flags = ['--transport', 'http-only', ...(/^http:/i.test(url) ? ['--allow-http'] : [])];
  if (keyFile === null) return { command: 'npx', args: ['-y', 'mcp-remote', url, ...flags], ...env };
  const script = [
    'AUTH_HEADER="Bearer $(cat "$1")" || exit 1',
    'export AUTH_HEADER',
    `exec npx -y mcp-remote "$2" ${flags.join(' ')} --header 'Authorization:\${AUTH_HEADER}'`,
  ].join('; ');
  return { command: '/bin/sh', args: ['-c', script, 'mcp-remote', keyFile, url], ...env };
}

/** What the bridge needs on the machine. */
export function bridgeNotes(title: string, options: SnippetOptions): readonly string[] {
  const { keyFile } = options;
  return [
    `It goes through mcp-remote, which npx fetches: ${title} needs Node.js on its PATH.`,
    ...(keyFile === null ? [] : [`The key is read from ${keyFile} at every start. On Windows, run it inside WSL.`]),
  ];
}
