import { relative, isAbsolute, join } from 'node:path';
import { deploymentSchema } from '../deployment/schema.ts';
import type { FileFact, HostFacts } from './facts.ts';
import { leavePersonalSteps } from './personal-service.ts';
import { unfinishedNotices } from './plan-notices.ts';
import { planClusterRemoval } from './plan-cluster-removal.ts';
import { swarmStack } from './plan-swarm.ts';
import { refuseEngine } from './container-engine.ts';
import { composeProject } from './plan-containers.ts';
import { stopStep } from './plan-service.ts';
import { sha256Hex } from './server-config.ts';
import type { Notice, Plan, Step } from './types.ts';

/**
 * Takes everything away that apply made: stops the server and removes the
 * files and folders outside of the state folder, which apply/ removes itself
 * behind the last step. A file that was changed since we wrote it is the
 * user's and stays, unless `purge` is asked for. What we did not write stays in any case.
 */
export function planRemoval(facts: HostFacts, options: { readonly purge?: boolean } = {}): Plan {
  const applied = deploymentSchema.safeParse(facts.release?.desired);
  const deployment = applied.success ? applied.data : deploymentSchema.parse({ version: 1 });
  const notices: Notice[] = [...unfinishedNotices(facts)];
  const steps: Step[] = [];

  // A service manager would start it again.
  steps.push(...leavePersonalSteps(facts, 'it is removed'));
  const { containers } = facts;
  const isInCluster = deployment.service.manager === 'kubernetes';
  if (isInCluster && facts.cluster !== undefined) {
    const removal = planClusterRemoval(deployment, facts, { purge: options.purge === true });
    steps.push(...removal.steps);
    notices.push(...removal.notices);
  }
  if (containers !== undefined && containers.othersFolder === undefined) {
    // The engine only made the image of a cluster; its absence keeps nothing running.
    if (!isInCluster) refuseEngine(containers);
    if (deployment.service.manager === 'swarm' && containers.containers.length > 0) {
      const stack = swarmStack(deployment, facts.stateDir);
      steps.push({
        id: 'remove-stack',
        title: `remove the stack ${stack.name}`,
        why: 'it is what was applied',
        group: 'removal',
        action: { type: 'remove-stack', stack },
        undo: { type: 'restore-stack', stack, timeoutMs: 600_000 },
      });
    }
    if (containers.compose !== null && facts.files[join(facts.stateDir, 'docker', 'compose.yaml')] !== undefined) {
      const project = composeProject(deployment, facts.stateDir, containers.compose.argv);
      steps.push({
        id: 'remove-containers',
        title: 'remove the containers',
        why: 'they are what was applied',
        group: 'removal',
        action: { type: 'containers', project, at: options.purge === true ? 'down-with-volumes' : 'down' },
        undo: { type: 'restore-containers', project },
      });
      if (options.purge !== true && deployment.logs.audit !== 'off') {
        notices.push({ level: 'info', text: `Volume ${project.name}_state with the audit file stays.` });
      }
    }
  }
  // Also when it seems to be stopped: the step is what carries the removal of the state folder.
  if (facts.server.state === 'running' || stateExists(facts)) {
    steps.push({
      ...stopStep(
        facts,
        deployment,
        facts.server.state === 'running' ? 'it is removed' : 'to be sure that it does not run',
      ),
      group: 'removal',
    });
  }
  for (const [path, written] of Object.entries(facts.release?.files ?? {})) {
    if (isInState(path, facts) || path === facts.personal?.file) continue;
    const now = fileNow(path, facts);
    if (now === undefined) continue;
    if (now === written.sha256 || options.purge === true) steps.push(removeFile(path, facts));
    else notices.push({ level: 'info', text: `${shown(path, facts)} was changed since it was written; it stays.` });
  }
  const { path: deploymentFile, text } = facts.deploymentFile;
  if (text !== null && facts.release?.files[deploymentFile] === undefined) {
    notices.push({ level: 'info', text: `${shown(deploymentFile, facts)} is yours; it stays.` });
  }
  const folders = (facts.release?.directories ?? []).filter(
    (path) => !isInState(path, facts) && path !== facts.stateDir,
  );
  // The deepest first, so that each is empty when its turn comes.
  for (const path of folders.toSorted((a, b) => b.length - a.length || (a < b ? -1 : 1))) {
    steps.push({
      id: `remove-folder-${steps.length}`,
      title: `remove folder ${shown(path, facts)}`,
      why: 'made by mcp-deploy; kept when something is in it',
      group: 'removal',
      action: { type: 'remove-directory', path },
      undo: { type: 'restore' },
    });
  }
  // Last, since it is not undone: an image that is gone would have to be built again.
  for (const image of containers?.images ?? []) {
    steps.push({
      id: `remove-image-${slug(image)}`,
      title: `remove image ${image}`,
      why: 'made by mcp-deploy',
      group: 'removal',
      action: { type: 'run-command', argv: ['docker', 'image', 'rm', image] },
      undo: { type: 'none' },
    });
  }
  return {
    schemaVersion: 1,
    deployment: deployment.name,
    purpose: 'uninstall',
    release: facts.release?.release ?? 0,
    steps,
    notices,
    desired: null,
  };
}

function removeFile(path: string, facts: HostFacts): Step {
  const isDeploymentFile = path === facts.deploymentFile.path;
  return {
    id: isDeploymentFile ? 'remove-deployment-file' : `remove-${slug(shown(path, facts))}`,
    title: `remove ${shown(path, facts)}`,
    why: isDeploymentFile ? 'written by mcp-deploy' : 'made by mcp-deploy',
    group: 'removal',
    action: { type: 'remove-file', path },
    undo: { type: 'restore' },
  };
}

/** Hash of a file as it is now; the text of mcp-deploy.yaml is known even where its hash is not. */
function fileNow(path: string, { files, deploymentFile }: HostFacts): FileFact['sha256'] | undefined {
  if (files[path] !== undefined) return files[path].sha256;
  return path === deploymentFile.path && deploymentFile.text !== null ? sha256Hex(deploymentFile.text) : undefined;
}

function stateExists(facts: HostFacts): boolean {
  return (
    facts.release !== null ||
    facts.directories?.includes(facts.stateDir) === true ||
    Object.keys(facts.files).some((path) => isInState(path, facts))
  );
}

function isInState(path: string, { stateDir }: HostFacts): boolean {
  return path.startsWith(`${stateDir}/`);
}

function shown(path: string, { baseDir }: HostFacts): string {
  const inside = relative(baseDir, path);
  return inside.startsWith('..') || isAbsolute(inside) ? path : inside;
}

function slug(text: string): string {
  return text
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '');
}
