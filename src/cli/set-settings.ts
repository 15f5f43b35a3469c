import { parseDocument } from 'yaml';
import { editDeployment } from '../deployment/edit-deployment.ts';
import { UserError } from '../deployment/errors.ts';
import { parseDeployment, type DeploymentProblem } from '../deployment/parse-deployment.ts';
import { parseWithSchemas } from '../deployment/parse-with-schemas.ts';
import type { Deployment } from '../deployment/schema.ts';
import { formatPath, parsePath } from '../deployment/setting-path.ts';

/** What the variables of the text are filled from. */
type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The deployment with some settings changed for one run, as `--set path=value` says; the file is left alone. Values are
 * YAML, and judged as if they stood in the file, whose text must be a valid deployment.
 * Throws a UserError that names the first one that cannot be.
 */
export async function setSettings(text: string, given: readonly string[], env: Environment): Promise<Deployment> {
  let current = text;
  for (const each of given) current = setOne(current, each, env);
  const parsed = await parseWithSchemas(current, { file: 'mcp-deploy.yaml', env });
  if (parsed.ok) return parsed.deployment;
  // Each setting is right by itself: together they are not.
  const [first] = given;
  throw refusal(given.length === 1 && first !== undefined ? `--set ${first}` : '--set', parsed.problems);
}

function setOne(text: string, given: string, env: Environment): string {
  const equals = given.indexOf('=');
  const path = parsePath(given.slice(0, Math.max(0, equals)));
  if (equals < 1 || path.length === 0 || path.includes('__proto__')) {
    throw new UserError(`--set ${given} is not PATH=VALUE.`, { next: '--set proxy.maxBodyMegabytes=20' });
  }
  const document = parseDocument(given.slice(equals + 1));
  const [error] = document.errors;
  if (error !== undefined) {
    throw new UserError(`--set ${given}: the value is not YAML.`, {
      why: error.message.split('\n')[0] ?? '',
      next: `Quote it twice, for the shell and for YAML: --set '${formatPath(path)}="VALUE"'`,
    });
  }
  const changed = editDeployment(text, [{ path, value: document.toJS() as unknown }]);
  const parsed = parseDeployment(changed, { file: 'mcp-deploy.yaml', env });
  // What contradicts another setting may be mended by the next --set.
  const own = parsed.ok ? [] : parsed.problems.filter((problem) => problem.path.startsWith(formatPath(path)));
  if (own.some(isAboutTheValue)) throw refusal(`--set ${given}`, own);
  return changed;
}

/** A shape can be judged alone; "needs ... beside it" and the like cannot. */
function isAboutTheValue({ message }: DeploymentProblem): boolean {
  return !/\b(?:beside it|needs)\b/.test(message);
}

function refusal(what: string, problems: readonly DeploymentProblem[]): UserError {
  const lines = problems.flatMap(({ path, message, hint }) => [
    `${path === '' ? '' : `${path} `}${message}`,
    ...(hint === undefined ? [] : [`  ${hint}`]),
  ]);
  return new UserError(`${what} cannot be used.`, { why: lines.join('\n'), next: 'Every setting: mcp-deploy schema' });
}
