import { ExplainedError } from '../deployment/errors.ts';
import { listWrittenEntries, urlOf } from '../clients/client-settings.ts';
import { clientEntry, clients } from '../clients/index.ts';
import type { McpClient, SnippetOptions } from '../clients/types.ts';
import { readingSettings, readSettingsFile, settingsPath } from './client-files.ts';
import type { CommandContext } from './context.ts';

/** One settings file of a client, and what it says about an endpoint. */
export interface ClientLook {
  readonly client: McpClient;
  readonly scope: 'user' | 'project';
  readonly path: string;
  readonly exists: boolean;
  /** Names of the entries that lead to the endpoint. */
  readonly names: readonly string[];
  /** Why the file could not be read. */
  readonly problem: string | null;
}

/** Looks through the settings of all clients for an endpoint. A file that cannot be read is one line of the answer. */
export async function findClientEntries(context: CommandContext, endpoint: SnippetOptions): Promise<ClientLook[]> {
  const looks: ClientLook[] = [];
  const url = urlOf({ url: endpoint.url });
  for (const client of clients) {
    const { format, container } = clientEntry(client.id, endpoint);
    for (const scope of ['user', 'project'] as const) {
      const path = settingsPath(context, client, scope === 'project');
      if (path === null) continue;
      const look = { client, scope, path };
      try {
        const file = await readSettingsFile(context, path);
        const entries = readingSettings(file, () => listWrittenEntries(file.text ?? '', format, container));
        const names = entries.filter((entry) => entry.url === url).map(({ name }) => name);
        looks.push({ ...look, exists: file.text !== null, names, problem: null });
      } catch (error) {
        if (!(error instanceof ExplainedError)) throw error;
        looks.push({ ...look, exists: true, names: [], problem: error.message });
      }
    }
  }
  return looks;
}
