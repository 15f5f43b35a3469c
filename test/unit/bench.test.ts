import { Chalk } from 'chalk';
import { describe, expect, test } from 'vitest';
import { findKnee, isSaturated, planSteps } from '../../src/cli/find-knee.ts';
import { describeCautions, describeLoad, describeSteps, drawBuckets } from '../../src/cli/output/bench-text.ts';
import { LatencyRecord } from '../../src/host/load/latency-record.ts';
import { chooseWork } from '../../src/host/load/look-before-load.ts';
import {
  callNumber,
  judgeAnswer,
  readRpcAnswer,
  readTools,
  renderWork,
  type Work,
} from '../../src/host/load/rpc-texts.ts';
import type { LoadResult } from '../../src/host/load/run-load.ts';

const plain = new Chalk({ level: 0 });
const measured: LoadResult = {
  era: 'modern',
  connections: 8,
  seconds: 10,
  calls: 1_234,
  callsPerSecond: 123.4,
  latency: { p50Ms: 0.5, p90Ms: 2.04, p95Ms: 31.4, p99Ms: 412, maxMs: 1_250, meanMs: 3 },
  buckets: [
    { upToMs: 1, calls: 1_000 },
    { upToMs: 2, calls: 0 },
    { upToMs: null, calls: 234 },
  ],
  errors: {},
  rateLimited: 0,
  limitWords: null,
  unanswered: 0,
  busy: 0.4,
  ended: 'duration',
};
const echo: Work = { kind: 'call', tool: 'echo', args: { message: 'x' }, expected: 'x' };

const numbered: Work = { ...echo, expected: `call ${callNumber}` };

describe('latencies', () => {
  test('are known to three digits, whatever their order', () => {
    const record = new LatencyRecord();
    for (let ms = 1_000; ms >= 1; ms--) record.add(ms);
    const figures = record.figures();
    expect(figures?.p50Ms).toBeCloseTo(500, -1);
    expect(figures?.p90Ms).toBeCloseTo(900, -1);
    expect(figures?.p95Ms).toBeCloseTo(950, -1);
    expect(figures?.p99Ms).toBeCloseTo(990, -1);
    expect(figures?.maxMs).toBeCloseTo(1_000, -1);
    expect(record.buckets().reduce((sum, { calls }) => sum + calls, 0)).toBe(1_000);
    expect(record.buckets()[0]).toEqual({ upToMs: 1, calls: 1 });
    expect(record.buckets().at(-1)?.upToMs).toBe(1_000);
  });

  test('below a microsecond and beyond an hour are counted, and none gives no figures', () => {
    const record = new LatencyRecord();
    expect([record.figures(), record.buckets()]).toEqual([null, []]);
    record.add(0);
    record.add(120_000);
    expect(record.buckets()[0]).toEqual({ upToMs: 0.1, calls: 1 });
    expect(record.buckets().at(-1)).toEqual({ upToMs: null, calls: 1 });
  });
});

describe('an answer', () => {
  const result = (content: unknown) => ({ jsonrpc: '2.0', id: 7, result: content });
  test.each<[string, unknown, Work, string | null]>([
    ['with the text that was sent', result({ content: [{ type: 'text', text: 'x' }] }), echo, null],
    [
      'with another text',
      result({ content: [{ type: 'text', text: 'y' }] }),
      echo,
      'another text than was sent came back',
    ],
    [
      'to another call',
      result({ content: [{ type: 'text', text: 'call 6' }] }),
      numbered,
      'another text than was sent came back',
    ],
    ['to this very call', result({ content: [{ type: 'text', text: 'call 7' }] }), numbered, null],
    ['of a tool that failed', result({ content: [], isError: true }), echo, 'the tool reports a failure'],
    ['without content', result({}), echo, 'no content in the answer'],
    ['with a list', result({ tools: [] }), { kind: 'list' }, null],
    ['without a list', result({}), { kind: 'list' }, 'no list of tools in the answer'],
    ['that is an error', { jsonrpc: '2.0', id: 7, error: { code: -32_603 } }, echo, 'error -32603'],
    ['to another question', { ...result({}), id: 8 }, echo, 'no answer in the body'],
  ])('%s', (_name, message, work, expected) => {
    const text = JSON.stringify(message);
    expect(judgeAnswer(readRpcAnswer('application/json', text, 7), work)).toBe(expected);
    const stream = `: hello\n\nevent: message\ndata: {"jsonrpc":"2.0","method":"notifications/progress"}\n\ndata: ${text}\n\n`;
    expect(judgeAnswer(readRpcAnswer('text/event-stream; charset=utf-8', stream, 7), work)).toBe(expected);
  });

  test('that is no JSON is none', () => {
    expect(readRpcAnswer('text/html', '<html>', 7)).toBeNull();
  });
});

