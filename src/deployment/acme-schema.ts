import { z } from 'zod';

const directories = {
  letsencrypt: 'https://acme-v02.api.letsencrypt.org/directory',
  'letsencrypt-staging': 'https://acme-staging-v02.api.letsencrypt.org/directory',
} as const;

/** URL of the directory that `tls.directory` names: a preset, or the URL itself. */
export function directoryUrlOf(directory: string): string {
  return directory in directories ? directories[directory as keyof typeof directories] : directory;
}

/** The directory to rehearse with: the staging one of Let's Encrypt for its production one, else the same. */
export function rehearsalDirectoryOf(directory: string): string {
  return directoryUrlOf(directory) === directories.letsencrypt
    ? directories['letsencrypt-staging']
    : directoryUrlOf(directory);
}

const listenPlace = z
  .string()
  .regex(/^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]*):[0-9]{1,5}$/, 'write :port or host:port, for example :80');

/** A certificate from a CA that speaks ACME (RFC 8555): Let's Encrypt, or any other by the URL of its directory. */
export const acmeTlsSchema = z.strictObject({
  source: z.literal('acme').describe('a certificate from Let’s Encrypt or another ACME authority'),
  names: z
    .array(z.string().min(1, 'give a DNS name'))
    .min(1, 'give the names of the certificate')
    .max(100)
    .describe('names of the certificate; the CA checks that you control each'),
  agreeTos: z.boolean().default(false).describe('true when you have read and accept the terms of the authority'),
  directory: z
    .string()
    .regex(
      /^(?:letsencrypt(?:-staging)?|https:\/\/\S+)$/,
      'write letsencrypt, letsencrypt-staging or the https URL of a directory',
    )
    .refine((text) => !text.startsWith('https:') || URL.canParse(text), 'write a full https URL')
    .default('letsencrypt')
    .describe('letsencrypt, letsencrypt-staging, or the directory URL of another authority'),
  caFile: z
    .string()
    .min(1, 'give the path of a PEM file')
    .optional()
    .describe('PEM file of the CA that signed the directory’s own certificate'),
  email: z.email('write an address, for example ops@example.com').optional().describe('contact of the account'),
  challenge: z
    .enum(['http-01', 'tls-alpn-01', 'dns-01'])
    .default('http-01')
    .describe('how the CA checks: port 80, port 443, or a DNS record (the only one for wildcards)'),
  listen: listenPlace
    .optional()
    .describe('where our own challenge listener stands for a moment; :80 for http-01, :443 for tls-alpn-01'),
  webroot: z
    .string()
    .min(1, 'give the path of a folder')
    .optional()
    .describe('folder that a web server on port 80 serves; no listener of ours then'),
  dnsHook: z
    .array(z.string().min(1, 'give a word of the command'))
    .min(1)
    .optional()
    .describe('program and arguments; add|remove, the record’s name and its value follow; no shell is involved'),
  dnsServers: z
    .array(z.string().min(1, 'give an address, for example 192.0.2.53'))
    .default([])
    .describe('DNS servers to ask for the record; its own by default'),
  propagationSeconds: z.number().min(0).max(3_600).default(120).describe('longest wait until a DNS record is seen'),
  timeoutSeconds: z.number().positive().max(3_600).default(180).describe('longest wait for one decision of the CA'),
  eab: z
    .strictObject({
      keyId: z.string().min(1, 'give the identifier').describe('key identifier that the authority gave you'),
      keyFile: z
        .string()
        .min(1, 'give the path of a file')
        .describe('file with the HMAC key that it gave you, base64url'),
    })
    .optional()
    .describe('external account binding, where the authority asks for it'),
  profile: z
    .string()
    .min(1, 'give the name of a profile')
    .optional()
    .describe('certificate profile, where the authority offers them'),
  reuseKey: z.boolean().default(false).describe('true keeps the private key at renewal; a new one each time otherwise'),
});

export type AcmeTls = z.output<typeof acmeTlsSchema>;
