import type { IncomingHttpHeaders } from 'node:http';
import { ownCall } from '../backends/list-cache.ts';
import type { Registry } from '../backends/registry.ts';
import type { RpcError } from '../types.ts';
import { decodeHeaderValue, mismatch } from './header-values.ts';
import { isObject, readObject } from './rpc-text.ts';

/** One parameter of a tool that travels in a header too. */
export interface ParameterHeader {
  /** Names of the properties that lead to it. */
  readonly path: readonly string[];
  /** `mcp-param-NAME` in lower case, as node:http gives header names. */
  readonly header: string;
  readonly isNumber: boolean;
}

/** The tools whose parameters must be repeated in `Mcp-Param-*` headers, by the name that clients call them. */
export type ParameterHeaderTable = ReadonlyMap<string, readonly ParameterHeader[]>;

const maxPages = 100;
const maxDepth = 16;
const tokenSyntax = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const decimalSyntax = /^-?\d+(?:\.\d+)?$/;

/**
 * Knows which tools declare `x-mcp-header`, so that calls whose headers and body disagree are refused before a backend
 * sees them: a proxy on the way may have decided by the header. Lists are read when a backend comes up or says that
 * its tools changed, never during a call.
 */
export class ParameterHeaders {
  readonly #registry: Registry;
  #table: ParameterHeaderTable = new Map();
  #upSince = 0;
  #loading = false;
  #again = false;

  constructor(registry: Registry) {
    this.#registry = registry;
    registry.onStateChange(() => this.#onStateChange());
    registry.onListChanged((kind) => {
      if (kind === 'tools') this.#load();
    });
  }

  /** Null when all is well; the error for HTTP 400 otherwise. */
  judge(params: Record<string, unknown>, headers: IncomingHttpHeaders): RpcError | null {
    if (this.#table.size === 0) return null;
    const declared = this.#table.get(String(params['name']));
    return declared === undefined ? null : judgeParameterHeaders(declared, params['arguments'], headers);
  }

  #onStateChange(): void {
    let newest = 0;
    for (const { state } of this.#registry.backends) if (state.state === 'up') newest = Math.max(newest, state.since);
    if (newest <= this.#upSince) return;
    this.#upSince = newest;
    this.#load();
  }

  #load(): void {
    if (this.#loading) {
      this.#again = true;
      return;
    }
    this.#loading = true;
    this.#again = false;
    this.#readPage(new Map(), undefined, maxPages);
  }

  #readPage(read: Map<string, readonly ParameterHeader[]>, cursor: string | undefined, pagesLeft: number): void {
    const params = cursor === undefined ? undefined : { cursor };
    const onResult = (resultJson: string): void => {
      const result = readObject(resultJson) ?? {};
      // Nearly no server declares any: the others' schemas are not walked.
      if (resultJson.includes('x-mcp-header')) addDeclared(read, result['tools']);
      const next = result['nextCursor'];
      if (typeof next === 'string' && pagesLeft > 1) this.#readPage(read, next, pagesLeft - 1);
      else this.#loaded(read);
    };
    // What was known before stays in force.
    this.#registry.dispatch(ownCall('tools/list', params, onResult, () => this.#loaded(this.#table)));
  }

  #loaded(table: ParameterHeaderTable): void {
    this.#table = table;
    this.#loading = false;
    if (this.#again) this.#load();
  }
}

function addDeclared(table: Map<string, readonly ParameterHeader[]>, tools: unknown): void {
  if (!Array.isArray(tools)) return;
  for (const tool of tools as unknown[]) {
    if (!isObject(tool) || typeof tool['name'] !== 'string') continue;
    const declared = findParameterHeaders(tool['inputSchema']);
    if (declared.length > 0) table.set(tool['name'], declared);
  }
}

/**
 * The `x-mcp-header` declarations of an input schema that can be followed without evaluating it: those below
 * `properties` only. Pure. Source: MCP 2026-07-28, transports, "Custom headers from tool parameters".
 */
export function findParameterHeaders(inputSchema: unknown): ParameterHeader[] {
  const found: ParameterHeader[] = [];
  const visit = (schema: unknown, path: readonly string[]): void => {
    if (!isObject(schema) || path.length > maxDepth) return;
    const name = schema['x-mcp-header'];
    if (path.length > 0 && typeof name === 'string' && tokenSyntax.test(name)) {
      const { type } = schema;
      found.push({
        path,
        header: `mcp-param-${name.toLowerCase()}`,
        isNumber: type === 'integer' || type === 'number',
      });
    }
    const { properties } = schema;
    if (!isObject(properties)) return;
    for (const [key, child] of Object.entries(properties)) visit(child, [...path, key]);
  };
  visit(inputSchema, []);
  return found;
}

/** Whether the headers repeat the arguments, as declared. A parameter that is absent or null has no header. Pure. */
export function judgeParameterHeaders(
  declared: readonly ParameterHeader[],
  args: unknown,
  headers: IncomingHttpHeaders,
): RpcError | null {
  for (const { path, header, isNumber } of declared) {
    let value = args;
    for (const key of path) value = isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined;
    const text = primitiveText(value);
    if (text === null) continue;
    const sent = headers[header];
    if (typeof sent !== 'string')
      return mismatch(`the body has ${path.join('.')}, but the ${header} header is missing`);
    const decoded = decodeHeaderValue(sent.trim());
    if (decoded === null) return mismatch(`the ${header} header is not valid Base64`);
    const same =
      decoded === text || (isNumber && decimalSyntax.test(decoded) && Number(decoded) === value && value !== undefined);
    if (!same) return mismatch(`the ${header} header does not say what the body has as ${path.join('.')}`);
  }
  return null;
}

/** How a value is written in a header; null for what has no such form. */
function primitiveText(value: unknown): string | null {
  if (typeof value === 'string') return value;
  if (typeof value === 'boolean') return String(value);
  if (typeof value !== 'number' || (Number.isInteger(value) && !Number.isSafeInteger(value))) return null;
  return String(value);
}
