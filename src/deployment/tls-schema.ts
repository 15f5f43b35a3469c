import { z } from 'zod';
import { acmeTlsSchema } from './acme-schema.ts';

/** `tls` of mcp-deploy.yaml: where the certificate comes from. */
export const tlsSchema = z.discriminatedUnion('source', [
  z.strictObject({
    source: z.literal('private-ca').describe('a private certificate authority made for this deployment'),
    names: z
      .array(z.string().min(1, 'give a DNS name or an IP address'))
      .min(1)
      .optional()
      .describe('DNS names and IP addresses of the certificate'),
    validDays: z.int().min(1).max(824).default(397).describe('life of the server certificate in days'),
  }),
  z.strictObject({
    source: z.literal('files').describe('a certificate you already have'),
    certificate: z
      .string()
      .min(1, 'give the path of a PEM file')
      .describe('PEM file: the certificate, then its intermediates'),
    key: z.string().min(1, 'give the path of a PEM file').describe('PEM file: its private key, mode 0600'),
  }),
  acmeTlsSchema,
  z.strictObject({ source: z.literal('off').describe('plain HTTP, on loopback or behind a proxy only') }),
]);
