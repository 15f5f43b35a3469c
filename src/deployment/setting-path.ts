/** Where a setting is: keys, and positions of list items. */
export type SettingPath = readonly (string | number)[];

/** The path as people write it: `limits.perKey.requests`, `server.listen[0]`, `server.upstreams["A B"]`. */
export function formatPath(path: SettingPath): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else if (!/^[A-Za-z0-9_-]+$/.test(part)) text += `[${JSON.stringify(part)}]`;
    else text += text === '' ? part : `.${part}`;
  }
  return text;
}

/** Reads what `formatPath` writes. */
export function parsePath(text: string): SettingPath {
  const parts: (string | number)[] = [];
  for (const match of text.matchAll(/\[([0-9]+)\]|\[("(?:[^"\\]|\\.)*")\]|([^.[\]]+)/g)) {
    if (match[1] !== undefined) parts.push(Number(match[1]));
    else if (match[2] !== undefined) parts.push(JSON.parse(match[2]) as string);
    else if (match[3] !== undefined) parts.push(match[3]);
  }
  return parts;
}
