import type { DeclaredTool } from '../../deployment/tool-schema.ts';
import type { Backend, BackendCall, BackendState, CancelCall, ListKind } from '../types.ts';
import {
  INVALID_PARAMS,
  METHOD_NOT_FOUND,
  UPSTREAM_BUSY,
  UPSTREAM_UNAVAILABLE,
  upstreamError,
} from './backend-errors.ts';
import { reasonOf, type Log } from './backend-log.ts';
import { prepareCommandTool } from './declared-command.ts';
import { prepareHttpTool } from './declared-http.ts';
import { loadModuleTool } from './declared-module.ts';
import { loadSchemaCompiler, type JudgeValue, type SchemaCompiler } from '../../deployment/schema-compiler.ts';
import { errorResult, renderToolResult } from './tool-result.ts';
import { ToolFailure, type RunTool, type ToolArguments, type ToolContext } from './tool-runner.ts';

export interface DeclaredOptions {
  /** Environment of the server: what `${NAME}` is filled from. */
  readonly env: NodeJS.ProcessEnv;
  /** Folder that relative paths start from. */
  readonly baseDir: string;
  readonly log: Log;
  readonly serverVersion: string;
}

interface ReadyTool {
  readonly name: string;
  readonly judgeInput: JudgeValue;
  readonly judgeOutput: JudgeValue | null;
  readonly run: RunTool;
  readonly timeoutSeconds: number;
  readonly maxRunning: number;
  running: number;
}

/** Calls of one tool that run at once; more are refused, since what they wait for is not going to be quicker. */
const maxRunning = { http: 256, command: 32, module: 10_000 };

/**
 * The tools that a deployment declares itself, as one backend. What cannot
 * work (a schema that is none, a program or module that is missing) makes the
 * backend broken, with every reason; the other tools answer all the same.
 */
export function createDeclaredBackend(
  tools: Readonly<Record<string, DeclaredTool>>,
  options: DeclaredOptions,
): Backend {
  const { log } = options;
  const ready = new Map<string, ReadyTool>();
  const stateListeners: (() => void)[] = [];
  const listListeners: ((kind: ListKind) => void)[] = [];
  const running = new Set<RunningCall>();
  let state: BackendState = { state: 'starting', since: Date.now() };
  let listJson = '{"tools":[]}';
  let preparing: Promise<void> | null = null;
  let stopped = false;

  async function prepare(): Promise<void> {
    const problems: string[] = [];
    const compiler = await loadSchemaCompiler();
    await Promise.all(
      Object.entries(tools).map(async ([name, tool]) => {
        try {
          ready.set(name, await prepareTool(name, tool, compiler, options));
        } catch (error) {
          const reason = reasonOf(error);
          log.error('tool-unusable', { tool: name, reason });
          problems.push(`${name}: ${reason}`);
        }
      }),
    );
    const usable = Object.entries(tools).filter(([name]) => ready.has(name));
    listJson = JSON.stringify({ tools: usable.map(([name, tool]) => describeTool(name, tool)) });
    const since = Date.now();
    state =
      problems.length === 0
        ? { state: 'up', since }
        : {
            state: 'broken',
            since,
            retryAt: Number.POSITIVE_INFINITY,
            reason: `the declared tools cannot all be used: ${problems.join('; ')}`,
            lastWords: [],
          };
    for (const listener of stateListeners) listener();
  }

  function startCall(call: BackendCall): CancelCall {
    const name = call.params?.['name'];
    const tool = typeof name === 'string' ? ready.get(name) : undefined;
    if (tool === undefined) {
      call.onError({ code: INVALID_PARAMS, message: `Unknown tool: ${String(name)}` });
      return noCancel;
    }
    const input: unknown = call.params?.['arguments'] ?? {};
    const problem = tool.judgeInput(input);
    if (problem !== null) {
      // Input errors are results, so that a model can read and mend them (MCP, tools, "Error Handling").
      call.onResult(errorResult(`Invalid arguments for ${tool.name}: ${problem}`));
      return noCancel;
    }
    if (tool.running >= tool.maxRunning) {
      const message = `The tool ${tool.name} is busy: ${tool.running} calls of it run already. Try again in a moment.`;
      call.onError(upstreamError(UPSTREAM_BUSY, 'tools', message, 'not run'));
      return noCancel;
    }
    const one = new RunningCall(tool, call, log, running);
    void one.run(input as ToolArguments);
    return () => one.cancel();
  }

  function answer(call: BackendCall): CancelCall {
    if (call.method === 'tools/call') return startCall(call);
    if (call.method === 'tools/list') call.onResult(listJson);
    else call.onError({ code: METHOD_NOT_FOUND, message: `Method not found: ${call.method}` });
    return noCancel;
  }

  return {
    name: 'tools',
    get state() {
      return state;
    },
    capabilities: { tools: { listChanged: false } },
    serverInfo: { name: 'mcp-deploy', version: options.serverVersion },
    instructions: null,
    restarts: 0,
    get inFlight() {
      return running.size;
    },
    start() {
      preparing ??= prepare();
    },
    stop() {
      stopped = true;
      for (const one of running) one.stop();
      return Promise.resolve();
    },
    forward(call) {
      let cancelled = false;
      let cancel: CancelCall = noCancel;
      const begin = (): void => {
        if (cancelled) return;
        if (stopped)
          call.onError({
            code: UPSTREAM_UNAVAILABLE,
            message: 'The server is stopping.',
            data: { outcome: 'not run' },
          });
        else cancel = answer(call);
      };
      if (state.state === 'starting' && preparing !== null) void preparing.then(begin);
      else queueMicrotask(begin);
      return (reason) => {
        cancelled = true;
        cancel(reason);
      };
    },
    notify() {},
    endSession() {},
    onStateChange: (listener) => void stateListeners.push(listener),
    onListChanged: (listener) => void listListeners.push(listener),
    onResourceUpdated() {},
  };
}

