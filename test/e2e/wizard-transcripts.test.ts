import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, readdir, realpath, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { profileIds, type ProfileId } from '../../src/cli/wizard/profile-ids.ts';
import { profiles } from '../../src/cli/wizard/profiles.ts';
import { binFile, repository } from '../helpers/cli.ts';
import { Terminal } from '../helpers/terminal.ts';
import { findProgram, testWithTools } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';

/** What somebody types at a question; a line break is Enter. */
type Step = readonly [question: string, typed: string];

const server: Step = ['Command or URL of your MCP server', 'npx -y @acme/notes\n'];
const name: Step = ['Name of the deployment', 'notes\n'];
const keys: Step = ['Require an API key?', '\n'];
const publicName: Step = ['Public name', 'mcp.example.com\n'];
const privateCa: Step = ['Certificate', 'a p\n'];
const ownImage: Step = ['Name of the image', '\n'];
const act: Step = ['Apply now?', '\n'];
const onlyWrite: Step = ['Apply now?', 'only\n'];
const listenOn = (port: number): Step => ['Listen on', `localhost:${port}\n`];
const names: Step = ['Names and addresses', 'localhost, mac.local\n'];
/** Opens a list and takes the one whose title begins so. */
const profile = (title: string): Step => ['Where does it run?', `${title}\n`];

/** What is typed for every profile, by a person who writes the files and applies them later. */
const interviews: Readonly<Record<ProfileId, (port: number) => readonly Step[]>> = {
  local: (port) => [profile('Try'), server, name, listenOn(port), keys, onlyWrite],
  'linux-nginx': () => [
    profile('Linux host, n'),
    server,
    name,
    publicName,
    ['Certificate', "Let's\n"],
    ['E-mail', 'ops@example.com\n'],
    ['Do you accept', 'y\n'],
    keys,
    onlyWrite,
  ],
  'linux-caddy': () => [profile('Linux host, C'), server, name, publicName, ['Certificate', '\n'], keys, onlyWrite],
  'linux-haproxy': () => [
    profile('Linux host, H'),
    server,
    name,
    publicName,
    ['Certificate', 'files\n'],
    ['Certificate file', 'site.crt\n'],
    ['Private key', 'site.key\n'],
    keys,
    onlyWrite,
  ],
  'linux-user': (port) => [profile('Linux service'), server, name, listenOn(port), keys, onlyWrite],
  macos: (port) => [profile('Mac'), server, name, listenOn(port), names, keys, onlyWrite],
  docker: () => [profile('Docker'), server, name, publicName, privateCa, ownImage, keys, act],
  kubernetes: () => [
    profile('Kubernetes'),
    server,
    name,
    publicName,
    ['Name of the image', 'registry.example.com/mcp:1.0.0\n'],
    keys,
    act,
  ],
  'mac-desktop': (port) => [profile('Desktop'), server, name, listenOn(port), names, keys, onlyWrite],
  'team-keys': () => [profile('Service'), server, name, publicName, ownImage, keys, onlyWrite],
  'declared-tools': () => [profile('Tools'), server, name, publicName, privateCa, keys, onlyWrite],
  'api-gateway': () => [profile('API'), server, name, publicName, privateCa, ownImage, keys, onlyWrite],
  'terminal-daemon': (port) => [profile('Terminal'), server, name, listenOn(port), names, keys, onlyWrite],
};

/** What this machine would answer, where it is not asked. */
const ownNames = '--names localhost,127.0.0.1,::1';
const argsFor = (id: ProfileId) => (port: number) =>
  id === 'local' || id === 'linux-user'
    ? ownNames
    : /linux-(?!user)|tools/.test(id)
      ? `--listen localhost:${port}`
      : '';

/** Whether what would be done is the same on every machine. The steps on hosts are shown by tests of the plan. */
const hasPlan = (id: ProfileId): boolean => ['local', 'docker', 'kubernetes', 'team-keys', 'api-gateway'].includes(id);

/** What the machines of continuous integration are: root, without a systemd that runs. Elsewhere other words are right. */
const isUsualMachine =
  process.getuid?.() === 0 &&
  !existsSync('/run/systemd/system') &&
  ['nginx', 'caddy', 'haproxy', 'systemctl'].every((tool) => findProgram(tool) !== null);

interface Run {
  readonly folder: string;
  readonly port: number;
  readonly terminal: Terminal;
}

