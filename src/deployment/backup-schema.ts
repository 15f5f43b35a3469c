import { z } from 'zod';

/** What `mcp-deploy backup` does when no flag says otherwise. */
export const backupSchema = z
  .strictObject({
    folder: z
      .string()
      .min(1, 'give the path of a folder')
      .default('.mcp-deploy-backups')
      .describe('where backups are kept; they stay after uninstall'),
    every: z
      .enum(['hourly', 'daily', 'weekly', 'monthly'])
      .optional()
      .describe('how often the timer makes one: mcp-deploy backup create --install-timer'),
    at: z
      .string()
      .regex(/^(?:[01]\d|2[0-3]):[0-5]\d$/, 'write a time of day, hours and minutes: 02:00')
      .default('02:00')
      .describe('time of day of the timer (local time of the machine); of an hourly one only the minutes'),
    keep: z.int().min(1).max(10_000).default(14).describe('how many are kept; the newest is never removed'),
    keepDays: z.number().positive().max(36_500).optional().describe('older ones are removed too, but the newest'),
    recipients: z
      .array(z.string().regex(/^age1[0-9a-z]{20,4000}$/, 'write a recipient of age, age1…: mcp-deploy backup key'))
      .default([])
      .describe('public keys (age) that can open a backup; a timer needs no secret then'),
    passphraseFile: z
      .string()
      .min(1, 'give the path of a file')
      .optional()
      .describe('file with the passphrase that opens a backup, in place of recipients'),
    logs: z.boolean().default(false).describe('whether the audit file and the log are in it'),
    also: z
      .array(z.string().min(1, 'give a path below the folder of this file'))
      .default([])
      .describe('further files and folders beside mcp-deploy.yaml, such as what a module tool imports'),
    afterwards: z
      .array(z.string())
      .min(1, 'give the program to run')
      .optional()
      .describe('program and arguments that take the backup elsewhere; the path of the file is added, no shell'),
  })
  .prefault({});
