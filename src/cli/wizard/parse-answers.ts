import { UserError } from '../../deployment/errors.ts';
import { brokenReferenceIn, fillVariables, variablesIn } from '../../deployment/fill-variables.ts';
import { judgeShape } from '../../deployment/judge-shape.ts';
import { formatProblems, type DeploymentProblem } from '../../deployment/parse-deployment.ts';
import { offsetsOf, pathAtOffset, readYamlText } from '../../deployment/read-yaml-text.ts';
import type { Schema } from '../../deployment/schema-walk.ts';
import { formatPath, type SettingPath } from '../../deployment/setting-path.ts';
import { answersFileSchema, type AnswersFile } from './answers.ts';
import { judgeListen, judgeNames, judgeServerName, type Judgement } from './questions.ts';

/**
 * Reads an answers file (YAML, or JSON, which is YAML too). `${NAME}` is filled from the environment, but in `headers` and
 * `command`, where it stays a reference that the server follows.
 * @throws UserError (exit 2) with every problem, its line and its key
 */
export function parseAnswers(
  text: string,
  options: { readonly file: string; readonly env: Readonly<Record<string, string | undefined>> },
): AnswersFile {
  const yaml = readYamlText(text);
  const problems: DeploymentProblem[] = yaml.problems.map(({ offset, aboutSetting, ...problem }) => ({
    path: aboutSetting === true ? formatPath(pathAtOffset(yaml.document, offset)) : '',
    ...yaml.position(offset),
    ...problem,
  }));
  const { data } = yaml;
  if (data === undefined) throw refusal(problems, options.file);
  if (typeof data !== 'object' || data === null || Array.isArray(data)) {
    const what = data === null ? 'is empty' : 'must be a map of answers';
    const hint = 'start it with: version: 1';
    throw refusal([{ path: '', line: 1, column: 1, message: `the file ${what}`, hint }], options.file);
  }
  const place = (path: SettingPath, at: 'key' | 'value' | 'parent'): { line: number; column: number } => {
    const offsets = offsetsOf(yaml.document, at === 'parent' ? path.slice(0, -1) : path);
    return yaml.position(at === 'value' && offsets.found ? offsets.value : offsets.key);
  };
  const add = (path: SettingPath, message: string, hint: string, at: 'key' | 'value' = 'value'): void => {
    problems.push({ path: formatPath(path), ...place(path, at), message, hint });
  };

  const filled = fill(data, [], options.env, add);
  const { problems: shape, sound } = judgeShape(schema, filled);
  for (const { path, at, message, hint } of shape) {
    // What could not be filled is not judged as well.
    if (problems.some((problem) => problem.path === formatPath(path))) continue;
    problems.push({ path: formatPath(path), ...place(path, at), message, ...(hint === undefined ? {} : { hint }) });
  }
  const answers = (sound ?? {}) as AnswersFile;
  for (const [key, judged] of judgeMeaning(answers)) {
    if (judged !== true) add([key], 'cannot be used', judged);
  }
  if (answers.url !== undefined && answers.command !== undefined) {
    add(['url'], 'cannot stand beside command', 'both name the MCP server: keep one of them', 'key');
  }
  if (answers.headers !== undefined && answers.url === undefined) {
    add(['headers'], 'goes with url', 'headers are sent to an MCP server that is reached over HTTP', 'key');
  }
  for (const [name, value] of Object.entries(answers.headers ?? {})) {
    if (!/authorization|cookie|key|token|secret|password/i.test(name) || variablesIn(value).length > 0) continue;
    add(['headers', name], 'looks like a secret in the clear', 'name the variable that holds it: Bearer ${MCP_TOKEN}');
  }
  if (problems.length > 0) throw refusal(problems, options.file);
  return answers;
}

const schema: Schema = answersFileSchema;

/** Only the server fills these. */
const leftAsWritten: ReadonlySet<unknown> = new Set(['headers', 'command']);

function fill(
  value: unknown,
  path: SettingPath,
  env: Readonly<Record<string, string | undefined>>,
  add: (path: SettingPath, message: string, hint: string) => void,
): unknown {
  if (leftAsWritten.has(path[0])) return value;
  if (typeof value === 'string') {
    if (brokenReferenceIn(value) !== null) {
      add(path, 'has a ${ that starts no variable', 'write ${NAME} or ${NAME:-default}');
      return value;
    }
    const filled = fillVariables(value, env);
    if (filled.missing.length > 0) {
      add(path, `needs ${filled.missing.join(' and ')}, which is not set`, `export ${filled.missing[0]}=…`);
    }
    const isReference = value.startsWith('${') && (filled.text === 'true' || filled.text === 'false');
    return isReference ? filled.text === 'true' : filled.text;
  }
  if (Array.isArray(value)) return value.map((item, index) => fill(item, [...path, index], env, add));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fill(item, [...path, key], env, add)]));
}

function judgeMeaning(answers: AnswersFile): readonly (readonly [string, Judgement])[] {
  return [
    ['listen', answers.listen === undefined ? true : judgeListen(answers.listen)],
    ['names', answers.names === undefined ? true : judgeNames(answers.names.join(','))],
    ['serverName', answers.serverName === undefined ? true : judgeServerName(answers.serverName)],
  ];
}

function refusal(problems: readonly DeploymentProblem[], file: string): UserError {
  const sorted = problems.toSorted((a, b) => a.line - b.line || a.column - b.column);
  const count = sorted.length;
  return new UserError(`${file} has ${count === 1 ? 'a problem' : `${count} problems`}; nothing was changed.`, {
    why: formatProblems(sorted, file),
    next: 'Mend the file and run the command again. Every answer: mcp-deploy init --help',
  });
}
