import { z } from 'zod';

/** One of several servers of a deployment: part of session ids, and of names in the configuration of proxies. */
export const replicaName = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9-]{0,18}[a-z0-9])?$/, 'use 1 to 20 of a-z, 0-9 and -, not starting or ending with -');

/** Where a proxy finds a server. */
const serverAddress = z
  .string()
  .regex(
    /^(?:unix:\/.+|(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5})$/,
    'write host:port, [IPv6]:port or unix:/path, for example 10.0.0.11:8443',
  );

/** How the rendered nginx, Caddy, HAProxy or Traefik stands in front of the server. */
export const proxySchema = z.strictObject({
  program: z
    .enum(['none', 'nginx', 'caddy', 'haproxy'])
    .default('none')
    .describe(
      'reverse proxy of this host that apply puts in front, as one change with the service; none = no part of it',
    ),
  serverName: z.string().optional().describe('public DNS name that the rendered site of a proxy answers'),
  certificate: z.string().optional().describe('certificate file of the public name, as the proxy sees it'),
  key: z.string().optional().describe('its private key file, as the proxy sees it'),
  reload: z
    .array(z.string().min(1, 'give a word of the command'))
    .min(1)
    .optional()
    .describe('program and arguments that make the proxy take a renewed certificate, e.g. [nginx, -s, reload]'),
  probe: z
    .string()
    .regex(/^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$/, 'write host:port')
    .optional()
    .describe('where the proxy serves the certificate, host:port; looked at after a renewal'),
  httpPort: z
    .int()
    .min(1)
    .max(65_535)
    .default(80)
    .describe('port on which the proxy sends plain HTTP to https; the other port is that of server.publicUrl, or 443'),
  maxBodyMegabytes: z.number().positive().max(1_024).default(10).describe('largest request the proxy lets through'),
  servers: z
    .union([z.array(serverAddress).min(1).max(100), z.record(replicaName, serverAddress)])
    .optional()
    .describe(
      'the servers behind the proxy: host:port or unix:/path, by the server.replica of each, or a list for r1, r2 …; that of server.listen by default',
    ),
  balance: z
    .enum(['least', 'address'])
    .default('least')
    .describe(
      'who gets a call without a session: least = the server with the fewest calls, address = always the same one for an address',
    ),
  limit: z
    .union([
      z.literal('off'),
      z.strictObject({
        requestsPerSecond: z.int().min(1).max(1_000_000).describe('requests of one client address per second'),
        burst: z.int().min(0).max(1_000_000).default(100).describe('requests beyond that before 429 is answered'),
      }),
    ])
    .default('off')
    .describe('a guard against floods from one address, in nginx, HAProxy and Traefik; off = the limits of the server'),
  metricsFrom: z
    .array(z.string())
    .default(['loopback'])
    .describe('addresses (CIDR, or loopback) for which the proxy passes /metrics on; empty = for nobody'),
  allowFrom: z
    .array(z.string())
    .default([])
    .describe('addresses (CIDR, or loopback) that the proxy lets in; empty = all; health is open for everyone'),
  denyFrom: z
    .array(z.string())
    .default([])
    .describe('addresses (CIDR) that the proxy refuses, whatever allowFrom says'),
  clientCa: z
    .string()
    .min(1, 'give the path of a PEM file')
    .optional()
    .describe('PEM file: who signs the certificates that clients must show; none is asked for without it'),
  revokedClients: z
    .string()
    .min(1, 'give the path of a PEM file')
    .optional()
    .describe('PEM file: certificates of clients that were revoked, in nginx and HAProxy'),
  clientHeader: z
    .string()
    .regex(/^[A-Za-z][A-Za-z0-9-]{0,63}$/, 'write the name of a header, for example: X-Client-Subject')
    .default('X-Client-Subject')
    .describe('header in which the server gets the subject of that certificate; what clients send in it is dropped'),
  proxyProtocolFrom: z
    .array(z.string())
    .default([])
    .describe('load balancers (CIDR, or loopback) in front of the proxy that send a PROXY protocol header'),
  tlsProfile: z
    .enum(['intermediate', 'modern'])
    .optional()
    .describe('TLS for clients of the proxy: intermediate = 1.2 and 1.3, modern = 1.3; server.tlsProfile by default'),
});
