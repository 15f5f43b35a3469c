import { formatEntry } from './entry-text.ts';
import { bridgeEntry, bridgeNotes } from './stdio-bridge.ts';
import type { McpClient } from './types.ts';

/** Claude Desktop: starts programs only. Its connectors dial from the cloud, where a private endpoint cannot be reached. */
export const claudeDesktop: McpClient = {
  id: 'claude-desktop',
  title: 'Claude Desktop',
  files: {
    linux: null,
    macos: '~/Library/Application Support/Claude/claude_desktop_config.json',
    windows: String.raw`%APPDATA%\Claude\claude_desktop_config.json`,
    project: null,
  },
  era: 'legacy',
  trust: ['NODE_EXTRA_CA_CERTS'],
  entry: (options) => ({
    format: 'json',
    container: 'mcpServers',
    name: options.name,
    value: bridgeEntry(options),
    inputs: [],
  }),
  snippet(options) {
    return {
      title: this.title,
      file: `${this.files.macos} (macOS), ${this.files.windows} (Windows)`,
      format: 'json',
      text: formatEntry(this.entry(options)),
      notes: [
        ...bridgeNotes(this.title, options),
        'Restart Claude Desktop afterwards: it reads the file when it starts.',
      ],
    };
  },
};
