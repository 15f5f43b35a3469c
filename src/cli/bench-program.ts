import type { Command } from 'commander';
import type { MakeCommand } from './make-command.ts';

/** Measuring. */
export function addBenchCommand(make: MakeCommand): void {
  make(
    'bench [url]',
    'a load of MCP calls: latencies, calls a second, and where one node ends',
    defineBench,
    async (context, args, options) => (await import('./commands/bench.ts')).runBench(context, args[0], options),
  );
}

function defineBench(command: Command): void {
  command
    .option('--connections <number>', 'connections with one call at a time each (default: 8, at most 1000)')
    .option('--duration <seconds>', 'how long (default: 10, at most 600; of each step: 3)')
    .option('--calls <number>', 'how many calls, in place of how long')
    .option('--rate <number>', 'calls a second that are due; latency counts from then (default: as many as go)')
    .option('--warm-up <seconds>', 'not counted (default: 1)')
    .option(
      '--until-saturated',
      'twice the connections each time, until they bring no more; --connections is the end (64)',
    )
    .option('--era <era>', 'modern, legacy, both (default: modern where it is answered)')
    .option('--tool <name>', 'tool to call (default: echo, or tools/list where there is none)')
    .option('--arguments <json>', 'its arguments, an object')
    .option('--timeout <seconds>', 'how long one answer may take (default: 10)')
    .option('--key-file <path>', 'file with the API key')
    .option('--ca <path>', 'PEM file of the private CA to trust')
    .option('--i-run-this-server', 'a URL that is not of this folder: it is yours, or its owner agreed to the load')
    .addHelpText(
      'after',
      `
Every answer is checked; calls that a limit refuses (429) are counted apart. Ctrl-C shows what there is until then.

Examples
  mcp-deploy bench
  mcp-deploy bench --until-saturated
  mcp-deploy bench --rate 20 --duration 60 --era both
  mcp-deploy bench --tool search --arguments '{"query":"x"}'
  mcp-deploy bench https://mcp.example.com/mcp --i-run-this-server --key-file k

Exit codes
  0 measured, every answer right   1 calls went wrong   2 wrong input   3 nothing could be measured
  130 interrupted, with the figures until then
`,
    );
}
