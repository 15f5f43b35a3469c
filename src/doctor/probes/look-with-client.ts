import { deadlineSignal } from './deadline-signal.ts';
import type { Exchange, HttpsFetch } from './https-fetch.ts';
import { within } from './within.ts';
import { pickSafeTool, type ListedTool, type SafeCall } from '../safe-tool.ts';

export type Era = 'legacy' | 'modern';

/** What a real MCP client saw: handshake, tools/list and at most one safe call. */
export interface ClientLook {
  /** The era the client ended up in; a modern client falls back like those in the field. */
  readonly era: Era;
  readonly protocolVersion: string;
  readonly server: { readonly name: string; readonly version: string };
  /** Null when the server does not declare tools. */
  readonly tools: readonly ListedTool[] | null;
  readonly called: { readonly tool: string; readonly durationMs: number; readonly isError: boolean } | null;
  /** The server gave a session id. */
  readonly session: boolean;
  readonly connectMs: number;
}

export interface ClientLookSpec {
  readonly url: string;
  readonly http: HttpsFetch;
  readonly key: string | null;
  /** Whether to call the safe tool as well. */
  readonly call: boolean;
  readonly timeoutMs: number;
}

/** A client got stuck; `stage` says how far it had come. */
export class ClientLookError extends Error {
  readonly stage: 'connect' | 'list' | 'call';
  readonly tool: string | null;

  constructor(stage: ClientLookError['stage'], cause: unknown, tool: string | null = null) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.name = 'ClientLookError';
    this.stage = stage;
    this.tool = tool;
  }
}

/** The part of both official clients that is used here. */
interface Session {
  connect(signal: AbortSignal): Promise<void>;
  era(): Era;
  protocolVersion(): string;
  server(): { name: string; version: string } | undefined;
  hasId(): boolean;
  hasTools(): boolean;
  listTools(signal: AbortSignal): Promise<readonly ListedTool[]>;
  callTool(call: SafeCall, signal: AbortSignal): Promise<{ isError: boolean }>;
  /** Ends the session on the server too, so that nothing is left behind. */
  close(): Promise<void>;
}

const clientInfo = { name: 'mcp-deploy-doctor', version: '1' };
/** Pages of tools/list that are read; a cursor that never ends must not hold the look. */
const maxListPages = 64;
const goodbyeTimeoutMs = 2_000;

/**
 * Connects with the official client of that era (2.x negotiating for modern,
 * 1.x for legacy) and looks around. Throws ClientLookError; the session is
 * ended on the server in any case.
 */
export async function lookWithClient(era: Era, spec: ClientLookSpec, outer: AbortSignal): Promise<ClientLook> {
  const deadline = deadlineSignal(outer, spec.timeoutMs);
  const { signal } = deadline;
  const session = era === 'modern' ? await openModern(spec) : await openLegacy(spec);
  try {
    const startedAt = performance.now();
    await staged('connect', session.connect(signal));
    const connectMs = performance.now() - startedAt;
    const tools = session.hasTools() ? await staged('list', session.listTools(signal)) : null;
    const safe = spec.call && tools !== null ? pickSafeTool(tools) : null;
    const called = safe === null ? null : await timedCall(session, safe, signal);
    return {
      era: session.era(),
      protocolVersion: session.protocolVersion(),
      server: session.server() ?? { name: 'unnamed', version: 'unknown' },
      tools,
      called,
      session: session.hasId(),
      connectMs,
    };
  } finally {
    // A good-bye that is not answered must not hold up who waits for the look.
    await ignoreFailure(within(session.close(), goodbyeTimeoutMs, new AbortController().signal));
    deadline.release();
  }
}

/** Headers that carry the key in the standard way. */
export function keyHeaders(key: string | null): Record<string, string> {
  return key === null ? {} : { authorization: `Bearer ${key}` };
}

/** Remembers the last exchange that says why a client gave up: clients print little of it. */
export function exchangeRecorder(): { readonly onExchange: (exchange: Exchange) => void; readonly all: Exchange[] } {
  const all: Exchange[] = [];
  return { all, onExchange: (exchange) => all.push(exchange) };
}

