import { LEGACY_VERSION, readDiscover, readInitialize, type Hello } from './handshake.ts';
import { OwnTimeout, type HttpConnection } from './http-connection.ts';
import { HttpRefusal } from './http-failure.ts';
import { UpstreamRpcError } from './own-requests.ts';
import { MODERN_VERSION, type ClientInfo } from './request-text.ts';

/** How long server/discover may take before it is taken for a request that an older server does not answer. */
const discoverMs = 10_000;

/**
 * Finds out the era of an HTTP server and shakes hands. `server/discover`
 * comes first: a modern server may serve older revisions too, but only by it
 * says that it is modern, and an older one refuses it and is none the worse.
 * Rejects with an Error whose message says why the upstream cannot serve.
 */
export async function shakeHandsOverHttp(
  connection: HttpConnection,
  clientInfo: ClientInfo,
  capabilities: Record<string, unknown>,
  timeoutMs: number,
): Promise<Hello> {
  const deadline = Date.now() + timeoutMs;
  let refusal: unknown = null;
  try {
    const answer = connection.request('server/discover', {}, Math.min(discoverMs, timeoutMs / 2));
    const hello = readDiscover(await answer.result);
    if (hello !== null) {
      connection.session.era = 'modern';
      connection.session.protocolVersion = MODERN_VERSION;
      return hello;
    }
  } catch (error) {
    if (!mayBeLegacy(error)) throw error;
    refusal = error;
  }
  try {
    const params = { protocolVersion: LEGACY_VERSION, capabilities, clientInfo };
    const answer = connection.request('initialize', params, Math.max(1, deadline - Date.now()));
    const hello = readInitialize(await answer.result);
    connection.session.era = 'legacy';
    connection.session.protocolVersion = hello.protocolVersion;
    connection.notify('notifications/initialized');
    return hello;
  } catch (error) {
    if (!(error instanceof UpstreamRpcError)) throw error;
    const before = refusal instanceof UpstreamRpcError ? ` and server/discover (${refusal.message})` : '';
    throw new Error(`it refused initialize (${error.message})${before}`, { cause: error });
  }
}

/** Whether an older server may have answered so. One that is down, elsewhere or wants other credentials is not asked again. */
function mayBeLegacy(error: unknown): boolean {
  if (error instanceof UpstreamRpcError || error instanceof OwnTimeout) return true;
  if (!(error instanceof HttpRefusal)) return false;
  const { status } = error;
  return (
    (status >= 400 && status < 500 && status !== 401 && status !== 403 && status !== 429) ||
    status === 500 ||
    status === 501
  );
}
