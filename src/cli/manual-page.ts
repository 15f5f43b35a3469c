import type { CommandFact } from './describe-program.ts';

/** mcp-deploy(1) in man(7), from the same facts as the help. `date` is YYYY-MM-DD. */
export function manualPage(program: CommandFact, about: { readonly version: string; readonly date: string }): string {
  const lines = [
    `.TH MCP\\-DEPLOY 1 ${quote(about.date)} ${quote(`mcp-deploy ${about.version}`)} "User Commands"`,
    '.SH NAME',
    `mcp\\-deploy \\- ${escape(program.summary.replace(/\.$/, ''))}`,
    '.SH SYNOPSIS',
    '.B mcp\\-deploy',
    escape(program.usage.replace(/^mcp-deploy /, '')),
    '.SH OPTIONS OF EVERY COMMAND',
    ...flagLines(program),
    '.SH COMMANDS',
    ...leavesOf(program).flatMap((command) => commandLines(command, commonNames(program))),
    '.SH EXIT STATUS',
    ...exitCodes.flatMap(([code, meaning]) => ['.TP', `.B ${code}`, escape(meaning)]),
    '.SH FILES',
    ...files.flatMap(([path, meaning]) => ['.TP', `.I ${escape(path)}`, escape(meaning)]),
    '.SH ENVIRONMENT',
    '.TP',
    '.B NO_COLOR',
    'No colours, when it is set.',
  ];
  return `${lines.join('\n')}\n`;
}

/** One table for all commands. */
const exitCodes: readonly (readonly [string, string])[] = [
  ['0', 'done, or nothing to do; warnings allowed'],
  ['1', 'doctor or a check found an error; plan --check found changes'],
  ['2', 'the command line or the deployment file is wrong'],
  ['3', 'could not decide, or refused before changing anything'],
  ['4', 'apply failed, everything was undone'],
  ['5', 'apply failed and undoing is incomplete: the paths are listed'],
  ['70', 'a bug in mcp-deploy'],
  ['130', 'interrupted, after undoing'],
];

const files: readonly (readonly [string, string])[] = [
  ['mcp-deploy.yaml', 'what you want: the deployment file'],
  ['.mcp-deploy/', 'everything that is made from it: keys, certificates, configuration, logs'],
];

function leavesOf(command: CommandFact): readonly CommandFact[] {
  return command.children.flatMap((child) => (child.children.length > 0 ? leavesOf(child) : [child]));
}

function commonNames(program: CommandFact): ReadonlySet<string> {
  return new Set(program.flags.flatMap(({ names }) => names));
}

function commandLines(command: CommandFact, common: ReadonlySet<string>): string[] {
  const flags = command.flags.filter(({ names }) => !names.some((name) => common.has(name)));
  return [
    `.SS ${quote(command.words.join(' '))}`,
    escape(command.summary),
    ...(flags.length === 0 ? [] : flagLines({ ...command, flags })),
    ...(command.footer === '' ? [] : ['.PP', '.nf', ...command.footer.split('\n').map(escape), '.fi']),
  ];
}

function flagLines({ flags }: Pick<CommandFact, 'flags'>): string[] {
  return flags.flatMap(({ names, takesValue, description }) => [
    '.TP',
    `.B ${escape(names.join(', '))}${takesValue ? ' \\fIvalue\\fR' : ''}`,
    escape(description),
  ]);
}

/** Text that troff takes as it stands: no escapes, no requests, hyphens that can be copied. */
function escape(text: string): string {
  const plain = text.replaceAll('\\', '\\e').replaceAll('-', '\\-').replaceAll('’', "'").replaceAll('…', '...');
  return plain.replaceAll(/^(?=[.'])/gm, '\\&');
}

function quote(text: string): string {
  return `"${escape(text).replaceAll('"', '\\(dq')}"`;
}
