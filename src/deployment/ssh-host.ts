import { isIP } from 'node:net';

/** A host as the ssh of the system is told about it. */
export interface SshHost {
  /** As it was written; what it is called in results. */
  readonly text: string;
  /** `NAME` or `USER@NAME`, where NAME may be an alias of ~/.ssh/config or an address. */
  readonly destination: string;
  /** Null where ssh decides. */
  readonly port: number | null;
}

/**
 * Reads `[USER@]HOST[:PORT]`, an IPv6 address with a port as `[ADDRESS]:PORT`. What begins with `-` would be an option of ssh, and
 * is null like everything else that is no name. Pure.
 */
export function parseSshHost(text: string): SshHost | null {
  const [, user, place = ''] = /^(?:([^@]*)@)?(.*)$/s.exec(text) ?? [];
  if (user !== undefined && !/^[A-Za-z_][A-Za-z0-9_.-]{0,63}$/.test(user)) return null;
  const [, inBrackets, name, digits] = /^(?:\[([^\]]*)\]|([^:[\]]*)):([0-9]{1,5})$/s.exec(place) ?? [];
  const host = isIP(place) !== 0 ? place : (inBrackets ?? name ?? place);
  const port = host === place ? null : Number(digits);
  const isHost =
    inBrackets === undefined || host === place
      ? isIP(host) !== 0 || /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$/.test(host)
      : isIP(host) === 6;
  if (!isHost || (port !== null && (port < 1 || port > 65_535))) return null;
  return { text, destination: user === undefined ? host : `${user}@${host}`, port };
}
