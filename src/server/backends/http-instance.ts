import type { Agent } from 'node:http';
import type { HttpUpstream } from '../../deployment/http-upstream-schema.ts';
import { METHOD_NOT_FOUND } from './backend-errors.ts';
import { reasonOf, type Log } from './backend-log.ts';
import type { Hello } from './handshake.ts';
import { HttpConnection } from './http-connection.ts';
import type { ExchangeEnd, HttpTarget } from './http-exchange.ts';
import { HttpRefusal } from './http-failure.ts';
import { shakeHandsOverHttp } from './http-handshake.ts';
import { createOutboundAgent } from './outbound-agent.ts';
import { UpstreamRpcError } from './own-requests.ts';
import { readParamHeaders } from './param-headers.ts';
import type { UnsentCall } from './pending-calls.ts';
import type { ClientInfo } from './request-text.ts';
import type { InstanceEvents } from './stdio-instance.ts';
import type { Instance } from './supervised-instance.ts';

/** Everything that is the same for all sessions with one HTTP upstream. */
export interface HttpSpec {
  readonly name: string;
  readonly upstream: HttpUpstream;
  /** With the variables filled in. */
  readonly headers: Readonly<Record<string, string>>;
  /** Absolute, or null. */
  readonly caFile: string | null;
  readonly clientInfo: ClientInfo;
  readonly maxMessageBytes: number;
  readonly log: Log;
}

export interface HttpInstanceEvents extends InstanceEvents {
  readonly onUnsent: (unsent: UnsentCall) => void;
}

/** What all clients of the gateway together may be asked for; roots belong to one of them and are not offered. */
const sharedCapabilities = { sampling: {}, elicitation: { form: {}, url: {} } };

const connectMs = 10_000;
/** Without a stream that would end with it, a server is looked after this often. */
const lookEveryMs = 30_000;
const lookMs = 10_000;
const firstReopenMs = 1_000;
const maxReopenMs = 30_000;

/** One session with an HTTP server, from the handshake to its loss. Never throws; what happens is told by the events. */
export class HttpInstance implements Instance {
  readonly lastWords: readonly string[] = [];
  connection: HttpConnection | null = null;
  readonly #spec: HttpSpec;
  readonly #events: HttpInstanceEvents;
  #hello: Hello | null = null;
  #told = false;
  #agent: Agent | null = null;
  #streamOpen = false;
  #reopenMs = firstReopenMs;
  #timer: NodeJS.Timeout | null = null;
  #looks: NodeJS.Timeout | null = null;

  constructor(spec: HttpSpec, events: HttpInstanceEvents) {
    this.#spec = spec;
    this.#events = events;
    void this.#open();
  }

  /** Calls that the server has may go on when it was lost; otherwise the session is ended with them. */
  async end(graceMs: number): Promise<void> {
    if (this.#told) return;
    this.#told = true;
    await this.close(graceMs);
  }

  /** Ends everything that is left of it. */
  async close(graceMs: number): Promise<void> {
    this.#told = true;
    this.#clearTimers();
    const { connection } = this;
    connection?.close('the server is stopping');
    await connection?.session.end(Math.min(Math.max(graceMs, 500), 1_000));
    this.#agent?.destroy();
  }

  /** The stream of subscriptions/listen has ended: it is opened again by `reopen` unless the server has none. */
  listenEnded(error: unknown, reopen: () => void): void {
    this.#streamOpen = false;
    if (this.#told || (error instanceof UpstreamRpcError && error.rpc.code === METHOD_NOT_FOUND)) return;
    this.#reopenLater(null, () => void this.#reopenListen(reopen));
  }

  async #reopenListen(reopen: () => void): Promise<void> {
    await this.#look();
    if (this.#told) return;
    this.#tellAllChanged();
    reopen();
  }

  async #open(): Promise<void> {
    const { name, log, upstream, clientInfo } = this.#spec;
    try {
      const target = await this.#prepareTarget();
      const connection = new HttpConnection({
        upstream: name,
        log,
        clientInfo,
        target,
        callTimeoutMs: upstream.callSeconds * 1_000,
        maxConcurrency: upstream.maxConcurrency,
        onNotification: (method, params) => this.#onNotification(method, params),
        onLost: (reason) => this.#lose(reason),
        onUnsent: this.#events.onUnsent,
      });
      this.connection = connection;
      const hello = await shakeHandsOverHttp(connection, clientInfo, sharedCapabilities, upstream.startSeconds * 1_000);
      if (this.#told) return;
      this.#hello = hello;
      if (hello.era === 'modern') await this.#readParamHeaders();
      log.info('upstream-up', { upstream: name, era: hello.era, server: hello.serverInfo?.name });
      this.#events.onUp(hello);
      if (hello.era === 'legacy') this.#listen(connection, false);
      this.#looks = setInterval(() => {
        if (!this.#streamOpen && connection.inFlight === 0) void this.#look();
      }, lookEveryMs);
      this.#looks.unref();
    } catch (error) {
      this.#lose(reasonOf(error));
    }
  }

  async #prepareTarget(): Promise<HttpTarget> {
    const { upstream, headers, caFile, maxMessageBytes } = this.#spec;
    const url = new URL(upstream.url);
    this.#agent = await createOutboundAgent(url, caFile);
    return { url, headers, agent: this.#agent, connectMs, maxMessageBytes };
  }

  #lose(reason: string): void {
    this.#clearTimers();
    if (this.#told) return;
    this.#told = true;
    this.#events.onEnded({ reason, hopeless: false, unsent: this.connection?.lose(reason) ?? [] });
  }

  #onNotification(method: string, params: Record<string, unknown>): void {
    if (method === 'notifications/tools/list_changed') void this.#readParamHeaders();
    this.#events.onNotification(method, params);
  }

