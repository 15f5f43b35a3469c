import { formatEntry } from './entry-text.ts';
import { caInSystemStore, keyFromEnvironment, startFromShell } from './notes.ts';
import type { McpClient } from './types.ts';

/** Cursor: fills in ${env:NAME}. */
export const cursor: McpClient = {
  id: 'cursor',
  title: 'Cursor',
  files: {
    linux: '~/.cursor/mcp.json',
    macos: '~/.cursor/mcp.json',
    windows: '~/.cursor/mcp.json',
    project: '.cursor/mcp.json',
  },
  era: 'modern',
  trust: 'system',
  entry({ name, url, keyFile, keyVariable }) {
    const headers = keyFile === null ? {} : { headers: { Authorization: `Bearer \${env:${keyVariable}}` } };
    return { format: 'json', container: 'mcpServers', name, value: { url, ...headers }, inputs: [] };
  },
  snippet(options) {
    return {
      title: this.title,
      file: '~/.cursor/mcp.json, or .cursor/mcp.json for one project',
      format: 'json',
      text: formatEntry(this.entry(options)),
      notes: [
        ...keyFromEnvironment(this.title, options),
        ...startFromShell(this.title, 'cursor .', options),
        ...caInSystemStore(this.title, options),
      ],
    };
  },
};
