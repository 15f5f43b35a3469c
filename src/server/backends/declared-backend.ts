import type { Deployment } from '../../deployment/schema.ts';
import type { ContentModule, DeclaredTool } from '../../deployment/tool-schema.ts';
import type { Backend, BackendCall, BackendState, CancelCall, ListKind } from '../types.ts';
import {
  INVALID_PARAMS,
  METHOD_NOT_FOUND,
  UPSTREAM_BUSY,
  UPSTREAM_UNAVAILABLE,
  upstreamError,
} from './backend-errors.ts';
import { reasonOf, type Log } from './backend-log.ts';
import { CircuitBreaker, REFUSED } from './circuit-breaker.ts';
import { loadContentModule, type DeclaredContent } from './content-module.ts';
import { DeclaredCall, type DeclaredCallHost, type DeclaredWork } from './declared-call.ts';
import { payerOf, refuseOpen } from './guarded-backend.ts';
import { prepareCommandTool } from './declared-command.ts';
import { prepareHttpTool } from './declared-http.ts';
import { loadModuleTool } from './declared-module.ts';
import { loadSchemaCompiler, type JudgeValue, type SchemaCompiler } from '../../deployment/schema-compiler.ts';
import { createSubscriptionTable } from './subscription-table.ts';
import { logLevels, type LogLevel } from './tool-context.ts';
import { guardTool } from './tool-approval.ts';
import { errorResult, renderToolResult } from './tool-result.ts';
import type { RunTool, ToolArguments } from './tool-runner.ts';

export interface DeclaredOptions {
  /** Environment of the server: what `${NAME}` is filled from. */
  readonly env: NodeJS.ProcessEnv;
  /** Folder that relative paths start from. */
  readonly baseDir: string;
  readonly log: Log;
  readonly serverVersion: string;
}

/** What a deployment declares itself. */
export interface Declared {
  readonly tools: Readonly<Record<string, DeclaredTool>>;
  readonly content?: ContentModule | undefined;
  readonly safety?: Deployment['server']['safety'] | undefined;
}

interface ReadyTool extends DeclaredWork {
  readonly breaker: CircuitBreaker | null;
  readonly judgeInput: JudgeValue;
  readonly maxRunning: number;
}

/** Calls of one tool that run at once; more are refused, since what they wait for is not going to be quicker. */
const maxRunning = { http: 256, command: 32, module: 10_000 };

/**
 * The tools, resources and prompts that a deployment declares itself, as one backend. What cannot
 * work (a schema that is none, a program or module that is missing) makes the
 * backend broken, with every reason; the other tools answer all the same.
 */
