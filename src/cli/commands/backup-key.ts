import { resolve } from 'node:path';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { EnvironmentError } from '../../deployment/errors.ts';
import type { CommandContext } from '../context.ts';
import { textFlag } from '../flag-values.ts';

/** `mcp-deploy backup key`: the two halves that encrypt and open backups (age, X25519). */
export async function runBackupKey(context: CommandContext, options: Record<string, unknown>): Promise<number> {
  const { ports, output, world } = context;
  const file = resolve(world.cwd, textFlag(options, 'out') ?? 'backup.key');
  const identity = await generateX25519Identity();
  const recipient = await identityToRecipient(identity);
  const text = `# made by mcp-deploy ${ports.clock.now()}\n# public key: ${recipient}\n${identity}\n`;
  if (!(await ports.files.createExclusive(file, text, 0o600))) {
    throw new EnvironmentError(`${file} is there already; it may be what opens your backups.`, {
      next: 'mcp-deploy backup key --out ANOTHER',
    });
  }
  output.document({ ok: true, identityFile: file, recipient });
  output.result(
    [
      `  Recipient  ${recipient}`,
      `  Identity   ${file} (0600)`,
      '',
      '  Next       move the identity to another machine: it opens every backup, and nothing else does',
      '             backup.recipients in mcp-deploy.yaml, or: mcp-deploy backup create --recipient …',
    ].join('\n'),
  );
  return 0;
}
