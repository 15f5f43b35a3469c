/** Revisions with initialize and sessions, newest first: the first is offered to a client that asks for one we do not know. */
export const legacyRevisions: readonly string[] = ['2025-11-25', '2025-06-18', '2025-03-26', '2024-11-05'];

/** Stateless revisions. */
export const modernRevisions: readonly string[] = ['2026-07-28'];

/** What a legacy request without MCP-Protocol-Version means (spec 2025-06-18, transports). */
export const assumedLegacyRevision = '2025-03-26';

/** The only revision with JSON-RPC batches. */
export const batchRevision = '2025-03-26';

/** Clients older than this fail to parse the empty first event that makes a stream resumable. */
const emptyEventRevision = '2025-11-25';

/** Keys of the envelope that every modern request carries in `params._meta`, and of what answers carry. */
export const metaKeys = {
  protocolVersion: 'io.modelcontextprotocol/protocolVersion',
  clientCapabilities: 'io.modelcontextprotocol/clientCapabilities',
  clientInfo: 'io.modelcontextprotocol/clientInfo',
  logLevel: 'io.modelcontextprotocol/logLevel',
  serverInfo: 'io.modelcontextprotocol/serverInfo',
  subscriptionId: 'io.modelcontextprotocol/subscriptionId',
} as const;

/** Revisions are dates, so text order is their order. */
export function isModernRevision(revision: string): boolean {
  return revision >= '2026-07-28';
}

/** Whether a stream may begin with an event that has an id and no data. */
export function understandsEmptyEvent(revision: string): boolean {
  return revision >= emptyEventRevision;
}
