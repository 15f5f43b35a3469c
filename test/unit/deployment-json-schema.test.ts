import { readFileSync, writeFileSync } from 'node:fs';
import { Ajv } from 'ajv';
import { expect, test } from 'vitest';
import { deploymentJsonSchema } from '../../src/deployment/json-schema.ts';
import { settingsDocument } from '../helpers/settings-document.ts';

const file = new URL('../../schema/mcp-deploy.schema.json', import.meta.url).pathname;

test('schema/mcp-deploy.schema.json is what the schema in the code gives (UPDATE_GOLDEN=1 writes it)', () => {
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, deploymentJsonSchema());
  expect(readFileSync(file, 'utf8')).toBe(deploymentJsonSchema());
});

test('docs/settings.md names every setting of the schema (UPDATE_GOLDEN=1 writes it)', () => {
  const document = new URL('../../docs/settings.md', import.meta.url).pathname;
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(document, settingsDocument(deploymentJsonSchema()));
  expect(readFileSync(document, 'utf8')).toBe(settingsDocument(deploymentJsonSchema()));
});

test('it is a valid JSON Schema that takes and refuses what an editor should', () => {
  const validate = new Ajv({ strict: false, formats: { uri: true } }).compile(
    JSON.parse(deploymentJsonSchema()) as object,
  );
  expect(validate({ version: 1 })).toBe(true);
  expect(validate({ version: 1, server: { upstreams: { files: { command: 'npx', args: ['-y', 'x'] } } } })).toBe(true);
  expect(
    validate({ version: 1, tls: { source: 'files', certificate: 'a', key: 'b' }, limits: { perKey: 'off' } }),
  ).toBe(true);
  expect(validate({ version: 1, server: { listn: 'localhost:1' } })).toBe(false);
  expect(validate({ version: 1, tls: { source: 'files' } })).toBe(false);
  expect(validate({ version: 2 })).toBe(false);
  expect(validate({})).toBe(false);
});

test('every setting has a description', () => {
  const bare: string[] = [];
  const visit = (node: unknown, path: string): void => {
    if (typeof node !== 'object' || node === null) return;
    const { properties, anyOf, oneOf, additionalProperties } = node as Record<string, Record<string, unknown>>;
    for (const [name, child] of Object.entries(properties ?? {})) {
      const { description, properties: inner, anyOf: any, oneOf: one } = child as Record<string, unknown>;
      if (description === undefined && inner === undefined && any === undefined && one === undefined)
        bare.push(`${path}.${name}`);
      visit(child, `${path}.${name}`);
    }
    for (const child of [...Object.values(anyOf ?? {}), ...Object.values(oneOf ?? {})]) visit(child, path);
    visit(additionalProperties, `${path}.*`);
  };
  visit(JSON.parse(deploymentJsonSchema()), '');
  expect(bare).toEqual([]);
});
