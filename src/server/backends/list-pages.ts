const maxPageItems = 1_000;
const maxPageCharacters = 1_048_576;

/** Results of a list request, one for each page: small lists are one page without a cursor. */
export function renderListPages(member: string, itemTexts: readonly string[]): readonly string[] {
  const groups: string[][] = [[]];
  let characters = 0;
  for (const text of itemTexts) {
    let group = groups.at(-1) ?? [];
    if (group.length >= maxPageItems || (group.length > 0 && characters + text.length > maxPageCharacters)) {
      group = [];
      groups.push(group);
      characters = 0;
    }
    group.push(text);
    characters += text.length;
  }
  return groups.map((group, index) => {
    const next = index + 1 < groups.length ? `,"nextCursor":${JSON.stringify(renderCursor(index + 1))}` : '';
    return `{"${member}":[${group.join(',')}]${next}}`;
  });
}

/** Number of the page that a cursor of `renderListPages` stands for; null when it is none of ours. */
export function parseCursor(cursor: unknown): number | null {
  if (cursor === undefined) return 0;
  if (typeof cursor !== 'string' || cursor.length > 32) return null;
  const page = /^page-([0-9]{1,6})$/.exec(Buffer.from(cursor, 'base64url').toString('latin1'))?.[1];
  return page === undefined ? null : Number(page);
}

function renderCursor(page: number): string {
  return Buffer.from(`page-${page}`, 'latin1').toString('base64url');
}
