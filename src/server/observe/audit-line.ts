import type { Era } from '../types.ts';
import { quoteText } from './quote-text.ts';
import { redactText } from './redact.ts';

const VALUE_CHARACTERS = 256;
const ERROR_CHARACTERS = 1_024;

/** One answered call. Arguments and results are not in it, by design: nothing to redact, nothing to leak. */
export interface AuditEntry {
  /** Correlation id: X-Request-Id of the answer. */
  readonly request: string;
  /** JSON-RPC id of the call, null for a request without one. */
  readonly id: string | number | null;
  /** MCP method; null for what was refused before its body was read. */
  readonly method: string | null;
  readonly status: string | number;
  /** Null for anything but a tool call. */
  readonly tool: string | null;
  readonly durationSeconds: number;
  /** Label of the key, '' without keys. */
  readonly key: string;
  readonly address: string;
  /** Null for what was refused before it was known. */
  readonly era: Era | null;
  readonly session: string | null;
  readonly upstream: string | null;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly error: string | null;
}

let stampMs = 0;
let stamp = '';

/** The fields of one call as an object that is still open at its end: the chain adds its own. Times in seconds, sizes in bytes. */
export function renderAuditFields(entry: AuditEntry, nowMs: number = Date.now()): string {
  if (nowMs !== stampMs) {
    stampMs = nowMs;
    stamp = new Date(nowMs).toISOString();
  }
  return (
    `{"time":"${stamp}","request":${renderScalar(entry.request)},"id":${renderScalar(entry.id)}` +
    `,"method":${renderScalar(entry.method)},"status":${renderScalar(entry.status)}` +
    `,"tool":${renderScalar(entry.tool)},"duration_seconds":${renderScalar(Math.round(entry.durationSeconds * 1e6) / 1e6)}` +
    `,"key":${renderScalar(entry.key)},"address":${renderScalar(entry.address)},"era":${renderScalar(entry.era)}` +
    `,"session":${renderScalar(entry.session)},"upstream":${renderScalar(entry.upstream)}` +
    `,"bytes_in":${renderScalar(entry.bytesIn)},"bytes_out":${renderScalar(entry.bytesOut)}` +
    `,"error":${entry.error === null ? 'null' : renderError(entry.error)}`
  );
}

function renderScalar(value: string | number | null): string {
  if (value === null) return 'null';
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : 'null';
  return quoteText(value.length > VALUE_CHARACTERS ? `${value.slice(0, VALUE_CHARACTERS)}…` : value);
}

/** The only text that may quote what a client or an upstream said. */
function renderError(text: string): string {
  const clean = redactText(text.slice(0, 2 * ERROR_CHARACTERS));
  return quoteText(clean.length > ERROR_CHARACTERS ? `${clean.slice(0, ERROR_CHARACTERS)}…` : clean);
}
