import { UserError } from '../deployment/errors.ts';
import { nearestWord } from '../deployment/nearest-word.ts';
import { claudeCode } from './claude-code.ts';
import { claudeDesktop } from './claude-desktop.ts';
import { codex } from './codex.ts';
import { cursor } from './cursor.ts';
import { gemini } from './gemini.ts';
import type { ClientEntry, ClientSnippet, McpClient, SnippetOptions } from './types.ts';
import { vscode } from './vscode.ts';
import { windsurf } from './windsurf.ts';
import { zed } from './zed.ts';

/** The clients this tool can write an entry for. */
export const clients: readonly McpClient[] = [claudeCode, claudeDesktop, cursor, vscode, codex, gemini, windsurf, zed];

/** The client of this id. @throws UserError that lists the known ones. */
export function describeClient(id: string): McpClient {
  const client = clients.find((candidate) => candidate.id === id);
  if (client !== undefined) return client;
  const ids = clients.map((known) => known.id);
  const near = nearestWord(id, ids);
  throw new UserError(`${JSON.stringify(id)} is not a client that this tool knows.`, {
    why: `${near === null ? '' : `Did you mean ${near}? `}It knows ${ids.join(', ')}.`,
    next: 'Every other client takes the URL and the header "Authorization: Bearer KEY".',
  });
}

/**
 * What to paste into a client so that it uses the endpoint. The key is always a reference: an environment variable, a
 * question of the client, or the file it is in.
 * @throws UserError for an unknown client, a URL that is none, and a name that programs would take for an option.
 */
export function clientSnippet(id: string, options: SnippetOptions): ClientSnippet {
  const client = describeClient(id);
  return { client: client.id, ...client.snippet(checked(client, options)) };
}

/** The same as data, to be put into the settings of the client. @throws UserError like clientSnippet */
export function clientEntry(id: string, options: SnippetOptions): ClientEntry {
  const client = describeClient(id);
  return client.entry(checked(client, options));
}

function checked(client: McpClient, options: SnippetOptions): SnippetOptions {
  if (options.name === '' || options.name.startsWith('-') || /\0|\p{Surrogate}/u.test(options.name)) {
    throw new UserError(`${JSON.stringify(options.name)} cannot be the name of a server in ${client.title}`, {
      why: 'It is empty, is no proper text, or begins with a hyphen and would be taken for an option.',
      next: 'Use letters, digits and inner hyphens, for example: mcp',
    });
  }
  if (!/^https?:\/\//i.test(options.url) || !URL.canParse(options.url)) {
    throw new UserError(`${JSON.stringify(options.url)} is not an http or https URL`, {
      next: 'Give the URL of the endpoint, for example: https://localhost:8443/mcp',
    });
  }
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(options.keyVariable)) {
    throw new UserError(`${JSON.stringify(options.keyVariable)} cannot be an environment variable`, {
      next: 'Use letters, digits and underscores, for example: MCP_KEY',
    });
  }
  // Clients fill in $NAME and ${NAME} wherever they find it: no part of the URL may be taken for a variable.
  return { ...options, url: options.url.replaceAll('$', '%24') };
}
