import type { Backend, BackendCall, CancelCall, RpcError } from '../types.ts';
import { INVALID_PARAMS, UPSTREAM_UNAVAILABLE } from './backend-errors.ts';
import type { Log } from './backend-log.ts';
import { createListCache, lists, type ListCache, type ListItem, type ListName } from './list-cache.ts';
import { parseCursor, renderListPages } from './list-pages.ts';

/** Where a name of the merged list leads. */
interface Route {
  readonly backend: Backend;
  /** The name as the backend knows it. */
  readonly original: string;
}

/** One list out of the lists of several backends. */
export interface MergedList {
  answer(call: BackendCall): CancelCall;
  /** Waits until the lists of the backends were read, or until those that answer have had 2 s. */
  whenLoaded(done: (errors: readonly RpcError[]) => void): CancelCall;
  readonly routes: ReadonlyMap<string, Route>;
  readonly caches: readonly ListCache[];
  /** The list of one backend has changed. */
  invalidate(backend: Backend): void;
  /** A backend has come up: lists that were given without it are out of date. */
  backendUp(backend: Backend): void;
}

export interface MergedListOptions {
  readonly backends: readonly Backend[];
  readonly list: ListName;
  /** Name of an item in the merged list. */
  readonly nameOf: (backend: Backend, original: string) => string;
  readonly log: Log;
  /** A list that had been given without some backend is complete now, or has changed. */
  readonly onLateChange: () => void;
}

/** Once one backend has answered, the others get this long: none of them may hold up the rest. */
const othersMs = 2_000;

export function createMergedList(options: MergedListOptions): MergedList {
  const { backends, list, log } = options;
  const { method, key } = lists[list];
  const caches = backends.map((backend) => createListCache(backend, list));
  let routes: ReadonlyMap<string, Route> = new Map();
  let pages: readonly string[] | null = null;
  let givenIncomplete = false;

  function merge(): readonly string[] {
    const found = new Map<string, Route>();
    const texts: string[] = [];
    for (const cache of caches) {
      for (const item of cache.items ?? []) {
        const original = String(item[key]);
        const name = options.nameOf(cache.backend, original);
        // Two backends with the same URI: the first one keeps it.
        if (found.has(name)) continue;
        found.set(name, { backend: cache.backend, original });
        texts.push(renderItem(item, key, name));
      }
    }
    routes = found;
    return renderListPages(list, texts);
  }

  function tellIfIncomplete(): void {
    if (!givenIncomplete) return;
    givenIncomplete = false;
    pages = null;
    options.onLateChange();
  }

  function whenLoaded(done: (errors: readonly RpcError[]) => void): CancelCall {
    const errors: RpcError[] = [];
    let open = caches.length;
    let over = false;
    let timer: NodeJS.Timeout | null = null;
    const finish = (): void => {
      if (over) return;
      over = true;
      if (timer !== null) clearTimeout(timer);
      if (pages === null || caches.some((cache) => !cache.fresh)) pages = merge();
      const missing = caches.filter((cache) => !cache.fresh);
      for (const cache of missing) {
        log.warn('upstream-list-missing', {
          upstream: cache.backend.name,
          list: method,
          given: cache.items === null ? 'nothing' : 'the last known list',
        });
      }
      done(errors);
    };
    const someoneCanAnswer = (): boolean => caches.some((cache) => cache.items !== null);
    /** A backend that has kept others waiting already does not do so with every list. */
    const patienceMs = (): number => {
      const waits = caches.map(({ loadingSince }) => (loadingSince === 0 ? 0 : loadingSince + othersMs - Date.now()));
      return Math.max(0, ...waits);
    };
    // Not before all are being read: how long to wait depends on every one of them.
    let started = false;
    const judge = (): void => {
      if (!started || over) return;
      if (open === 0) finish();
      else if (timer === null && someoneCanAnswer()) timer = setTimeout(finish, patienceMs());
    };
    for (const cache of caches) {
      if (!cache.fresh) pages = null;
      cache.load((error) => {
        if (error !== null) errors.push(error);
        open--;
        if (over) {
          if (error === null) tellIfIncomplete();
          return;
        }
        judge();
      });
    }
    started = true;
    judge();
    return () => {
      over = true;
      if (timer !== null) clearTimeout(timer);
    };
  }

  function give(call: BackendCall, errors: readonly RpcError[]): void {
    const page = parseCursor(call.params?.['cursor']);
    if (!caches.some((cache) => cache.items !== null)) {
      call.onError(errors[0] ?? { code: UPSTREAM_UNAVAILABLE, message: 'No upstream is available.' });
      return;
    }
    if (caches.some((cache) => !cache.fresh)) givenIncomplete = true;
    const text = page === null ? undefined : pages?.[page];
    if (text === undefined) call.onError({ code: INVALID_PARAMS, message: 'Invalid cursor' });
    else call.onResult(text);
  }

  return {
    answer(call) {
      let cancelled = false;
      let cancelWait: CancelCall | null = null;
      // Never answered while the caller is still in dispatch.
      queueMicrotask(() => {
        if (cancelled) return;
        cancelWait = whenLoaded((errors) => {
          if (!cancelled) give(call, errors);
        });
      });
      return (reason) => {
        cancelled = true;
        cancelWait?.(reason);
      };
    },
    whenLoaded,
    get routes() {
      return routes;
    },
    caches,
    invalidate(backend) {
      pages = null;
      for (const cache of caches) if (cache.backend === backend) cache.invalidate();
    },
    backendUp(backend) {
      // While its list is being read, the end of that is what there is to tell.
      const loading = caches.some((cache) => cache.backend === backend && cache.loadingSince !== 0);
      if (!loading) tellIfIncomplete();
    },
  };
}

function renderItem(item: ListItem, key: string, name: string): string {
  return JSON.stringify(item[key] === name ? item : { ...item, [key]: name });
}
