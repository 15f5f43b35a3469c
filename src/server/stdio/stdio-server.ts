import type { IncomingHttpHeaders } from 'node:http';
import type { HttpRequest } from '../http/http-message.ts';
import type { Readable, Writable } from 'node:stream';
import { createLineReader } from '../backends/line-reader.ts';
import { createGateway } from '../gateway.ts';
import { Exchange } from '../http/exchange.ts';
import { answerSessionStream } from '../http/legacy-streams.ts';
import { forwardedMethods } from '../protocol/methods.ts';
import { metaKeys } from '../protocol/revisions.ts';
import { isObject, isRpcId, readObject, renderRpcError, rpcCodes } from '../protocol/rpc-text.ts';
import { createReload, retireAll, startAll, type ConfigWithKeys } from '../reload.ts';
import type { RunningServer, ServerOptions } from '../running-server.ts';
import type { ServerConfig } from '../server-config.ts';
import type { Caller, RpcId } from '../types.ts';
import { LineResponse } from './line-response.ts';

/** A server on one pair of streams. */
export interface StdioServer extends Pick<RunningServer, 'registry' | 'reload' | 'drain' | 'stopNow'> {
  /** The client has closed its side, or cannot be written to any more. */
  readonly inputEnded: Promise<void>;
}

const caller: Caller = { keyId: '', label: 'stdio', address: 'stdio' };
const backendGraceMs = 3_000;
/** Requests that wait at once; reading stops until some are answered. */
const maxOpen = 1_000;

interface OpenRequest {
  readonly id: RpcId;
  readonly response: LineResponse;
  readonly isModern: boolean;
  /** Is answered by ending: nothing waits for it. */
  readonly isListening: boolean;
}

/**
 * The gateway on standard input and output: the same protocol, backends, limits and audit as over HTTP, one client,
 * JSON-RPC messages one a line. Whoever started the process is let in, so there are no keys.
 * @throws UserError or EnvironmentError when the configuration cannot be served.
 */
