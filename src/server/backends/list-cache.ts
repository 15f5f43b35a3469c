import type { Backend, BackendCall, ListKind, RpcError } from '../types.ts';
import { METHOD_NOT_FOUND, UPSTREAM_BAD_ANSWER } from './backend-errors.ts';

/** The four lists of MCP: their methods, the member of the result, and what names an item. */
export type ListName = 'tools' | 'prompts' | 'resources' | 'resourceTemplates';

export const lists: Readonly<
  Record<ListName, { readonly method: string; readonly kind: ListKind; readonly key: string }>
> = {
  tools: { method: 'tools/list', kind: 'tools', key: 'name' },
  prompts: { method: 'prompts/list', kind: 'prompts', key: 'name' },
  resources: { method: 'resources/list', kind: 'resources', key: 'uri' },
  resourceTemplates: { method: 'resources/templates/list', kind: 'resources', key: 'uriTemplate' },
};

export type ListItem = Readonly<Record<string, unknown>>;

/** One list of one backend, all of its pages, kept until it changes. */
export interface ListCache {
  readonly backend: Backend;
  /** Last known items, also when they are stale; null when they were never read. */
  readonly items: readonly ListItem[] | null;
  /** The items are what the backend says now, as far as it is known. */
  readonly fresh: boolean;
  /** Names (or URIs) of the items. */
  readonly keys: ReadonlySet<string>;
  /** Reads the list unless it is fresh. Calls back once, at once or later; the error is null on success. */
  load(done: (error: RpcError | null) => void): void;
  /** When the reading that is under way began (epoch ms); 0 when none is. */
  readonly loadingSince: number;
  invalidate(): void;
}

const maxPages = 1_000;
const maxItems = 100_000;

export function createListCache(backend: Backend, list: ListName): ListCache {
  const { method, key } = lists[list];
  let items: readonly ListItem[] | null = null;
  let keys: ReadonlySet<string> = new Set();
  let fresh = false;
  let version = 0;
  let loadingSince = 0;
  let waiting: ((error: RpcError | null) => void)[] = [];

  function finish(error: RpcError | null): void {
    loadingSince = 0;
    const done = waiting;
    waiting = [];
    for (const one of done) one(error);
  }

  function readPages(): void {
    const startVersion = version;
    const read: ListItem[] = [];
    let pages = 0;

    function onPage(resultJson: string): void {
      let result: Record<string, unknown>;
      try {
        result = JSON.parse(resultJson) as Record<string, unknown>;
      } catch {
        const message = `The upstream "${backend.name}" answered ${method} with text that is not valid JSON`;
        finish({ code: UPSTREAM_BAD_ANSWER, message });
        return;
      }
      const page = result[list];
      if (Array.isArray(page)) {
        for (const item of page as unknown[]) {
          if (typeof item === 'object' && item !== null && typeof (item as ListItem)[key] === 'string') {
            read.push(item as ListItem);
          }
        }
      }
      const cursor = result['nextCursor'];
      pages++;
      if (typeof cursor === 'string' && pages < maxPages && read.length < maxItems) {
        readPage(cursor);
        return;
      }
      items = read;
      keys = new Set(read.map((item) => String(item[key])));
      // A change notice that came meanwhile makes what was read old already.
      fresh = version === startVersion;
      finish(null);
    }

    function readPage(cursor: string | null): void {
      backend.forward(
        ownCall(method, cursor === null ? undefined : { cursor }, onPage, (error) => {
          // A server without templates has none, which is no failure.
          if (error.code === METHOD_NOT_FOUND) onPage('{}');
          else finish(error);
        }),
      );
    }

    readPage(null);
  }

  return {
    backend,
    get items() {
      return items;
    },
    get fresh() {
      return fresh;
    },
    get keys() {
      return keys;
    },
    load(done) {
      if (fresh) {
        done(null);
        return;
      }
      waiting.push(done);
      if (waiting.length > 1) return;
      loadingSince = Date.now();
      readPages();
    },
    get loadingSince() {
      return loadingSince;
    },
    invalidate() {
      version++;
      fresh = false;
    },
  };
}

/** A call of the gateway itself: nobody's, and nobody can be asked anything for it. */
export function ownCall(
  method: string,
  params: Record<string, unknown> | undefined,
  onResult: (resultJson: string) => void,
  onError: (error: RpcError) => void,
): BackendCall {
  return {
    method,
    params,
    caller: { keyId: '', label: 'mcp-deploy', address: '' },
    era: 'legacy',
    sessionId: null,
    clientCapabilities: {},
    onResult,
    onError,
    onNotification() {},
    onServerRequest: (_method, _params, reply) => {
      reply({ error: { code: METHOD_NOT_FOUND, message: 'Not available while lists are read' } });
    },
  };
}
