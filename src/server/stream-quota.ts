/** Counts the open event streams of each key. */
export interface StreamQuota {
  /** Takes one stream and gives the way to return it, which works once; null when the key has none left. */
  take(keyId: string, most: number): (() => void) | null;
  countOf(keyId: string): number;
}

export function createStreamQuota(): StreamQuota {
  const open = new Map<string, number>();
  return {
    countOf: (keyId) => open.get(keyId) ?? 0,
    take(keyId, most) {
      const count = open.get(keyId) ?? 0;
      if (count >= most) return null;
      open.set(keyId, count + 1);
      let returned = false;
      return () => {
        if (returned) return;
        returned = true;
        const left = (open.get(keyId) ?? 1) - 1;
        if (left <= 0) open.delete(keyId);
        else open.set(keyId, left);
      };
    },
  };
}
