import { UserError } from '../../deployment/errors.ts';
import { listWrittenEntries, removeEntry, urlOf } from '../../clients/client-settings.ts';
import { clientEntry, describeClient } from '../../clients/index.ts';
import {
  putBackAsItWas,
  readBackup,
  readingSettings,
  readSettingsFile,
  showPath,
  writeSettingsFile,
} from '../client-files.ts';
import { readClientEndpoint } from '../client-endpoint.ts';
import { chooseSettings } from '../client-settings-choice.ts';
import type { CommandContext } from '../context.ts';
import { textFlag, type FlagValues } from '../flag-values.ts';
import { formatChanges } from '../output/changes.ts';

/** `mcp-deploy client remove NAME`: exactly what was added goes. */
export async function runClientRemove(context: CommandContext, id: string, options: FlagValues): Promise<number> {
  const client = describeClient(id);
  const { output } = context;
  const endpoint = await readClientEndpoint(context, options);
  const path = chooseSettings(context, client, options);
  const shown = showPath(context, path);
  const file = await readSettingsFile(context, path);
  const { format, container } = clientEntry(id, endpoint);
  const text = file.text ?? '';
  const written = readingSettings(file, () => listWrittenEntries(text, format, container));
  const url = urlOf({ url: endpoint.url });
  // Under another name it is still the same endpoint, unless a name was asked for.
  const named = written.find(({ name }) => name === endpoint.name);
  const found =
    named !== undefined && (named.url === url || textFlag(options, 'name') !== undefined || options['force'] === true)
      ? named
      : (written.find((each) => each.url === url) ?? named);

  if (found === undefined) {
    output.document({ ok: true, client: id, changed: false, file: path });
    output.result(`  ${client.title} has no entry for ${endpoint.url}: nothing to remove   ${output.out.dim(shown)}`);
    return 0;
  }
  if (found.url !== url && options['force'] !== true) {
    throw new UserError(`"${found.name}" in ${client.title} is not about ${endpoint.url}.`, {
      why: `It ${found.url === null ? 'starts a program of its own' : `leads to ${found.url}`}; nothing was changed.`,
      next: `mcp-deploy client remove ${id} --name ${found.name} --force`,
      exitCode: 3,
    });
  }
  const entry = clientEntry(id, { ...endpoint, name: found.name });
  const before = await readBackup(context, path);
  const after = removeEntry(text, entry, before);
  const dry = options['dryRun'] === true;
  if (!dry) {
    if (after === null || after === before) await putBackAsItWas(context, file, after);
    else await writeSettingsFile(context, file, after, options['project'] !== true);
  }
  output.document({
    ok: true,
    client: id,
    changed: !dry,
    file: path,
    name: found.name,
    url: endpoint.url,
    ...(dry ? { diff: formatChanges(text, after ?? '', null) } : {}),
  });
  const lines = [
    dry
      ? `  ~ "${found.name}" would be removed   ${output.out.dim(shown)}`
      : `  ${output.out.green('✓')} "${found.name}" removed${after === null ? '; the file held nothing else and is gone too' : ''}   ${output.out.dim(shown)}`,
    ...(dry ? formatChanges(text, after ?? '', output.out).map((line) => `      ${line}`) : []),
    '',
    `  Next   mcp-deploy client list`,
  ];
  output.result(lines.join('\n'));
  return 0;
}
