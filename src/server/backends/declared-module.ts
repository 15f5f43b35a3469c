import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { ModuleToolCall } from '../../deployment/tool-schema.ts';
import type { RunTool, ToolOutput } from './tool-runner.ts';

/**
 * A tool that is an exported function `(input, context)` of a JavaScript
 * module, which is loaded once. Rejects with an Error when it cannot be.
 */
export async function loadModuleTool(module: ModuleToolCall, baseDir: string): Promise<RunTool> {
  const file = resolve(baseDir, module.path);
  const loaded = await importModule(file);
  const run = loaded[module.export];
  if (typeof run !== 'function') {
    const others = Object.keys(loaded).filter((name) => typeof loaded[name] === 'function');
    throw new Error(`${file} exports no function "${module.export}"; its functions: ${others.join(', ') || 'none'}`);
  }
  const call = run as (input: unknown, context: unknown) => unknown;
  return async (input, context): Promise<ToolOutput> => {
    const given = await call(input, context);
    return typeof given === 'string' ? { kind: 'text', text: given } : { kind: 'value', value: given };
  };
}

/** Imports a module file. Rejects with an Error whose message names the file. */
export async function importModule(file: string): Promise<Record<string, unknown>> {
  try {
    return (await import(pathToFileURL(file).href)) as Record<string, unknown>;
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    throw new Error(`${file} cannot be loaded: ${reason}`, { cause: error });
  }
}
