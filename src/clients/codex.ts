import { quoteToml } from './entry-text.ts';
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
  snippet(options) {
    const { name, url, keyFile, keyVariable } = options;
    const lines = [
      `[mcp_servers.${/^[A-Za-z0-9_-]+$/.test(name) ? name : quoteToml(name)}]`,
      `url = ${quoteToml(url)}`,
      ...(keyFile === null ? [] : [`bearer_token_env_var = ${quoteToml(keyVariable)}`]),
    ];
    return {
      title: this.title,
      file: '~/.codex/config.toml',
      format: 'toml',
      text: `${lines.join('\n')}\n`,
      notes: [
        ...keyFromEnvironment(this.title, options),
        ...caFromEnvironment(this.title, 'CODEX_CA_CERTIFICATE (or SSL_CERT_FILE, not NODE_EXTRA_CA_CERTS)', options),
      ],
    };
  },
};
