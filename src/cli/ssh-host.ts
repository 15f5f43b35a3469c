import { isIP } from 'node:net';
import { UserError } from '../deployment/errors.ts';

/**
 * A host as ssh takes it: NAME or USER@NAME, where NAME may also be an alias of the ssh configuration or an address. What begins
 * with "-" would be an option of ssh, and is refused like everything else that is no name.
 *
 * @throws UserError
 */
export function readSshHost(text: string): string {
  const [, user = '', host = ''] = /^(?:([^@]*)@)?(.*)$/s.exec(text) ?? [];
  const isUser = text.includes('@') ? /^[A-Za-z_][A-Za-z0-9_.-]{0,63}$/.test(user) : true;
  const isHost = isIP(host) !== 0 || /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$/.test(host);
  if (isUser && isHost) return text;
  throw new UserError(`--host ${JSON.stringify(text)} is not a host.`, {
    why: 'Ports, keys and jump hosts belong into ~/.ssh/config.',
    next: '--host deploy@mcp.example.com',
  });
}
