import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { appendFile, chmod, chown, mkdir, rm, truncate, writeFile } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { answerJson } from '../fixtures/mcp-servers/fixture-server.ts';
import { findProgram, runTool } from '../helpers/tools.ts';
import { afterwards } from './laboratory.ts';
import type { OwnFault } from './own-faults.ts';
import { runProgram } from '../helpers/run-program.ts';
import type { Deployed } from './own-laboratory.ts';

const put = async ({ folder }: Pick<Deployed, 'folder'>, name: string, text: string, mode = 0o644): Promise<string> => {
  const path = join(folder, name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text, { mode });
  await chmod(path, mode);
  return path;
};
const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
const daysAgo = (days: number): string => new Date(Date.now() - days * 86_400_000).toISOString();
const git = (folder: string, ...args: readonly string[]): void => {
  runTool('git', ['-C', folder, ...args]);
};

/** What can go wrong around a deployment that serves every call well. */
export const machineFaults: readonly OwnFault[] = [
  {
    fault: 'the API key was written into mcp-deploy.yaml',
    code: 'host/secrets-in-settings',
    hop: 'host',
    change: ({ folder, key }) => appendFile(join(folder, 'mcp-deploy.yaml'), `# key\nname: x # ${key}\n`),
    twin: {
      fact: 'a reference stands there',
      change: ({ folder }) =>
        appendFile(
          join(folder, 'mcp-deploy.yaml'),
          'x:\n  GITHUB_TOKEN: ${GITHUB_TOKEN}\n  API_KEY: ${file:/run/k-1234567890}\n',
        ),
    },
  },
  {
    fault: 'a token of an upstream stands in it in clear',
    code: 'host/secrets-in-settings',
    hop: 'host',
    severity: 'warning',
    change: ({ folder }) => appendFile(join(folder, 'mcp-deploy.yaml'), '  GITHUB_TOKEN: ghp_1a2b3c4d5e6f7g8h9i0j\n'),
    twin: {
      fact: 'settings whose names sound like it',
      change: ({ folder }) =>
        appendFile(
          join(folder, 'mcp-deploy.yaml'),
          '  passphraseFile: /etc/keys/backup-2026.txt\n  MAX_TOKENS: 1234567890123456\n',
        ),
    },
  },
  {
    fault: 'git keeps the API key',
    code: 'host/secrets-in-git',
    hop: 'host',
    change: ({ folder }) => {
      git(folder, 'init', '--quiet');
      git(folder, 'add', '--force', 'default.key');
      return Promise.resolve();
    },
    twin: {
      fact: 'git keeps the settings alone',
      change: ({ folder }) => {
        git(folder, 'init', '--quiet');
        git(folder, 'add', 'mcp-deploy.yaml');
        return Promise.resolve();
      },
    },
  },
  {
    fault: 'git keeps settings of a client that hold the key',
    code: 'host/secrets-in-git',
    hop: 'host',
    change: async ({ folder, key, url }) => {
      const entry = { type: 'http', url, headers: { Authorization: `Bearer ${key}` } };
      await put({ folder }, '.mcp.json', json({ mcpServers: { mcp: entry } }));
      git(folder, 'init', '--quiet');
      git(folder, 'add', '.mcp.json');
    },
    twin: {
      fact: 'they refer to a variable',
      change: async ({ folder, url }) => {
        const entry = { type: 'http', url, headers: { Authorization: 'Bearer ${MCP_KEY}' } };
        await put({ folder }, '.mcp.json', json({ mcpServers: { mcp: entry } }));
        git(folder, 'init', '--quiet');
        git(folder, 'add', '.mcp.json');
      },
    },
  },
  {
    fault: 'everyone can read .env',
    code: 'host/environment-files',
    hop: 'host',
    change: async (at) => void (await put(at, '.env', 'GITHUB_TOKEN=ghp_1a2b3c4d5e6f7g8h9i0j\n', 0o644)),
    twin: {
      fact: 'its owner alone can, and everyone the example',
      change: async (at) => {
        await put(at, '.env', 'GITHUB_TOKEN=ghp_1a2b3c4d5e6f7g8h9i0j\n', 0o600);
        await put(at, '.env.example', 'GITHUB_TOKEN=ghp_1a2b3c4d5e6f7g8h9i0j\n', 0o644);
      },
    },
  },
  {
    fault: 'a process was started with the key on its command line',
    code: 'host/secrets-in-arguments',
    hop: 'host',
    change: ({ key }) => holdProcess(['--header', `Authorization: Bearer ${key}`], {}),
    twin: { fact: 'it has the key in its environment', change: ({ key }) => holdProcess([], { MCP_KEY: key }) },
  },
  {
    fault: 'the key store belongs to another account',
    code: 'host/file-owners',
    hop: 'host',
    root: true,
    change: ({ folder }) => chown(join(folder, 'keys.json'), 65_534, 65_534),
    twin: {
      fact: 'the certificate, which is no secret, does',
      change: ({ folder }) => chown(join(folder, 'server.crt'), 65_534, 65_534),
    },
  },
  {
    fault: 'another program listens on the same port of another address',
    code: 'host/port-ours',
    hop: 'host',
    change: ({ url }) => holdPort('127.0.0.2', Number(new URL(url).port)),
    twin: { fact: 'it listens on another port', change: () => holdPort('127.0.0.2', 0) },
  },
  {
    fault: 'the server runs on an old Node.js',
    code: 'host/node-version',
    hop: 'host',
    severity: 'warning',
    machine: () => ({
      run: (argv, timeoutMs) => (argv[1] === '--version' ? says('v18.20.8') : runProgram(argv, timeoutMs)),
    }),
    twin: {
      fact: 'on the next even one',
      machine: () => ({
        run: (argv, timeoutMs) => (argv[1] === '--version' ? says('v26.1.0') : runProgram(argv, timeoutMs)),
      }),
    },
  },
  {
    fault: 'nearly all files are open',
    code: 'host/descriptors',
    hop: 'host',
    severity: 'warning',
    change: () => holdFiles(800, 1_000),
    twin: { fact: 'many are, of more', change: () => holdFiles(800, 2_000) },
  },
  {
    // A file that is only deleted is made again within a second, by the server itself.
    fault: 'a folder stands where the audit file was while the server runs',
    code: 'host/audit-written',
    hop: 'host',
    logs: { audit: 'audit.log', auditFlushMs: 10 },
    change: async ({ folder, url }) => {
      await fetch(url.replace('https:', 'http:')).catch(() => {});
      await rm(join(folder, 'audit.log'), { force: true });
      await mkdir(join(folder, 'audit.log'));
    },
    twin: { fact: 'it is there and grows', logs: { audit: 'audit.log', auditFlushMs: 10 } },
  },
  {
    // Every write to it fails for want of room, on every Linux.
    fault: 'no room for the audit file',
    code: 'host/audit-written',
    hop: 'host',
    logs: { audit: '/dev/full', auditFlushMs: 10, auditRotate: 'off' },
    twin: { fact: 'no audit is asked for', logs: { audit: 'off' } },
  },
  {
    fault: 'what apply wrote was edited by hand',
    code: 'host/drift',
    hop: 'host',
    severity: 'warning',
    change: ({ folder }) => appendFile(join(folder, 'site.conf'), 'server_tokens on;\n'),
    twin: {
      fact: 'the file of the user was edited, which is what it is for',
      change: ({ folder }) => appendFile(join(folder, 'mcp-deploy.yaml'), 'name: other\n'),
    },
  },
  {
    fault: 'what apply wrote is gone',
    code: 'host/drift',
    hop: 'host',
    severity: 'warning',
    change: ({ folder }) => rm(join(folder, 'site.conf')),
    twin: {
      fact: 'its time changed and not its content',
      change: ({ folder }) => writeFile(join(folder, 'site.conf'), '# written by apply\n'),
    },
  },
  {
    fault: 'the newest backup is a month old',
    code: 'host/backup-age',
    hop: 'host',
    severity: 'warning',
    change: (at) => haveBackup(at, 30),
    twin: { fact: 'it is six days old', change: (at) => haveBackup(at, 6) },
  },
  {
    fault: 'backups are set up, and none was made in weeks',
    code: 'host/backup-age',
    hop: 'host',
    severity: 'warning',
    keyAgeDays: 20,
    backup: { passphraseFile: 'passphrase' },
    twin: { fact: 'they were set up yesterday', backup: { passphraseFile: 'passphrase' } },
  },
  {
    fault: 'the newest backup was cut',
    code: 'host/backup-file',
    hop: 'host',
    severity: 'warning',
    change: async (at) => {
      await haveBackup(at, 1);
      await truncate(join(at.folder, 'mcp.tar.gz.age'), 10);
    },
    twin: {
      fact: 'it was taken elsewhere, as it should be',
      backup: { afterwards: ['/usr/local/bin/take-away'] },
      change: async (at) => {
        await haveBackup(at, 1);
        await rm(join(at.folder, 'mcp.tar.gz.age'));
      },
    },
  },
  {
    fault: 'the renewal timer was removed by hand',
    code: 'host/renewal-timer',
    hop: 'host',
    severity: 'warning',
    change: async (at) => rm(await haveTimer(at)),
    twin: { fact: 'it is there', change: async (at) => void (await haveTimer(at)) },
  },
  {
    fault: 'the backup timer was edited by hand',
    code: 'host/backup-timer',
    hop: 'host',
    severity: 'warning',
    change: async (at) => appendFile(await haveTimer(at, 'backup-timer.json'), '# never\n'),
    twin: { fact: 'it is as it was written', change: async (at) => void (await haveTimer(at, 'backup-timer.json')) },
  },
  {
    fault: 'the service restarts again and again',
    code: 'host/service-steady',
    hop: 'host',
    severity: 'warning',
    system: true,
    machine: () => ({ run: systemdSays({ NRestarts: '14', ActiveEnterTimestampMonotonic: '4294967296000000' }) }),
    twin: {
      fact: 'it was restarted by itself once, long ago',
      system: true,
      machine: () => ({ run: systemdSays({ NRestarts: '1', ActiveEnterTimestampMonotonic: '1000000' }) }),
    },
  },
  {
    fault: 'the service does not start with the machine',
    code: 'host/service-enabled',
    hop: 'host',
    severity: 'warning',
    system: true,
    machine: () => ({ run: systemdSays({ UnitFileState: 'disabled' }) }),
    twin: { fact: 'it is enabled', system: true, machine: () => ({ run: systemdSays({}) }) },
  },
  {
    fault: 'the service of a person restarts again and again',
    code: 'host/service-steady',
    hop: 'host',
    severity: 'warning',
    personal: true,
    machine: () => ({
      run: systemdSays({ NRestarts: '14', ActiveEnterTimestampMonotonic: '4294967296000000' }, '--user'),
    }),
    twin: { fact: 'it runs since the start', personal: true, machine: () => ({ run: systemdSays({}, '--user') }) },
  },
  {
    fault: 'the service of a person is not enabled',
    code: 'host/service-enabled',
    hop: 'host',
    severity: 'warning',
    personal: true,
    machine: () => ({ run: systemdSays({ UnitFileState: 'disabled' }, '--user') }),
    twin: {
      fact: 'only one of the same name of the host is not',
      personal: true,
      machine: () => ({ run: systemdSays({}, '--user') }),
    },
  },
  ...firewallFaults(),
  {
    fault: 'a client still asks at the port of an earlier release',
    code: 'host/client-url',
    hop: 'client',
    severity: 'warning',
    change: async (at) => {
      const desired = { version: 1, server: { listen: '127.0.0.1:9443' } };
      await put(
        at,
        'releases/0.json',
        json({ release: 0, appliedAt: daysAgo(1), toolVersion: '0', desired, files: {}, directories: [] }),
      );
      await put(at, 'home/.cursor/mcp.json', json({ mcpServers: { mcp: { url: 'https://127.0.0.1:9443/mcp' } } }));
    },
    twin: {
      fact: 'an entry of the same name leads to another server',
      change: async (at) =>
        void (await put(
          at,
          'home/.cursor/mcp.json',
          json({ mcpServers: { mcp: { url: 'https://mcp.example.com/mcp' } } }),
        )),
    },
  },
  {
    fault: 'a client has a key that was revoked',
    code: 'host/client-key',
    hop: 'client',
    severity: 'warning',
    change: async (at) => void (await haveEntry(at, 'Bearer mcp_0123456789abcdef0123456789')),
    twin: {
      fact: 'it refers to a variable',
      change: async (at) => void (await haveEntry(at, 'Bearer ${env:MCP_KEY}')),
    },
  },
  {
    fault: 'a bridge was not given the CA',
    code: 'host/client-ca',
    hop: 'client',
    severity: 'warning',
    change: async (at) => void (await haveBridge(at, {})),
    twin: {
      fact: 'it was',
      change: async (at) => void (await haveBridge(at, { NODE_EXTRA_CA_CERTS: join(at.folder, 'ca.crt') })),
    },
  },
  {
    fault: 'a page answers in place of the metrics',
    code: 'health/metrics',
    hop: 'server',
    severity: 'warning',
    server: {
      intercept: (request, response) => {
        if (request.url !== '/metrics') return false;
        response.writeHead(200, { 'content-type': 'text/html' }).end('<html>hello</html>');
        return true;
      },
    },
    twin: {
      fact: 'metrics are switched off',
      server: {
        intercept: (request, response) => {
          if (request.url !== '/metrics') return false;
          answerJson(response, 404, { error: 'not_found' });
          return true;
        },
      },
    },
  },
];