/** A wizard in a terminal, in an empty folder that is also the home of its user. */
async function inTerminal(
  options: {
    columns?: number;
    args?: string | ((port: number) => string);
    env?: string;
    /** In the folder before the wizard looks. */
    file?: (port: number) => readonly [name: string, text: string];
    wrap?: (command: string) => string;
  },
  run: (started: Run) => Promise<void>,
): Promise<void> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'mcp-deploy-wizard-')));
  const work = join(folder, 'work');
  mkdirSync(work);
  const port = await freePort();
  const args = typeof options.args === 'function' ? options.args(port) : (options.args ?? '');
  const command = `${process.execPath} ${binFile} init ${args}`;
  const file = options.file?.(port);
  if (file !== undefined) await writeFile(join(work, file[0]), file[1]);
  const terminal = new Terminal({
    socket: join(folder, 'tmux.sock'),
    cwd: work,
    command: `export HOME=${folder} ${options.env ?? ''}; ${options.wrap?.(command) ?? command}; echo "exit=$?"; sleep 120`,
    columns: options.columns ?? 80,
    rows: 60,
  });
  try {
    await run({ folder: work, port, terminal });
  } finally {
    terminal.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Five digits, so that lines break where they do in the golden files. */
async function freePort(): Promise<number> {
  const held = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => held.once('listening', resolve));
  const { port } = held.address() as AddressInfo;
  await new Promise((resolve) => held.close(resolve));
  return port;
}

const patienceMs = 60_000;

async function answer(terminal: Terminal, steps: readonly Step[], mark = '? '): Promise<void> {
  for (const [question, typed] of steps) {
    await terminal.shows(`${mark}${question}`, patienceMs);
    const text = typed.replace('\n', '');
    if (text !== '') terminal.type(text);
    terminal.press('Enter');
  }
}

/** What is the same on every machine. */
function normalised(screen: string, { folder, port }: Pick<Run, 'folder' | 'port'>): string {
  return (
    screen
      .replaceAll(folder, '/srv/work')
      // A terminal breaks lines within a number, too.
      .replaceAll(
        new RegExp(
          String(port)
            .split('')
            .join(String.raw`\n?`),
          'g',
        ),
        (found) => likeBreaks(found, '18443'),
      )
      .replaceAll(/localhost:84\d\d/g, 'localhost:8443')
      .replaceAll(`host ${hostname()}`, 'host box')
      .replaceAll(/\b1?\d files/g, 'N files')
      .split('\n')
      .map((line) => line.trimEnd())
      .join('\n')
      .replaceAll(/\n{3,}/g, '\n\n')
      .trim()
      .concat('\n')
  );
}

/** The text with line breaks where the other has them. */
function likeBreaks(broken: string, text: string): string {
  const at = broken.indexOf('\n');
  return at === -1 ? text : `${text.slice(0, at)}\n${text.slice(at)}`;
}

function expectGolden(file: string, text: string): void {
  const path = join(repository, 'test/golden/wizard', file);
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(path, text);
  expect(text).toBe(readFileSync(path, 'utf8'));
}

