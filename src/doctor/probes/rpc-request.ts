/** A POST with a JSON-RPC message, as its era writes it. */
export interface RpcRequest {
  readonly method: 'POST';
  readonly rpcMethod: string;
  readonly headers: Record<string, string>;
  readonly body: string;
}

const modernRevision = '2026-07-28';
export const legacyRevision = '2025-11-25';

const clientInfo = { name: 'mcp-deploy-doctor', version: '1' };

/** Modern era: every request carries its envelope, and the headers repeat it. */
export function modernRequest(
  method: string,
  params: Record<string, unknown>,
  headers: Record<string, string>,
  meta: Record<string, unknown> = {},
): RpcRequest {
  const name = params['name'];
  return {
    method: 'POST',
    rpcMethod: method,
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': modernRevision,
      'mcp-method': method,
      ...(typeof name === 'string' ? { 'mcp-name': name } : {}),
      ...headers,
    },
    body: JSON.stringify({
      jsonrpc: '2.0',
      id: 'doctor',
      method,
      params: {
        ...params,
        _meta: {
          'io.modelcontextprotocol/protocolVersion': modernRevision,
          'io.modelcontextprotocol/clientInfo': clientInfo,
          'io.modelcontextprotocol/clientCapabilities': {},
          ...meta,
        },
      },
    }),
  };
}

/** Legacy era. With an id of null it is a notification. */
export function legacyRequest(
  method: string,
  params: Record<string, unknown>,
  headers: Record<string, string>,
  id: string | null = 'doctor',
): RpcRequest {
  return {
    method: 'POST',
    rpcMethod: method,
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...(method === 'initialize' ? {} : { 'mcp-protocol-version': legacyRevision }),
      ...headers,
    },
    body: JSON.stringify({ jsonrpc: '2.0', ...(id === null ? {} : { id }), method, params }),
  };
}

/** The first request of the legacy era. */
export function initializeRequest(
  headers: Record<string, string>,
  meta: Record<string, unknown> | null = null,
): RpcRequest {
  const params = { protocolVersion: legacyRevision, capabilities: {}, clientInfo };
  return legacyRequest('initialize', meta === null ? params : { ...params, _meta: meta }, headers);
}