function says(output: string): Promise<{ exitCode: number; output: string }> {
  return Promise.resolve({ exitCode: 0, output: `${output}\n` });
}

/** As `systemctl show` prints them; everything else is asked of this machine. */
/** `scope`: the other manager of units knows none that is enabled. */
function systemdSays(change: Record<string, string>, scope = 'show'): typeof runProgram {
  const usual = {
    LoadState: 'loaded',
    ActiveState: 'active',
    UnitFileState: 'enabled',
    NRestarts: '0',
    ActiveEnterTimestampMonotonic: '1000000',
  };
  const text = Object.entries({ ...usual, ...change }).map(([name, value]) => `${name}=${value}`);
  const nothing = 'LoadState=not-found\nActiveState=inactive\nUnitFileState=disabled\nNRestarts=99';
  return (argv, timeoutMs) =>
    argv[0] === 'systemctl' ? says(argv[1] === scope ? text.join('\n') : nothing) : runProgram(argv, timeoutMs);
}

/** Real rules of a network namespace: as a guest they are nobody else's. */
function firewallFaults(): readonly OwnFault[] {
  const rules = (accept: string) => (at: Deployed) => {
    const port = new URL(at.url).port;
    const name = `mcpd-fw-${process.pid}`;
    const [ip, nft] = [findProgram('ip') ?? 'ip', findProgram('nft') ?? 'nft'];
    return {
      run: async (argv: readonly string[], timeoutMs: number) => {
        if (argv[0] !== 'nft') return runProgram(argv, timeoutMs);
        await runProgram([ip, 'netns', 'add', name], 5_000);
        afterwards(async () => void (await runProgram([ip, 'netns', 'delete', name], 5_000)));
        const text = `table inet filter { chain input { type filter hook input priority 0; policy drop; iif lo accept; ct state established,related accept; tcp dport { 22${accept.replace('PORT', port)} } accept; }; }`;
        await runProgram([ip, 'netns', 'exec', name, nft, text], 5_000);
        return runProgram([ip, 'netns', 'exec', name, nft, ...argv.slice(1)], timeoutMs);
      },
    };
  };
  return [
    {
      fault: 'the firewall was never opened for the port',
      code: 'host/firewall',
      hop: 'host',
      root: true,
      listen: '0.0.0.0:0',
      machine: rules(''),
      twin: { fact: 'the port stands among those that are open', listen: '0.0.0.0:0', machine: rules(', PORT') },
    },
  ];
}