describe('what is called', () => {
  const tools = readTools({
    result: {
      tools: [
        { name: 'drop', inputSchema: { type: 'object' } },
        { name: 'search', annotations: { readOnlyHint: true }, inputSchema: { type: 'object', required: ['query'] } },
        { name: 'echo', inputSchema: { properties: { text: { type: 'string' } }, required: ['text'] } },
        { title: 'has no name' },
      ],
    },
  });

  test('is the echo, with the one text that it needs', () => {
    expect(chooseWork(tools, null).work).toMatchObject({
      tool: 'echo',
      args: { text: `mcp-deploy bench ${callNumber}` },
    });
    expect(chooseWork(tools, { name: 'echo', args: null }).work).toMatchObject({
      args: { text: `mcp-deploy bench ${callNumber}` },
    });
  });

  test('is the list of tools where no echo is known: nothing else is called unasked', () => {
    expect(chooseWork(tools.slice(0, 2), null)).toEqual({ work: { kind: 'list' }, readsOnly: null });
    expect(chooseWork([{ name: 'echo', readsOnly: true, soleText: null }], null).work).toEqual({ kind: 'list' });
  });

  test('is the tool that is named, and whether it says that it only reads', () => {
    expect(chooseWork(tools, { name: 'drop', args: { a: 1 } })).toMatchObject({ readsOnly: false });
    expect(chooseWork(tools, { name: 'search', args: {} })).toMatchObject({ readsOnly: true });
    expect(() => chooseWork(tools, { name: 'serach', args: {} })).toThrow('There is no tool "serach"');
  });

  test('carries the envelope and the headers of its era', () => {
    const { parts, headers } = renderWork('modern', { ...echo, args: { message: `call ${callNumber}` } }, null);
    expect(JSON.parse(parts.join('12'))).toMatchObject({ id: 12, params: { arguments: { message: 'call 12' } } });
    expect(JSON.parse(parts.join('12'))).toMatchObject({
      method: 'tools/call',
      params: { name: 'echo', _meta: {} },
    });
    expect(headers).toMatchObject({ 'mcp-method': 'tools/call', 'mcp-name': 'echo' });
    expect(renderWork('legacy', echo, 's').headers).toMatchObject({ 'mcp-session-id': 's' });
  });
});

