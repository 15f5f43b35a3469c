import { formatJson } from './entry-text.ts';
import { caInSystemStore } from './notes.ts';
import type { McpClient } from './types.ts';

/** VS Code: `servers`, not `mcpServers`; asks for the key once and keeps it in its secret store. Headers take no ${env:}. */
export const vscode: McpClient = {
  id: 'vscode',
  title: 'VS Code',
  files: {
    linux: '~/.config/Code/User/mcp.json',
    macos: '~/Library/Application Support/Code/User/mcp.json',
    windows: String.raw`%APPDATA%\Code\User\mcp.json`,
    project: '.vscode/mcp.json',
  },
  snippet(options) {
    const { name, url, keyFile } = options;
    // An id of our own making: a hostile name must not end the reference early.
    const input = { type: 'promptString', id: 'mcp-deploy-key', description: `API key of ${name}`, password: true };
    const secured = keyFile === null ? {} : { headers: { Authorization: `Bearer \${input:${input.id}}` } };
    return {
      title: this.title,
      file: '.vscode/mcp.json for one project, or "MCP: Open User Configuration" for all',
      format: 'json',
      text: formatJson({
        ...(keyFile === null ? {} : { inputs: [input] }),
        servers: { [name]: { type: 'http', url, ...secured } },
      }),
      notes: [
        ...(keyFile === null ? [] : [`VS Code asks for the key once and keeps it: paste what is in ${keyFile}.`]),
        ...caInSystemStore(this.title, options),
      ],
    };
  },
};
