import { isIP } from 'node:net';
import { UserError } from '../deployment/errors.ts';
import type { SnippetOptions } from './types.ts';

const schemaUrl = 'https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json';

/**
 * `server.json` of the MCP registry for a remote endpoint. A name with a slash is taken as the registry's own form,
 * `com.example/notes`; otherwise the namespace is the reversed host name.
 * @throws UserError for an endpoint that nobody but this machine can reach, and a name that the registry refuses
 * @see https://modelcontextprotocol.io/registry/remote-servers
 */
export function registryDocument(
  spec: Pick<SnippetOptions, 'name' | 'url' | 'keyFile' | 'caFile'> & { title: string },
): {
  readonly document: object;
  readonly notes: readonly string[];
} {
  const host = URL.canParse(spec.url) ? new URL(spec.url).hostname : '';
  if (!host.includes('.') || isIP(host.replaceAll(/[[\]]/g, '')) !== 0 || !spec.url.startsWith('https://')) {
    throw new UserError(`${spec.url} cannot stand in the registry.`, {
      why: 'A remote server there is reached over https by a public name.',
      next: 'mcp-deploy client print server.json --url https://mcp.example.com/mcp --name com.example/notes',
    });
  }
  const name = spec.name.includes('/') ? spec.name : `${host.split('.').toReversed().join('.')}/${spec.name}`;
  if (!/^[a-zA-Z0-9.-]+\/[a-zA-Z0-9._-]+$/.test(name) || name.length > 200) {
    throw new UserError(`${JSON.stringify(name)} cannot be a name in the registry.`, {
      why: 'It is a reversed domain, one slash and a name, of letters, digits, dots and hyphens.',
      next: '--name com.example/notes',
    });
  }
  const header = {
    name: 'Authorization',
    description: 'API key of the endpoint',
    value: 'Bearer {api_key}',
    isRequired: true,
    isSecret: true,
    variables: { api_key: { description: 'API key', isRequired: true, isSecret: true } },
  };
  return {
    document: {
      $schema: schemaUrl,
      name,
      description: `MCP server at ${host}`.slice(0, 100),
      version: '1.0.0',
      remotes: [{ type: 'streamable-http', url: spec.url, ...(spec.keyFile === null ? {} : { headers: [header] }) }],
    },
    notes: [
      'Put your own description and version there before you publish it.',
      `The registry asks you to prove that ${name.split('/')[0] ?? ''} is yours.`,
      ...(spec.caFile === null
        ? []
        : ['Readers of the registry do not have your private CA: it needs a public certificate.']),
    ],
  };
}
