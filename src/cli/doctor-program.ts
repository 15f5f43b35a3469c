import type { Command } from 'commander';
import { addHost } from './deployment-program.ts';
import { noFlags, type MakeCommand } from './make-command.ts';

/** Finding out what is wrong. */
export function addDoctorCommands(make: MakeCommand): void {
  make(
    'doctor [url]',
    'find the broken hop, its cause and the exact change that mends it',
    defineDoctor,
    async (context, args, options) =>
      (await import('./commands/doctor.ts')).runDoctorCommand(context, args[0], options),
  );
  make('explain <code>', 'explain a finding of doctor, for example tls/name', noFlags, async (context, args) =>
    (await import('./commands/explain.ts')).runExplain(context, args[0] ?? ''),
  );
}

function defineDoctor(command: Command): void {
  addHost(command);
  command
    .option('--key-file <path>', 'file with the API key')
    .option('--other-key-file <path>', 'a second key of the same server: sessions of the first must be closed to it')
    .option('--ca <path>', 'PEM file of the private CA to trust')
    .option('--limits', 'also reach the rate limit where that may shut you out (up to 200 requests)')
    .option('--upstream <url>', 'ask the server directly too, and say which hop differs')
    .option('--proxy-config <file>', 'configuration of the proxy in front (nginx, Caddy, HAProxy), or auto')
    .option('--resolve <name:address>', 'address of the name in place of what is looked up, before a change of DNS')
    .option('--origin <url>', 'a browser page that is meant to call, for example https://app.example.com')
    .option('--deep', 'also watch an idle stream for 90 seconds')
    .option('--junit', 'print JUnit XML, for CI systems')
    .option('--markdown', 'print Markdown, for an issue')
    .option('--html', 'print one self-contained page')
    .option('--out <file>', 'also write it to this file, by its ending: .html .xml .md .json .txt', collect, [])
    .option('--only <codes>', 'only these codes or categories (may be given several times)', collect, [])
    .option('--skip <codes>', 'all but these codes or categories (may be given several times)', collect, [])
    .option('--bundle <file>', 'also write a support archive (.tar.gz) with every secret hidden')
    .option('--fix', 'mend what is safe, after asking (--yes: without), and look again')
    .option('--baseline <file>', 'findings in this file are accepted until their day')
    .option('--write-baseline <file>', 'accept what is found now: write that file (with --reason)')
    .option('--reason <text>', 'why, for --write-baseline')
    .option('--expires <day>', 'the last day of --write-baseline, for example 2027-01-31 (default: 90 days)')
    .option('--wait <seconds>', 'look again until it is healthy, at most so long')
    .option('--watch', 'look again and again, and say what changed, until Ctrl-C')
    .option('--interval <seconds>', 'how often --watch looks', '30')
    .addHelpText(
      'after',
      `
Examples
  mcp-deploy doctor                                            this folder's deployment
  mcp-deploy doctor https://mcp.example.com/mcp --key-file k   any MCP server
  mcp-deploy doctor https://mcp.example.com/mcp --key-file k --upstream http://127.0.0.1:8080/mcp --proxy-config auto
                                                               is it the proxy or the server, and which line
  mcp-deploy doctor --wait 60 --only protocol --only tools     after a start: until clients of both eras get through
  mcp-deploy doctor --fix                                      restart, write files again, close modes, renew
  mcp-deploy doctor --out report.html --out junit.xml          one look, several reports

Exit codes
  0 healthy, warnings allowed   1 an error was found   2 wrong input   3 nothing could be judged
  4 --fix failed, all undone   5 its undo is incomplete   130 interrupted
`,
    );
}

/** For flags that may be given several times. */
function collect(value: string, earlier: readonly string[]): readonly string[] {
  return [...earlier, value];
}
