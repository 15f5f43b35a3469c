import { resolve } from 'node:path';
import type { ContentModule } from '../../deployment/tool-schema.ts';
import type { DeclaredWork } from './declared-call.ts';
import { INVALID_PARAMS } from './backend-errors.ts';
import { importModule } from './declared-module.ts';
import type { ToolContext } from './tool-context.ts';
import { asksForInput, inputRequiredResult } from './tool-result.ts';

/** The resources and prompts of a deployment itself, by the methods of MCP that ask for them. */
export interface DeclaredContent {
  readonly capabilities: Readonly<Record<string, unknown>>;
  /** Null: the module has nothing for this method. */
  workFor(method: string, params: Readonly<Record<string, unknown>>): DeclaredWork | null;
}

/** An error with a code of JSON-RPC. */
class ContentError extends Error {
  readonly code: number;
  readonly data: unknown;

  constructor(code: number, message: string, data?: unknown) {
    super(message);
    this.code = code;
    this.data = data;
  }
}

type ContentFunction = (...given: unknown[]) => unknown;

/** Legacy code; modern clients are told in their own terms. */
const resourceNotFound = -32_002;

/**
 * Loads a module that exports `resources`, `resourceTemplates` and `prompts` (lists, or functions that give them),
 * `readResource(uri, context)`, `getPrompt(name, arguments, context)` and `complete({ ref, argument, context }, context)`.
 * Rejects with an Error when it cannot be loaded or a part of it is missing.
 */
export async function loadContentModule(module: ContentModule, baseDir: string): Promise<DeclaredContent> {
  const file = resolve(baseDir, module.path);
  const loaded = await importModule(file);
  const listOf = (name: string): ((context: ToolContext) => Promise<readonly unknown[]>) | null => {
    const given = loaded[name];
    if (given === undefined) return null;
    if (Array.isArray(given)) return () => Promise.resolve(given as unknown[]);
    if (typeof given !== 'function')
      throw new Error(`${file} exports "${name}", which is neither a list nor a function`);
    return async (context) => {
      const list: unknown = await (given as ContentFunction)(context);
      if (!Array.isArray(list)) throw new Error(`${name}() gave no list`);
      return list as unknown[];
    };
  };
  const functionOf = (name: string, neededFor: string | null): ContentFunction | null => {
    const given = loaded[name];
    if (typeof given === 'function') return given as ContentFunction;
    if (given !== undefined || neededFor !== null)
      throw new Error(`${file} exports no function "${name}"${neededFor === null ? '' : `, which ${neededFor} needs`}`);
    return null;
  };
  const resources = listOf('resources');
  const templates = listOf('resourceTemplates');
  const prompts = listOf('prompts');
  const hasResources = resources !== null || templates !== null;
  const readResource = functionOf('readResource', hasResources ? 'resources' : null);
  const getPrompt = functionOf('getPrompt', prompts === null ? null : 'prompts');
  const complete = functionOf('complete', null);
  const empty = (): Promise<readonly unknown[]> => Promise.resolve([]);
  const work = (name: string, run: DeclaredWork['run']): DeclaredWork => ({
    name,
    timeoutSeconds: module.timeoutSeconds,
    failsAs: 'error',
    run,
    running: 0,
  });
  const listWork = (member: string, read: (context: ToolContext) => Promise<readonly unknown[]>): DeclaredWork =>
    work(member, async (_params, context) => JSON.stringify({ [member]: await read(context) }));

  return {
    capabilities: {
      ...(hasResources ? { resources: { subscribe: true, listChanged: true } } : {}),
      ...(prompts === null ? {} : { prompts: { listChanged: true } }),
      ...(complete === null ? {} : { completions: {} }),
    },
    workFor(method, params) {
      switch (method) {
        case 'resources/list':
          return hasResources ? listWork('resources', resources ?? empty) : null;
        case 'resources/templates/list':
          return hasResources ? listWork('resourceTemplates', templates ?? empty) : null;
        case 'prompts/list':
          return prompts === null ? null : listWork('prompts', prompts);
        case 'resources/read':
          if (readResource === null || typeof params['uri'] !== 'string') return null;
          return work(params['uri'], async ({ uri }, context) =>
            renderContents(String(uri), await readResource(uri, context)),
          );
        case 'prompts/get':
          if (getPrompt === null || typeof params['name'] !== 'string') return null;
          return work(params['name'], async (given, context) =>
            renderPrompt(String(given['name']), await getPrompt(given['name'], given['arguments'] ?? {}, context)),
          );
        case 'completion/complete':
          if (complete === null) return null;
          return work('complete', async (given, context) => renderCompletion(await complete(given, context)));
        default:
          return null;
      }
    },
  };
}

function renderContents(uri: string, given: unknown): string {
  if (given === undefined || given === null) throw new ContentError(resourceNotFound, 'Resource not found', { uri });
  if (asksForInput(given)) return inputRequiredResult(given);
  if (typeof given === 'string') return JSON.stringify({ contents: [{ uri, mimeType: 'text/plain', text: given }] });
  if (given instanceof Uint8Array) {
    const blob = Buffer.from(given).toString('base64');
    return JSON.stringify({ contents: [{ uri, mimeType: 'application/octet-stream', blob }] });
  }
  return JSON.stringify(Array.isArray(given) ? { contents: given } : given);
}

function renderPrompt(name: string, given: unknown): string {
  if (given === undefined || given === null) throw new ContentError(INVALID_PARAMS, `Unknown prompt: ${name}`);
  if (asksForInput(given)) return inputRequiredResult(given);
  if (typeof given !== 'string') return JSON.stringify(Array.isArray(given) ? { messages: given } : given);
  return JSON.stringify({ messages: [{ role: 'user', content: { type: 'text', text: given } }] });
}

/** MCP allows 100 values in an answer. */
const mostValues = 100;

function renderCompletion(given: unknown): string {
  if (!Array.isArray(given)) return JSON.stringify(given ?? { completion: { values: [] } });
  const values = given.slice(0, mostValues) as unknown[];
  return JSON.stringify({ completion: { values, total: given.length, hasMore: given.length > values.length } });
}
