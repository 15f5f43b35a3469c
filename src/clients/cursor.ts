import { formatJson } from './entry-text.ts';
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
  snippet(options) {
    const { name, url, keyFile, keyVariable } = options;
    const headers = keyFile === null ? {} : { headers: { Authorization: `Bearer \${env:${keyVariable}}` } };
    return {
      title: this.title,
      file: '~/.cursor/mcp.json, or .cursor/mcp.json for one project',
      format: 'json',
      text: formatJson({ mcpServers: { [name]: { url, ...headers } } }),
      notes: [
        ...keyFromEnvironment(this.title, options),
        ...startFromShell(this.title, 'cursor .', options),
        ...caInSystemStore(this.title, options),
      ],
    };
  },
};
