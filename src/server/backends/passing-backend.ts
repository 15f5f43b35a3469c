import type { Backend, BackendCall, CancelCall } from '../types.ts';

/** The same backend with another way for its calls; everything else is the backend's own. */
export function passingBackend(
  backend: Backend,
  changes: Partial<Pick<Backend, 'breakers' | 'cacheCounts' | 'endSession'>> & {
    forward(call: BackendCall): CancelCall;
  },
): Backend {
  return {
    name: backend.name,
    get state() {
      return backend.state;
    },
    get capabilities() {
      return backend.capabilities;
    },
    get serverInfo() {
      return backend.serverInfo;
    },
    get instructions() {
      return backend.instructions;
    },
    get restarts() {
      return backend.restarts;
    },
    get inFlight() {
      return backend.inFlight;
    },
    ...(backend.breakers === undefined ? {} : { breakers: () => backend.breakers?.() ?? [] }),
    ...(backend.cacheCounts === undefined
      ? {}
      : { cacheCounts: () => backend.cacheCounts?.() ?? { hits: 0, misses: 0 } }),
    start: () => backend.start(),
    stop: (graceMs) => backend.stop(graceMs),
    notify: (method, params, sessionId) => backend.notify(method, params, sessionId),
    endSession: (sessionId) => backend.endSession(sessionId),
    onStateChange: (listener) => backend.onStateChange(listener),
    onListChanged: (listener) => backend.onListChanged(listener),
    onResourceUpdated: (listener) => backend.onResourceUpdated(listener),
    ...changes,
  };
}
