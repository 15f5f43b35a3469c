import { z } from 'zod';

/** Names that end up in file names, unit names and metric labels. */
export const slug = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/, 'use 1 to 40 of a-z, 0-9 and -, not starting or ending with -');
