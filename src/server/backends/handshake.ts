import type { Era } from '../types.ts';
import { ASKED_AS_SERVER, METHOD_NOT_FOUND } from './backend-errors.ts';
import { UpstreamRpcError } from './own-requests.ts';
import { MODERN_VERSION, type ClientInfo } from './request-text.ts';
import type { StdioConnection } from './stdio-connection.ts';

/** What an upstream says of itself at the start. */
export interface Hello {
  readonly era: Era;
  readonly protocolVersion: string;
  readonly capabilities: Record<string, unknown>;
  readonly serverInfo: { readonly name: string; readonly version: string } | null;
  readonly instructions: string | null;
}

/** Newest legacy revision; an older server answers with its own. */
export const LEGACY_VERSION = '2025-11-25';
const OLDER_VERSIONS = ['2025-06-18', '2025-03-26', '2024-11-05'];
/** MCP 2026-07-28: the server speaks none of the revisions that were asked for; `data.supported` lists its own. */
const UNSUPPORTED_VERSION = -32022;

/**
 * Finds out the era of a fresh child and shakes hands. `initialize` comes
 * first, because servers of the older SDKs end on any other first request;
 * only when it is refused is `server/discover` tried. Sets the connection's
 * era. Rejects with an Error whose message says why the upstream cannot serve.
 */
export async function shakeHands(
  connection: StdioConnection,
  clientInfo: ClientInfo,
  clientCapabilities: Record<string, unknown>,
  timeoutMs: number,
): Promise<Hello> {
  const deadline = Date.now() + timeoutMs;
  const initialize = async (protocolVersion: string): Promise<Hello> => {
    const params = { protocolVersion, capabilities: clientCapabilities, clientInfo };
    const answer = connection.request('initialize', params, Math.max(1, deadline - Date.now()));
    const hello = readInitialize(await answer.result);
    connection.era = 'legacy';
    connection.notify('notifications/initialized');
    return hello;
  };
  try {
    return await initialize(LEGACY_VERSION);
  } catch (error) {
    if (!(error instanceof UpstreamRpcError)) throw error;
    if (error.rpc.message === ASKED_AS_SERVER) {
      throw new Error('it only sends back what it is sent: it is no MCP server', { cause: error });
    }
    const older = olderVersionOf(error);
    if (older !== undefined) return initialize(older);
    if (!mayBeModern(error)) throw new Error(`it refused initialize: ${error.message}`, { cause: error });
    const hello = await discover(connection, Math.max(1, deadline - Date.now()), error);
    connection.era = 'modern';
    return hello;
  }
}

/** A legacy revision that a server names in its refusal, instead of answering with it as it should. */
function olderVersionOf(error: UpstreamRpcError): string | undefined {
  const supported = (error.rpc.data as { supported?: unknown } | undefined)?.supported;
  return Array.isArray(supported) ? OLDER_VERSIONS.find((version) => supported.includes(version)) : undefined;
}

function mayBeModern(error: UpstreamRpcError): boolean {
  if (error.rpc.code === METHOD_NOT_FOUND) return true;
  if (error.rpc.code !== UNSUPPORTED_VERSION) return false;
  const supported = (error.rpc.data as { supported?: unknown } | undefined)?.supported;
  return !Array.isArray(supported) || supported.includes(MODERN_VERSION);
}

async function discover(connection: StdioConnection, timeoutMs: number, refusal: Error): Promise<Hello> {
  try {
    const result = await connection.request('server/discover', {}, timeoutMs).result;
    const hello = readDiscover(result);
    if (hello !== null) return hello;
    throw new Error(
      `it speaks ${supportedVersions(parseObject(result)).join(', ') || 'no known revision'} of MCP, the gateway ${MODERN_VERSION} and ${LEGACY_VERSION}`,
    );
  } catch (error) {
    if (!(error instanceof UpstreamRpcError)) throw error;
    throw new Error(`it refused initialize (${refusal.message}) and server/discover (${error.message})`, {
      cause: error,
    });
  }
}

/** Reads the result of server/discover; null when the modern revision is not among those that it offers. */
export function readDiscover(resultJson: string): Hello | null {
  const result = parseObject(resultJson);
  if (!supportedVersions(result).includes(MODERN_VERSION)) return null;
  const meta = asObject(result['_meta']);
  return {
    era: 'modern',
    protocolVersion: MODERN_VERSION,
    capabilities: asObject(result['capabilities']),
    serverInfo: readServerInfo(meta['io.modelcontextprotocol/serverInfo'] ?? result['serverInfo']),
    instructions: typeof result['instructions'] === 'string' ? result['instructions'] : null,
  };
}

function supportedVersions(result: Record<string, unknown>): readonly unknown[] {
  return Array.isArray(result['supportedVersions']) ? (result['supportedVersions'] as unknown[]) : [];
}

/** Reads the result of initialize. Throws an Error whose message says what is wrong with it. */
export function readInitialize(resultJson: string): Hello {
  const result = parseObject(resultJson);
  const version = result['protocolVersion'];
  if (typeof version !== 'string') throw new Error('its answer to initialize has no protocolVersion');
  return {
    era: 'legacy',
    protocolVersion: version,
    capabilities: asObject(result['capabilities']),
    serverInfo: readServerInfo(result['serverInfo']),
    instructions: typeof result['instructions'] === 'string' ? result['instructions'] : null,
  };
}

function readServerInfo(value: unknown): Hello['serverInfo'] {
  const { name, version } = asObject(value);
  return typeof name === 'string' ? { name, version: typeof version === 'string' ? version : '' } : null;
}

function parseObject(json: string): Record<string, unknown> {
  try {
    return asObject(JSON.parse(json));
  } catch {
    throw new Error('it answered with text that is not valid JSON');
  }
}

function asObject(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}
