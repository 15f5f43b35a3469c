import { formatEntry } from './entry-text.ts';
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
  era: 'legacy',
  trust: 'system',
  entry({ name, url, keyFile }) {
    // A hostile name must not end the reference early; two endpoints must not share one answer.
    const id = `mcp-deploy-${name.replaceAll(/[^A-Za-z0-9_-]/g, '-')}-key`;
    const input = { type: 'promptString', id, description: `API key of ${name}`, password: true };
    const secured = keyFile === null ? {} : { headers: { Authorization: `Bearer \${input:${input.id}}` } };
    return {
      format: 'json',
      container: 'servers',
      name,
      value: { type: 'http', url, ...secured },
      inputs: keyFile === null ? [] : [input],
    };
  },
  snippet(options) {
    const { keyFile } = options;
    return {
      title: this.title,
      file: '.vscode/mcp.json for one project, or "MCP: Open User Configuration" for all',
      format: 'json',
      text: formatEntry(this.entry(options)),
      notes: [
        ...(keyFile === null ? [] : [`VS Code asks for the key once and keeps it: paste what is in ${keyFile}.`]),
        ...caInSystemStore(this.title, options),
      ],
    };
  },
};
