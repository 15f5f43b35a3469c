import type { Backend } from '../types.ts';

/**
 * Legacy ServerCapabilities (MCP 2025-11-25) of all backends together. Lists
 * may always change, because a backend may come, go or be started again. Only
 * what the registry passes on is promised.
 */
export function mergeCapabilities(backends: readonly Backend[]): Record<string, unknown> {
  const has = (name: string): boolean => backends.some((backend) => name in backend.capabilities);
  const subscribe = backends.some(
    ({ capabilities }) => (capabilities['resources'] as { subscribe?: unknown } | undefined)?.subscribe === true,
  );
  return {
    ...(has('tools') ? { tools: { listChanged: true } } : {}),
    ...(has('prompts') ? { prompts: { listChanged: true } } : {}),
    ...(has('resources') ? { resources: { listChanged: true, ...(subscribe ? { subscribe: true } : {}) } } : {}),
    ...(has('completions') ? { completions: {} } : {}),
    ...(has('logging') ? { logging: {} } : {}),
  };
}

/** Instructions of the only backend that has some, or of all, each under its name. */
export function mergeInstructions(backends: readonly Backend[]): string | null {
  const parts: string[] = [];
  for (const { name, instructions } of backends) {
    if (instructions === null || instructions === '') continue;
    parts.push(backends.length === 1 ? instructions : `${name}:\n${instructions}`);
  }
  return parts.length === 0 ? null : parts.join('\n\n');
}
