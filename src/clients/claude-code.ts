import { exportKey, quotePath } from './entry-text.ts';
import type { McpClient } from './types.ts';
import { quoteShell } from '../render/quote/shell.ts';

/** Claude Code: a command, since it keeps its servers in a large file of its own. */
export const claudeCode: McpClient = {
  id: 'claude-code',
  title: 'Claude Code',
  files: { linux: '~/.claude.json', macos: '~/.claude.json', windows: '~/.claude.json', project: '.mcp.json' },
  homeVariable: { name: 'CLAUDE_CONFIG_DIR', replaces: '~' },
  era: 'modern',
  trust: ['NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE'],
  entry({ name, url, keyFile, keyVariable }) {
    const headers = keyFile === null ? {} : { headers: { Authorization: `Bearer \${${keyVariable}}` } };
    return { format: 'json', container: 'mcpServers', name, value: { type: 'http', url, ...headers }, inputs: [] };
  },
  snippet(options) {
    const { name, url, keyFile, caFile, keyVariable } = options;

    // Single quotes: Claude Code stores the reference and fills it in at every start. --header takes all that follows.
    const headers = Object.entries(this.entry(options).value['headers'] ?? {});
    const header = headers.map(([field, value]) => ` --header '${field}: ${String(value)}'`).join('');
    const lines = [
      ...(caFile === null ? [] : [`export NODE_EXTRA_CA_CERTS=${quotePath(caFile)}`]),
      ...(keyFile === null ? [] : exportKey(keyVariable, keyFile)),
      `claude mcp add --transport http ${quoteShell(name, 'the name')} ${quoteShell(url, 'the URL')}${header}`,
    ];
    const variables = [...(caFile === null ? [] : ['NODE_EXTRA_CA_CERTS']), ...(keyFile === null ? [] : [keyVariable])];
    return {
      title: this.title,
      file: null,
      format: 'shell',
      text: `${lines.join('\n')}\n`,
      notes:
        variables.length === 0
          ? []
          : [
              `Claude Code reads ${variables.join(' and ')} at every start: keep the lines before "claude" in your shell profile.`,
            ],
    };
  },
};
