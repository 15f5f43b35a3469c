import { formatJson } from './entry-text.ts';
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
  snippet(options) {
    const { name, url, keyFile, keyVariable } = options;
    const headers = keyFile === null ? {} : { headers: { Authorization: `Bearer \${env:${keyVariable}}` } };
    return {
      title: this.title,
      file: '~/.codeium/windsurf/mcp_config.json',
      format: 'json',
      text: formatJson({ mcpServers: { [name]: { serverUrl: url, ...headers } } }),
      notes: [
        ...keyFromEnvironment(this.title, options),
        ...startFromShell(this.title, 'windsurf .', options),
        ...caInSystemStore(this.title, options),
      ],
    };
  },
};
