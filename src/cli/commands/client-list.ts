import { clients } from '../../clients/index.ts';
import { findClientEntries, type ClientLook } from '../client-entries.ts';
import { readClientEndpoint } from '../client-endpoint.ts';
import { showPath } from '../client-files.ts';
import type { CommandContext } from '../context.ts';
import { textFlag, type FlagValues } from '../flag-values.ts';
import { readAppliedDeployment } from '../applied-deployment.ts';

/** `mcp-deploy client list`: the clients, and which of them have this endpoint. */
export async function runClientList(context: CommandContext, options: FlagValues): Promise<number> {
  const { output } = context;
  // Without an endpoint there is still the question which clients are known.
  if (textFlag(options, 'url') === undefined && (await readAppliedDeployment(context)) === null) {
    output.document({ ok: true, url: null, clients: clients.map(({ id, title }) => ({ id, title, entries: [] })) });
    output.result(
      [
        ...clients.map(({ id, title }) => `  ${id.padEnd(16)} ${title}`),
        '',
        '  Next   mcp-deploy up        makes the endpoint they can connect to',
      ].join('\n'),
    );
    return 0;
  }
  const endpoint = await readClientEndpoint(context, options);
  const looks = await findClientEntries(context, endpoint);
  const of = (id: string): readonly ClientLook[] => looks.filter(({ client }) => client.id === id);
  output.document({
    ok: true,
    url: endpoint.url,
    clients: clients.map(({ id, title }) => ({
      id,
      title,
      entries: of(id).flatMap((look) => look.names.map((name) => ({ name, file: look.path, scope: look.scope }))),
      problems: of(id).flatMap((look) => (look.problem === null ? [] : [look.problem])),
    })),
  });
  const { green, red, dim } = output.out;
  const lines = clients.map(({ id, title }) => {
    const found = of(id).flatMap((look) =>
      look.names.map((name) => `as "${name}"   ${dim(showPath(context, look.path))}`),
    );
    const problem = of(id).find((look) => look.problem !== null)?.problem ?? null;
    const glyph = found.length > 0 ? green('✓') : problem === null ? dim('-') : red('✗');
    const some = of(id).some((look) => look.exists);
    const words = found.length > 0 ? found.join(', ') : (problem ?? (some ? 'no entry' : dim('no settings here')));
    return `  ${glyph} ${title.padEnd(15)} ${id.padEnd(15)} ${words}`;
  });
  const next = clients.find(({ id }) => of(id).every((look) => look.names.length === 0));
  const checked = looks.find((look) => look.names.length > 0);
  output.result(
    [
      `  Endpoint   ${output.out.bold(endpoint.url)}`,
      '',
      ...lines,
      '',
      ...(checked === undefined
        ? [`  Next   mcp-deploy client add ${next?.id ?? 'claude-code'}`]
        : [`  Next   mcp-deploy client check ${checked.client.id}`]),
    ].join('\n'),
  );
  return 0;
}
