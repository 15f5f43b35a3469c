/** Which sessions have subscribed to which resources of one backend. */
export interface SubscriptionTable {
  /** True when this is the first subscription to the URI. */
  add(uri: string, sessionId: string | null): boolean;
  /** True when nobody is subscribed to the URI any more. */
  remove(uri: string, sessionId: string | null): boolean;
  /** URIs that nobody is subscribed to once the session is gone. */
  endSession(sessionId: string): string[];
  /** Sessions to tell about an update of `uri`: subscribers of it or of a resource above it. */
  subscribersOf(uri: string): ReadonlySet<string | null>;
  readonly uris: readonly string[];
}

export function createSubscriptionTable(): SubscriptionTable {
  /** A session subscribes once; calls without a session (modern streams) are counted. */
  const byUri = new Map<string, Map<string | null, number>>();

  function remove(uri: string, sessionId: string | null): boolean {
    const sessions = byUri.get(uri);
    if (sessions === undefined) return true;
    const count = sessions.get(sessionId) ?? 0;
    if (sessionId === null && count > 1) sessions.set(null, count - 1);
    else sessions.delete(sessionId);
    if (sessions.size > 0) return false;
    byUri.delete(uri);
    return true;
  }

  return {
    add(uri, sessionId) {
      const sessions = byUri.get(uri);
      if (sessions === undefined) {
        byUri.set(uri, new Map([[sessionId, 1]]));
        return true;
      }
      sessions.set(sessionId, (sessions.get(sessionId) ?? 0) + 1);
      return false;
    },
    remove,
    endSession(sessionId) {
      const free: string[] = [];
      for (const [uri, sessions] of byUri) {
        if (sessions.has(sessionId) && remove(uri, sessionId)) free.push(uri);
      }
      return free;
    },
    subscribersOf(uri) {
      const found = new Set<string | null>(byUri.get(uri)?.keys());
      // The specification lets a server name a sub-resource of what was subscribed to.
      for (let slash = uri.lastIndexOf('/'); slash > 0; slash = uri.lastIndexOf('/', slash - 1)) {
        for (const above of [uri.slice(0, slash), uri.slice(0, slash + 1)]) {
          for (const sessionId of byUri.get(above)?.keys() ?? []) found.add(sessionId);
        }
      }
      return found;
    },
    get uris() {
      return [...byUri.keys()];
    },
  };
}