const noCancel: CancelCall = () => {};

async function prepareTool(
  name: string,
  tool: DeclaredTool,
  compiler: SchemaCompiler,
  options: DeclaredOptions,
): Promise<ReadyTool> {
  const judgeInput = compile(compiler, tool.inputSchema, 'inputSchema', 'arguments');
  const judgeOutput =
    tool.outputSchema === undefined ? null : compile(compiler, tool.outputSchema, 'outputSchema', 'the result');
  const base = { name, judgeInput, judgeOutput, running: 0 };
  if ('http' in tool) {
    return {
      ...base,
      run: await prepareHttpTool(tool.http, options),
      timeoutSeconds: tool.http.timeoutSeconds,
      maxRunning: maxRunning.http,
    };
  }
  if ('command' in tool) {
    const run = prepareCommandTool(tool.command, options);
    return { ...base, run, timeoutSeconds: tool.command.timeoutSeconds, maxRunning: maxRunning.command };
  }
  const run = await loadModuleTool(tool.module, options.baseDir);
  return { ...base, run, timeoutSeconds: tool.module.timeoutSeconds, maxRunning: maxRunning.module };
}

function compile(
  compiler: SchemaCompiler,
  schema: Readonly<Record<string, unknown>>,
  setting: string,
  what: string,
): JudgeValue {
  try {
    return compiler.compile(schema, what);
  } catch (error) {
    throw new Error(`${setting} is no JSON Schema 2020-12: ${reasonOf(error)}`, { cause: error });
  }
}

function describeTool(
  name: string,
  { description, inputSchema, outputSchema, annotations }: DeclaredTool,
): Record<string, unknown> {
  return {
    name,
    description,
    inputSchema,
    ...(outputSchema === undefined ? {} : { outputSchema }),
    ...(annotations === undefined ? {} : { annotations }),
  };
}

/** One call of a tool under way; what the tool is told of it. */
class RunningCall implements ToolContext {
  readonly #tool: ReadyTool;
  readonly #call: BackendCall;
  readonly #log: Log;
  readonly #all: Set<RunningCall>;
  readonly #timer: NodeJS.Timeout;
  #abort: AbortController | null = null;
  #over = false;

  constructor(tool: ReadyTool, call: BackendCall, log: Log, all: Set<RunningCall>) {
    this.#tool = tool;
    this.#call = call;
    this.#log = log;
    this.#all = all;
    tool.running++;
    all.add(this);
    this.#timer = setTimeout(
      () => this.#fail(`did not answer within ${tool.timeoutSeconds} s`),
      tool.timeoutSeconds * 1_000,
    );
    this.#timer.unref();
  }

  get caller(): string {
    return this.#call.caller.label;
  }

  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    if (this.#over) this.#abort.abort();
    return this.#abort.signal;
  }

  /** Works also when it was taken out of the context. */
  get log(): ToolContext['log'] {
    return (message, fields = {}) => this.#log.info('tool-log', { tool: this.#tool.name, message, ...fields });
  }

  async run(input: ToolArguments): Promise<void> {
    const { run, judgeOutput, name } = this.#tool;
    let result: string;
    try {
      result = renderToolResult(await run(input, this), judgeOutput);
    } catch (error) {
      if (!this.#over && !(error instanceof ToolFailure)) {
        this.#log.warn('tool-failed', {
          tool: name,
          reason: error instanceof Error ? (error.stack ?? error.message) : String(error),
        });
      }
      result = errorResult(`${name} failed: ${reasonOf(error)}`);
    }
    this.#tool.running--;
    if (this.#finish()) this.#answer(result);
  }

  /** Nobody waits for it any more. */
  cancel(): void {
    if (this.#finish()) this.#abort?.abort();
  }

  stop(): void {
    this.#fail('was stopped, because the server is stopping');
  }

  #fail(what: string): void {
    if (!this.#finish()) return;
    this.#abort?.abort();
    this.#answer(errorResult(`${this.#tool.name} ${what}`));
  }

  #answer(result: string): void {
    try {
      this.#call.onResult(result);
    } catch (error) {
      this.#log.error('call-handler-failed', { tool: this.#tool.name, reason: reasonOf(error) });
    }
  }

  #finish(): boolean {
    if (this.#over) return false;
    this.#over = true;
    clearTimeout(this.#timer);
    this.#all.delete(this);
    return true;
  }
}
