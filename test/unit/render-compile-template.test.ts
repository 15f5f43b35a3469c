import { expect, test } from 'vitest';
import { compileTemplate } from '../../src/render/compile-template.ts';

test('values are put in as they are: the view has quoted them', () => {
  expect(compileTemplate('a {{x}} b')({ x: `<&"'>{{x}}` })).toBe(`a <&"'>{{x}} b`);
});

test('lists and conditions lay out what the view decided', () => {
  const render = compileTemplate('{{#each items}}{{name}}{{../sep}}{{/each}}{{#if last}}!{{else}}?{{/if}}');
  expect(render({ items: [{ name: 'a' }, { name: 'b' }], sep: ',', last: true })).toBe('a,b,!');
  expect(render({ items: [], sep: ',', last: false })).toBe('?');
});

test.each([
  ['a missing value', '{{gone}}', {}],
  ['a missing member', '{{a.gone}}', { a: {} }],
  ['a missing condition', '{{#if gone}}x{{/if}}', {}],
  ['undefined', '{{x}}', { x: undefined }],
  ['null', '{{x}}', { x: null }],
  ['undefined deep in a list', '{{#each xs}}{{y}}{{/each}}', { xs: [{ y: undefined }] }],
  ['a helper that is not for layout', '{{log x}}', { x: 1 }],
  ['a lookup', '{{lookup x "y"}}', { x: { y: 1 } }],
])('%s throws', (_name, template, view) => {
  expect(() => compileTemplate(template)(view)).toThrow();
});

test('the name of what has no value is said', () => {
  expect(() => compileTemplate('x')({ a: [{ b: undefined }] })).toThrow('view.a.0.b has no value');
});
