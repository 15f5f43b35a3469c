import { z } from 'zod';
import { parseSshHost } from './ssh-host.ts';

const host = z
  .string()
  .refine(
    (text) => parseSshHost(text) !== null,
    'write USER@HOST, USER@HOST:PORT or a name of ~/.ssh/config, for example deploy@a.example.com',
  );

/** Where `--host all` works. */
export const hostsSchema = z
  .array(
    z.union([
      host,
      z.strictObject({
        host: host.describe('USER@HOST[:PORT], or a name of ~/.ssh/config'),
        set: z
          .record(
            z
              .string()
              .regex(/^(?!hosts\b|version\b)[A-Za-z]\S*$/, 'write a setting by its path, such as server.replica'),
            z.unknown(),
          )
          .default({})
          .describe('settings that are others on this host, by their paths, e.g. server.replica: b'),
      }),
    ]),
  )
  .max(500)
  .default([])
  .describe('where --host all works, one after the other: USER@HOST[:PORT] or names of ~/.ssh/config');

export type HostEntry = z.output<typeof hostsSchema>[number];
