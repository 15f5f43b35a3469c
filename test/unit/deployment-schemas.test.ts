import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseWithSchemas } from '../../src/deployment/parse-with-schemas.ts';
import { formatNames, loadSchemaCompiler, type SchemaCompiler } from '../../src/deployment/schema-compiler.ts';
import { parseServerConfig } from '../../src/server/server-config.ts';

const folder = mkdtempSync(join(tmpdir(), 'mcpd-schemas-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('formats of texts', () => {
  let compiler: SchemaCompiler;
  beforeAll(async () => {
    compiler = await loadSchemaCompiler();
  });
  const judge = (format: string, text: string): string | null =>
    compiler.compile({ type: 'string', format }, 'it')(text);

  test.each([
    ['date', '2024-02-29', '2023-02-29'],
    ['time', '23:59:59Z', '24:00:00Z'],
    ['date-time', '2024-02-29T12:00:00+01:00', '2024-02-30T12:00:00Z'],
    ['duration', 'P1DT2H', 'P'],
    ['email', 'a.b@mail.example.com', 'a@b@c.de'],
    ['hostname', 'mcp.example.com', '-bad.example.com'],
    ['ipv4', '127.0.0.1', '127.0.0.256'],
    ['ipv6', '2001:db8::1', '2001:db8::1::2'],
    ['uri', 'https://example.com/a?b#c', 'example.com/a'],
    ['uri-reference', '/a/b', '\\a'],
    ['uri-template', '/a/{b}', '/a/{b'],
    ['uuid', '0f8fad5b-d9cb-469f-a165-70867728950e', '0f8fad5b'],
    ['regex', '^a+$', '(a'],
    ['json-pointer', '/a/0', 'a/0'],
    ['relative-json-pointer', '1/a', '/a'],
  ])('%s takes %s and refuses %s', (format, good, bad) => {
    expect(judge(format, good)).toBeNull();
    expect(judge(format, bad)).toContain(`must match format "${format}"`);
  });

  test('a text longer than 4,096 characters has no format', () => {
    expect(judge('uri', `https://example.com/${'a'.repeat(4_000)}`)).toBeNull();
    expect(judge('uri', `https://example.com/${'a'.repeat(5_000)}`)).not.toBeNull();
  });

  // A text of twice the length may cost four times as much, which is harmless below the bound; exponential cost is not.
  const seeds = [
    'a',
    'a.',
    'a-',
    '0',
    '0:',
    '::',
    '1.',
    '%41',
    '/',
    '~0',
    '{a}',
    '@',
    'a@',
    'P1D',
    'http://a@',
    ' ',
    '((a+)+',
  ];
  test.each([...formatNames])('no hostile text makes %s slow', (format) => {
    const check = compiler.compile({ type: 'string', format }, 'it');
    for (const seed of seeds) {
      for (const prefix of ['', 'a@', 'http://', 'x:']) {
        const text = `${prefix}${seed.repeat(Math.floor(4_000 / seed.length))}\u0001`;
        const before = performance.now();
        check(text);
        expect(performance.now() - before, `${format} on ${prefix}${seed}…`).toBeLessThan(1_000);
      }
    }
  });

  test('an anchor can be referred to', () => {
    const $defs = { name: { $anchor: 'name', type: 'string' } };
    const check = compiler.compile({ $defs, type: 'object', properties: { a: { $ref: '#name' } } }, 'it');
    expect([check({ a: 'x' }), check({ a: 1 })]).toEqual([null, 'a must be string']);
  });

  test('a format or a keyword that is not known is refused', () => {
    expect(() => compiler.compile({ type: 'string', format: 'colour' }, 'it')).toThrow(/unknown format "colour"/);
    expect(() => compiler.compile({ type: 'string', patern: 'a' }, 'it')).toThrow(/unknown keyword: "patern"/);
  });
});

const yaml = (schema: string): string => `version: 1
auth: { required: false }
tls: { source: off }
server:
  listen: 127.0.0.1:8080
  tools:
    good:
      description: fine
      module: { path: a.mjs }
    bad:
      description: wrong
      inputSchema:
        type: object
        properties:
${schema}
      module: { path: a.mjs }
`;

describe('a JSON Schema with a mistake is refused with its place before anything starts', () => {
  test.each([
    ['a type that is none', '          a: { type: strng }', 15, 'server.tools.bad.inputSchema.properties.a.type'],
    ['an unknown keyword', '          a: { type: string, patern: x }', 13, 'server.tools.bad.inputSchema'],
    ['an expression that is none', '          a: { type: string, pattern: "(" }', 13, 'server.tools.bad.inputSchema'],
  ])('%s', async (_title, schema, line, path) => {
    const parsed = await parseWithSchemas(yaml(schema), { file: 'mcp-deploy.yaml' });
    if (parsed.ok) throw new Error('it was taken');
    expect(parsed.problems).toHaveLength(1);
    const [problem] = parsed.problems;
    expect(problem?.path.startsWith(path), problem?.path).toBe(true);
    expect(problem?.line).toBe(line);
    expect(problem?.message).toContain('is no JSON Schema 2020-12');
  });

  test('by the server too, from either kind of file', async () => {
    const file = join(folder, 'mcp-deploy.yaml');
    const text = yaml('          a: { type: strng }');
    await expect(parseServerConfig(text, file)).rejects.toMatchObject({
      excerpt: [expect.stringContaining(`${file}:15:`)],
    });
    const sound = await parseServerConfig(yaml('          a: { type: string }'), file);
    const planned = JSON.stringify(sound).replace('"a":{"type":"string"}', '"a":{"type":"strng"}');
    writeFileSync(join(folder, 'server.json'), planned);
    await expect(parseServerConfig(planned, 'server.json')).rejects.toMatchObject({
      excerpt: [expect.stringContaining('server.tools.bad.inputSchema.properties.a.type is no JSON Schema')],
    });
  });
});
