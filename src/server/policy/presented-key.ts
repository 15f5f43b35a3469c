/** What the two headers of a request say about its key. `problem` is a sentence without any part of the key. */
export type PresentedKey =
  | { readonly kind: 'key'; readonly key: string }
  | { readonly kind: 'missing'; readonly problem: string }
  | { readonly kind: 'unreadable'; readonly problem: string };

/**
 * Finds the key in `Authorization: Bearer KEY` (scheme in any case, RFC 6750) and `x-api-key: KEY`. Both may be
 * given when they agree. An Authorization of another scheme beside x-api-key belongs to something in front of us
 * and is left alone.
 */
export function parsePresentedKey(authorization: string | undefined, xApiKey: string | undefined): PresentedKey {
  const bearer = authorization === undefined ? null : parseBearer(authorization);
  if (xApiKey === undefined) {
    return bearer ?? { kind: 'missing', problem: 'A key is needed: send Authorization: Bearer KEY or x-api-key: KEY.' };
  }
  const plain = parseToken(xApiKey, 'x-api-key');
  if (bearer === null || plain.kind !== 'key' || (bearer.kind === 'unreadable' && !isBearer(authorization)))
    return plain;
  if (bearer.kind !== 'key') return bearer;
  if (bearer.key === plain.key) return plain;
  return { kind: 'unreadable', problem: 'Authorization and x-api-key hold different keys; send one of them.' };
}

function parseBearer(header: string): PresentedKey {
  if (header.trim() === '') return { kind: 'missing', problem: 'The Authorization header is empty.' };
  const space = header.search(/[ \t]/);
  if (!isBearer(header)) {
    return {
      kind: 'unreadable',
      problem:
        space === -1
          ? 'Authorization holds no scheme; write it as: Bearer KEY.'
          : 'Authorization has another scheme than Bearer; write it as: Bearer KEY.',
    };
  }
  if (space === -1) return { kind: 'unreadable', problem: 'Authorization says Bearer, and no key follows.' };
  return parseToken(header.slice(space).replace(/^[ \t]+/, ''), 'Authorization');
}

function isBearer(header: string | undefined): boolean {
  return header !== undefined && /^bearer(?![^ \t])/i.test(header);
}

function parseToken(token: string, header: string): PresentedKey {
  if (token.trim() === '') {
    return header === 'x-api-key'
      ? { kind: 'missing', problem: 'The x-api-key header is empty.' }
      : { kind: 'unreadable', problem: 'Authorization says Bearer, and no key follows.' };
  }
  if (isBearer(token)) {
    return {
      kind: 'unreadable',
      problem:
        header === 'x-api-key'
          ? 'x-api-key holds the word Bearer; it takes the key alone.'
          : 'Authorization holds the word Bearer twice; write it as: Bearer KEY.',
    };
  }
  if (/[\r\n]/.test(token)) {
    return {
      kind: 'unreadable',
      problem: `The key in ${header} has a line break in it; read the file without its last newline.`,
    };
  }
  if (/[^\x21-\x7e]/.test(token)) {
    return { kind: 'unreadable', problem: `The key in ${header} has a space or an unprintable character in it.` };
  }
  if (/^(["'<]).*["'>]$/.test(token)) {
    return { kind: 'unreadable', problem: `The key in ${header} is in quotes or brackets; send it bare.` };
  }
  return { kind: 'key', key: token };
}
