import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { UserError } from '../deployment/errors.ts';
import type { HostFacts } from './facts.ts';
import type { Plan } from './types.ts';

/** A plan in a file: to be read, signed off and applied later, exactly as it is. */
export interface SavedPlan {
  readonly kind: 'mcp-deploy-plan';
  readonly schemaVersion: 1;
  readonly toolVersion: string;
  readonly createdAt: string;
  readonly stateDir: string;
  readonly plan: Plan;
  /** What the plan was made from: a short hash for each thing that was looked at. */
  readonly facts: Readonly<Record<string, string>>;
}

/** The text of the file. It may hold what somebody wrote into a file by hand, so it belongs to its owner alone (0600). */
export function savedPlanText(plan: Plan, facts: HostFacts, about: { readonly toolVersion: string }): string {
  const saved: SavedPlan = {
    kind: 'mcp-deploy-plan',
    schemaVersion: 1,
    toolVersion: about.toolVersion,
    createdAt: facts.now ?? '',
    stateDir: facts.stateDir,
    plan,
    facts: fingerprintFacts(facts),
  };
  return `${JSON.stringify(saved, null, 2)}\n`;
}

/** Reads it back. @throws UserError (exit 2) for anything else */
export function parseSavedPlan(text: string, file: string): SavedPlan {
  const saved = parseJson(text);
  const isWhole =
    saved?.kind === 'mcp-deploy-plan' &&
    saved.schemaVersion === 1 &&
    saved.plan?.schemaVersion === 1 &&
    Array.isArray(saved.plan.steps) &&
    typeof saved.facts === 'object';
  if (isWhole) return saved as SavedPlan;
  throw new UserError(`${file} is not a plan of mcp-deploy.`, {
    why: 'It was cut off, edited, or is another file.',
    next: `mcp-deploy plan -o ${file}`,
  });
}

/** What is not any more as it was when the plan was made, in words; empty when the plan still fits. */
export function describeMoves(saved: SavedPlan, facts: HostFacts): readonly string[] {
  if (saved.stateDir !== facts.stateDir) return [`it is for ${saved.stateDir}`];
  const now = fingerprintFacts(facts);
  const names = new Set([...Object.keys(saved.facts), ...Object.keys(now)]);
  const moved = [...names].filter((name) => saved.facts[name] !== now[name]).toSorted();
  // What it means first, then the files in which it shows.
  return [...moved.filter((name) => !name.startsWith('/')), ...moved.filter((name) => name.startsWith('/'))];
}

/** A hash for each fact that a plan depends on. Left out is what moves by itself: the clock, days left, process numbers. */
function fingerprintFacts(facts: HostFacts): Readonly<Record<string, string>> {
  const { server } = facts;
  const parts: Record<string, unknown> = {
    'this machine': [facts.hostName, facts.nodePath, facts.baseDir],
    'the version of mcp-deploy': [facts.serverFile, facts.serverVersion],
    [facts.deploymentFile.path]: facts.deploymentFile.text,
    'the server': server.state === 'running' ? [server.configSha256, server.version] : null,
    'the ports': facts.takenPorts.map(({ port }) => port),
    'the keys': facts.activeKeyLabels,
    'the last release': facts.release?.release ?? null,
    'an apply that was cut off': facts.unfinishedJournal?.file ?? null,
    'the CA': facts.caCertificate?.fingerprint256 ?? null,
    'the certificate': facts.serverCertificate?.fingerprint256 ?? null,
    'the folders': (facts.directories ?? []).filter((path) => !isScaffold(path, facts)).toSorted(),
  };
  if (facts.cluster !== undefined) {
    const { cluster, access, namespace, objects, drift, secrets } = facts.cluster;
    parts['the cluster'] = [cluster.kubectl, access, namespace, objects, drift, secrets];
  }
  for (const [path, { sha256, mode }] of Object.entries(facts.files)) parts[path] = [sha256, mode];
  return Object.fromEntries(Object.entries(parts).map(([name, value]) => [name, shortHash(value)]));
}

/** What taking the lock makes. */
function isScaffold(path: string, { stateDir }: HostFacts): boolean {
  return path === stateDir || path === join(stateDir, 'journal') || path === join(stateDir, 'releases');
}

function shortHash(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 16);
}

function parseJson(text: string): Partial<SavedPlan> | null {
  try {
    return JSON.parse(text) as Partial<SavedPlan> | null;
  } catch {
    return null;
  }
}
