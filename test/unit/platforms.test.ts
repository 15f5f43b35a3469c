import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, describe, expect, test } from 'vitest';
import { allCommands } from '../../src/cli/describe-program.ts';
import { runCli } from '../../src/cli/main.ts';
import { interruptSignals, platformCaution, refuseOnPlatform } from '../../src/cli/platform-support.ts';
import { buildProgram } from '../../src/cli/program.ts';
import { givenPassphrase } from '../../src/cli/read-passphrase.ts';
import { parseAnswers } from '../../src/cli/wizard/parse-answers.ts';
import type { CommandContext } from '../../src/cli/context.ts';
import { realWorld, type World } from '../../src/cli/world.ts';
import { clients, describeClient } from '../../src/clients/index.ts';
import { userSettingsPath } from '../../src/clients/settings-path.ts';
import { createLog } from '../../src/server/observe/log.ts';
import { createSecretReader } from '../../src/server/secret-reader.ts';
import { signalMeanings } from '../../src/server/serve-signals.ts';

const folder = mkdtempSync(join(tmpdir(), 'mcp-deploy-platforms-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const program = buildProgram(realWorld(), () => Promise.resolve(0)).describe();
const names = allCommands(program)
  .filter(({ children, words }) => children.length === 0 && words.length > 0 && words[0] !== 'serve')
  .map(({ words }) => words.join(' '));
const refuses = (platform: NodeJS.Platform, name: string): boolean => {
  try {
    refuseOnPlatform(platform, name);
    return false;
  } catch {
    return true;
  }
};

/** The command line as it would run on another operating system. */
async function runOn(platform: NodeJS.Platform, args: readonly string[]) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const world: World = {
    stdin: new PassThrough(),
    stdout,
    stderr,
    env: {},
    cwd: folder,
    platform,
    onInterrupt: () => () => {},
  };
  const exitCode = await runCli(args, world);
  const textOf = (stream: PassThrough): string => String(stream.read() ?? '');
  return { exitCode, stdout: textOf(stdout), stderr: textOf(stderr) };
}

describe('Windows', () => {
  test('has the commands that look at other machines, write files or make certificates, and no command that needs a server', () => {
    const works = names.filter((name) => !refuses('win32', name));
    expect(works).toEqual(
      expect.arrayContaining(['doctor', 'bench', 'render', 'client add', 'cert issue', 'cert verify']),
    );
    const needsUnix = /^(?:up|apply|rollback|status|start|stop|uninstall|keys create|cert renew)$/;
    expect(works.filter((name) => needsUnix.test(name))).toEqual([]);
    // Nobody has looked whether a command works there that is not known yet.
    expect(refuses('win32', 'a new command')).toBe(true);
  });

  test.each([['status'], ['up', '--json'], ['keys', 'list']])(
    'says of %s what works instead, with exit 3',
    async (...words) => {
      const { exitCode, stdout, stderr } = await runOn('win32', words);
      expect(exitCode).toBe(3);
      expect(stderr).toContain('does not work on Windows itself');
      expect(stderr).toMatch(/next {4}Inside WSL: wsl npx mcp-deploy (?:status|up|keys list) /);
      if (words.includes('--json')) expect(JSON.parse(stdout)).toMatchObject({ ok: false, error: { exitCode: 3 } });
    },
  );

  test('runs what works, and warns that a private key has no mode', async () => {
    expect(await runOn('win32', ['explain', 'tls/name'])).toMatchObject({ exitCode: 0, stderr: '' });
    expect(platformCaution('win32', 'cert issue')).toContain('no file modes');
    expect(platformCaution('win32', 'cert show')).toBeNull();
  });

  test('ends a command and a server by what it has for signals; the closed window is no reload', () => {
    expect(interruptSignals('win32')).toContain('SIGBREAK');
    expect(signalMeanings('win32')).toEqual({ stop: expect.arrayContaining(['SIGHUP', 'SIGBREAK']), reload: [] });
  });
});

test.each(['linux', 'darwin'] as const)('%s has every command, and SIGHUP reloads there', (platform) => {
  expect(names.filter((name) => refuses(platform, name) || platformCaution(platform, name) !== null)).toEqual([]);
  expect(interruptSignals(platform)).toEqual(['SIGINT', 'SIGTERM', 'SIGHUP']);
  expect(signalMeanings(platform)).toEqual({ stop: ['SIGTERM', 'SIGINT'], reload: ['SIGHUP'] });
});

describe('the settings of a client', () => {
  const places = {
    linux: { platform: 'linux', home: '/home/ada', env: {} },
    macos: { platform: 'darwin', home: '/Users/ada', env: {} },
    windows: { platform: 'win32', home: String.raw`C:\Users\ada`, env: { APPDATA: String.raw`D:\Roaming` } },
  } as const;
  test.each(Object.entries(places))('are absolute on %s, in the manner of the system', (system, place) => {
    const paths = clients.map((client) => userSettingsPath(client, place)).filter((path) => path !== null);
    expect(paths.length).toBeGreaterThan(5);
    for (const path of paths) {
      if (system === 'windows') expect(path).toMatch(/^[CD]:\\[^/]+$/);
      else expect(path).toMatch(/^\/(?:home|Users)\/ada\/[^\\]+$/);
      expect(path).not.toMatch(/[~%]/);
    }
  });

  test('of Claude Desktop are in %APPDATA% on Windows, and nowhere on Linux', () => {
    const desktop = describeClient('claude-desktop');
    expect(userSettingsPath(desktop, places.windows)).toBe(String.raw`D:\Roaming\Claude\claude_desktop_config.json`);
    expect(userSettingsPath(desktop, { ...places.windows, env: {} })).toBe(
      String.raw`C:\Users\ada\AppData\Roaming\Claude\claude_desktop_config.json`,
    );
    expect(userSettingsPath(desktop, places.linux)).toBeNull();
  });
});

describe('files with the line ends of Windows', () => {
  const write = (name: string, text: string): string => {
    const path = join(folder, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };

  test('a file of answers is read', () => {
    const text = 'version: 1\nname: notes\ncommand: [npx, server]\n';
    const options = { file: 'answers.yaml', env: {} };
    expect(parseAnswers(text.replaceAll('\n', '\r\n'), options)).toEqual(parseAnswers(text, options));
  });

  test('a secret in a file ends before its line end', async () => {
    const log = createLog({ level: 'error', write: () => {} });
    const reader = createSecretReader({ env: {}, baseDir: folder, log });
    const path = write('secret', 'a secret\r\n');
    expect(await reader.read('TOKEN', `file:${path}`)).toBe('a secret');
  });

  test('a passphrase in a file ends before its line end', () => {
    const path = write('passphrase', 'open sesame\r\n');
    const context = { world: { cwd: folder, env: {} } } as unknown as CommandContext;
    expect(givenPassphrase(context, { passphraseFile: path })).toBe('open sesame');
  });
});
