import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { binFile, runBin, runProgram, type CliResult } from '../helpers/cli.ts';
import { findProgram, testWithTools } from '../helpers/tools.ts';

let folder: string;
let env: NodeJS.ProcessEnv;

beforeAll(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'mcp-deploy-completion-')));
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  writeFileSync(join(bin, 'mcp-deploy'), `#!/bin/sh\nexec ${process.execPath} ${binFile} "$@"\n`);
  chmodSync(join(bin, 'mcp-deploy'), 0o755);
  writeFileSync(join(folder, 'my key.pem'), '');
  env = { PATH: `${bin}:${process.env['PATH'] ?? ''}`, HOME: folder, ZDOTDIR: folder, XDG_CONFIG_HOME: folder };
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const inShell = (shell: string, args: readonly string[]): Promise<CliResult> =>
  runProgram(findProgram(shell) ?? shell, args, { cwd: folder, env });

testWithTools(['bash'], 'bash offers commands, clients, flags, codes with slashes, and files', async () => {
  const script = `
set -u
source <(mcp-deploy completion bash)
complete -p mcp-deploy
try() {
  COMP_LINE="$1"; COMP_POINT=\${#1}; COMP_WORDBREAKS=$' \\t\\n"\\'><=;|&(:'
  local last="\${1##*[ :=]}"
  _mcp_deploy mcp-deploy "$last" x
  printf '%s -> %s\\n' "$1" "\${COMPREPLY[*]-}"
}
try 'mcp-deploy sta'
try 'mcp-deploy client add cl'
try 'mcp-deploy client add cursor --dr'
try 'mcp-deploy explain tls/na'
try 'mcp-deploy cert verify my'
`;
  const { exitCode, stdout, stderr } = await inShell('bash', ['--norc', '-c', script]);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  expect(stdout.split('\n')).toEqual([
    'complete -F _mcp_deploy mcp-deploy',
    'mcp-deploy sta -> status start',
    'mcp-deploy client add cl -> claude-code claude-desktop',
    'mcp-deploy client add cursor --dr -> --dry-run',
    'mcp-deploy explain tls/na -> tls/name',
    'mcp-deploy cert verify my -> my key.pem',
    '',
  ]);
});

testWithTools(['fish'], 'fish offers the same, with what each is for', async () => {
  const script = `mcp-deploy completion fish | source; complete -C 'mcp-deploy client add cl'; complete -C 'mcp-deploy sta'`;
  const { exitCode, stdout } = await inShell('fish', ['--no-config', '-c', script]);
  expect(exitCode).toBe(0);
  expect(stdout).toMatch(/^claude-code\t?\nclaude-desktop\t?\n/);
  expect(stdout).toContain('status\tone glance');
});

testWithTools(['zsh'], 'zsh loads its script and knows the function for the command', async () => {
  const script = `autoload -Uz compinit && compinit -u -D; source <(mcp-deploy completion zsh); print -r -- $_comps[mcp-deploy]`;
  const { exitCode, stdout, stderr } = await inShell('zsh', ['-f', '-c', script]);
  expect({ exitCode, stdout, stderr }).toEqual({ exitCode: 0, stdout: '_mcp_deploy\n', stderr: '' });
});

testWithTools(['man'], 'man shows the page without a complaint', async () => {
  const page = join(folder, 'mcp-deploy.1');
  writeFileSync(page, (await runBin(['man'], { cwd: folder })).stdout);
  const shown = await runProgram(findProgram('man') ?? 'man', ['--warnings', '-E', 'UTF-8', '-l', page], {
    cwd: folder,
    env: { ...env, MANWIDTH: '100', LC_ALL: 'C.UTF-8', MAN_KEEP_FORMATTING: '', PAGER: 'cat' },
  });
  expect({ exitCode: shown.exitCode, stderr: shown.stderr }).toEqual({ exitCode: 0, stderr: '' });
  expect(shown.stdout).toMatch(/client add/);
});
