import type { HttpRequest } from './http-message.ts';
import type { Deployment } from '../../deployment/schema.ts';

/** What the information page is made of. */
export interface InfoFacts {
  readonly deployment: Deployment;
  readonly version: string;
  /** Revisions of the protocol, newest first. */
  readonly revisions: readonly string[];
  /** Metadata of a resource that takes tokens; null where keys are the only way. */
  readonly resourceMetadataUrl: string | null;
}

/**
 * Whether a request is somebody's look at the endpoint: a GET that takes no event stream and names no session. Clients
 * of the protocol ask for a stream, and are answered as the specification wants.
 */
export function isPlainGet({ method, headers }: HttpRequest): boolean {
  if (method !== 'GET' || headers['mcp-session-id'] !== undefined || headers['last-event-id'] !== undefined)
    return false;
  return !/text\/event-stream/i.test(headers.accept ?? '');
}

/**
 * The page that a plain GET of the endpoint gets: name, version, paths, and whether a key is needed. Nothing that only
 * callers may know is in it. Pure.
 * @param authenticated whether the request carried a key that is accepted; null when it carried none
 */
export function renderInfoPage(facts: InfoFacts, authenticated: boolean | null): string {
  const { name, server, auth } = facts.deployment;
  const { legacySse } = server;
  return JSON.stringify({
    name,
    version: facts.version,
    protocolVersions: facts.revisions,
    endpoints: {
      mcp: server.path,
      ...(server.aliases.length === 0 ? {} : { aliases: server.aliases }),
      ...(legacySse === 'off' ? {} : { sse: legacySse.sse, messages: legacySse.messages }),
      ...(server.toolPath === 'off' ? {} : { tools: server.toolPath }),
      health: '/health',
      ready: '/readyz',
      status: '/status',
      ...(server.metrics ? { metrics: '/metrics' } : {}),
    },
    auth: {
      required: auth.required,
      schemes: auth.required ? ['Bearer', 'x-api-key'] : [],
      authenticated,
      ...(facts.resourceMetadataUrl === null ? {} : { resourceMetadata: facts.resourceMetadataUrl }),
    },
  });
}
