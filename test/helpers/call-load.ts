import { Agent, request, type IncomingHttpHeaders } from 'node:http';
import { Agent as TlsAgent, request as requestTls } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';

export interface LoadOptions {
  readonly url: string;
  readonly key: string;
  readonly clients: number;
  readonly ca?: string;
  /** Tool that answers `{content:[{text}]}` with its argument `message`. */
  readonly tool: string;
  /** Between two calls of a client; none by default. */
  readonly pauseMs?: number;
  /** Told of each call, for figures. */
  readonly onCall?: (call: {
    readonly era: 'modern' | 'legacy';
    readonly ok: boolean;
    readonly durationMs: number;
  }) => void;
}

/** Clients that call without a pause, each on its own kept connection, half of them in legacy sessions. */
export interface CallLoad {
  readonly counts: { calls: number; failed: number; failedModern: number; sessionsLost: number; reconnects: number };
  /** What went wrong first. */
  readonly problems: string[];
  /** Ends the load once every call has its answer. */
  stop(): Promise<void>;
}

const meta = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientCapabilities': {},
  'io.modelcontextprotocol/clientInfo': { name: 'load', version: '1' },
};

export function startLoad(options: LoadOptions): CallLoad {
  const counts = { calls: 0, failed: 0, failedModern: 0, sessionsLost: 0, reconnects: 0 };
  const problems: string[] = [];
  const ending = new AbortController();

  async function client(isModern: boolean): Promise<void> {
    const isTls = options.url.startsWith('https:');
    const agent = isTls
      ? new TlsAgent({ keepAlive: true, maxSockets: 1 })
      : new Agent({ keepAlive: true, maxSockets: 1 });
    const send = (message: unknown, headers: Record<string, string>): Promise<Answer> =>
      post(options, agent, JSON.stringify(message), headers);
    let session = isModern ? null : await initialize(send);
    while (!ending.signal.aborted) {
      const text = `${counts.calls++}-${Math.random()}`;
      const params = { name: options.tool, arguments: { message: text }, ...(isModern ? { _meta: meta } : {}) };
      const headers: Record<string, string> = isModern
        ? { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': options.tool }
        : { 'mcp-protocol-version': '2025-11-25', 'mcp-session-id': session ?? '' };
      const startedAt = performance.now();
      const tell = (ok: boolean): void =>
        options.onCall?.({ era: isModern ? 'modern' : 'legacy', ok, durationMs: performance.now() - startedAt });
      try {
        const answer = await send({ jsonrpc: '2.0', id: counts.calls, method: 'tools/call', params }, headers);
        if (answer.status === 404 && !isModern) {
          counts.sessionsLost++;
          tell(false);
          session = await initialize(send);
        } else if (answer.status !== 200 || !answer.body.includes(text)) {
          counts.failed++;
          if (isModern) counts.failedModern++;
          tell(false);
          problems.push(`${isModern ? 'modern' : 'legacy'}: ${answer.status} ${answer.body.slice(0, 200)}`);
        } else tell(true);
      } catch (error) {
        tell(false);
        counts.failed++;
        if (isModern) counts.failedModern++;
        problems.push(`${isModern ? 'modern' : 'legacy'}: ${String(error)}`);
      }
      if (options.pauseMs !== undefined) await sleep(options.pauseMs);
    }
    agent.destroy();
  }
  const clients = Promise.all(Array.from({ length: options.clients }, (_, at) => client(at % 2 === 0)));
  return {
    counts,
    problems,
    async stop() {
      ending.abort();
      await clients;
    },
  };
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

async function initialize(
  send: (message: unknown, headers: Record<string, string>) => Promise<Answer>,
): Promise<string> {
  const { headers, status, body } = await send(
    {
      jsonrpc: '2.0',
      id: 0,
      method: 'initialize',
      params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'load', version: '1' } },
    },
    {},
  );
  const session = headers['mcp-session-id'];
  if (typeof session !== 'string') throw new Error(`initialize: ${status} ${body}`);
  return session;
}

function post(
  { url, key, ca }: LoadOptions,
  agent: Agent | TlsAgent,
  body: string,
  headers: Record<string, string>,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = (url.startsWith('https:') ? requestTls : request)(
      url,
      {
        method: 'POST',
        agent,
        headers: {
          'x-api-key': key,
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
          'content-length': Buffer.byteLength(body),
          ...headers,
        },
        ...(ca === undefined ? {} : { ca }),
      },
      (incoming) => {
        let text = '';
        incoming.on('data', (chunk: Buffer) => (text += chunk.toString()));
        incoming.on('error', reject);
        incoming.on('end', () => resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body: text }));
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}