async function timedCall(
  session: Session,
  safe: SafeCall,
  signal: AbortSignal,
): Promise<NonNullable<ClientLook['called']>> {
  const startedAt = performance.now();
  const { isError } = await staged('call', session.callTool(safe, signal), safe.tool);
  return { tool: safe.tool, durationMs: performance.now() - startedAt, isError };
}

async function staged<T>(stage: ClientLookError['stage'], work: Promise<T>, tool: string | null = null): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw new ClientLookError(stage, error, tool);
  }
}

function importModern() {
  return import('@modelcontextprotocol/client');
}

async function importLegacy() {
  const [client, transport] = await Promise.all([
    import('@modelcontextprotocol/sdk/client/index.js'),
    import('@modelcontextprotocol/sdk/client/streamableHttp.js'),
  ]);
  return { Client: client.Client, StreamableHTTPClientTransport: transport.StreamableHTTPClientTransport };
}

async function openModern(spec: ClientLookSpec): Promise<Session> {
  const { Client, StreamableHTTPClientTransport } = await importModern();
  const client = new Client(clientInfo, { versionNegotiation: { mode: 'auto' } });
  const transport = new StreamableHTTPClientTransport(new URL(spec.url), {
    fetch: spec.http,
    requestInit: { headers: keyHeaders(spec.key) },
  });
  return {
    connect: (signal) => client.connect(transport, { signal, timeout: spec.timeoutMs }),
    era: () => client.getProtocolEra() ?? 'legacy',
    protocolVersion: () => client.getNegotiatedProtocolVersion() ?? 'unknown',
    server: () => client.getServerVersion(),
    hasId: () => transport.sessionId !== undefined,
    hasTools: () => client.getServerCapabilities()?.tools !== undefined,
    listTools: async (signal) => (await client.listTools(undefined, { signal, timeout: spec.timeoutMs })).tools,
    callTool: async (call, signal) => {
      const result = await client.callTool(
        { name: call.tool, arguments: call.arguments },
        { signal, timeout: spec.timeoutMs },
      );
      return { isError: result.isError === true };
    },
    close: async () => {
      if (client.getProtocolEra() === 'legacy') await ignoreFailure(transport.terminateSession());
      await ignoreFailure(client.close());
    },
  };
}

async function openLegacy(spec: ClientLookSpec): Promise<Session> {
  const { Client, StreamableHTTPClientTransport } = await importLegacy();
  const client = new Client(clientInfo);
  const transport = new StreamableHTTPClientTransport(new URL(spec.url), {
    fetch: spec.http,
    requestInit: { headers: keyHeaders(spec.key) },
  });
  const options = { timeout: spec.timeoutMs };
  return {
    connect: (signal) => client.connect(transport, { ...options, signal }),
    era: () => 'legacy',
    protocolVersion: () => transport.protocolVersion ?? 'unknown',
    server: () => client.getServerVersion(),
    hasId: () => transport.sessionId !== undefined,
    hasTools: () => client.getServerCapabilities()?.tools !== undefined,
    listTools: async (signal) => {
      const tools: ListedTool[] = [];
      let cursor: string | undefined;
      for (let page = 0; page < maxListPages; page += 1) {
        const result = await client.listTools(cursor === undefined ? undefined : { cursor }, { ...options, signal });
        tools.push(...result.tools);
        cursor = result.nextCursor;
        if (cursor === undefined) return tools;
      }
      throw new Error(`tools/list did not end after ${maxListPages} pages`);
    },
    callTool: async (call, signal) => {
      const result = await client.callTool({ name: call.tool, arguments: call.arguments }, undefined, {
        ...options,
        signal,
      });
      return { isError: result.isError === true };
    },
    close: async () => {
      await ignoreFailure(transport.terminateSession());
      await ignoreFailure(client.close());
    },
  };
}

/** Tidying up: the look is over, and its result must not change because the good-bye failed. */
async function ignoreFailure(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch {
    // said above
  }
}