export function createDeclaredBackend(
  { tools, content: module, safety = { deny: [], approvalSeconds: 120 } }: Declared,
  options: DeclaredOptions,
): Backend {
  const { log } = options;
  const ready = new Map<string, ReadyTool>();
  const stateListeners: (() => void)[] = [];
  const listListeners: ((kind: ListKind) => void)[] = [];
  const resourceListeners: ((uri: string, sessionId: string | null) => void)[] = [];
  const subscriptions = createSubscriptionTable();
  const levelOfSession = new Map<string, LogLevel>();
  const hasModules = module !== undefined || Object.values(tools).some((tool) => 'module' in tool);
  const running = new Set<DeclaredCall>();
  const host: DeclaredCallHost = {
    log,
    calls: running,
    listChanged(kind) {
      for (const listener of listListeners) listener(kind);
    },
    resourceUpdated(uri) {
      for (const sessionId of subscriptions.subscribersOf(uri)) {
        for (const listener of resourceListeners) listener(uri, sessionId);
      }
    },
    wantsLevel(sessionId, level) {
      const wanted = sessionId === null ? undefined : levelOfSession.get(sessionId);
      return wanted === undefined || logLevels.indexOf(level) >= logLevels.indexOf(wanted);
    },
  };
  let content: DeclaredContent | null = null;
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
          ready.set(name, await prepareTool(name, tool, compiler, safety, options));
        } catch (error) {
          const reason = reasonOf(error);
          log.error('tool-unusable', { tool: name, reason });
          problems.push(`${name}: ${reason}`);
        }
      }),
    );
    if (module !== undefined) {
      try {
        content = await loadContentModule(module, options.baseDir);
      } catch (error) {
        log.error('content-unusable', { reason: reasonOf(error) });
        problems.push(`content: ${reasonOf(error)}`);
      }
    }
    const usable = Object.entries(tools).filter(([name, { tier }]) => ready.has(name) && tier !== 'forbidden');
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
    const ticket = tool.breaker?.admit(payerOf(call.caller)) ?? 0;
    if (ticket === REFUSED && tool.breaker !== null)
      return refuseOpen(call, 'tools', `The tool ${tool.name}`, tool.breaker);
    return startWork(tool, call, ticket);
  }

  function startWork(work: DeclaredWork, call: BackendCall, ticket = 0): CancelCall {
    const one = new DeclaredCall(work, call, host, ticket);
    void one.run();
    return () => one.cancel();
  }

  function setLevel(call: BackendCall): void {
    const level = logLevels.find((known) => known === call.params?.['level']);
    if (level === undefined) {
      call.onError({ code: INVALID_PARAMS, message: `params.level must be one of ${logLevels.join(', ')}` });
      return;
    }
    if (call.sessionId !== null) levelOfSession.set(call.sessionId, level);
    call.onResult('{}');
  }

  function subscribe(call: BackendCall): void {
    const uri = call.params?.['uri'];
    if (typeof uri !== 'string') {
      call.onError({ code: INVALID_PARAMS, message: 'params.uri must be a string' });
      return;
    }
    if (call.method === 'resources/subscribe') subscriptions.add(uri, call.sessionId);
    else subscriptions.remove(uri, call.sessionId);
    call.onResult('{}');
  }

  function answer(call: BackendCall): CancelCall {
    if (call.method === 'tools/call') return startCall(call);
    const work = content?.workFor(call.method, call.params ?? {}) ?? null;
    if (work !== null) return startWork(work, call);
    if (call.method === 'tools/list') call.onResult(listJson);
    else if (call.method === 'logging/setLevel' && hasModules) setLevel(call);
    else if (/^resources\/(?:un)?subscribe$/.test(call.method) && content !== null) subscribe(call);
    else call.onError({ code: METHOD_NOT_FOUND, message: `Method not found: ${call.method}` });
    return noCancel;
  }

  return {
    name: 'tools',
    get state() {
      return state;
    },
    get capabilities() {
      return {
        tools: { listChanged: hasModules },
        ...(hasModules ? { logging: {} } : {}),
        ...content?.capabilities,
      };
    },
    get serverInfo() {
      // Until the module is loaded nobody knows what it has.
      if (module !== undefined && state.state === 'starting') return null;
      return { name: 'mcp-deploy', version: options.serverVersion };
    },
    instructions: null,
    restarts: 0,
    get inFlight() {
      return running.size;
    },
    start() {
      preparing ??= prepare();
    },
    breakers: () => Array.from(ready.values(), ({ breaker }) => breaker?.view ?? null).filter((view) => view !== null),
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
      else void Promise.resolve().then(begin);
      return (reason) => {
        cancelled = true;
        cancel(reason);
      };
    },
    notify() {},
    endSession(sessionId) {
      levelOfSession.delete(sessionId);
      subscriptions.endSession(sessionId);
    },
    onStateChange: (listener) => void stateListeners.push(listener),
    onListChanged: (listener) => void listListeners.push(listener),
    onResourceUpdated: (listener) => void resourceListeners.push(listener),
  };
}

const noCancel: CancelCall = () => {};

async function prepareTool(
  name: string,
  tool: DeclaredTool,
  compiler: SchemaCompiler,
  safety: Deployment['server']['safety'],
  options: DeclaredOptions,
): Promise<ReadyTool> {
  const judgeInput = compile(compiler, tool.inputSchema, 'inputSchema', 'arguments');
  const judgeOutput =
    tool.outputSchema === undefined ? null : compile(compiler, tool.outputSchema, 'outputSchema', 'the result');
  const { approvalSeconds, deny } = safety;
  const ready = (unguarded: RunTool, timeoutSeconds: number, most: number): ReadyTool => {
    const run = guardTool(unguarded, tool.tier, { approvalSeconds, log: options.log });
    return {
      name,
      timeoutSeconds,
      failsAs: 'result',
      breaker: tool.breaker === 'off' ? null : new CircuitBreaker(`tools:${name}`, tool.breaker, options.log),
      run: async (params, context) =>
        renderToolResult(await run((params['arguments'] ?? {}) as ToolArguments, context), judgeOutput),
      running: 0,
      judgeInput,
      maxRunning: most,
    };
  };
  if ('http' in tool)
    return ready(await prepareHttpTool(tool.http, options), tool.http.timeoutSeconds, maxRunning.http);
  if ('command' in tool)
    return ready(
      prepareCommandTool(tool.command, { ...options, deny }),
      tool.command.timeoutSeconds,
      maxRunning.command,
    );
  const run = await loadModuleTool(tool.module, options.baseDir);
  return ready(run, tool.module.timeoutSeconds, maxRunning.module);
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
