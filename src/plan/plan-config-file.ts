import { EnvironmentError } from '../deployment/errors.ts';
import type { HostFacts } from './facts.ts';
import { projectPaths } from './project-paths.ts';
import { sha256Hex } from './server-config.ts';
import type { Notice, Step } from './types.ts';

/**
 * Writes server.json when it is not as wanted. One that is not as we left it
 * is the work of somebody: it is kept beside as server.json.yours first.
 *
 * @throws EnvironmentError (exit 3) when its content is not known, so that it could not be kept
 */
export function configFileSteps(
  content: string,
  facts: HostFacts,
): { readonly steps: readonly Step[]; readonly notices: readonly Notice[] } {
  const path = projectPaths(facts.stateDir).serverConfig;
  const now = facts.files[path];
  if (now?.sha256 === sha256Hex(content)) return { steps: [], notices: [] };

  const write: Step = {
    id: 'server-config',
    title: 'write server configuration',
    why: now === undefined ? 'none yet' : 'settings changed',
    group: 'configuration',
    action: { type: 'write-file', path, mode: 0o600, content },
    undo: { type: 'restore' },
  };
  if (now === undefined || now.sha256 === facts.release?.files[path]?.sha256) return { steps: [write], notices: [] };

  if (now.text === undefined) {
    throw new EnvironmentError(`${path} was edited by hand and would be overwritten.`, {
      why: 'It is written anew from mcp-deploy.yaml at every apply.',
      next: `Move it away and apply again: mv ${path} ${path}.yours`,
    });
  }
  const aside = freeName(`${path}.yours`, facts);
  const keep: Step = {
    id: 'keep-edited-config',
    title: `keep your ${path.slice(facts.baseDir.length + 1)} aside`,
    why: 'edited by hand',
    group: 'configuration',
    action: { type: 'write-file', path: aside, mode: 0o600, content: now.text },
    undo: { type: 'restore' },
  };
  const text = `${path.slice(facts.baseDir.length + 1)} was edited by hand; it is kept as ${aside.slice(facts.baseDir.length + 1)}. Settings belong into mcp-deploy.yaml.`;
  return { steps: [keep, { ...write, why: 'edited by hand' }], notices: [{ level: 'warning', text }] };
}

function freeName(path: string, facts: HostFacts): string {
  for (let number = 1; ; number += 1) {
    const candidate = number === 1 ? path : `${path}.${number}`;
    if (facts.files[candidate] === undefined) return candidate;
  }
}
