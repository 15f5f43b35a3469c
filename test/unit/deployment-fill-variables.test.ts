import { describe, expect, test } from 'vitest';
import { brokenReferenceIn, fillVariables, variablesIn } from '../../src/deployment/fill-variables.ts';

const env = { HOME: '/srv', EMPTY: '', TOKEN: 'a$b${HOME}$&', _x1: 'ok' };

describe('fillVariables', () => {
  test.each([
    ['nothing to fill', 'nothing to fill', []],
    ['${HOME}/x', '/srv/x', []],
    ['${HOME}${HOME}', '/srv/srv', []],
    ['${_x1}', 'ok', []],
    ['${EMPTY}', '', []],
    ['${EMPTY:-d}', 'd', []],
    ['${NOPE:-}', '', []],
    ['${NOPE:-a b:-c}', 'a b:-c', []],
    ['${HOME:-d}', '/srv', []],
    ['${NOPE}', '${NOPE}', ['NOPE']],
    ['${B} ${A} ${B}', '${B} ${A} ${B}', ['B', 'A']],
    ['$${HOME}', '${HOME}', []],
    ['$$${HOME}', '$${HOME}', []],
    ['$HOME $$ $', '$HOME $$ $', []],
    ['${TOKEN}', 'a$b${HOME}$&', []],
    ['${toString}', '${toString}', ['toString']],
    ['${__proto__}', '${__proto__}', ['__proto__']],
    ['${HOME', '${HOME', []],
    ['${1A}', '${1A}', []],
    ['', '', []],
  ])('%j gives %j', (text, filled, missing) => {
    expect(fillVariables(text, env)).toEqual({ text: filled, missing });
  });
});

test.each([
  ['${A} ${B:-x} $${C} ${A}', ['A', 'B']],
  ['$${A}', []],
  ['none', []],
])('variablesIn(%j) names %j', (text, names) => {
  expect(variablesIn(text)).toEqual(names);
});

test.each([
  ['${A} $${x ${B:-}', null],
  ['a ${b c} d', '${b c} d'],
  ['${A', '${A'],
  ['${}', '${}'],
  ['${A:-${B}}', '${A:-${B}}'],
])('the first broken reference in %j is %j', (text, broken) => {
  expect(brokenReferenceIn(text)).toBe(broken);
});
