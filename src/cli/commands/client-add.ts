import { UserError } from '../../deployment/errors.ts';
import { addEntry } from '../../clients/client-settings.ts';
import { clientEntry, clientSnippet, describeClient } from '../../clients/index.ts';
import { backupPath, readingSettings, readSettingsFile, showPath, writeSettingsFile } from '../client-files.ts';
import { readClientEndpoint } from '../client-endpoint.ts';
import { chooseSettings } from '../client-settings-choice.ts';
import type { CommandContext } from '../context.ts';
import type { FlagValues } from '../flag-values.ts';
import { formatChanges } from '../output/changes.ts';
import { runClientPrint } from './client-print.ts';

/** `mcp-deploy client add NAME`: everything else in the file keeps its bytes. */
export async function runClientAdd(context: CommandContext, id: string, options: FlagValues): Promise<number> {
  if (options['print'] === true) return runClientPrint(context, id, options);
  const client = describeClient(id);
  const endpoint = await readClientEndpoint(context, options);
  const entry = clientEntry(id, endpoint);
  const path = chooseSettings(context, client, options);
  const file = await readSettingsFile(context, path);
  const addition = readingSettings(file, () => addEntry(file.text ?? '', entry, options['force'] === true));
  const { output } = context;
  const shown = showPath(context, path);

  if (addition.kind === 'taken') {
    const leads = addition.by.url === null ? 'starts a program of its own' : `leads to ${addition.by.url}`;
    throw new UserError(`${client.title} already has a server "${endpoint.name}", and it ${leads}.`, {
      why: `Nothing was changed in ${shown}. With --force it would be:`,
      excerpt: formatChanges(file.text ?? '', addition.text, output.err),
      next: `mcp-deploy client add ${id} --name ${endpoint.name}-2        or: --force`,
      exitCode: 3,
    });
  }
  const dry = options['dryRun'] === true;
  const changed = addition.kind !== 'same';
  if (changed && !dry) await writeSettingsFile(context, file, addition.text, options['project'] !== true);
  const backup = changed && !dry && file.text !== null ? backupPath(path) : null;

  // What has to be true beside the file: variables to export, a CA to trust.
  const { notes } = clientSnippet(id, endpoint);
  const setUp = id === 'claude-code' ? environmentLines(id, endpoint) : [];
  output.document({
    ok: true,
    client: id,
    changed: changed && !dry,
    outcome: addition.kind,
    file: path,
    backup,
    name: endpoint.name,
    url: endpoint.url,
    ...(dry && changed ? { diff: formatChanges(file.text ?? '', addition.text, null) } : {}),
    environment: setUp,
    notes,
  });
  const { green, dim } = output.out;
  const lines: string[] = [];
  if (!changed)
    lines.push(`  ${green('✓')} ${client.title} already has "${endpoint.name}" -> ${endpoint.url}   ${dim(shown)}`);
  else {
    const verb = dry ? 'would be written' : addition.kind === 'added' ? 'added' : addition.kind;
    lines.push(`  ${dry ? '~' : green('✓')} "${endpoint.name}" -> ${endpoint.url} ${verb}   ${dim(shown)}`);
    if (dry || addition.kind !== 'added') {
      lines.push(...formatChanges(file.text ?? '', addition.text, output.out).map((line) => `      ${line}`));
    }
    if (backup !== null) lines.push(`    ${dim(`the file as it was: ${showPath(context, backup)}`)}`);
  }
  for (const line of setUp) lines.push(`    ${line}`);
  for (const note of notes) lines.push(`  ${dim('·')} ${note}`);
  lines.push('', `  Next   ${dry ? `mcp-deploy client add ${id}` : `mcp-deploy client check ${id}`}`);
  output.result(lines.join('\n'));
  return 0;
}

/** The lines of the printed snippet that set up the shell; the command itself is what was just done. */
function environmentLines(id: string, endpoint: Parameters<typeof clientSnippet>[1]): readonly string[] {
  return clientSnippet(id, endpoint)
    .text.trimEnd()
    .split('\n')
    .slice(0, -1)
    .filter((line) => !line.startsWith('claude '));
}
