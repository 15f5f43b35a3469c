import type { BackendCall, RpcId } from '../types.ts';

/** Revision that the gateway speaks with modern upstreams. */
export const MODERN_VERSION = '2026-07-28';

const metaPrefix = 'io.modelcontextprotocol/';
const versionKey = `${metaPrefix}protocolVersion`;
const clientInfoKey = `${metaPrefix}clientInfo`;
const capabilitiesKey = `${metaPrefix}clientCapabilities`;
const logLevelKey = `${metaPrefix}logLevel`;

export interface ClientInfo {
  readonly name: string;
  readonly version: string;
}

/** What of a call is needed to write it down for an upstream. */
export type WritableCall = Pick<BackendCall, 'method' | 'params' | 'clientCapabilities'>;

/** One line for a legacy upstream: our id, our progress token (the id itself), no modern envelope. */
export function legacyRequestLine(id: number, method: string, params: Record<string, unknown> | undefined): string {
  if (params === undefined) return `{"jsonrpc":"2.0","id":${id},"method":${JSON.stringify(method)}}\n`;
  const meta = metaOf(params);
  const sent = meta === undefined ? params : { ...params, _meta: legacyMeta(meta, id) };
  return `{"jsonrpc":"2.0","id":${id},"method":${JSON.stringify(method)},"params":${JSON.stringify(sent)}}\n`;
}

/**
 * One line for a modern upstream: every request says revision, client and what
 * the client can be asked for (MCP 2026-07-28, request `_meta`).
 */
export function modernRequestLine(id: number, call: WritableCall, ownInfo: ClientInfo): string {
  const meta = call.params === undefined ? undefined : metaOf(call.params);
  const sentMeta: Record<string, unknown> = {
    ...meta,
    [versionKey]: MODERN_VERSION,
    [clientInfoKey]: meta?.[clientInfoKey] ?? ownInfo,
    [capabilitiesKey]: meta?.[capabilitiesKey] ?? call.clientCapabilities,
  };
  if (meta?.['progressToken'] !== undefined) sentMeta['progressToken'] = id;
  const sent = { ...call.params, _meta: sentMeta };
  return `{"jsonrpc":"2.0","id":${id},"method":${JSON.stringify(call.method)},"params":${JSON.stringify(sent)}}\n`;
}

/** The caller's own progress token, when it asked for progress. */
export function progressTokenOf(params: Record<string, unknown> | undefined): RpcId | undefined {
  const token = params === undefined ? undefined : metaOf(params)?.['progressToken'];
  return typeof token === 'string' || typeof token === 'number' ? token : undefined;
}

function metaOf(params: Record<string, unknown>): Record<string, unknown> | undefined {
  const meta = params['_meta'];
  return typeof meta === 'object' && meta !== null && !Array.isArray(meta)
    ? (meta as Record<string, unknown>)
    : undefined;
}

/** `undefined` when nothing is left, so that the member is not written at all. */
function legacyMeta(meta: Record<string, unknown>, id: number): Record<string, unknown> | undefined {
  const sent: Record<string, unknown> = {};
  let members = 0;
  for (const [key, value] of Object.entries(meta)) {
    if (key === versionKey || key === clientInfoKey || key === capabilitiesKey || key === logLevelKey) continue;
    sent[key] = key === 'progressToken' ? id : value;
    members++;
  }
  return members === 0 ? undefined : sent;
}
