import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client as ModernClient, StreamableHTTPClientTransport as ModernTransport } from '@modelcontextprotocol/client';
import { Client as LegacyClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as LegacyTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { deploymentSchema, type DeploymentInput } from '../../src/deployment/schema.ts';
import { createFetch } from '../../src/doctor/probes/https-fetch.ts';
import { issueSelfSigned } from '../../src/pki/issue-certificate.ts';
import { createLog } from '../../src/server/observe/log.ts';
import { openTraces } from '../../src/server/observe/traces.ts';
import { startServer, type RunningServer, type ServerOptions } from '../../src/server/running-server.ts';
import type { Backend } from '../../src/server/types.ts';
import { callHttp, type HttpAnswer, type HttpCall } from './http-call.ts';

export const firstKey = 'first-0f3b9c1d7e5a48c2a6d4';
export const secondKey = 'second-8e1f7a2b3c4d5e6f7a8b';

export interface RigOptions {
  readonly server?: DeploymentInput['server'];
  readonly limits?: DeploymentInput['limits'];
  readonly auth?: DeploymentInput['auth'];
  readonly redis?: DeploymentInput['redis'];
  /** In the place of its reference. */
  readonly redisUrl?: string;
  readonly tls?: boolean;
  /** Path of the audit file. */
  readonly audit?: string;
  readonly backends?: readonly Backend[];
  readonly keyStoreFile?: string;
  readonly upgradeAfterMs?: number;
  readonly timeouts?: ServerOptions['timeouts'];
  readonly traces?: NonNullable<DeploymentInput['logs']>['traces'];
}

export interface ServerRig {
  readonly server: RunningServer;
  readonly url: string;
  readonly origin: string;
  readonly folder: string;
  readonly ca: string | undefined;
  readonly log: string[];
  /** One request with the first key, unless the call brings its own headers. */
  readonly call: (call: Omit<HttpCall, 'url'> & { readonly path?: string }) => Promise<HttpAnswer>;
  /** POSTs a JSON-RPC message with the headers of a client that takes both answers. */
  readonly post: (message: unknown, headers?: Readonly<Record<string, string>>) => Promise<HttpAnswer>;
  /** initialize; gives the session id. */
  readonly initialize: (options?: { key?: string; version?: string; capabilities?: unknown }) => Promise<string>;
  legacyClient(capabilities?: Record<string, unknown>): Promise<LegacyClient>;
  modernClient(options?: { pin?: boolean; capabilities?: Record<string, unknown> }): Promise<ModernClient>;
  readonly stop: () => Promise<void>;
}

/** A server in this process on a free loopback port, with two keys. */
export async function startRig(options: RigOptions = {}): Promise<ServerRig> {
  const folder = mkdtempSync(join(tmpdir(), 'mcpd-server-'));
  const log: string[] = [];
  let ca: string | undefined;
  let tls: DeploymentInput['tls'] = { source: 'off' };
  if (options.tls === true) {
    const issued = await issueSelfSigned({ names: ['localhost', '127.0.0.1', '::1'], validDays: 10 });
    tls = { source: 'files', certificate: join(folder, 'server.crt'), key: join(folder, 'server.key') };
    writeFileSync(tls.certificate, issued.certificatePem);
    writeFileSync(tls.key, issued.keyPem);
    ca = issued.certificatePem;
  }
  const deployment = deploymentSchema.parse({
    version: 1,
    server: { listen: '127.0.0.1:0', drainSeconds: 5, ...options.server },
    limits: options.limits,
    auth: options.auth,
    redis: options.redis,
    tls,
    logs: {
      level: 'debug',
      ...(options.audit === undefined ? {} : { audit: options.audit }),
      ...(options.traces === undefined ? {} : { traces: options.traces }),
    },
  });
  const serverLog = createLog({ level: 'debug', write: (line) => void log.push(line) });
  const traces = await openTraces(deployment.logs.traces, {
    deploymentName: deployment.name,
    version: '9.9.9',
    env: process.env,
    log: serverLog,
  });
  const { redis } = deployment;
  const placed = redis === 'off' || options.redisUrl === undefined ? redis : { ...redis, url: options.redisUrl };
  const server = await startServer(
    { deployment: { ...deployment, redis: placed }, baseDir: folder, keyStoreFile: options.keyStoreFile ?? null },
    {
      version: '9.9.9',
      env: process.env,
      log: serverLog,
      traces,
      extraKeys: [
        { label: 'first', key: firstKey },
        { label: 'second', key: secondKey },
      ],
      ...(options.backends === undefined ? {} : { backends: options.backends }),
      ...(options.upgradeAfterMs === undefined ? {} : { upgradeAfterMs: options.upgradeAfterMs }),
      ...(options.timeouts === undefined ? {} : { timeouts: options.timeouts }),
    },
  );
  const url = server.urls[0] ?? '';
  const { origin } = new URL(url);
  const clients: { close(): Promise<void> }[] = [];
  const transportOptions = () => ({
    fetch: createFetch({ caPem: ca ?? null, timeoutMs: 60_000 }),
    requestInit: { headers: { authorization: `Bearer ${firstKey}` } },
  });

  const rig: ServerRig = {
    server,
    url,
    origin,
    folder,
    ca,
    log,
    call: ({ path, headers, ...rest }) =>
      callHttp({
        ...rest,
        url: origin + (path ?? '/mcp'),
        headers: headers ?? { authorization: `Bearer ${firstKey}` },
        ...(ca === undefined ? {} : { ca }),
      }),
    post: (message, headers = {}) =>
      rig.call({
        method: 'POST',
        headers: {
          authorization: `Bearer ${firstKey}`,
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
          ...headers,
        },
        body: typeof message === 'string' ? message : JSON.stringify(message),
      }),
    async initialize({ key = firstKey, version = '2025-11-25', capabilities = {} } = {}) {
      const answer = await rig.post(
        {
          jsonrpc: '2.0',
          id: 0,
          method: 'initialize',
          params: { protocolVersion: version, capabilities, clientInfo: { name: 'test', version: '1' } },
        },
        { authorization: `Bearer ${key}` },
      );
      return String(answer.headers['mcp-session-id']);
    },
    async legacyClient(capabilities = {}) {
      const client = new LegacyClient({ name: 'legacy', version: '1' }, { capabilities });
      const transport = new LegacyTransport(new URL(url), transportOptions());
      await client.connect(transport);
      clients.push(client);
      return client;
    },
    async modernClient({ pin = false, capabilities = {} } = {}) {
      const client = new ModernClient(
        { name: 'modern', version: '1' },
        { versionNegotiation: { mode: pin ? { pin: '2026-07-28' } : 'auto' }, capabilities },
      );
      await client.connect(new ModernTransport(new URL(url), transportOptions()));
      clients.push(client);
      return client;
    },
    async stop() {
      for (const client of clients) await client.close();
      await server.stopNow();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return rig;
}

/** A modern request with its envelope and the headers that go with it. */
export function modernRequest(
  id: number | string,
  method: string,
  params: Record<string, unknown> = {},
  capabilities: Record<string, unknown> = {},
): { readonly message: Record<string, unknown>; readonly headers: Record<string, string> } {
  const name = params['name'] ?? params['uri'];
  return {
    message: {
      jsonrpc: '2.0',
      id,
      method,
      params: {
        ...params,
        _meta: {
          'io.modelcontextprotocol/protocolVersion': '2026-07-28',
          'io.modelcontextprotocol/clientCapabilities': capabilities,
          'io.modelcontextprotocol/clientInfo': { name: 'test', version: '1' },
        },
      },
    },
    headers: {
      'mcp-protocol-version': '2026-07-28',
      'mcp-method': method,
      ...(typeof name === 'string' ? { 'mcp-name': name } : {}),
    },
  };
}
