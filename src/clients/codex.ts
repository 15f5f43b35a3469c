import { formatEntry } from './entry-text.ts';
import { caFromEnvironment, keyFromEnvironment } from './notes.ts';
import type { McpClient } from './types.ts';

/** Codex CLI: TOML; names the variable that holds the key and adds "Bearer" itself. `headers` would be ignored. */
export const codex: McpClient = {
  id: 'codex',
  title: 'Codex CLI',
  files: {
    linux: '~/.codex/config.toml',
    macos: '~/.codex/config.toml',
    windows: '~/.codex/config.toml',
    project: null,
  },
  homeVariable: { name: 'CODEX_HOME', replaces: '~/.codex' },
  era: 'legacy',
  trust: ['CODEX_CA_CERTIFICATE', 'SSL_CERT_FILE'],
  entry({ name, url, keyFile, keyVariable }) {
    const key = keyFile === null ? {} : { bearer_token_env_var: keyVariable };
    return { format: 'toml', container: 'mcp_servers', name, value: { url, ...key }, inputs: [] };
  },
  snippet(options) {
    return {
      title: this.title,
      file: '~/.codex/config.toml',
      format: 'toml',
      text: formatEntry(this.entry(options)),
      notes: [
        ...keyFromEnvironment(this.title, options),
        ...caFromEnvironment(this.title, 'CODEX_CA_CERTIFICATE (or SSL_CERT_FILE, not NODE_EXTRA_CA_CERTS)', options),
      ],
    };
  },
};
