import { UserError } from '../deployment/errors.ts';
import { parseSshHost, type SshHost } from '../deployment/ssh-host.ts';

/** The word that stands for every host of `hosts` in mcp-deploy.yaml. */
export const everyHost = 'all';

/**
 * A host of `--host`.
 * @throws UserError for what reaches no ssh
 */
export function readSshHost(text: string): SshHost {
  const host = parseSshHost(text);
  if (host !== null) return host;
  throw new UserError(`--host ${JSON.stringify(text)} is not a host.`, {
    why: 'It is [USER@]HOST[:PORT], or a name of ~/.ssh/config, where keys and jump hosts belong.',
    next: '--host deploy@mcp.example.com',
  });
}
