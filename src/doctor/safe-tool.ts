/** The part of a listed tool that decides whether it may be called to prove that calls work. */
export interface ListedTool {
  readonly name: string;
  readonly inputSchema: {
    readonly properties?: unknown;
    readonly required?: unknown;
  };
  readonly annotations?: { readonly readOnlyHint?: unknown; readonly openWorldHint?: unknown } | undefined;
}

export interface SafeCall {
  readonly tool: string;
  readonly arguments: Record<string, string>;
}

/** What is sent to an `echo` tool. */
export const echoText = 'mcp-deploy is checking this endpoint';

/**
 * A tool that can be called on somebody's production without doing anything:
 * `echo` with its one text, else a read-only tool without required arguments
 * (one that does not reach beyond the server first), else none.
 */
export function pickSafeTool(tools: readonly ListedTool[]): SafeCall | null {
  const echo = tools.find((tool) => tool.name === 'echo');
  const argument = echo === undefined ? null : onlyTextArgument(echo);
  if (argument !== null) return { tool: 'echo', arguments: { [argument]: echoText } };

  const harmless = tools.filter((tool) => tool.annotations?.readOnlyHint === true && requiredOf(tool).length === 0);
  const chosen = harmless.find((tool) => tool.annotations?.openWorldHint === false) ?? harmless[0];
  return chosen === undefined ? null : { tool: chosen.name, arguments: {} };
}

function onlyTextArgument(tool: ListedTool): string | null {
  const entries = Object.entries((tool.inputSchema.properties ?? {}) as Record<string, { type?: unknown } | null>);
  const [first] = entries;
  if (entries.length !== 1 || first === undefined || first[1]?.type !== 'string') return null;
  return requiredOf(tool).every((name) => name === first[0]) ? first[0] : null;
}

function requiredOf(tool: ListedTool): readonly unknown[] {
  return Array.isArray(tool.inputSchema.required) ? tool.inputSchema.required : [];
}
