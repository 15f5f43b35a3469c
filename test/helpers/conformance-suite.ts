import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parse } from 'yaml';
import { runProgram } from './cli.ts';
import { findProgram } from './tools.ts';

/** What the suite says about one scenario. */
export interface ScenarioResult {
  readonly scenario: string;
  /** Every failing check as one readable line; empty when the scenario passed. */
  readonly failures: readonly string[];
  readonly warnings: readonly string[];
}

/** The frozen list of what a revision asks of servers. */
export interface Requirements {
  readonly required: readonly string[];
  readonly notScored: readonly string[];
}

interface Check {
  readonly id: string;
  readonly status: 'SUCCESS' | 'FAILURE' | 'WARNING' | 'INFO' | 'SKIPPED';
  readonly errorMessage?: string;
}

const suite = dirname(createRequire(import.meta.url).resolve('@modelcontextprotocol/conformance/package.json'));

/** The suite needs Node 22 or newer: this one, or MCP_DEPLOY_NODE24, or a `node24` on the PATH. Null without any. */
export function findSuiteNode(): string | null {
  const given = process.env['MCP_DEPLOY_NODE24'];
  for (const path of [process.execPath, given, findProgram('node24')]) {
    if (path === undefined || path === null || path === '') continue;
    const version = execFileSync(path, ['--version'], { encoding: 'utf8' });
    if (Number(/^v(\d+)/.exec(version)?.[1]) >= 22) return path;
  }
  return null;
}

export function readRequirements(revision: string): Requirements {
  const read = parse(readFileSync(join(suite, 'requirements', `${revision}.yaml`), 'utf8')) as {
    server: string[];
    not_scored: { scenario: string; leg: string }[];
  };
  const notScored = read.not_scored.filter(({ leg }) => leg === 'server').map(({ scenario }) => scenario);
  return { required: read.server, notScored };
}

/** Runs all of a requirement set against an endpoint; results by scenario. */
export async function runSuite(node: string, url: string, revision: string): Promise<Map<string, ScenarioResult>> {
  const folder = mkdtempSync(join(tmpdir(), 'mcpd-conformance-'));
  try {
    const args = [join(suite, 'dist/index.js'), 'server', '--url', url, '--requirements', revision, '-o', folder];
    const { exitCode, stdout, stderr } = await runProgram(node, args, { cwd: folder, timeoutMs: 120_000 });
    const results = readResults(folder);
    if (results.size === 0) throw new Error(`the suite ended with ${exitCode} and no results:\n${stdout}${stderr}`);
    return results;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The suite writes `server-SCENARIO-TIME/checks.json`. */
function readResults(folder: string): Map<string, ScenarioResult> {
  const results = new Map<string, ScenarioResult>();
  for (const entry of readdirSync(folder)) {
    const scenario = /^server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z$/.exec(entry)?.[1];
    if (scenario === undefined) continue;
    const checks = JSON.parse(readFileSync(join(folder, entry, 'checks.json'), 'utf8')) as Check[];
    const lines = (status: Check['status']) =>
      checks.filter((check) => check.status === status).map(({ id, errorMessage }) => `${id}: ${errorMessage ?? ''}`);
    const failures = lines('FAILURE');
    const passed = checks.some(({ status }) => status === 'SUCCESS');
    results.set(scenario, {
      scenario,
      failures: passed || failures.length > 0 ? failures : ['no check of this scenario passed'],
      warnings: lines('WARNING'),
    });
  }
  return results;
}
