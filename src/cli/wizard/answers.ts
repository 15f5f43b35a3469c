import { z } from 'zod';
import { headerName } from '../../deployment/http-upstream-schema.ts';
import { slugFrom } from '../slug.ts';
import { certificateKinds, profileIds, type CertificateKind, type ProfileId } from './profile-ids.ts';

/** What the wizard knows when it has asked everything. */
export interface Answers {
  readonly profile: ProfileId;
  /** The MCP server: a command, a URL, or neither for the built-in tools. */
  readonly command: readonly string[] | null;
  /** Variables of the command, by name: their values stay in the environment. */
  readonly env: readonly string[];
  readonly url: string | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly name: string;
  readonly listen: string;
  /** Names of the certificate of a private CA; null: those that the machine has anyway. */
  readonly names: readonly string[] | null;
  /** Public DNS name; null where nothing stands in front. */
  readonly serverName: string | null;
  readonly certificate: CertificateKind;
  readonly email: string | null;
  readonly agreeTos: boolean;
  readonly certificateFile: string | null;
  readonly keyFile: string | null;
  /** Name of the container image, where one is built. */
  readonly image: string | null;
  readonly keys: boolean;
}

export type AnswerKey = keyof Answers;
/** Answers that somebody gave: by flag, file or at a question. */
export type GivenAnswers = { readonly [Key in AnswerKey]?: Answers[Key] | undefined };

const variable = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'write the name of an environment variable alone');

/** The file of `--answers`: the same words as the flags. Strict, so that a misspelt key never passes for a default. */
export const answersFileSchema = z.strictObject({
  version: z.literal(1).describe('format of this file'),
  profile: z.enum(profileIds).optional().describe('where and how it runs; mcp-deploy init --list-profiles'),
  name: z
    .string()
    .refine(
      (text) => text !== '' && slugFrom(text, '') === text,
      'use 1 to 40 of a-z, 0-9 and -, not starting or ending with -',
    )
    .optional()
    .describe('name of the deployment'),
  command: z
    .array(z.string())
    .min(1, 'give the program to run')
    .optional()
    .describe('program and arguments of your MCP server; no shell'),
  env: z.array(variable).optional().describe('environment variables that it needs, by name'),
  url: z
    .url({ protocol: /^https?$/, error: 'write a full URL, for example https://mcp.example.com/mcp' })
    .optional()
    .describe('an MCP server that is reached over HTTP, in place of command'),
  headers: z
    .record(headerName, z.string())
    .optional()
    .describe('sent to url; secrets as ${NAME}, which only the server fills'),
  serverName: z.string().min(1, 'give a DNS name').optional().describe('public DNS name'),
  certificate: z
    .enum(certificateKinds)
    .optional()
    .describe('private-ca (made here), letsencrypt, or files that you have'),
  email: z.email('write an address, for example ops@example.com').optional().describe('contact for letsencrypt'),
  agreeTos: z.boolean().optional().describe("true when you accept the terms of Let's Encrypt"),
  certificateFile: z.string().min(1, 'give the path of a PEM file').optional().describe('certificate, with files'),
  keyFile: z.string().min(1, 'give the path of a PEM file').optional().describe('its private key, with files'),
  listen: z.string().optional().describe('where the server listens, for example localhost:8443'),
  names: z
    .array(z.string().min(1, 'give a DNS name or an address'))
    .min(1, 'give at least one name')
    .optional()
    .describe('names and addresses of the certificate of a private CA'),
  image: z.string().min(1, 'give the name of an image').optional().describe('container image'),
  keys: z.boolean().optional().describe('whether callers need an API key'),
  apply: z.boolean().optional().describe('whether to act right away'),
  out: z
    .string()
    .min(1, 'give the path of a folder')
    .optional()
    .describe('folder of rendered files: docker, kubernetes'),
});

export type AnswersFile = z.output<typeof answersFileSchema>;
