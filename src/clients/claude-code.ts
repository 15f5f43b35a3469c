import { exportKey, quotePath } from './entry-text.ts';
import type { McpClient } from './types.ts';
import { quoteShell } from '../render/quote/shell.ts';

/** Claude Code: a command, since it keeps its servers in a large file of its own. */
export const claudeCode: McpClient = {
  id: 'claude-code',
  title: 'Claude Code',
  files: { linux: '~/.claude.json', macos: '~/.claude.json', windows: '~/.claude.json', project: '.mcp.json' },
  snippet({ name, url, keyFile, caFile, keyVariable }) {
    // Single quotes: Claude Code stores the reference and fills it in at every start. --header takes all that follows.
    const header = keyFile === null ? '' : ` --header 'Authorization: Bearer \${${keyVariable}}'`;
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
