/** Headers that repeat a modern request's method and name (MCP 2026-07-28, transports, "Standard Request Headers"). */
export function nameHeaders(method: string, params: Record<string, unknown> | undefined): Record<string, string> {
  const field = namedBy[method];
  const name = field === undefined ? undefined : params?.[field];
  return { 'mcp-method': method, ...(typeof name === 'string' ? { 'mcp-name': encodeHeaderValue(name) } : {}) };
}

const namedBy: Readonly<Record<string, string | undefined>> = {
  __proto__: null as never,
  'tools/call': 'name',
  'prompts/get': 'name',
  'resources/read': 'uri',
};

/** A value as it may stand in a header: as it is, or as `=?base64?…?=` when it does not fit there. */
export function encodeHeaderValue(value: string): string {
  const fits = /^[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?$/.test(value) && !/^=\?base64\?.*\?=$/.test(value);
  return fits ? value : `=?base64?${Buffer.from(value).toString('base64')}?=`;
}
