import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCli } from '../../src/cli/main.ts';
import { realWorld } from '../../src/cli/world.ts';

// Once: each one listens on the standard error of the process.
const thisProcess = realWorld();
let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mcp-deploy-usage-'));
});
afterAll(async () => {
  expect(await readdir(folder)).toEqual([]);
  await rm(folder, { recursive: true });
});

describe('a wrong line is refused with what is wrong and the next command', () => {
  test.each([
    [['stauts'], 'mcp-deploy has no command stauts.', 'Did you mean status?', 'mcp-deploy status'],
    [['key', 'list'], 'mcp-deploy has no command key.', 'Did you mean keys?', 'mcp-deploy keys list'],
    [
      ['keys', 'lsit', '--json'],
      'mcp-deploy keys has no command lsit.',
      'Did you mean list?',
      'mcp-deploy keys list --json',
    ],
    [['key', 'create', 'S3cr3t!'], 'mcp-deploy has no command key.', 'Did you mean keys?', 'mcp-deploy keys …'],
    [['zzz'], 'mcp-deploy has no command zzz.', undefined, 'mcp-deploy --help'],
    [['up', '--jsn'], 'mcp-deploy up has no flag --jsn.', 'Did you mean --json?', 'mcp-deploy up --help'],
    [
      ['status', 'now'],
      '"now" is one word too many for mcp-deploy status.',
      'It takes flags only.',
      'mcp-deploy status --help',
    ],
    [
      ['apply', 'a', 'b'],
      '"b" is one word too many for mcp-deploy apply.',
      'It takes PLAN.',
      'mcp-deploy apply --help',
    ],
    [['explain'], 'mcp-deploy explain needs CODE.', undefined, 'mcp-deploy explain --help'],
    [
      ['keys', 'create', 'a', '--expires'],
      '--expires <time> has no value.',
      undefined,
      'mcp-deploy keys create --help',
    ],
    [
      ['explain', 'tls/expird'],
      'There is no finding tls/expird.',
      'Did you mean tls/not-expired or tls/expires-soon?',
      'mcp-deploy explain tls/not-expired',
    ],
    [
      ['up', '--listen', 'localhost:99999'],
      '--listen localhost:99999 has port 99999; ports go from 1 to 65535.',
      undefined,
      '--listen localhost:8443',
    ],
    [
      ['cert', 'trust'],
      'There is no deployment in this folder.',
      undefined,
      'mcp-deploy up        or name a file: mcp-deploy cert trust CA.crt',
    ],
  ])('%j', async (args, what, why, next) => {
    const { document, shown, exitCode } = await run(...args);
    expect({ exitCode, error: document.error }).toEqual({
      exitCode: 2,
      error: { what, exitCode: 2, next, ...(why === undefined ? {} : { why }) },
    });
    expect(shown).toBe(`  error   ${what}\n${why === undefined ? '' : `          ${why}\n`}  next    ${next}\n`);
  });

  test.each([
    [['up', 'npx', '-y', 'server'], 'npx', 'mcp-deploy up -- npx …'],
    [['up', 'npx', '--port', '3'], 'npx', 'mcp-deploy up -- npx …'],
    [['init', './server'], './server', 'mcp-deploy init -- ./server'],
  ])('%j is a command of an MCP server that lacks its --', async (args, program, next) => {
    const { document } = await run(...args);
    expect(document.error).toEqual({
      what: `mcp-deploy ${args[0] ?? ''} does not know what to do with "${program}".`,
      why: 'The command of your MCP server stands behind --.',
      next,
      exitCode: 2,
    });
  });

  test('a group without its command shows its help, and says so in the document', async () => {
    const { document, shown, exitCode } = await run('keys');
    expect(exitCode).toBe(2);
    expect(shown).toContain('Usage: mcp-deploy keys COMMAND');
    expect(document.error?.what).toBe('No command is named; its help is on standard error.');
  });

  test('--json behind -- belongs to the MCP server', async () => {
    const { text, exitCode } = await runWith(['stauts', '--', 'server', '--json']);
    expect({ text, exitCode }).toEqual({ text: '', exitCode: 2 });
  });
});

async function run(...args: string[]): Promise<{
  readonly document: { readonly error?: { readonly what: string } };
  readonly shown: string;
  readonly exitCode: number;
}> {
  // What is wrong is found before --json is read, so that it is given to all of them.
  const { text, shown, exitCode } = await runWith(args.includes('--json') ? args : ['--json', ...args]);
  return { document: JSON.parse(text) as { readonly error?: { readonly what: string } }, shown, exitCode };
}

async function runWith(args: readonly string[]): Promise<{ text: string; shown: string; exitCode: number }> {
  const out: string[] = [];
  const err: string[] = [];
  const world = { ...thisProcess, stdout: keep(out), stderr: keep(err), cwd: folder, env: { NO_COLOR: '1' } };
  const exitCode = await runCli(args, world);
  return { text: out.join(''), shown: err.join(''), exitCode };
}

function keep(into: string[]): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      into.push(chunk.toString());
      done();
    },
  });
}
