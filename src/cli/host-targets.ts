import { dirname } from 'node:path';
import { editDeployment } from '../deployment/edit-deployment.ts';
import { UserError } from '../deployment/errors.ts';
import type { HostEntry } from '../deployment/hosts-schema.ts';
import { namedFiles } from '../deployment/named-files.ts';
import { formatProblems } from '../deployment/parse-deployment.ts';
import { parseWithSchemas } from '../deployment/parse-with-schemas.ts';
import type { Deployment } from '../deployment/schema.ts';
import type { SshHost } from '../deployment/ssh-host.ts';
import { collectSentFiles, type Collected } from '../host/collect-sent-files.ts';
import type { CommandContext } from './context.ts';
import { everyHost, readSshHost } from './ssh-host.ts';

/** A host, and what mcp-deploy.yaml says for it. */
export interface HostTarget {
  readonly host: SshHost;
  readonly deployment: Deployment;
  /** Of mcp-deploy.yaml there: without `hosts`, with what `set` says. */
  readonly text: string;
}

/**
 * The hosts of a command line, each once; `all` stands for those of mcp-deploy.yaml, and a host that is among them has its settings.
 * @throws UserError before anything is done on any host
 */
export async function readHostTargets(
  asked: readonly string[],
  file: string,
  { text, deployment }: { readonly text: string; readonly deployment: Deployment },
  context: CommandContext,
): Promise<readonly HostTarget[]> {
  const known = new Map(deployment.hosts.map((entry) => [nameOf(entry), entry]));
  if (asked.includes(everyHost) && known.size === 0) {
    throw new UserError('mcp-deploy.yaml names no hosts.', {
      why: '--host all is for those of its setting hosts.',
      next: 'Add them, for example: hosts: [deploy@a.example.com, deploy@b.example.com]',
    });
  }
  const names = new Set(asked.flatMap((name) => (name === everyHost ? [...known.keys()] : [name])));
  const targets: HostTarget[] = [];
  for (const name of names) {
    const host = readSshHost(name);
    const entry = known.get(name);
    const set = entry === undefined || typeof entry === 'string' ? {} : entry.set;
    const own = editDeployment(text, [
      { path: ['hosts'], value: undefined },
      ...Object.entries(set).map(([path, value]) => ({ path, value })),
    ]);
    const parsed = await parseWithSchemas(own, { file, env: context.world.env });
    if (!parsed.ok) {
      throw new UserError(`With what hosts sets for ${name}, mcp-deploy.yaml is wrong; nothing was changed.`, {
        why: formatProblems(parsed.problems, file),
        next: 'Mend set of that host and run the command again.',
      });
    }
    targets.push({ host, deployment: parsed.deployment, text: own });
  }
  return targets;
}

function nameOf(entry: HostEntry): string {
  return typeof entry === 'string' ? entry : entry.host;
}

/** The files that go with it. @throws UserError for one that is named and not there */
export function readSentFiles({ deployment }: HostTarget, file: string): Collected {
  return collectSentFiles(namedFiles(deployment), dirname(file));
}
