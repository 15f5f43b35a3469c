import { formatEntry } from './entry-text.ts';
import { caInSystemStore, keyFromEnvironment, startFromShell } from './notes.ts';
import type { McpClient } from './types.ts';

/** Windsurf: `serverUrl`, not `url`; fills in ${env:NAME}. */
export const windsurf: McpClient = {
  id: 'windsurf',
  title: 'Windsurf',
  files: {
    linux: '~/.codeium/windsurf/mcp_config.json',
    macos: '~/.codeium/windsurf/mcp_config.json',
    windows: '~/.codeium/windsurf/mcp_config.json',
    project: null,
  },
  era: 'modern',
  trust: 'system',
  entry({ name, url, keyFile, keyVariable }) {
    const headers = keyFile === null ? {} : { headers: { Authorization: `Bearer \${env:${keyVariable}}` } };
    return { format: 'json', container: 'mcpServers', name, value: { serverUrl: url, ...headers }, inputs: [] };
  },
  snippet(options) {
    return {
      title: this.title,
      file: '~/.codeium/windsurf/mcp_config.json',
      format: 'json',
      text: formatEntry(this.entry(options)),
      notes: [
        ...keyFromEnvironment(this.title, options),
        ...startFromShell(this.title, 'windsurf .', options),
        ...caInSystemStore(this.title, options),
      ],
    };
  },
};
