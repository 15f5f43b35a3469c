import { answerLater } from './answer-later.ts';
import type { Backend, BackendCall, CancelCall, RpcError } from '../types.ts';
import { INVALID_PARAMS, METHOD_NOT_FOUND } from './backend-errors.ts';

export interface BuiltinOptions {
  readonly serverVersion: string;
  /** What `server_info` answers. */
  describe(): Record<string, unknown>;
}

interface BuiltinTool {
  readonly definition: Record<string, unknown>;
  /** Text of the answer; throws an Error whose message tells the caller what is wrong with its arguments. */
  run(args: Record<string, unknown>): string;
}

/** The tools of an endpoint that has no upstream yet: server_info, echo and current_time. */
export function createBuiltinBackend(options: BuiltinOptions): Backend {
  const tools = describeTools(options);
  const listJson = JSON.stringify({ tools: [...tools.values()].map((tool) => tool.definition) });
  const since = Date.now();

  function answer(call: BackendCall): string | RpcError {
    switch (call.method) {
      case 'tools/list':
        return listJson;
      case 'tools/call':
        return callTool(tools, call.params);
      default:
        return { code: METHOD_NOT_FOUND, message: `Method not found: ${call.method}` };
    }
  }

  return {
    name: 'builtin',
    state: { state: 'up', since },
    capabilities: { tools: { listChanged: false } },
    serverInfo: { name: 'mcp-deploy', version: options.serverVersion },
    instructions: null,
    restarts: 0,
    inFlight: 0,
    start() {},
    stop: () => Promise.resolve(),
    forward(call): CancelCall {
      return answerLater(() => {
        const given = answer(call);
        if (typeof given === 'string') call.onResult(given);
        else call.onError(given);
      });
    },
    notify() {},
    endSession() {},
    onStateChange() {},
    onListChanged() {},
    onResourceUpdated() {},
  };
}

function callTool(
  tools: ReadonlyMap<string, BuiltinTool>,
  params: Record<string, unknown> | undefined,
): string | RpcError {
  const name = params?.['name'];
  const tool = typeof name === 'string' ? tools.get(name) : undefined;
  if (tool === undefined) return { code: INVALID_PARAMS, message: `Unknown tool: ${String(name)}` };
  const args = params?.['arguments'] ?? {};
  try {
    if (typeof args !== 'object' || args === null || Array.isArray(args))
      throw new Error('arguments must be an object');
    return textResult(tool.run(args as Record<string, unknown>), false);
  } catch (error) {
    return textResult(`Invalid arguments for ${String(name)}: ${(error as Error).message}`, true);
  }
}

/** Input errors are results with isError, so that a model can read and mend them (MCP, tools, error handling). */
function textResult(text: string, isError: boolean): string {
  return `{"content":[{"type":"text","text":${JSON.stringify(text)}}]${isError ? ',"isError":true' : ''}}`;
}

function describeTools(options: BuiltinOptions): ReadonlyMap<string, BuiltinTool> {
  const annotations = { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false };
  return new Map<string, BuiltinTool>([
    [
      'server_info',
      {
        definition: {
          name: 'server_info',
          title: 'Server information',
          description: 'Describes this endpoint: its name, version, address and what is behind it.',
          inputSchema: { type: 'object', properties: {}, additionalProperties: false },
          annotations,
        },
        run(args) {
          allowOnly(args, []);
          return JSON.stringify(
            { server: 'mcp-deploy', version: options.serverVersion, ...options.describe() },
            null,
            2,
          );
        },
      },
    ],
    [
      'echo',
      {
        definition: {
          name: 'echo',
          title: 'Echo',
          description: 'Gives the message back, to see that the whole way works.',
          inputSchema: {
            type: 'object',
            properties: { message: { type: 'string', description: 'Text to give back' } },
            required: ['message'],
            additionalProperties: false,
          },
          annotations,
        },
        run(args) {
          allowOnly(args, ['message']);
          if (typeof args['message'] !== 'string') throw new Error('message must be a string');
          return args['message'];
        },
      },
    ],
    [
      'current_time',
      {
        definition: {
          name: 'current_time',
          title: 'Current time',
          description: 'Tells the time of this machine, in UTC or in a given time zone.',
          inputSchema: {
            type: 'object',
            properties: {
              timeZone: { type: 'string', description: 'IANA name, for example Europe/Berlin; UTC when left out' },
            },
            additionalProperties: false,
          },
          annotations: { ...annotations, idempotentHint: false },
        },
        run(args) {
          allowOnly(args, ['timeZone']);
          return describeTime(args['timeZone']);
        },
      },
    ],
  ]);
}

function allowOnly(args: Record<string, unknown>, names: readonly string[]): void {
  for (const name of Object.keys(args))
    if (!names.includes(name)) throw new Error(`unknown argument ${JSON.stringify(name)}`);
}

function describeTime(timeZone: unknown): string {
  const now = new Date();
  if (timeZone === undefined) return now.toISOString();
  if (typeof timeZone !== 'string') throw new Error('timeZone must be a string, for example Europe/Berlin');
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat('sv-SE', { timeZone, dateStyle: 'short', timeStyle: 'medium' });
  } catch {
    throw new Error(
      `${JSON.stringify(timeZone)} is no time zone this machine knows; use an IANA name, for example Europe/Berlin`,
    );
  }
  return `${format.format(now)} ${timeZone} (${now.toISOString()})`;
}