async function haveBackup(at: Deployed, days: number): Promise<void> {
  const file = await put(at, 'mcp.tar.gz.age', 'a'.repeat(1_000));
  await put(at, 'backup.json', json({ createdAt: daysAgo(days), file, size: 1_000, sha256: '' }), 0o600);
}

async function haveTimer(at: Deployed, record = 'timer.json'): Promise<string> {
  const content = '17 3,15 * * * root mcp-deploy cert renew\n';
  const path = await put(at, 'cron.d/mcp-deploy-renew', content);
  const sha256 = createHash('sha256').update(content).digest('hex');
  await put(at, record, json({ stateDir: at.folder, files: [{ path, sha256 }], remove: [], install: [] }), 0o600);
  return path;
}

function haveEntry(at: Deployed, authorization: string): Promise<string> {
  const entry = { url: at.url, headers: { Authorization: authorization } };
  return put(at, 'home/.cursor/mcp.json', json({ mcpServers: { mcp: entry } }), 0o600);
}

function haveBridge(at: Deployed, env: Record<string, string>): Promise<string> {
  const entry = { command: 'npx', args: ['-y', 'mcp-remote', at.url], env };
  return put(at, 'home/.cursor/mcp.json', json({ mcpServers: { mcp: entry } }), 0o600);
}

