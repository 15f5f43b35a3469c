import type { BackendCall, RpcError } from '../types.ts';
import { INTERNAL_ERROR } from './backend-errors.ts';

/** More rounds than a person would answer; a server that asks for ever is stopped. */
const maxRounds = 8;
/** Pause before a call is repeated that only carries a state: the upstream asked for time. */
const statePauseMs = 250;

/** Whether a result asks for input (MCP 2026-07-28, InputRequiredResult). Cheap for the many that do not. */
export function isInputRequired(resultJson: string): boolean {
  if (!resultJson.includes('"input_required"')) return false;
  return (JSON.parse(resultJson) as { resultType?: unknown }).resultType === 'input_required';
}

/**
 * Asks the caller for everything an InputRequiredResult wants, then gives the
 * params with which the call is to be repeated. Any refusal ends the call.
 */
export function answerInputRequests(
  call: BackendCall,
  resultJson: string,
  round: number,
  out: { onParams(params: Record<string, unknown>): void; onError(error: RpcError): void },
): void {
  if (round >= maxRounds) {
    out.onError({ code: INTERNAL_ERROR, message: `${call.method} still asked for input after ${maxRounds} rounds` });
    return;
  }
  const { inputRequests, requestState } = JSON.parse(resultJson) as {
    inputRequests?: Record<string, { method?: unknown; params?: Record<string, unknown> }>;
    requestState?: string;
  };
  const wanted = Object.entries(inputRequests ?? {});
  const state = requestState === undefined ? {} : { requestState };
  if (wanted.length === 0) {
    setTimeout(() => out.onParams({ ...call.params, ...state }), statePauseMs).unref();
    return;
  }
  const responses: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  let open = wanted.length;
  for (const [key, request] of wanted) {
    let answered = false;
    call.onServerRequest(String(request.method), request.params ?? {}, (answer) => {
      if (answered) return;
      answered = true;
      if ('error' in answer) {
        out.onError(answer.error);
        return;
      }
      responses[key] = answer.result;
      open--;
      if (open === 0) out.onParams({ ...call.params, inputResponses: responses, ...state });
    });
  }
}
