/** What the front needs to know of a method that a backend answers. */
export interface MethodRule {
  /** Counts against the caller's rate limit. Handshakes and lists do not: a 429 there reads as a broken server. */
  readonly charged: boolean;
  /** Also part of the modern revision. */
  readonly modern: boolean;
  /** The modern result must carry ttlMs and cacheScope. */
  readonly cacheable: boolean;
  /** Body field that the Mcp-Name header repeats. */
  readonly nameField: 'name' | 'uri' | null;
  /** The modern result may be of type input_required. */
  readonly mayAskForInput: boolean;
}

function rule(flags: Partial<MethodRule>): MethodRule {
  return { charged: false, modern: true, cacheable: false, nameField: null, mayAskForInput: false, ...flags };
}

/** Every client request that goes to a backend; the rest is answered by the front or does not exist. */
export const forwardedMethods: ReadonlyMap<string, MethodRule> = new Map([
  ['tools/list', rule({ cacheable: true })],
  ['tools/call', rule({ charged: true, nameField: 'name', mayAskForInput: true })],
  ['resources/list', rule({ cacheable: true })],
  ['resources/templates/list', rule({ cacheable: true })],
  ['resources/read', rule({ charged: true, cacheable: true, nameField: 'uri', mayAskForInput: true })],
  ['resources/subscribe', rule({ charged: true, modern: false })],
  ['resources/unsubscribe', rule({ charged: true, modern: false })],
  ['prompts/list', rule({ cacheable: true })],
  ['prompts/get', rule({ charged: true, nameField: 'name', mayAskForInput: true })],
  ['completion/complete', rule({ charged: true })],
  ['logging/setLevel', rule({ charged: true, modern: false })],
]);

/** Notifications of clients that concern a backend. The front looks after the others, and unknown ones are dropped. */
export const forwardedNotifications: ReadonlySet<string> = new Set(['notifications/roots/list_changed']);
