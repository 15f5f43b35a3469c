import { z } from 'zod';
import { deploymentSchema } from './schema.ts';

/**
 * schema/mcp-deploy.schema.json: the JSON Schema (draft 7, which every editor
 * speaks) of what may be written in mcp-deploy.yaml, with defaults and descriptions.
 */
export function deploymentJsonSchema(): string {
  const schema = z.toJSONSchema(deploymentSchema, { io: 'input', target: 'draft-7' });
  const { $schema, ...rest } = schema;
  const document = { $schema, title: 'mcp-deploy.yaml', description: 'A deployment of mcp-deploy.', ...rest };
  return `${JSON.stringify(document, null, 2)}\n`;
}
