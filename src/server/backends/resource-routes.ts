import type { Backend, BackendCall, CancelCall, RpcError } from '../types.ts';
import { UPSTREAM_UNAVAILABLE } from './backend-errors.ts';
import { callWith } from './call-with.ts';
import type { MergedList } from './merged-list.ts';
import { matchUri, parseUriTemplate, type UriPattern } from './uri-template.ts';

/** Finds the backend of a resource among several. */
export interface ResourceRoutes {
  /** Sends a call about one resource (`params.uri`) to its backend. */
  forward(call: BackendCall, uri: string): CancelCall;
  /** Backend that has this URI or template in its lists; null when none has. */
  find(uriOrTemplate: string): Backend | null;
}

/** URIs that were found by asking around; the oldest are forgotten. */
const maxLearned = 10_000;

export function createResourceRoutes(
  backends: readonly Backend[],
  resources: MergedList,
  templates: MergedList,
): ResourceRoutes {
  const learned = new Map<string, Backend>();
  let patterns: { readonly pattern: UriPattern; readonly backend: Backend }[] = [];
  let patternsOf: MergedList['routes'] | null = null;

  function find(uri: string): Backend | null {
    const listed = resources.routes.get(uri) ?? templates.routes.get(uri);
    if (listed !== undefined) return listed.backend;
    if (patternsOf !== templates.routes) {
      patternsOf = templates.routes;
      patterns = Array.from(patternsOf, ([template, { backend }]) => ({
        pattern: parseUriTemplate(template),
        backend,
      }));
    }
    let best: Backend | null = null;
    let bestFit = -1;
    for (const { pattern, backend } of patterns) {
      const fit = matchUri(pattern, uri);
      if (fit > bestFit) {
        best = backend;
        bestFit = fit;
      }
    }
    return best ?? learned.get(uri) ?? null;
  }

  function learn(uri: string, backend: Backend): void {
    learned.set(uri, backend);
    if (learned.size <= maxLearned) return;
    const oldest = learned.keys().next();
    if (oldest.done !== true) learned.delete(oldest.value);
  }

  return {
    find,
    forward(call, uri) {
      const known = find(uri);
      if (known !== null) return known.forward(call);
      let cancelled = false;
      let cancel: CancelCall = () => {};

      /** One after the other: some servers answer for URIs that they do not list. */
      function askFrom(index: number, worst: RpcError | null): void {
        const backend = backends[index];
        if (cancelled) return;
        if (backend === undefined) {
          call.onError(worst ?? { code: -32002, message: 'Resource not found', data: { uri } });
          return;
        }
        cancel = backend.forward(
          callWith(call, {
            onResult: () => learn(uri, backend),
            // "Not available" says more than the "not found" of another backend.
            onError: (error) => askFrom(index + 1, worst?.code === UPSTREAM_UNAVAILABLE ? worst : error),
          }),
        );
      }

      const lookAgain = (): void => {
        const found = find(uri);
        if (cancelled) return;
        if (found === null) askFrom(0, null);
        else cancel = found.forward(call);
      };
      cancel = resources.whenLoaded(() => {
        cancel = templates.whenLoaded(() => queueMicrotask(lookAgain));
      });
      return (reason) => {
        cancelled = true;
        cancel(reason);
      };
    },
  };
}
