import { z } from 'zod';

const hostAndPort = z
  .string()
  .regex(/^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}$/, 'write host:port, for example sentinel-1:26379');

const redisUrl =
  /^(?:(?:file|exec):.*\S.*|.*\$\{[^{}]+\}.*|rediss?:\/\/(?:[^:@/\s]*@)?(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]*)(?::[0-9]{1,5})?(?:\/[0-9]{0,5})?)$/s;

/** What replicas of one deployment share. */
export const redisSchema = z.union([
  z.literal('off'),
  z.strictObject({
    url: z
      .string()
      .regex(
        redisUrl,
        'write redis://host:port/db or rediss://…; a URL with a password stays elsewhere: file:PATH, exec:COMMAND or ${NAME}',
      )
      .default('redis://127.0.0.1:6379')
      .describe('redis://HOST:PORT/DB, rediss:// with TLS; or where the URL is kept: file:PATH, exec:COMMAND, ${NAME}'),
    prefix: z
      .string()
      .regex(/^[\x21-\x7a|~]{1,100}$/, 'use 1 to 100 visible characters, without { and }')
      .optional()
      .describe('every key starts with it; mcp-deploy:NAME: by default, NAME being that of the deployment'),
    sentinels: z
      .array(hostAndPort)
      .min(1)
      .max(20)
      .optional()
      .describe('Sentinels that know the master, host:port each; the host of url does not count then'),
    master: z
      .string()
      .regex(/^[A-Za-z0-9._-]{1,100}$/, 'write the name that the Sentinels know the master by')
      .default('mymaster')
      .describe('name of the master among the Sentinels'),
    caFile: z
      .string()
      .min(1, 'give the path of a PEM file')
      .optional()
      .describe('PEM file of the authority that signed the certificate of Redis, beside the well-known ones'),
    whenDown: z
      .enum(['open', 'closed'])
      .default('open')
      .describe(
        'without Redis: open = every replica goes on with its own limits, closed = calls get 503 after graceSeconds',
      ),
    graceSeconds: z
      .number()
      .min(0)
      .max(3_600)
      .default(5)
      .describe('with closed: how long calls go on when Redis is gone'),
  }),
]);

export type RedisSettings = Exclude<z.output<typeof redisSchema>, 'off'>;
