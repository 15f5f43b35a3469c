/** A line of /etc/passwd. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly comment: string;
}

/** By this comment a user is known to be ours: several deployments may share it, and the last one takes it away. */
export const serviceComment = 'MCP server (mcp-deploy)';

/** Reads the text of /etc/passwd (passwd(5)); lines that are none are passed over. */
export function parseAccounts(text: string): readonly Account[] {
  return text.split('\n').flatMap((line) => {
    const [name = '', , uid = '', gid = '', comment = ''] = line.split(':');
    return name === '' || !isNumber(uid) || !isNumber(gid)
      ? []
      : [{ name, uid: Number(uid), gid: Number(gid), comment }];
  });
}

/** Reads the text of /etc/group (group(5)): the number of each name. */
export function parseGroups(text: string): ReadonlyMap<string, number> {
  return new Map(
    text.split('\n').flatMap((line) => {
      const [name = '', , gid = ''] = line.split(':');
      return name === '' || !isNumber(gid) ? [] : [[name, Number(gid)] as const];
    }),
  );
}

function isNumber(text: string): boolean {
  return /^\d{1,10}$/.test(text);
}
