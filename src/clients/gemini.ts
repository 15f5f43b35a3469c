import { formatEntry } from './entry-text.ts';
import { caFromEnvironment, keyFromEnvironment } from './notes.ts';
import type { McpClient } from './types.ts';

/** Gemini CLI: fills in ${NAME}. Without the type it would take `url` for the old two-endpoint transport. */
export const gemini: McpClient = {
  id: 'gemini',
  title: 'Gemini CLI',
  files: {
    linux: '~/.gemini/settings.json',
    macos: '~/.gemini/settings.json',
    windows: '~/.gemini/settings.json',
    project: '.gemini/settings.json',
  },
  homeVariable: { name: 'GEMINI_CLI_HOME', replaces: '~' },
  era: 'legacy',
  trust: ['NODE_EXTRA_CA_CERTS'],
  entry({ name, url, keyFile, keyVariable }) {
    const headers = keyFile === null ? {} : { headers: { Authorization: `Bearer \${${keyVariable}}` } };
    return { format: 'json', container: 'mcpServers', name, value: { type: 'http', url, ...headers }, inputs: [] };
  },
  snippet(options) {
    return {
      title: this.title,
      file: '~/.gemini/settings.json, or .gemini/settings.json for one project',
      format: 'json',
      text: formatEntry(this.entry(options)),
      notes: [
        ...keyFromEnvironment(this.title, options),
        ...caFromEnvironment(this.title, 'NODE_EXTRA_CA_CERTS', options),
      ],
    };
  },
};