describe('the knee', () => {
  const step = (connections: number, callsPerSecond: number, more: Partial<LoadResult> = {}): LoadResult => ({
    ...measured,
    connections,
    callsPerSecond,
    ...more,
  });
  test.each([
    ['is where twice the connections bring less than 15 % more', [step(1, 100), step(2, 190), step(4, 200)], 2],
    ['is not there while each step brings more', [step(1, 100), step(2, 190), step(4, 370)], null],
    ['is not a step that brought nothing once', [step(1, 100), step(2, 95), step(4, 190), step(8, 195)], 4],
    ['is not beyond two steps that brought nothing', [step(1, 100), step(2, 95), step(4, 96), step(8, 900)], 1],
    ['is before the step at which calls go wrong', [step(1, 100), step(2, 300, { errors: { reset: 1 } })], 1],
    ['is before the step that a limit holds back', [step(1, 100), step(2, 300, { rateLimited: 1 })], 1],
    ['is not found with one step', [step(1, 100)], null],
  ])('%s', (_name, steps, expected) => {
    expect(findKnee(steps)?.connections ?? null).toBe(expected);
  });

  test('ends the search when it is certain', () => {
    const steps = [step(1, 100), step(2, 190), step(4, 200), step(8, 200)];
    expect([2, 3, 4].map((many) => isSaturated(steps.slice(0, many)))).toEqual([false, false, true]);
    expect(isSaturated([step(1, 100), step(2, 300, { rateLimited: 1 })])).toBe(true);
  });

  test('is looked for from one connection up to the last one', () => {
    expect([planSteps(1), planSteps(8), planSteps(10)]).toEqual([[1], [1, 2, 4, 8], [1, 2, 4, 8, 10]]);
  });

  test('stands in the table, and the table says where one node ends', () => {
    const steps = [step(1, 100), step(2, 190.5), step(4, 200)];
    expect(describeSteps(steps, findKnee(steps), plain).join('\n')).toBe(
      [
        '  Connections   Calls/s       p50       p95       p99   Wrong    429',
        '            1       100    0.5 ms     31 ms    412 ms       0      0',
        '            2       191    0.5 ms     31 ms    412 ms       0      0  <- knee',
        '            4       200    0.5 ms     31 ms    412 ms       0      0',
        '',
        '  One node ends at about 191 calls/s with 2 connections: more of them only wait.',
      ].join('\n'),
    );
    const limited = [step(1, 100), step(2, 100, { rateLimited: 5 })];
    expect(describeSteps(limited, findKnee(limited), plain).at(-1)).toContain('this table is of the limit');
  });
});

describe('the text', () => {
  test('has calls, latencies and a picture', () => {
    expect(describeLoad(measured, echo, plain, 80).join('\n')).toBe(
      [
        '  Load        tools/call echo, modern era, 8 connections, 10 s',
        '  Calls       ✓ 1,234 right, 123.4/s',
        '  Latency     p50 0.5 ms   p90 2 ms   p95 31 ms   p99 412 ms   max 1.25 s',
        '',
        `  to 1 ms      81.0 %     1,000  ${'█'.repeat(46)}`,
        '  to 2 ms       0.0 %         0',
        `  more         19.0 %       234  ${'█'.repeat(11)}`,
      ].join('\n'),
    );
  });

  test('fits into 40 columns', () => {
    const lines = [...describeLoad(measured, echo, plain, 40).slice(1), ...drawBuckets(measured.buckets, 40)];
    expect(lines.filter((line) => line.length > 40)).toEqual([]);
  });

  test('names each kind of mistake, and what is not in the figures', () => {
    const text = describeLoad(
      { ...measured, errors: { 'HTTP 500': 3, 'no answer in time': 1 }, rateLimited: 9, unanswered: 2 },
      { kind: 'list' },
      plain,
      80,
    ).join('\n');
    expect(text).toContain('✗ 1,234 right');
    expect(text).toContain('✗ 3 HTTP 500');
    expect(text).toContain('! 9 refused by a limit (429), not in the figures');
    expect(text).toContain('! 2 not answered when it ended');
  });

  test('says when this program itself, this machine or a limit is what was measured', () => {
    const facts = { isHere: true, limitAdvice: ['use a tier'] };
    expect(describeCautions([measured], { ...facts, isHere: false })).toEqual([]);
    const all = describeCautions([{ ...measured, busy: 0.97, rateLimited: 1, limitWords: 'Slowly.' }], facts).join(
      '\n',
    );
    for (const part of ['busy 97 %', 'share this machine', '(Slowly.)', 'use a tier']) expect(all).toContain(part);
  });
});
