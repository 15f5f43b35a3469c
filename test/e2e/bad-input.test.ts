import { execFileSync } from 'node:child_process';
import { chmod, mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { documentOf, runBin, runProgram, binFile, withFolder } from '../helpers/cli.ts';
import { testWithTools } from '../helpers/tools.ts';
import { snapshotTree } from '../helpers/tree.ts';

/** Every wrong thing gets one clear sentence, the right exit code, and leaves the folder as it was. */
async function expectRefused(
  folder: string,
  args: readonly string[],
  expected: { exitCode: number; says: readonly (string | RegExp)[] },
): Promise<void> {
  const before = await snapshotTree(folder);
  const result = await runBin(args, { cwd: folder, timeoutMs: 90_000 });
  const text = result.stdout + result.stderr;
  for (const words of expected.says) expect(text).toMatch(words);
  expect(result.exitCode, text).toBe(expected.exitCode);
  expect(text).not.toMatch(/\n\s+at .*\(.*:\d+:\d+\)/);
  expect(await snapshotTree(folder)).toEqual(before);
}

const wrongFiles: readonly [string, string, readonly RegExp[]][] = [
  [
    'an unknown setting',
    'version: 1\nlimits:\n  perKey:\n    requsts: 5\n',
    [/mcp-deploy\.yaml:4:5/, /limits\.perKey\.requsts/, /requests/],
  ],
  [
    'a wrong type',
    'version: 1\nserver:\n  drainSeconds: soon\n',
    [/mcp-deploy\.yaml:3:17/, /server\.drainSeconds/, /number/],
  ],
  ['several problems at once', 'version: 1\nnam: x\nserver:\n  pth: /x\n', [/nam\b[\s\S]*pth\b/, /2 problems/]],
  ['text that is not YAML', 'version: [1\n', [/mcp-deploy\.yaml:\d+:\d+/]],
  [
    'an empty command',
    'version: 1\nserver:\n  upstreams:\n    files:\n      command: ""\n',
    [/server\.upstreams\.files\.command/, /npx/],
  ],
];

describe('a wrong deployment file', () => {
  for (const [name, text, says] of wrongFiles) {
    test(`${name}: file:line:column, what is wrong and a hint; exit 2`, async () => {
      await withFolder(async (folder) => {
        await writeFile(join(folder, 'mcp-deploy.yaml'), text);
        await expectRefused(folder, ['up'], { exitCode: 2, says });
        await expectRefused(folder, ['apply'], { exitCode: 2, says });
        const result = await runBin(['plan', '--json'], { cwd: folder });
        expect(documentOf(result, 2)).toMatchObject({ ok: false });
      });
    });
  }
});

const wrongWords: readonly [readonly string[], number, RegExp][] = [
  [['upp'], 2, /did you mean up/i],
  [['up', '--lisen', 'x'], 2, /--listen/],
  [['up', '--listen', 'nonsense'], 2, /host:port/],
  [['up', '--name', 'Über Name'], 2, /--name/],
  [['up', '--'], 2, /no command behind --/],
  [['status', '--', 'x'], 2, /takes no command/],
  [['status'], 2, /mcp-deploy up/],
  [['stop'], 2, /mcp-deploy up/],
  [['logs'], 2, /mcp-deploy up/],
  [['apply'], 2, /mcp-deploy init/],
  [['keys', 'list'], 2, /mcp-deploy up/],
  [['keys', 'frobnicate'], 2, /keys/],
  [['keys', 'create'], 2, /mcp-deploy keys create --help/],
  [['render', 'apache'], 2, /nginx/],
  [['render'], 2, /render --list/],
  [['doctor'], 2, /doctor https/],
  [['doctor', 'not a url'], 2, /URL/],
  [['doctor', 'ftp://x'], 2, /doctor https:\/\/HOST/],
  [['doctor', 'https://user:pw@localhost/mcp'], 2, /--key-file/],
  [['explain', 'tls/nam'], 2, /tls\/name/],
  [['client', 'print', 'emacs'], 2, /claude-code/],
  [['cert', 'show', 'missing.pem'], 2, /neither a file nor host:port/],
  [['up', '--env', 'TOKEN=hunter2', '--', 'true'], 2, /--env TOKEN=… is not the name/],
  [['up', '--env', 'MCP_TEST_NOT_SET', '--', 'true'], 2, /MCP_TEST_NOT_SET is not set/],
];

describe('wrong words', () => {
  for (const [args, exitCode, says] of wrongWords) {
    test(`mcp-deploy ${args.join(' ')}: exit ${exitCode} and a way on`, async () => {
      await withFolder(async (folder) => expectRefused(folder, args, { exitCode, says: [says] }));
    });
  }
});

test('a port that the file names and another process holds: exit 3, the holder named, nothing made', async () => {
  const holder = await listenOnFreePort();
  const { port } = holder.address() as AddressInfo;
  try {
    await withFolder(async (folder) => {
      await writeFile(join(folder, 'mcp-deploy.yaml'), `version: 1\nserver:\n  listen: localhost:${port}\n`);
      await expectRefused(folder, ['up'], { exitCode: 3, says: [new RegExp(`${port}`), /taken/] });
    });
  } finally {
    holder.close();
  }
});

test('a command that does not exist: exit 4, its name, and the folder as before', async () => {
  await withFolder(async (folder) =>
    expectRefused(folder, ['up', '--', 'no-such-program-here', '--flag'], {
      exitCode: 4,
      says: [/no-such-program-here/, /undone|as it was before/],
    }),
  );
});

test('a command that dies at start: exit 4, its last words shown, and the folder as before', async () => {
  await withFolder(async (folder) =>
    expectRefused(
      folder,
      ['up', '--', process.execPath, '-e', 'console.error("cannot open /srv/index.json"); process.exit(3)'],
      {
        exitCode: 4,
        says: [/cannot open \/srv\/index\.json/, /undone|as it was before/],
      },
    ),
  );
}, 90_000);

test('an unreadable certificate of one’s own: a sentence with the file’s name', async () => {
  await withFolder(async (folder) => {
    await writeFile(join(folder, 'mine.crt'), 'this is no certificate\n');
    await writeFile(join(folder, 'mine.key'), 'this is no key\n', { mode: 0o600 });
    await writeFile(
      join(folder, 'mcp-deploy.yaml'),
      'version: 1\ntls:\n  source: files\n  certificate: mine.crt\n  key: mine.key\n',
    );
    await expectRefused(folder, ['up'], { exitCode: 3, says: [/mine\.crt/] });
  });
});

test('a certificate file that is missing: a sentence with the file’s name', async () => {
  await withFolder(async (folder) => {
    await writeFile(
      join(folder, 'mcp-deploy.yaml'),
      'version: 1\ntls:\n  source: files\n  certificate: gone.crt\n  key: gone.key\n',
    );
    await expectRefused(folder, ['up'], { exitCode: 3, says: [/gone\.crt/] });
  });
});

testWithTools(['setpriv'], 'no write permission: exit 3, the folder named, nothing made', async () => {
  await withFolder(async (folder) => {
    const locked = join(folder, 'locked');
    await mkdir(locked);
    await chmod(locked, 0o555);
    await chmod(folder, 0o755);
    // Root may write anywhere, so the command runs as nobody where this test is run by root.
    const asNobody = process.getuid?.() === 0;
    const result = await runProgram(
      asNobody ? 'setpriv' : process.execPath,
      asNobody
        ? ['--reuid=65534', '--regid=65534', '--clear-groups', process.execPath, binFile, 'up']
        : [binFile, 'up'],
      { cwd: locked, env: { HOME: '/tmp' } },
    );
    expect(result.stderr).toMatch(/permission|may not/i);
    expect(result.stderr).toContain('locked');
    expect(result.exitCode).toBe(3);
    expect(await readdir(locked)).toEqual([]);
  });
});

testWithTools(['mount', 'umount'], 'a full disk: exit 3 or 4, said so, everything undone', async () => {
  await withFolder(async (folder) => {
    const disk = join(folder, 'disk');
    await mkdir(disk);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k,mode=0755', 'tmpfs', disk]);
    try {
      await writeFile(join(disk, 'mine.bin'), Buffer.alloc(40 * 1024));
      const before = await snapshotTree(disk);
      const result = await runBin(['up'], { cwd: disk });
      expect(result.stderr).toMatch(/no space|full/i);
      expect([3, 4]).toContain(result.exitCode);
      expect(await snapshotTree(disk)).toEqual(before);
    } finally {
      execFileSync('umount', [disk]);
    }
  });
});

test('two up at once: one does it, the other waits its turn or says who holds the lock; one server runs', async () => {
  await withFolder(async (folder) => {
    const results = await Promise.all([1, 2, 3].map(() => runBin(['up'], { cwd: folder })));
    const codes = results.map((result) => result.exitCode).toSorted();
    expect(codes[0]).toBe(0);
    for (const result of results) {
      if (result.exitCode === 0) continue;
      expect(result.exitCode).toBe(3);
      expect(result.stderr).toMatch(/Process \d+ on/);
    }
    expect(documentOf(await runBin(['status', '--json'], { cwd: folder }))).toMatchObject({
      server: { state: 'running' },
    });
    expect(JSON.parse(await readFile(join(folder, '.mcp-deploy/releases/1.json'), 'utf8'))).toMatchObject({
      release: 1,
    });
  });
}, 60_000);

async function listenOnFreePort(): Promise<Server> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return server;
}

test('a secret on the command line is not said again by plan and init', async () => {
  await withFolder(async (folder) => {
    const token = 'sk-abcdefghijklmnop1234567890';
    const plan = await runBin(['plan', '--', 'true', '--token', token], { cwd: folder });
    expect(plan.stdout).toContain('--token');
    expect(plan.stdout + plan.stderr).not.toContain(token);
    const init = await runBin(['init', '--yes', '--no-apply', '--', 'true', '--token', token], { cwd: folder });
    expect(init.exitCode).toBe(0);
    expect(init.stdout + init.stderr).not.toContain(token);
  });
});

test('a log that cannot be read is no bug of ours', async () => {
  await withFolder(async (folder) => {
    await mkdir(join(folder, '.mcp-deploy/logs/server.log'), { recursive: true });
    const logs = await runBin(['logs'], { cwd: folder });
    expect(logs.exitCode).toBe(3);
    expect(logs.stderr).toContain('There is a folder of that name');
  });
});
