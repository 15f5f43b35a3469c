// What the bench is held against, and how far off it is: computed from the same rows as the tables.

const [plain, tls] = ['bare node:http', 'bare node:https'];
const builtIn = ['ours, built-in tool, legacy', 'ours, built-in tool, modern'];
const bridge = ['ours, shared stdio child, legacy', 'ours, shared stdio child, modern'];
const peers = ['mcp-proxy, stdio child', 'supergateway, stateful, stdio child'];

/** Lines of a table of the goals that these rows can tell of. */
export function judgeGoals(rows) {
  const judged = [
    ...builtIn.flatMap((name) => [
      atLeast(0.8, `${name}: calls/s at 32 connections, x bare`, ratio(rows, name, plain, 32, 'callsPerSecond')),
      atMost(1.4, `${name}: CPU per call at 32 connections, x bare`, ratio(rows, name, plain, 32, 'cpuPer1000')),
    ]),
    ...bridge.flatMap((name) => [
      atLeast(0.75, `${name}: calls/s at 32 connections, x bare`, ratio(rows, name, plain, 32, 'callsPerSecond')),
      ...peers.map((peer) =>
        atLeast(10, `${name}: calls/s at 32 connections, x ${peer}`, ratio(rows, name, peer, 32, 'callsPerSecond')),
      ),
    ]),
    atLeast(
      0.85,
      'ours, built-in tool, legacy, TLS: calls/s at 32 connections, x bare node:https',
      ratio(rows, 'ours, built-in tool, legacy, TLS', tls, 32, 'callsPerSecond'),
    ),
    ...[builtIn[1], 'ours, tool that computes for 1 ms, modern'].map((name) =>
      atLeast(
        1.6,
        `${name}: calls/s of 2 workers at 32 connections, x one process`,
        ratio(rows, `${name}, 2 workers`, name, 32, 'callsPerSecond'),
      ),
    ),
    ...[builtIn[0], bridge[0]].flatMap((name) => [
      atMost(1.5, `${name}: p50 of one connection, x bare`, ratio(rows, name, plain, 1, 'p50Ms')),
      atMost(2, `${name}: p99 of one connection, x bare`, ratio(rows, name, plain, 1, 'p99Ms')),
    ]),
    atMost(3, `${builtIn[0]}: start to first answer, x bare`, startRatio(rows, builtIn[0], plain)),
    atMost(1 / 3, `${bridge[0]}: start to first answer, x supergateway`, startRatio(rows, bridge[0], peers[1])),
  ].filter((each) => each !== null);
  return [
    '## Goals',
    '',
    '| figure | goal | measured | |',
    '|---|--:|--:|---|',
    ...judged.map(
      ({ figure, goal, measured, isMet }) => `| ${figure} | ${goal} | ${measured} | ${isMet ? 'met' : '**short**'} |`,
    ),
    '',
  ];
}

/**
 * Median of the ratios of each round, against what was measured right before where that is the same server; null where
 * one of the rows was not measured.
 */
export function ratio(rows, name, base, connections, key) {
  const [row, other] = [name, base].map((each) => rows.find((one) => one.name === each));
  const samples = row?.samples.get(connections);
  const against = (row?.base === base ? row.against?.get(connections) : undefined) ?? other?.samples.get(connections);
  if (samples === undefined || against === undefined) return null;
  const rounds = Math.min(samples.length, against.length);
  return median(samples.slice(0, rounds).map((sample, round) => sample[key] / against[round][key]));
}

export function median(values) {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}

function startRatio(rows, name, base) {
  const [row, against] = [name, base].map((each) => rows.find((one) => one.name === each));
  return row === undefined || against === undefined ? null : row.startMs / against.startMs;
}

function atLeast(goal, figure, measured) {
  return measured === null
    ? null
    : { figure, goal: `at least ${goal}`, measured: measured.toFixed(2), isMet: measured >= goal };
}

function atMost(goal, figure, measured) {
  return measured === null
    ? null
    : { figure, goal: `at most ${goal.toFixed(2)}`, measured: measured.toFixed(2), isMet: measured <= goal };
}
