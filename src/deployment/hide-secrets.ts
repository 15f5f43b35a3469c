import { isMap, isScalar, isSeq, parseDocument, type Node, type YAMLMap } from 'yaml';
import { variablesIn } from './fill-variables.ts';
import { hideSecretArguments, hideTokens } from './secrets-in-arguments.ts';

/** Stands in for a value that is not shown. */
const hidden = '[hidden]';

/**
 * The text of mcp-deploy.yaml or server.json (JSON is YAML) as it may be shown:
 * every literal value of an upstream's environment and headers, of the headers of traces, and arguments that look like secrets, are hidden; references stay.
 * Null when the text cannot be read, because then nothing can be told apart.
 */
export function hideSecrets(text: string): string | null {
  const document = parseDocument(text, { resolveKnownTags: false, schema: 'core' });
  if (document.errors.length > 0) return null;
  const cuts: { readonly from: number; readonly to: number; readonly text: string }[] = [];
  const cut = (node: Node, replacement: string): void => {
    const [from, to] = node.range ?? [0, 0];
    cuts.push({ from, to, text: replacement });
  };
  for (const root of [[], ['deployment']]) {
    const traces = document.getIn([...root, 'logs', 'traces']);
    for (const upstream of [
      ...mapsWithSecrets(document.getIn([...root, 'server'])),
      ...(isMap(traces) ? [traces] : []),
    ]) {
      for (const setting of ['env', 'headers']) {
        const texts = upstream.get(setting, true);
        for (const value of isMap(texts) ? texts.items.map((pair) => pair.value) : []) {
          if (isScalar(value) && !isReference(String(value.value))) cut(value, hidden);
        }
      }
      const args = upstream.get('args', true);
      if (!isSeq(args)) continue;
      const items = args.items.filter((item) => isScalar(item));
      const shown = hideSecretArguments(
        items.map((item) => String(item.value)),
        hidden,
      );
      for (const [index, item] of items.entries()) {
        const replacement = shown[index] ?? hidden;
        if (replacement !== String(item.value)) cut(item, replacement);
      }
    }
  }
  const safe = cuts
    .toSorted((a, b) => b.from - a.from)
    .reduce((rest, { from, to, text: replacement }) => rest.slice(0, from) + replacement + rest.slice(to), text);
  return hideTokens(safe, hidden);
}

/** The upstreams, and the requests and commands of declared tools. */
function mapsWithSecrets(server: unknown): readonly YAMLMap[] {
  if (!isMap(server)) return [];
  const upstreams = valuesOf(server.get('upstreams'));
  const calls = valuesOf(server.get('tools')).flatMap((tool) => [tool.get('http'), tool.get('command')]);
  return [...upstreams, ...calls.filter((call) => isMap(call))];
}

function valuesOf(map: unknown): readonly YAMLMap[] {
  return isMap(map) ? map.items.map(({ value }) => value).filter((value) => isMap(value)) : [];
}

/** Nothing but references to the environment, and what no secret is made of between them. */
function isReference(value: string): boolean {
  return variablesIn(value).length > 0 && /^(?:\$\{[A-Za-z_][A-Za-z0-9_]*\}|[\s:/_-])*$/.test(value);
}
