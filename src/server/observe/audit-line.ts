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

/** Calls of one tool, and calls of one session, have most of their line in common: that is rendered once and remembered. */
const MOST_REMEMBERED = 1_000;
type ToolFields = Pick<AuditEntry, 'method' | 'status' | 'tool'>;
type SessionFields = Pick<AuditEntry, 'key' | 'address' | 'era' | 'session' | 'upstream'>;
const ofTools = new Map<string, ToolFields & { readonly text: string }>();
const ofSessions = new Map<string, SessionFields & { readonly text: string }>();

/**
 * The fields of one call as an object that is still open at its end: the chain adds its own. Times in seconds, sizes in
 * bytes. Few pieces make a line: with one for each field the line was a third of all memory that a call took.
 */
export function renderAuditFields(entry: AuditEntry, nowMs: number = Date.now()): string {
  if (nowMs !== stampMs) {
    stampMs = nowMs;
    stamp = `{"time":"${new Date(nowMs).toISOString()}","request":`;
  }
  const seconds = renderScalar(Math.round(entry.durationSeconds * 1e6) / 1e6);
  const error = entry.error === null ? ',"error":null' : `,"error":${renderError(entry.error)}`;
  return `${stamp}${renderScalar(entry.request)},"id":${renderScalar(entry.id)}${fieldsOfTool(entry)}${seconds}${fieldsOfSession(entry)}${renderScalar(entry.bytesIn)},"bytes_out":${renderScalar(entry.bytesOut)}${error}`;
}

function fieldsOfTool({ method, status, tool }: AuditEntry): string {
  const name = tool ?? method ?? '';
  const known = ofTools.get(name);
  if (known !== undefined && known.status === status && known.tool === tool && known.method === method)
    return known.text;
  const text = `,"method":${renderScalar(method)},"status":${renderScalar(status)},"tool":${renderScalar(tool)},"duration_seconds":`;
  remember(ofTools, name, { method, status, tool, text });
  return text;
}

function fieldsOfSession({ key, address, era, session, upstream }: AuditEntry): string {
  const name = session ?? address;
  const known = ofSessions.get(name);
  if (known !== undefined && known.session === session && known.key === key && known.address === address)
    if (known.upstream === upstream && known.era === era) return known.text;
  const text = `,"key":${renderScalar(key)},"address":${renderScalar(address)},"era":${renderScalar(era)},"session":${renderScalar(session)},"upstream":${renderScalar(upstream)},"bytes_in":`;
  remember(ofSessions, name, { key, address, era, session, upstream, text });
  return text;
}

function remember<T>(texts: Map<string, T>, name: string, fields: T): void {
  // What a client invents does not stay in memory.
  if (name.length > VALUE_CHARACTERS) return;
  if (texts.size >= MOST_REMEMBERED) texts.clear();
  texts.set(name, fields);
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
