import {
  parseDeployment,
  type DeploymentProblem,
  type ParsedDeployment,
  type ParseOptions,
} from './parse-deployment.ts';
import type { Deployment } from './schema.ts';
import { BadSchema, loadSchemaCompiler } from './schema-compiler.ts';
import { formatPath } from './setting-path.ts';

/** A JSON Schema in a deployment that is none. */
export interface SchemaProblem {
  readonly path: readonly string[];
  readonly message: string;
}

/**
 * Reads the text of mcp-deploy.yaml as parseDeployment does, and compiles the JSON Schemas of its tools: a mistake in
 * one is found before anything starts, with its place in the file.
 */
export async function parseWithSchemas(text: string, options: ParseOptions): Promise<ParsedDeployment> {
  const parsed = parseDeployment(text, options);
  if (!parsed.ok) return parsed;
  const problems = (await judgeToolSchemas(parsed.deployment)).map(({ path, message }): DeploymentProblem => ({
    path: formatPath(path),
    ...parsed.locate(path),
    message,
  }));
  return problems.length === 0 ? parsed : { ok: false, problems };
}

/** Every JSON Schema of the declared tools that cannot be compiled. Loads the compiler only when there are tools. */
export async function judgeToolSchemas({ server }: Deployment): Promise<readonly SchemaProblem[]> {
  const tools = Object.entries(server.tools);
  if (tools.length === 0) return [];
  const compiler = await loadSchemaCompiler();
  const problems: SchemaProblem[] = [];
  for (const [name, tool] of tools) {
    for (const setting of ['inputSchema', 'outputSchema'] as const) {
      const schema = tool[setting];
      if (schema === undefined) continue;
      try {
        compiler.compile(schema, setting);
      } catch (error) {
        if (!(error instanceof BadSchema)) throw error;
        const path = ['server', 'tools', name, setting, ...error.path];
        problems.push({ path, message: `is no JSON Schema 2020-12: ${error.message}` });
      }
    }
  }
  return problems;
}
