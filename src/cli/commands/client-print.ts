import { clientSnippet } from '../../clients/index.ts';
import { registryDocument } from '../../clients/registry-document.ts';
import { readClientEndpoint } from '../client-endpoint.ts';
import type { CommandContext } from '../context.ts';
import { showPath } from '../client-files.ts';
import { textFlag, type FlagValues } from '../flag-values.ts';

/** `mcp-deploy client print NAME`: the entry to paste; the key stays a reference. */
export async function runClientPrint(context: CommandContext, wanted: string, options: FlagValues): Promise<number> {
  const { output } = context;
  if (wanted === 'server.json') return printRegistryDocument(context, options);
  // A client that is not known is said before a deployment that is not there.
  clientSnippet(wanted, { name: 'mcp', url: 'https://localhost/mcp', keyFile: null, caFile: null, keyVariable: 'KEY' });
  const endpoint = await readClientEndpoint(context, options);
  const snippet = clientSnippet(wanted, endpoint);
  output.document({ ok: true, ...snippet });
  if (output.json) return 0;
  output.progress(`  ${snippet.title}${snippet.file === null ? '' : `: ${snippet.file}`}\n`);
  output.result(snippet.text);
  for (const note of snippet.notes) output.progress(`  ${output.err.dim('·')} ${note}`);
  if (endpoint.keyFile !== null) {
    output.progress(`  ${output.err.dim('·')} the key is in ${showPath(context, endpoint.keyFile)}`);
  }
  output.progress(`\n  Next   mcp-deploy client add ${wanted}        writes it there`);
  return 0;
}

async function printRegistryDocument(context: CommandContext, options: FlagValues): Promise<number> {
  const { output } = context;
  const endpoint = await readClientEndpoint(context, options);
  const { document, notes } = registryDocument({ ...endpoint, title: textFlag(options, 'name') ?? endpoint.name });
  output.document({ ok: true, serverJson: document, notes });
  if (output.json) return 0;
  output.result(JSON.stringify(document, null, 2));
  for (const note of notes) output.progress(`  ${output.err.dim('·')} ${note}`);
  return 0;
}
