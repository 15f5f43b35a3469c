import {
  judgeArgument,
  judgeCaFile,
  judgeFilePath,
  judgeNul,
  judgeReferences,
  ownHeaders,
  type MeaningProblem,
} from './judge-texts.ts';
import { placeholdersIn } from './placeholders.ts';
import type { Deployment } from './schema.ts';
import type { SettingPath } from './setting-path.ts';
import type { CommandToolCall, DeclaredTool, HttpToolCall } from './tool-schema.ts';

/** What the shapes cannot tell of declared tools: arguments that do not exist, and places where none may stand. */
export function judgeTools({ server }: Deployment): readonly MeaningProblem[] {
  const content = server.content === undefined ? [] : judgeFilePath(['server', 'content', 'path'], server.content.path);
  const tools = Object.entries(server.tools).flatMap(([name, tool]) => {
    const base = ['server', 'tools', name];
    const problems: MeaningProblem[] = [];
    for (const schema of ['inputSchema', 'outputSchema'] as const) {
      if (tool[schema] === undefined || tool[schema]['type'] === 'object') continue;
      problems.push({
        path: [...base, schema],
        at: 'key',
        message: 'must have type: object',
        hint: 'MCP takes no other',
      });
    }
    return [...problems, ...judgeCall(base, tool)];
  });
  return [...content, ...tools];
}

function judgeCall(base: SettingPath, tool: DeclaredTool): readonly MeaningProblem[] {
  const known = knownArguments(tool.inputSchema);
  const judgeTemplate = (path: SettingPath, text: string): MeaningProblem[] =>
    known === null
      ? []
      : placeholdersIn(text)
          .filter((argument) => !known.has(argument))
          .map((argument) => ({
            path,
            message: `has {{${argument}}}, but inputSchema knows no such argument`,
            hint: known.size === 0 ? 'describe it under inputSchema.properties' : `known: ${[...known].join(', ')}`,
          }));
  if ('http' in tool) return judgeHttpCall([...base, 'http'], tool.http, judgeTemplate);
  if ('command' in tool) return judgeCommandCall([...base, 'command'], tool.command, judgeTemplate);
  return judgeFilePath([...base, 'module', 'path'], tool.module.path);
}

type JudgeTemplate = (path: SettingPath, text: string) => MeaningProblem[];

function judgeHttpCall(base: SettingPath, http: HttpToolCall, judgeTemplate: JudgeTemplate): MeaningProblem[] {
  const urlPath = [...base, 'url'];
  const problems = judgeTemplate(urlPath, http.url);
  const plain = http.url.replaceAll(/\{\{|\}\}/g, '');
  const url = URL.canParse(plain) ? new URL(plain) : null;
  if (url === null) problems.push({ path: urlPath, message: 'is not a URL' });
  else if (url.username !== '' || url.password !== '') {
    problems.push({
      path: urlPath,
      message: 'must not hold a user name or a password',
      hint: 'write them into headers',
    });
  }
  if (http.url.includes('#')) problems.push({ path: urlPath, message: 'must not have a fragment (#)' });
  if (http.url.includes('${')) {
    const hint = 'write the URL out; secrets belong into headers';
    problems.push({ path: urlPath, message: 'cannot hold ${...}: variables are filled in headers only', hint });
  }
  for (const [header, text] of Object.entries(http.headers)) {
    const path = [...base, 'headers', header];
    if (ownHeaders.has(header.toLowerCase())) {
      problems.push({ path, at: 'key', message: 'is set by the server itself', hint: 'leave it out' });
    }
    if (/[\0\r\n]/.test(text)) problems.push({ path, message: 'must be one line' });
    problems.push(...judgeReferences(path, text), ...judgeTemplate(path, text));
  }
  for (const text of textsIn(http.body)) problems.push(...judgeTemplate([...base, 'body'], text));
  return url === null ? problems : [...problems, ...judgeCaFile([...base, 'caFile'], http.caFile, url)];
}

function judgeCommandCall(base: SettingPath, command: CommandToolCall, judgeTemplate: JudgeTemplate): MeaningProblem[] {
  const problems = judgeArgument([...base, 'command'], command.command);
  if (placeholdersIn(command.command).length > 0) {
    const message = 'must be fixed: an argument of a call cannot choose the program';
    problems.push({ path: [...base, 'command'], message });
  }
  for (const [index, text] of command.args.entries()) {
    const path = [...base, 'args', index];
    problems.push(...judgeArgument(path, text), ...judgeTemplate(path, text));
  }
  for (const [name, text] of Object.entries(command.env)) {
    const path = [...base, 'env', name];
    problems.push(...judgeNul(path, text), ...judgeReferences(path, text));
    if (placeholdersIn(text).length > 0) {
      problems.push({ path, message: 'cannot hold {{...}}: arguments of a call do not reach the environment' });
    }
  }
  return command.cwd === undefined ? problems : [...problems, ...judgeFilePath([...base, 'cwd'], command.cwd)];
}

/** Null when the schema takes arguments that it does not list. */
function knownArguments(schema: Readonly<Record<string, unknown>>): ReadonlySet<string> | null {
  const { properties } = schema;
  if (['$ref', 'allOf', 'anyOf', 'oneOf', 'patternProperties'].some((key) => Object.hasOwn(schema, key))) return null;
  return new Set(typeof properties === 'object' && properties !== null ? Object.keys(properties) : []);
}

function textsIn(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsIn) : [];
}