  /** The stream of a legacy server for what belongs to no call. Many have none. */
  #listen(connection: HttpConnection, again: boolean): void {
    if (this.#told) return;
    connection.listen({
      onOpen: () => {
        this.#streamOpen = true;
        this.#reopenMs = firstReopenMs;
        if (again) this.#tellAllChanged();
      },
      onEnd: (end) => {
        this.#streamOpen = false;
        this.#onStreamEnd(connection, end);
      },
    });
  }

  #onStreamEnd(connection: HttpConnection, end: ExchangeEnd): void {
    if (this.#told) return;
    if (end.kind === 'refused') {
      // 405 is how a server without such a stream answers; other refusals will not get better by asking again.
      if (end.refusal.status === 404 && connection.session.id !== null)
        this.#lose('it no longer knows the session of the gateway');
      return;
    }
    if (end.kind === 'failed' && !end.sent) {
      this.#lose(end.reason);
      return;
    }
    this.#reopenLater('retryMs' in end ? end.retryMs : null, () => this.#listen(connection, true));
  }

  #reopenLater(wantedMs: number | null, reopen: () => void): void {
    const waitMs = Math.min(maxReopenMs, Math.max(wantedMs ?? 0, this.#reopenMs));
    this.#reopenMs = Math.min(maxReopenMs, this.#reopenMs * 2);
    this.#timer = setTimeout(reopen, waitMs);
    this.#timer.unref();
  }

  /** While nothing listened, anything may have changed. */
  #tellAllChanged(): void {
    for (const kind of ['tools', 'resources', 'prompts']) {
      if (kind in (this.#hello?.capabilities ?? {})) this.#onNotification(`notifications/${kind}/list_changed`, {});
    }
  }

  /** Whether the server is still there. */
  async #look(): Promise<void> {
    const { connection } = this;
    if (connection === null || this.#told) return;
    const method = connection.session.era === 'modern' ? 'server/discover' : 'ping';
    try {
      await connection.request(method, {}, lookMs).result;
    } catch (error) {
      if (error instanceof UpstreamRpcError) {
        if (connection.session.id === null || !/session|not initialized/i.test(error.message)) return;
        this.#lose('it no longer knows the session of the gateway');
      } else if (!(error instanceof HttpRefusal) || error.status !== 429) {
        this.#lose(reasonOf(error));
      }
    }
  }

  /** Arguments that modern servers want repeated in headers are told by their list of tools. */
  async #readParamHeaders(): Promise<void> {
    const { connection } = this;
    if (connection?.era !== 'modern' || !('tools' in (this.#hello?.capabilities ?? {}))) return;
    const tools: unknown[] = [];
    let cursor: unknown;
    try {
      for (let page = 0; page < 100; page++) {
        const json = await connection.request('tools/list', cursor === undefined ? {} : { cursor }, lookMs).result;
        const result = JSON.parse(json) as { tools?: unknown; nextCursor?: unknown };
        if (Array.isArray(result.tools)) tools.push(...(result.tools as unknown[]));
        cursor = result.nextCursor;
        if (typeof cursor !== 'string') break;
      }
      connection.session.paramHeaders = readParamHeaders(tools);
    } catch (error) {
      this.#spec.log.debug('upstream-tools-not-read', { upstream: this.#spec.name, reason: reasonOf(error) });
    }
  }

  #clearTimers(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#looks !== null) clearInterval(this.#looks);
  }
}
