interface Node {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, Node>>;
  readonly additionalProperties?: Node | boolean;
  readonly items?: Node;
  readonly anyOf?: readonly Node[];
  readonly oneOf?: readonly Node[];
  readonly required?: readonly string[];
}

interface Row {
  readonly path: string;
  readonly takes: string;
  readonly standard: string;
  readonly description: string;
}

/** docs/settings.md: every setting of mcp-deploy.yaml, from its JSON Schema. */
export function settingsDocument(schemaText: string): string {
  const root = JSON.parse(schemaText) as Node;
  const sections = Object.entries(root.properties ?? {}).map(([name, node]) => {
    const rows = rowsOf(name, node, root.required?.includes(name) === true);
    const lines = rows.map(({ path, takes, standard, description }) =>
      [`\`${path}\``, takes, standard, description.replaceAll('|', '\\|').replaceAll('*', '\\*')].join(' | '),
    );
    return `## ${name}\n\n| setting | takes | default | meaning |\n|---|---|---|---|\n${lines.map((line) => `| ${line} |`).join('\n')}\n`;
  });
  return `# Settings\n\n${introduction}\n\n${sections.join('\n')}`;
}

const introduction = `Every setting of \`mcp-deploy.yaml\`, from the schema in the code. \`*\` stands for a name of yours. The file that \`mcp-deploy up\` and
\`init\` write shows what many people set one day; everything here may be added to it. \`mcp-deploy schema\` prints the same for editors.`;

function rowsOf(path: string, node: Node, isRequired: boolean): readonly Row[] {
  const forms = formsOf(node);
  const own: Row = {
    path,
    takes: [...new Set(forms.map(wordFor))].join(' or '),
    standard: 'default' in node ? code(node.default) : isRequired ? 'must be given' : '',
    description: node.description ?? '',
  };
  const inner = new Map<string, Row>();
  for (const form of forms) {
    for (const [key, child] of Object.entries(form.properties ?? {})) {
      // Forms of one setting share some of their settings.
      for (const row of rowsOf(`${path}.${key}`, child, form.required?.includes(key) === true)) {
        const known = inner.get(row.path);
        inner.set(row.path, known === undefined ? row : joined(known, row));
      }
    }
    const { additionalProperties: values } = form;
    if (typeof values === 'object') for (const row of rowsOf(`${path}.*`, values, false)) inner.set(row.path, row);
    if (form.items?.properties !== undefined) {
      for (const row of rowsOf(`${path}[]`, form.items, false)) inner.set(row.path, row);
    }
  }
  const isBareGroup = own.description === '' && inner.size > 0;
  return isBareGroup ? [...inner.values()] : [own, ...inner.values()];
}

function joined(one: Row, other: Row): Row {
  if (one.description === other.description || other.description === '') return one;
  const takes = [...new Set([...one.takes.split(' or '), ...other.takes.split(' or ')])].join(' or ');
  return { ...one, takes, description: `${one.description}; ${other.description}` };
}

function formsOf(node: Node): readonly Node[] {
  const forms = node.anyOf ?? node.oneOf;
  return forms === undefined ? [node] : forms.flatMap(formsOf);
}

function wordFor(node: Node): string {
  if (node.const !== undefined) return code(node.const);
  if (node.enum !== undefined) return node.enum.map(code).join(' or ');
  return words[node.type ?? ''] ?? node.type ?? 'anything';
}

const words: Readonly<Record<string, string>> = {
  array: 'list',
  object: 'group',
  string: 'text',
  integer: 'whole number',
  boolean: 'true or false',
};

function code(value: unknown): string {
  const text = JSON.stringify(value);
  if (text === '{}') return '';
  return `\`${typeof value === 'string' && /^[\w./:-]+$/.test(value) ? value : text}\``.replaceAll('|', '\\|');
}
