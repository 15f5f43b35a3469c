import { withTraceContext } from '../observe/trace-context.ts';
import type { CallSpan, Traces, UpstreamPlace } from '../observe/traces.ts';
import type { Backend, BackendCall, CancelCall } from '../types.ts';
import { callWith } from './call-with.ts';
import { passingBackend } from './passing-backend.ts';
import { saysError } from './says-error.ts';

/** The same backend; its part in each traced call becomes a span, which the upstream is told as its parent. */
export function traceBackend(backend: Backend, place: UpstreamPlace, traces: Traces): Backend {
  return passingBackend(backend, {
    forward(call) {
      const span = traces.forward(place, call.method, call.params);
      return span === null ? backend.forward(call) : forwardTraced(backend, call, span);
    },
  });
}

function forwardTraced(backend: Backend, call: BackendCall, span: CallSpan): CancelCall {
  let ended = false;
  const end = (failure: string | null): void => {
    if (ended) return;
    ended = true;
    span.end(failure);
  };
  const cancel = backend.forward(
    callWith(call, {
      params: withTraceContext(call.params, span.context),
      onResult: (resultJson) => end(call.method === 'tools/call' && saysError(resultJson) ? 'tool_error' : null),
      onError(error) {
        end(String(error.code));
        call.onError(error);
      },
    }),
  );
  return (reason) => {
    end('cancelled');
    cancel(reason);
  };
}
