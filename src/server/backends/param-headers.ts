import { encodeHeaderValue } from './modern-request-headers.ts';

/** The headers that tools of a modern server want arguments repeated in (MCP 2026-07-28, `x-mcp-header` of an input schema). */
export interface ParamHeaders {
  /** For the params of a tools/call; undefined when the tool wants none. */
  headersFor(params: Record<string, unknown> | undefined): Record<string, string> | undefined;
}

interface Wanted {
  readonly path: readonly string[];
  readonly header: string;
}

const maxDepth = 16;

/** Reads the items of tools/list. A declaration that is no header name is passed over. */
export function readParamHeaders(tools: readonly unknown[]): ParamHeaders {
  const byTool = new Map<string, readonly Wanted[]>();
  for (const tool of tools) {
    const { name, inputSchema } = (tool ?? {}) as { name?: unknown; inputSchema?: unknown };
    const wanted: Wanted[] = [];
    collect(inputSchema, [], wanted);
    if (typeof name === 'string' && wanted.length > 0) byTool.set(name, wanted);
  }
  return {
    headersFor(params) {
      const wanted = byTool.get(String(params?.['name']));
      if (wanted === undefined) return undefined;
      const headers: Record<string, string> = {};
      for (const { path, header } of wanted) {
        const value = valueAt(params?.['arguments'], path);
        if (value !== null) headers[`mcp-param-${header}`] = encodeHeaderValue(value);
      }
      return headers;
    },
  };
}

function collect(schema: unknown, path: readonly string[], wanted: Wanted[]): void {
  const { properties } = (schema ?? {}) as { properties?: unknown };
  if (typeof properties !== 'object' || properties === null || path.length >= maxDepth) return;
  for (const [name, child] of Object.entries(properties as Record<string, unknown>)) {
    const header = (child as Record<string, unknown> | null)?.['x-mcp-header'];
    if (typeof header === 'string' && /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$/.test(header)) {
      wanted.push({ path: [...path, name], header: header.toLowerCase() });
    }
    collect(child, [...path, name], wanted);
  }
}

/** As text; null for what is absent or cannot stand in a header. */
function valueAt(root: unknown, path: readonly string[]): string | null {
  let value = root;
  for (const name of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return null;
    value = (value as Record<string, unknown>)[name];
  }
  if (typeof value === 'string') return value;
  if (typeof value === 'boolean') return String(value);
  if (typeof value !== 'number' || !Number.isFinite(value)) return null;
  return Number.isInteger(value) && !Number.isSafeInteger(value) ? null : String(value);
}
