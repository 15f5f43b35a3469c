import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import { UserError } from '../../deployment/errors.ts';
import { addFormerKey, auditKeyId, formerKeysFile } from '../../server/observe/audit-keys.ts';
import { readChainKey } from '../../server/open-audit.ts';
import { withLock } from '../apply-desired.ts';
import type { CommandContext } from '../context.ts';
import { requireDeployment } from '../deployment-folder.ts';
import { isInContainers } from '../render-containers.ts';

/**
 * `mcp-deploy audit rotate-key`: another secret for the chain of audit lines. The one before stays beside it, for `audit verify`
 * of the lines that it sealed.
 */
export async function runAuditRotateKey(context: CommandContext): Promise<number> {
  const { ports, output } = context;
  const { deployment } = await requireDeployment(context);
  const { audit, auditKeyFile } = deployment.logs;
  if (audit === 'off' || auditKeyFile === undefined) {
    throw new UserError('The audit lines of this deployment are sealed without a key.', {
      why: `logs.${audit === 'off' ? 'audit is off' : 'auditKeyFile is not set'} in mcp-deploy.yaml.`,
      next: `(umask 077; openssl rand -hex 32 > audit.key); then set ${audit === 'off' ? 'logs.audit: audit.log and ' : ''}logs.auditKeyFile: audit.key, and: mcp-deploy apply`,
    });
  }
  const file = resolve(context.baseDir, auditKeyFile);
  return withLock(context, 'audit', async () => {
    const former = readChainKey(file);
    const stat = await ports.files.stat(file);
    if (stat?.kind !== 'file') {
      throw new UserError(`${file} is no plain file; it stays as it is.`, {
        why: 'Something else puts the secret there, such as a secret store.',
        next: `Rotate it there, and keep the former one in ${formerKeysFile(file)}: a line with the time and the key in base64.`,
      });
    }
    const beside = formerKeysFile(file);
    const text = (await ports.files.read(beside))?.toString('utf8') ?? '';
    const replacedAtMs = Date.parse(ports.clock.now());
    const key = randomBytes(32).toString('hex');
    // First what makes the old lines readable: a kill in between leaves a key that is listed twice, which harms nothing.
    await ports.files.writeAtomic(beside, addFormerKey(text, { key: former, replacedAtMs }), 0o600, stat.owner);
    await ports.files.writeAtomic(file, `${key}\n`, stat.mode, stat.owner);
    const [keyId, formerKeyId] = [auditKeyId(Buffer.from(key)), auditKeyId(former)];
    output.document({ ok: true, keyFile: file, formerKeysFile: beside, keyId, formerKeyId });
    const lines = [
      `  ${output.out.green('✓')} another key is in ${file}: lines of the chain say "mac_key":"${keyId}" from now on`,
      `  The former one (${formerKeyId}) is in ${beside}: audit verify needs it as long as there are lines that it sealed.`,
      isInContainers(deployment)
        ? '  Containers have a copy of the key: mcp-deploy apply hands the next one to them.'
        : '  A running server seals with it within moments. See for yourself: mcp-deploy audit verify',
    ];
    output.result(lines.join('\n'));
    return 0;
  });
}
