import { clients, clientSnippet } from './index.ts';
import type { SnippetOptions } from './types.ts';

/** What the people who use an endpoint are told: everything but the key. */
export interface HandoverFacts {
  readonly name: string;
  readonly url: string;
  readonly asksForKey: boolean;
  /** The certificate of the private CA, which is public; null when everybody trusts the certificate anyway. */
  readonly caPem: string | null;
  readonly caFingerprint: string | null;
}

/** One page of Markdown: the URL, how to get a key, the CA, and a section for each client. */
export function handoverPage(facts: HandoverFacts): string {
  const { name, url, caPem } = facts;
  const options: SnippetOptions = {
    name,
    url,
    keyFile: facts.asksForKey ? './mcp.key' : null,
    caFile: caPem === null ? null : './mcp-ca.crt',
    keyVariable: 'MCP_KEY',
  };
  const sections = clients.map((client) => {
    const snippet = clientSnippet(client.id, options);
    return [
      `### ${snippet.title}`,
      '',
      ...(snippet.file === null ? [] : [`In ${snippet.file}:`, '']),
      fenced(snippet.format === 'shell' ? 'sh' : snippet.format, snippet.text),
      '',
      ...snippet.notes.map((note) => `- ${note}`),
      ...(snippet.notes.length === 0 ? [] : ['']),
    ].join('\n');
  });
  return [
    `# Connect to ${inline(name)}`,
    '',
    `An MCP server at \`${url}\`.`,
    '',
    '## 1. A key',
    '',
    facts.asksForKey
      ? 'Ask whoever runs the endpoint for a key of your own, and put it into the file `mcp.key`, readable by you alone:\n\n```sh\n(umask 077 && cat > mcp.key)   # paste the key, then Ctrl-D\n```\n\nIt stands for you: do not share it, put it into no file that others read, and say so when it is lost.\n\n> For the operator: `mcp-deploy keys create NAME --key-file ./NAME.key` makes one.'
      : 'This endpoint asks for no key.',
    '',
    '## 2. Trust',
    '',
    caPem === null
      ? 'Its certificate is from a public authority: there is nothing to do.'
      : `Its certificate is from a private authority. Save this as \`mcp-ca.crt\`${facts.caFingerprint === null ? '' : `, and compare the SHA-256 fingerprint with the operator by another way than this page:\n\n\`${facts.caFingerprint}\``}\n\n${fenced('pem', caPem)}`,
    '',
    '## 3. Your client',
    '',
    'Paths that begin with `./` stand for where you saved the files; write them in full.',
    '',
    ...sections,
    '### Any other client',
    '',
    `Streamable HTTP at \`${url}\`${facts.asksForKey ? ', with the header `Authorization: Bearer KEY`' : ''}. Both protocol eras are answered: 2026-07-28, and 2025-11-25 and older.`,
    '',
    '## When it does not connect',
    '',
    '| it says | it means |',
    '|---|---|',
    ...(facts.asksForKey ? ['| 401, unauthorized | the key is missing, wrong or revoked |'] : []),
    ...(caPem === null
      ? []
      : ['| self-signed certificate, unable to verify | the client does not trust the CA of step 2 yet |']),
    '| 429, too many requests | wait as long as Retry-After says |',
    '| connection refused, timed out | the endpoint is not reachable from where you are |',
    '',
    `\`npx mcp-deploy doctor ${url}${facts.asksForKey ? ' --key-file ./mcp.key' : ''}${caPem === null ? '' : ' --ca ./mcp-ca.crt'}\` says which it is.`,
    '',
  ].join('\n');
}

/** A fence that is longer than any in the text. */
function fenced(language: string, text: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([ticks]) => ticks.length));
  const fence = '`'.repeat(longest + 1);
  return `${fence}${language}\n${text.trimEnd()}\n${fence}`;
}

function inline(text: string): string {
  return text.replaceAll(/[\\`*_[\]<>#|]/g, String.raw`\$&`).replaceAll(/\s+/g, ' ');
}