/** A process that waits, and is ended behind the test. */
async function holdProcess(
  args: readonly string[],
  env: Record<string, string>,
  script = 'setInterval(() => {}, 1e6)',
): Promise<void> {
  const child = spawn(process.execPath, ['-e', `${script}; console.log('ready')`, '--', ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  afterwards(async () => {
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('exit', resolve));
  });
  await new Promise((resolve) => child.stdout.once('data', resolve));
}

/** In a process that is no child of the server: a shell starts it and ends. */
async function holdPort(host: string, port: number): Promise<void> {
  const script = `require('net').createServer().listen(${port}, '${host}', () => console.log(process.pid))`;
  const shell = spawn('/bin/sh', ['-c', `"${process.execPath}" -e "${script}" &`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const pid = await new Promise<number>((resolve) =>
    shell.stdout.once('data', (text: Buffer) => resolve(Number(text.toString()))),
  );
  afterwards(() => {
    process.kill(pid, 'SIGKILL');
    return Promise.resolve();
  });
}

/** Opens files, and sets the limit of this process so that it leaves just as many as doctor needs. */
async function holdFiles(count: number, limit: number): Promise<void> {
  const held = Array.from({ length: count }, () => openSync('/dev/null', 'r'));
  const of = ['--pid', String(process.pid)];
  const before = runTool('prlimit', [...of, '--nofile', '--output', 'SOFT', '--noheadings']).trim();
  runTool('prlimit', [...of, `--nofile=${limit}:`]);
  afterwards(() => {
    runTool('prlimit', [...of, `--nofile=${before}:`]);
    for (const each of held) closeSync(each);
    return Promise.resolve();
  });
  await Promise.resolve();
}
