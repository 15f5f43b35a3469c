import type { Document } from 'yaml';
import { fillSettings } from './fill-settings.ts';
import { judgeMeaning } from './judge-meaning.ts';
import { judgeShape } from './judge-shape.ts';
import { offsetsOf, pathAtOffset, readYamlText } from './read-yaml-text.ts';
import { deploymentSchema, type Deployment } from './schema.ts';
import type { Schema } from './schema-walk.ts';
import { formatPath, type SettingPath } from './setting-path.ts';

/** One thing wrong in mcp-deploy.yaml. */
export interface DeploymentProblem {
  /** `limits.perKey.requsts`, `server.listen[0]`; empty when the file as a whole is meant. */
  readonly path: string;
  /** From 1, in the editor's sense. */
  readonly line: number;
  readonly column: number;
  /** Follows the path: "must be a number, not text"; a whole sentence when the path is empty. */
  readonly message: string;
  /** What to write instead: `did you mean "requests"?` */
  readonly hint?: string;
  /** Variables that are not set, where that is all that is wrong. */
  readonly unset?: readonly string[];
}

export interface ParseOptions {
  /** As it is shown. */
  readonly file: string;
  /** What `${NAME}` is filled from. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export type ParsedDeployment =
  | {
      readonly ok: true;
      readonly deployment: Deployment;
      readonly document: Document.Parsed;
      /** Where the value of a setting stands, or the nearest setting above it. */
      readonly locate: (path: SettingPath) => { readonly line: number; readonly column: number };
    }
  | { readonly ok: false; readonly problems: readonly DeploymentProblem[] };

/**
 * Reads the text of mcp-deploy.yaml: every default filled in, or everything
 * that is wrong with it, in the order of the file. `${NAME}` is filled, but where the server does it
 * (fill-settings.ts).
 */
export function parseDeployment(text: string, options: ParseOptions): ParsedDeployment {
  const yaml = readYamlText(text);
  const problems: DeploymentProblem[] = yaml.problems
    .slice(0, mostProblems)
    .map(({ offset, aboutSetting, ...problem }) => ({
      path: aboutSetting === true ? formatPath(pathAtOffset(yaml.document, offset)) : '',
      ...yaml.position(offset),
      ...problem,
    }));
  const { document, data } = yaml;
  if (data === undefined) return { ok: false, problems: inOrder(problems) };
  if (data === null) {
    return { ok: false, problems: [wholeFile(`${options.file} is empty`, 'the smallest deployment is: version: 1')] };
  }
  if (typeof data !== 'object' || Array.isArray(data)) {
    const what = Array.isArray(data) ? 'a list' : 'a single value';
    return {
      ok: false,
      problems: [wholeFile(`the file must be a map of settings, not ${what}`, 'start it with: version: 1')],
    };
  }

  const locate = (path: SettingPath, at: 'key' | 'value' | 'parent'): { line: number; column: number } => {
    const offsets = offsetsOf(document, at === 'parent' ? path.slice(0, -1) : path);
    return yaml.position(at === 'value' && offsets.found ? offsets.value : offsets.key);
  };
  const filled = text.includes('${') ? fillSettings(schema, data, options.env ?? {}) : { data, problems: [] };
  for (const { path, ...problem } of filled.problems.slice(0, mostProblems)) {
    problems.push({ path: formatPath(path), ...locate(path, 'value'), ...problem });
  }
  const unfilled = new Set(filled.problems.map(({ path }) => formatPath(path)));
  const shape = judgeShape(schema, filled.data);
  for (const { path, at, ...problem } of shape.problems.slice(0, mostProblems)) {
    if (unfilled.has(formatPath(path))) continue;
    problems.push({ path: formatPath(path), ...locate(path, at), ...problem });
  }
  // A wrong version must not hide what else is wrong.
  const sound = shape.sound ?? judgeShape(schema, { ...(filled.data as object), version: 1 }).sound;
  const deployment = deploymentSchema.parse(sound);
  const wrongPaths = [...shape.problems, ...filled.problems].map((problem) => problem.path);
  for (const { path, at, ...problem } of judgeMeaning(deployment, wrongPaths)) {
    if (unfilled.has(formatPath(path))) continue;
    problems.push({ path: formatPath(path), ...locate(path, at ?? 'value'), ...problem });
  }
  if (problems.length > 0) return { ok: false, problems: inOrder(problems) };
  return { ok: true, deployment, document, locate: (path) => locate(path, 'value') };
}

/** The problems as a person reads them: `FILE:LINE:COLUMN  PATH MESSAGE`, the hint indented under it. */
export function formatProblems(problems: readonly DeploymentProblem[], file: string): string {
  return problems
    .flatMap(({ path, line, column, message, hint }) => [
      `${file}:${line}:${column}  ${path === '' ? '' : `${path} `}${message}`,
      ...(hint === undefined ? [] : [`  ${hint}`]),
    ])
    .join('\n');
}

const schema: Schema = deploymentSchema;

/** More do not help anybody, and each costs a search for its place. */
const mostProblems = 200;

function inOrder(problems: readonly DeploymentProblem[]): readonly DeploymentProblem[] {
  const sorted = problems.toSorted((a, b) => a.line - b.line || a.column - b.column);
  // A mistake under an anchor shows at every alias; it is one mistake.
  const distinct = new Map<string, DeploymentProblem>();
  for (const problem of sorted) {
    const key = `${problem.line}:${problem.column} ${problem.message}`;
    if (!distinct.has(key)) distinct.set(key, problem);
  }
  return [...distinct.values()];
}

function wholeFile(message: string, hint: string): DeploymentProblem {
  return { path: '', line: 1, column: 1, message, hint };
}
