import { isIP } from 'node:net';
import { isDnsName } from './host-name.ts';
import type { ListenAddress } from './listen-address.ts';
import type { MeaningProblem } from './judge-texts.ts';
import type { SettingPath } from './setting-path.ts';
import { quoted } from './shape-sentences.ts';

/** An address of a setting, with its place. */
export interface NamedAddress {
  readonly path: SettingPath;
  readonly text: string;
  readonly address: ListenAddress;
}

/** Ports, hosts and socket paths that cannot be. */
export function judgeAddressForms(entries: readonly NamedAddress[]): MeaningProblem[] {
  return entries.flatMap(({ path, text, address }): MeaningProblem[] => {
    if (address.kind === 'unix') {
      // sockaddr_un holds 108 bytes on Linux and 104 on macOS, with the closing zero.
      if (Buffer.byteLength(address.path) <= 103) return [];
      return [{ path, message: 'is too long for a Unix socket', hint: 'its path may have 103 bytes at most' }];
    }
    const problems: MeaningProblem[] = [];
    if (address.port < 1 || address.port > 65_535) {
      const message = `has port ${address.port}; ports go from 1 to 65535`;
      problems.push({ path, message, hint: 'for example: localhost:8443' });
    }
    const isName = isIP(address.host) === 4 || isDnsName(address.host);
    const isBracketed = text.startsWith('[');
    if (address.host !== '' && !(isBracketed ? isIP(address.host) === 6 : isName)) {
      problems.push({
        path,
        message: `has no valid address: ${quoted(address.host)}`,
        hint: 'for example: 127.0.0.1:8443',
      });
    }
    return problems;
  });
}

/** Entries of an address list that are neither addresses nor blocks nor a word for some. */
export function judgeAddressBlocks(
  base: SettingPath,
  entries: readonly string[],
  words: readonly string[] = ['loopback', 'unix'],
): MeaningProblem[] {
  return entries.flatMap((text, index): MeaningProblem[] => {
    if (words.includes(text)) return [];
    const [address = '', prefix, ...rest] = text.split('/');
    const family = address.includes('%') ? 0 : isIP(address);
    const badPrefix =
      prefix !== undefined && (!/^[0-9]{1,3}$/.test(prefix) || Number(prefix) > (family === 4 ? 32 : 128));
    if (family !== 0 && !badPrefix && rest.length === 0) return [];
    const hint = 'for example: 127.0.0.1, 10.0.0.0/8, or loopback';
    return [{ path: [...base, index], message: `is not an address or CIDR block: ${quoted(text)}`, hint }];
  });
}
