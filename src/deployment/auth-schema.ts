import { z } from 'zod';

/** Names that limits are chosen by. */
const tier = z.string().regex(/^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/, 'use 1 to 40 of a-z, 0-9 and -');

const toolPatterns = z
  .array(
    z.string().regex(/^[\x21-\x2b\x2d-\x7e]{1,128}$/, 'write the name of a tool; * stands for any characters: search*'),
  )
  .min(1)
  .max(200);

const upstreamNames = z
  .array(z.string().regex(/^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/, 'write the name of an upstream'))
  .min(1)
  .max(200);

/** What an identity may reach; the same for keys and mapped certificates. */
const powers = {
  tools: toolPatterns.optional().describe('tools that it may see and call, e.g. search*; every tool by default'),
  upstreams: upstreamNames.optional().describe('upstreams that it may reach; every one by default'),
  tier: tier.optional().describe('name that limits are chosen by'),
};

const label = z
  .string()
  .regex(
    /^[A-Za-z0-9._@](?:[A-Za-z0-9 ._@-]{0,62}[A-Za-z0-9._@-])?$/,
    'use 1 to 64 of letters, digits, space and . _ @ -, with no space at either end',
  );

const keySchema = z.strictObject({
  label: label.describe('who uses it, as the audit names it'),
  secret: z
    .string()
    .regex(
      /^(?:(?:file|exec):.*\S.*|.*\$\{[^{}]+\}.*)$/s,
      'say where the key is kept, never the key: file:PATH, exec:COMMAND or ${NAME}',
    )
    .describe('where the key is kept: file:PATH, exec:COMMAND ARGS (no shell) or ${NAME}; read by the server alone'),
  ...powers,
  expires: z.iso
    .datetime({ offset: true, error: 'write a time like 2030-01-31T00:00:00Z' })
    .optional()
    .describe('when it stops working'),
});

/** A scope token (RFC 6749 section 3.3). */
const scopeName = z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,128}$/, 'write a scope without spaces and quotes');

/** Tokens carry no secret of ours, so only algorithms with a public key are known. */
const algorithms = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
] as const;

const localOrTls = /^(?:https:\/\/|http:\/\/(?:localhost|127\.0\.0\.1|\[::1\])[:/]?)/;

const oauthSchema = z.strictObject({
  issuer: z
    .string()
    .regex(localOrTls, 'write the https URL of the issuer, as its tokens name it')
    .refine((text) => URL.canParse(text), 'write the https URL of the issuer, as its tokens name it')
    .describe('issuer of the tokens, exactly as they name it (iss)'),
  audience: z
    .union([z.string().min(1, 'write what the tokens name as aud'), z.array(z.string().min(1)).min(1).max(20)])
    .optional()
    .describe('who tokens must be for (aud); server.publicUrl by default'),
  jwksUri: z
    .string()
    .regex(localOrTls, 'write an https URL')
    .refine((text) => URL.canParse(text), 'write an https URL')
    .optional()
    .describe('where the keys of the issuer are; found out from its metadata by default'),
  requiredScopes: z.array(scopeName).max(50).default([]).describe('scopes that every token must have'),
  scopes: z
    .record(scopeName, toolPatterns)
    .default({})
    .describe('scopes that some tools need: the scope, then patterns of those tools'),
  algorithms: z
    .array(z.enum(algorithms))
    .min(1)
    .default(['RS256', 'PS256', 'ES256', 'EdDSA'])
    .describe('how tokens may be signed'),
  clockSkewSeconds: z.number().min(0).max(300).default(30).describe('how far the clocks may be apart'),
  caFile: z
    .string()
    .min(1, 'give the path of a PEM file')
    .optional()
    .describe('PEM file of the authority that signed the certificate of the issuer, beside the well-known ones'),
  tier: tier.optional().describe('name that limits of callers with tokens are chosen by'),
});

const mtlsSchema = z.strictObject({
  ca: z.string().min(1, 'give the path of a PEM file').describe('PEM file: the CA whose clients are let in'),
  crl: z
    .union([z.string().min(1, 'give the path of a file'), z.array(z.string().min(1)).min(1).max(50)])
    .optional()
    .describe('revocation list of that CA, PEM or DER; read again when it changes'),
  required: z.boolean().default(false).describe('true: nobody calls without a certificate, key or not'),
  subjects: z
    .array(
      z.strictObject({
        match: z
          .string()
          .max(300)
          .regex(/^(?:CN=|DNS:|URI:)[^\s].*$/, 'write CN=NAME, DNS:NAME or URI:NAME; * stands for any characters')
          .describe('name in the certificate: CN=…, DNS:… or URI:…; * stands for any characters'),
        label: label.optional().describe('who it is, as the audit names it; the matched name by default'),
        ...powers,
      }),
    )
    .max(1_000)
    .default([])
    .describe('certificates that let their holder in without a key; the first that matches counts'),
});

/** Who may call. */
export const authSchema = z.strictObject({
  required: z.boolean().default(true).describe('false lets everyone in; loopback only'),
  keys: z
    .array(keySchema)
    .max(1_000)
    .default([])
    .describe('keys that are kept elsewhere, beside those of mcp-deploy keys'),
  oauth: oauthSchema.optional().describe('access tokens of an outside issuer (OAuth 2.1), beside keys'),
  mtls: mtlsSchema.optional().describe('certificates of clients, beside keys'),
});

export type Auth = z.output<typeof authSchema>;