export function startStdio(
  first: ServerConfig,
  options: ServerOptions,
  input: Readable,
  output: Writable,
): StdioServer {
  let config = withoutKeys(first);
  const gateway = createGateway(config, options, () => null, 'stdio');
  const { protocol, registry } = gateway;
  const open = new Set<OpenRequest>();
  let sessionId: string | null = null;
  let nextRequest = 1;
  let outputLost = false;

  const writeLine = (line: string): void => {
    if (outputLost) return;
    // A client that does not read is not read from either: its own requests would fill our memory.
    if (!output.write(`${line}\n`)) judgeReading();
  };
  const unsentBytes = (): number => output.writableLength;

  function judgeReading(): void {
    if (output.writableNeedDrain || open.size >= maxOpen) input.pause();
    else if (input.isPaused()) input.resume();
  }

  function take(line: string): void {
    const message = readObject(line);
    const id = message !== null && isRpcId(message['id']) ? message['id'] : null;
    if (message !== null && message['method'] === 'notifications/cancelled') cancelModern(message['params']);
    const response = new LineResponse(id, writeLine, unsentBytes);
    const headers = headersOf(message, sessionId);
    const requestId = `stdio-${nextRequest++}`;
    const exchange = new Exchange(
      gateway.front,
      requestOf(headers),
      response.asResponse,
      caller,
      'both',
      [],
      requestId,
    );
    if (id !== null && typeof message?.['method'] === 'string') {
      const isModern = headers['mcp-method'] !== undefined;
      const isListening = message['method'] === 'subscriptions/listen';
      const request = { id, response, isModern, isListening };
      open.add(request);
      response.on('close', () => {
        open.delete(request);
        judgeReading();
        if (response.sessionId !== null && sessionId !== response.sessionId) useSession(response.sessionId);
      });
    }
    exchange.bodyRead(line, Buffer.byteLength(line));
    judgeReading();
  }

  /** A modern client cancels over HTTP by closing the answer; here it says so. */
  function cancelModern(params: unknown): void {
    const id = isObject(params) ? params['requestId'] : undefined;
    for (const request of open) if (request.isModern && request.id === id) request.response.destroy();
  }

  /** What belongs to no call comes on a stream over HTTP; here it is written out like everything else. */
  function useSession(id: string): void {
    sessionId = id;
    const response = new LineResponse(null, writeLine, unsentBytes);
    answerSessionStream(protocol, requestOf({ 'mcp-session-id': id }), response.asResponse, caller, []);
  }

  const reader = createLineReader({
    maxLineBytes: first.deployment.limits.bodyBytes,
    onLine: take,
    onOversized() {
      const message = `The message is larger than ${first.deployment.limits.bodyBytes} bytes.`;
      writeLine(renderRpcError(null, { code: rpcCodes.invalidRequest, message }));
    },
  });
  const inputEnded = new Promise<void>((resolve) => {
    input.on('end', () => {
      reader.end();
      resolve();
    });
    input.on('error', () => resolve());
    output.on('error', () => {
      outputLost = true;
      resolve();
    });
  });
  output.on('drain', judgeReading);
  registry.start();
  input.on('data', (chunk: Buffer) => reader.push(chunk));

  let isStopping = false;
  let retiring: Promise<void> = Promise.resolve();
  let reloading: Promise<void> = Promise.resolve();
  async function takeOver({ config: read }: ConfigWithKeys): Promise<void> {
    const next = withoutKeys(read);
    const change = gateway.prepare({ config: next, extraKeys: [] }, null);
    try {
      await startAll(change.added, () => isStopping);
    } catch (error) {
      change.discard();
      throw error;
    }
    config = next;
    change.commit();
    const drainMs = next.deployment.server.drainSeconds * 1_000;
    const retired = retireAll(change.removed, drainMs, backendGraceMs, () => isStopping);
    retiring = retiring.then(() => retired);
    options.onReloaded?.(read);
  }
  const takeUp = createReload(
    gateway,
    options.log,
    async () => (await options.readAgain?.()) ?? { config: first, extraKeys: [] },
    takeOver,
  );

  let stopped: Promise<void> | null = null;
  async function stop(graceMs: number): Promise<void> {
    isStopping = true;
    input.destroy();
    gateway.closeClients();
    await Promise.all([registry.stop(graceMs), reloading, retiring]);
    await gateway.closeAudit();
  }
  return {
    registry,
    inputEnded,
    reload() {
      if (!isStopping) reloading = takeUp();
      return reloading;
    },
    async drain() {
      const deadline = performance.now() + config.deployment.server.drainSeconds * 1_000;
      const mustWait = (): boolean => {
        if (stopped !== null || outputLost || performance.now() >= deadline) return false;
        return gateway.waitingCalls() > 0 || [...open].some(({ isListening }) => !isListening);
      };
      while (mustWait()) await nap(20);
      stopped ??= stop(backendGraceMs);
      await stopped;
    },
    async stopNow() {
      stopped ??= stop(0);
      await stopped;
    },
  };
}

function withoutKeys(config: ServerConfig): ServerConfig {
  return {
    ...config,
    deployment: { ...config.deployment, auth: { ...config.deployment.auth, required: false } },
    keyStoreFile: null,
  };
}

/** The headers that a client would send over HTTP with this message: the body is the only word here. */
function headersOf(message: Record<string, unknown> | null, sessionId: string | null): IncomingHttpHeaders {
  const params = isObject(message?.['params']) ? message['params'] : {};
  const meta = isObject(params['_meta']) ? params['_meta'] : {};
  const version = meta[metaKeys.protocolVersion];
  if (typeof version !== 'string' || typeof message?.['method'] !== 'string') {
    return sessionId === null ? {} : { 'mcp-session-id': sessionId };
  }
  const field = forwardedMethods.get(message['method'])?.nameField ?? null;
  const name = field === null ? undefined : params[field];
  return {
    'mcp-protocol-version': version,
    'mcp-method': message['method'],
    ...(typeof name === 'string' ? { 'mcp-name': `=?base64?${Buffer.from(name).toString('base64')}?=` } : {}),
  };
}

/** What the protocol needs of an HTTP request. */
function requestOf(headers: IncomingHttpHeaders): HttpRequest {
  return { headers, method: 'POST', resume() {}, destroy() {} } as unknown as HttpRequest;
}

function nap(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });
}
