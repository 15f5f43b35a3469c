import { readFile } from 'node:fs/promises';
import { Client as ModernClient, StreamableHTTPClientTransport as ModernTransport } from '@modelcontextprotocol/client';
import { Client as LegacyClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as LegacyTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { createFetch } from '../../src/doctor/probes/https-fetch.ts';

export interface EndpointAccess {
  readonly url: string;
  readonly caFile: string | null;
  readonly keyFile: string | null;
}

async function transportOptions(access: EndpointAccess) {
  const caPem = access.caFile === null ? null : await readFile(access.caFile, 'utf8');
  const key = access.keyFile === null ? null : (await readFile(access.keyFile, 'utf8')).trim();
  return {
    fetch: createFetch({ caPem, timeoutMs: 60_000 }),
    requestInit: { headers: key === null ? {} : { authorization: `Bearer ${key}` } },
  };
}

/** A connected client of the official SDK 2.x, in the modern era. */
export async function connectModern(access: EndpointAccess): Promise<ModernClient> {
  const client = new ModernClient({ name: 'test-modern', version: '1.0.0' }, { versionNegotiation: { mode: 'auto' } });
  await client.connect(new ModernTransport(new URL(access.url), await transportOptions(access)));
  return client;
}

/** A connected client of the official SDK 1.x: the legacy era. */
export async function connectLegacy(access: EndpointAccess): Promise<LegacyClient> {
  const client = new LegacyClient({ name: 'test-legacy', version: '1.0.0' });
  const transport = new LegacyTransport(new URL(access.url), await transportOptions(access));
  await client.connect(transport);
  return client;
}