describe.concurrent('a person at a terminal', { timeout: 180_000 }, () => {
  for (const id of profileIds) {
    if (!isUsualMachine && !hasPlan(id)) continue;
    testWithTools(['tmux'], `sets up ${id}; the screen is as in the golden file, and the files are there`, async () => {
      await inTerminal({ args: argsFor(id) }, async (run) => {
        await answer(run.terminal, interviews[id](run.port));
        const screen = await run.terminal.shows('exit=0', patienceMs);
        const text = normalised(screen, run);
        expectGolden(
          `${id}.txt`,
          hasPlan(id) ? text : text.replace(/(?<=^ {2}keys .*\n\n)[^]*?(?=^✔ Apply)/m, '  (the plan)\n\n'),
        );
        const written = await readdir(run.folder);
        expect(written).toContain('mcp-deploy.yaml');
        expect(written.includes('deploy')).toBe(['docker', 'kubernetes'].includes(id));
        // For editors; a service of the host has its state folder elsewhere.
        const state = await readdir(join(run.folder, '.mcp-deploy')).catch(() => null);
        const namesIt = readFileSync(join(run.folder, 'mcp-deploy.yaml'), 'utf8').startsWith(
          '# yaml-language-server: ',
        );
        expect(state).toEqual(namesIt ? ['.gitignore', 'journal', 'mcp-deploy.schema.json'] : null);
        expect(namesIt).toBe(!['linux-nginx', 'linux-caddy', 'linux-haproxy', 'declared-tools'].includes(id));
      });
    });
  }

  for (const columns of [40, 200]) {
    testWithTools(['tmux'], `reads well at ${columns} columns`, async () => {
      await inTerminal({ columns, args: ownNames }, async (run) => {
        const first = await run.terminal.shows('Terminal tools', patienceMs);
        await answer(run.terminal, interviews.local(run.port));
        const screen = await run.terminal.shows('exit=0', patienceMs);
        const both = `${normalised(first, run)}\n---- the end\n\n${normalised(screen, run)}`;
        expectGolden(`columns-${columns}.txt`, both);
      });
    });
  }

  testWithTools(['tmux'], 'goes back and is told more, and what was answered is offered again', async () => {
    await inTerminal({ args: ownNames }, async (run) => {
      const { terminal } = run;
      await terminal.shows('? Where does it run?', patienceMs);
      terminal.type('<');
      await terminal.shows('This is the first question', patienceMs);
      terminal.type('?');
      await terminal.shows('Each is a whole setup', patienceMs);
      await answer(terminal, [['Where does it run?', '\n'], server, ['Name of the deployment', '?\n']]);
      await terminal.shows('It names services', patienceMs);
      await answer(terminal, [['Name of the deployment', '<\n']]);
      await terminal.shows(/\? Command or URL.*\n?.*@acme\/notes/, patienceMs);
      await answer(terminal, [['Command or URL', '\n'], name, listenOn(run.port), ['Require an API key?', 'n\n']]);
      await terminal.shows('? Apply now?', patienceMs);
      terminal.type('<');
      await terminal.shows(/\? Require an API key\? \(y\/N\)/, patienceMs);
      await answer(terminal, [
        ['Require an API key?', 'y\n'],
        ['Apply now?', 'leave\n'],
      ]);
      const screen = await terminal.shows('exit=0', patienceMs);
      expectGolden('back-and-help.txt', normalised(screen, run));
      expect(await readdir(run.folder)).toEqual([]);
    });
  });

  testWithTools(
    ['tmux', 'script'],
    'asks line by line for a screen reader: no byte moves the cursor or colours',
    async () => {
      const wrap = (command: string): string => `script -qec "${command}" ../raw.txt`;
      await inTerminal({ env: 'TERM=dumb ACCESSIBLE=0', wrap }, async (run) => {
        const { terminal } = run;
        const plainly: readonly Step[] = [
          ['Number [1]:', '?\n'],
          ['Number [1]:', '99\n'],
          ['Number [1]:', 'docker\n'],
          ['Command or URL of your MCP server (empty: built-in tools):', 'npx "open\n'],
          ['Command or URL of your MCP server (empty: built-in tools):', 'npx notes\n'],
          ['Name of the deployment [work]:', '<\n'],
          ['Command or URL of your MCP server (empty: built-in tools) [npx notes; - for none]:', '\n'],
          ['Name of the deployment [work]:', 'notes\n'],
          ['Public name (empty: this machine only):', '\n'],
          ['Name of the image [mcp-notes:latest]:', '\n'],
          ['Require an API key? [Y/n]:', 'perhaps\n'],
          ['Require an API key? [Y/n]:', 'y\n'],
          ['Number [1]:', '2\n'],
        ];
        for (const [question, typed] of plainly) {
          // What is last on the screen is the question that waits.
          await waitUntil(() => lastWords(terminal).endsWith(question), patienceMs, question);
          terminal.type(typed.replace('\n', ''));
          terminal.press('Enter');
        }
        const screen = await terminal.shows('exit=0', patienceMs);
        const text = normalised(screen, run);
        for (const { title } of profiles) expect(text).toContain(`. ${title}: `);
        // What is said of each profile depends on the machine.
        expectGolden('plain.txt', text.replace(/(?<=Where does it run\?\n)[^]*?(?=Number)/, '(the profiles)\n'));
        const raw = readFileSync(join(run.folder, '../raw.txt'), 'utf8');
        expect(raw.includes('\u001b')).toBe(false);
      });
    },
  );

  testWithTools(['tmux'], 'sees no colour with NO_COLOR, and some without', async () => {
    for (const env of ['NO_COLOR=1', 'NO_COLOR=']) {
      await inTerminal({ env }, async ({ terminal }) => {
        await terminal.shows('Terminal tools', patienceMs);
        expect(/\u001b\[[0-9;]*m/.test(terminal.screen({ colours: true }))).toBe(env === 'NO_COLOR=');
      });
    }
  });

  const endings: readonly (readonly [string, string, string, number])[] = [
    ['Ctrl-C', '', 'C-c', 130],
    ['Ctrl-C, line by line', '--plain', 'C-c', 130],
    ['the end of the input', '', 'C-d', 130],
    ['the end of the input, line by line', '--plain', 'C-d', 130],
  ];
  for (const [title, args, key, exitCode] of endings) {
    testWithTools(
      ['tmux'],
      `leaves everything as it was with ${title}, at the first question and the last`,
      async () => {
        await Promise.all(
          [0, 5].map((at) =>
            inTerminal({ args, file: () => ['package.json', '{}'] }, async ({ terminal, folder, port }) => {
              const isPlain = args !== '';
              const steps = isPlain ? plainSteps(port) : interviews.local(port);
              await answer(terminal, steps.slice(0, at), isPlain ? '' : '? ');
              await terminal.shows(`${isPlain ? '' : '? '}${steps[at]?.[0] ?? ''}`, patienceMs);
              terminal.press(key);
              expect(await terminal.shows(/exit=\d+/, patienceMs)).toContain(`exit=${exitCode}`);
              expect(await readdir(folder)).toEqual(['package.json']);
            }),
          ),
        );
      },
    );
  }

  testWithTools(['tmux'], 'may close the window: the wizard ends, and nothing was changed', async () => {
    await inTerminal(
      { wrap: (command) => `${command} & echo $! > ../pid; fg`, env: '; set -m' },
      async ({ terminal, folder }) => {
        await terminal.shows('? Where does it run?', patienceMs);
        const pid = Number(readFileSync(join(folder, '../pid'), 'utf8'));
        terminal.close();
        await waitUntil(() => !existsSync(`/proc/${pid}`), patienceMs, 'the wizard to end');
        expect(await readdir(folder)).toEqual([]);
      },
    );
  });

  testWithTools(
    ['tmux'],
    'is offered the servers of the folder and of clients; of variables only the names are taken',
    async () => {
      const entry = { command: 'npx', args: ['-y', 'files'], env: { FILES_TOKEN: 'clear-text' } };
      const settings = JSON.stringify({ mcpServers: { files: entry, remote: { url: 'https://x.example.com/mcp' } } });
      await inTerminal({ file: () => ['.mcp.json', settings] }, async ({ terminal, folder, port }) => {
        await answer(terminal, [profile('Try')]);
        const screen = await terminal.shows('? Which MCP server?', patienceMs);
        expect(screen).toContain('npx -y files');
        expect(screen).toContain('found in Claude Code, "files"');
        expect(screen).not.toContain('x.example.com');
        await answer(terminal, [['Which MCP server?', '\n'], name, listenOn(port), keys]);
        expect(await terminal.shows('? Apply now?', patienceMs)).toContain('not set here: FILES_TOKEN');
        await answer(terminal, [onlyWrite]);
        await terminal.shows('exit=0', patienceMs);
        const text = readFileSync(join(folder, 'mcp-deploy.yaml'), 'utf8');
        expect(text).toContain('FILES_TOKEN: "${FILES_TOKEN}"');
        expect(text).not.toContain('clear-text');
      });
    },
  );

  testWithTools(['tmux'], 'edits a deployment that is there: its answers are offered, its comments stay', async () => {
    const text = (port: number): string =>
      `# ours\nversion: 1\nname: notes # as the team says\nserver: { listen: 'localhost:${port}' } # odd\n`;
    await inTerminal({ file: (port) => ['mcp-deploy.yaml', text(port)] }, async ({ terminal, folder, port }) => {
      const before = text(port);
      await answer(terminal, [
        ['Where does it run?', '\n'],
        ['Command or URL', '\n'],
        ['Name of the deployment (notes)', 'minutes\n'],
        [`Listen on (localhost:${port})`, '\n'],
        keys,
        onlyWrite,
      ]);
      const screen = await terminal.shows('exit=0', patienceMs);
      expect(screen).toContain('+ name: minutes # as the team says');
      expect(readFileSync(join(folder, 'mcp-deploy.yaml'), 'utf8')).toBe(
        before.replace('name: notes', 'name: minutes'),
      );
    });
  });
});

/** The same answers where a number chooses. */
function plainSteps(port: number): readonly Step[] {
  return [['Number [1]', '\n'], server, name, listenOn(port), keys, ['Apply now?', '2\n']];
}

/** The last lines, however they were broken. */
function lastWords(terminal: Terminal): string {
  return terminal.screen().trimEnd().split('\n').slice(-4).join(' ').replaceAll(/\s+/g, ' ');
}

test('every golden transcript belongs to a test', () => {
  const expected = [...profileIds, 'columns-40', 'columns-200', 'plain', 'back-and-help'].map((each) => `${each}.txt`);
  expect(readdirSync(join(repository, 'test/golden/wizard')).toSorted()).toEqual(expected.toSorted());
});
