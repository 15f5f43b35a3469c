/** What JSON and TOML can both say. */
export type SettingValue = string | number | boolean | readonly SettingValue[] | SettingTable;
export interface SettingTable {
  readonly [key: string]: SettingValue;
}

/** What has to stand in a client's settings: the text to paste and the edit of the file are both made from it. */
export interface ClientEntry {
  readonly format: 'json' | 'toml';
  /** The table of all servers: `mcpServers`, `servers`, `mcp_servers`, `context_servers`. */
  readonly container: string;
  readonly name: string;
  readonly value: SettingTable;
  /** Questions that the client asks its user once (VS Code); told apart by `id`. */
  readonly inputs: readonly SettingTable[];
}

/** What a snippet is made from. */
export interface SnippetOptions {
  /** How the client calls the server in its lists. */
  readonly name: string;
  /** The endpoint, https://host/mcp. */
  readonly url: string;
  /** File that holds the API key; null when the endpoint asks for none. */
  readonly keyFile: string | null;
  /** Certificate file of the private CA; null when the certificate is publicly trusted. */
  readonly caFile: string | null;
  /** Environment variable that the snippet takes the key from. */
  readonly keyVariable: string;
}

export interface ClientSnippet {
  /** Id of the client. */
  readonly client: string;
  readonly title: string;
  /** Where it is written, for a person; null for a command to run. */
  readonly file: string | null;
  readonly format: 'json' | 'toml' | 'shell';
  /** To paste; ends with a line feed and never holds the key itself. */
  readonly text: string;
  /** What has to be true beside it: one sentence each. */
  readonly notes: readonly string[];
}

/** Where a client keeps its servers; null where it runs not at all or has no such file. `~` and `%APPDATA%` as people write them. */
export interface ClientFiles {
  readonly linux: string | null;
  readonly macos: string | null;
  readonly windows: string | null;
  /** Beside the code, for everyone who works on it. */
  readonly project: string | null;
}

/** One MCP client: what it is called, where it reads, what has to stand there. */
export interface McpClient {
  readonly id: string;
  readonly title: string;
  readonly files: ClientFiles;
  /** Variable that moves its settings, and what stands in place of it in `files`. */
  readonly homeVariable?: { readonly name: string; readonly replaces: string };
  /** Which of our two real clients stands for it in `client check`. */
  readonly era: 'legacy' | 'modern';
  /** How it comes to trust a private CA: variables in the order it reads them, or what the operating system trusts. */
  readonly trust: readonly string[] | 'system';
  readonly entry: (options: SnippetOptions) => ClientEntry;
  readonly snippet: (options: SnippetOptions) => Omit<ClientSnippet, 'client'>;
}
