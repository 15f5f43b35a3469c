import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { afterAll, expect } from 'vitest';
import { bootDebianWithinMs, bootedDebianTools } from '../helpers/booted-debian.ts';
import { bootedKey, bootedPort, bootService, type BootedService } from '../helpers/booted-service.ts';
import { testWithTools } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';

// One booted machine for all of them, in this order: what the unit promises, seen under a real systemd.

let booting: Promise<BootedService> | null = null;
const service = (): Promise<BootedService> => (booting ??= start());
afterAll(async () => (await booting)?.stop());

async function start(): Promise<BootedService> {
  const found = await bootService({
    version: 1,
    server: {
      listen: `127.0.0.1:${bootedPort}`,
      drainSeconds: 5,
      upstreams: { box: { command: '/usr/bin/node', args: ['/srv/mcp/upstream.cjs'] } },
    },
    tls: { source: 'off' },
    auth: { keys: [{ label: 'first', secret: 'file:/run/credentials/mcp.service/first-key' }] },
    limits: { perKey: 'off', freePerKey: 'off' },
    logs: { audit: '/srv/mcp/.mcp-deploy/audit.jsonl', auditRotate: 'off' },
    service: {
      sockets: 'on',
      watchdogSeconds: 5,
      memoryMax: '1G',
      tasksMax: 300,
      openFiles: 4_096,
      credentials: { 'first-key': '/root/first-key' },
    },
  });
  const { debian } = found;
  writeFileSync(`${debian.root}/root/first-key`, bootedKey, { mode: 0o600 });
  // Sealed off from everybody but root, as it should be.
  chmodSync(`${debian.root}/root`, 0o700);
  await found.install('systemd');
  return found;
}

function onTheMachine(name: string, run: (found: BootedService) => Promise<void>): void {
  testWithTools(bootedDebianTools, name, async () => run(await service()), bootDebianWithinMs);
}

const unit = 'mcp.service';

onTheMachine(
  'the unit starts, is ready, answers who has a key, and has the limits of the deployment',
  async (found) => {
    expect(
      await found.show(unit, 'ActiveState', 'Type', 'MemoryMax', 'TasksMax', 'LimitNOFILE', 'OOMPolicy', 'User'),
    ).toEqual({
      ActiveState: 'active',
      Type: 'notify',
      MemoryMax: String(1024 ** 3),
      TasksMax: '300',
      LimitNOFILE: '4096',
      OOMPolicy: 'continue',
      User: 'mcp',
    });
    expect((await found.show(unit, 'StatusText'))['StatusText']).toContain(`http://127.0.0.1:${bootedPort}/mcp`);
    expect(await found.call('echo', { message: 'hello' })).toMatchObject({
      status: 200,
      body: expect.stringContaining('hello') as unknown,
    });
    expect((await found.call('echo', { message: 'hello' }, 'wrong-key-0123456789abcdef')).status).toBe(401);
  },
);

onTheMachine(
  'it writes where it may and nowhere else, and sees neither homes nor credentials of others',
  async (found) => {
    const say = async (tool: string, path: string): Promise<string> => {
      const { body } = await found.call(tool, { path });
      return /"text":"([^"]*)"/.exec(body)?.[1] ?? body;
    };
    expect(await say('write', '/var/lib/mcp-deploy/mcp/note')).toBe('written');
    expect(await say('write', '/srv/mcp/note')).toBe('EROFS');
    expect(await say('write', '/etc/note')).toBe('EROFS');
    expect(await say('read', '/root/first-key')).toMatch(/^(?:EACCES|ENOENT)$/);
    expect(await say('read', '/proc/1/environ')).toMatch(/^(?:EACCES|ENOENT)$/);
  },
);

onTheMachine('systemctl restart under load loses no call, and reload changes what is served', async (found) => {
  const { debian } = found;
  // Moved away by logrotate meanwhile: what the server writes then is in one of the files.
  await found.install('logrotate');
  const rotate = ['logrotate', '--force', '--state', '/run/logrotate.state', '/etc/logrotate.d/mcp'];
  const auditedCalls = async (): Promise<number> => {
    const files = '/srv/mcp/.mcp-deploy/audit.jsonl*';
    const script = `for file in ${files}; do case $file in *.gz) zcat "$file" ;; *) cat "$file" ;; esac; done`;
    return (await debian.run(['sh', '-c', script])).split('\n').filter((line) => line.includes('"tool":"echo"')).length;
  };
  const before = await auditedCalls();
  const url = `http://127.0.0.1:${bootedPort}/mcp`;
  const load = debian.start(['node', '/opt/mcp-deploy/load.mjs', url, bootedKey, '6']);
  let last: Record<string, unknown> = { calls: 0 };
  let errors = '';
  load.stderr?.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  if (load.stdout === null) throw new Error('no output');
  createInterface({ input: load.stdout }).on('line', (line) => (last = JSON.parse(line) as Record<string, unknown>));
  const ended = new Promise((resolve) => load.once('close', resolve));
  const pids = new Set<string | undefined>();
  const moreCalls = (than: number) => waitUntil(() => Number(last['calls']) > than, 30_000, `calls (${errors})`);
  for (let round = 0; round < 3; round++) {
    await moreCalls(Number(last['calls']) + 100);
    pids.add((await found.show(unit, 'MainPID'))['MainPID']);
    await debian.run(rotate);
    await moreCalls(Number(last['calls']) + 20);
    await debian.run(['systemctl', 'restart', unit]);
  }
  await debian.run(['systemctl', 'reload', unit]);
  await moreCalls(Number(last['calls']) + 100);
  await debian.run(['pkill', '-TERM', '-f', 'load.mjs']);
  await ended;
  expect(pids.size).toBe(3);
  expect(last).toMatchObject({ failed: 0, problems: [] });
  const lost = Number(last['sessionsLost']);
  await waitUntil(
    async () => (await auditedCalls()) - before === Number(last['calls']) - lost,
    20_000,
    `${String(last['calls'])} audit lines`,
  );
});

onTheMachine('one that was killed is started again, and so is one that hangs', async (found) => {
  const { debian } = found;
  for (const signal of ['KILL', 'STOP']) {
    const { MainPID: before = '' } = await found.show(unit, 'MainPID');
    await debian.run(['kill', `-${signal}`, before]);
    await waitUntil(
      async () => {
        const { ActiveState, MainPID } = await found.show(unit, 'ActiveState', 'MainPID');
        return ActiveState === 'active' && MainPID !== before && MainPID !== '0';
      },
      60_000,
      `the start after SIG${signal}`,
    );
    expect((await found.call('echo', { message: signal })).body).toContain(signal);
  }
  expect(Number((await found.show(unit, 'NRestarts'))['NRestarts'])).toBeGreaterThanOrEqual(2);
  const journal = await debian.run(['journalctl', '--unit', unit, '--output', 'cat']);
  expect(journal).toMatch(/Watchdog timeout|watchdog/i);
});

onTheMachine('the journal has its log with priorities, and no secret', async (found) => {
  await found.call('echo', { message: 'x' }, 'another-wrong-key-0123456789');
  const lines = (await found.debian.run(['journalctl', '--identifier', 'mcp', '--output', 'json']))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { PRIORITY: string; MESSAGE: string });
  const at = (event: string): string | undefined => lines.find(({ MESSAGE }) => MESSAGE.includes(event))?.PRIORITY;
  expect(at('server.listening')).toBe('6');
  expect(at('key.refused')).toBe('4');
  const everything = await found.debian.run(['journalctl', '--output', 'export']);
  expect(everything).not.toContain(bootedKey);
  expect(everything).not.toContain('another-wrong-key');
});

onTheMachine('a timer runs what it was made for', async (found) => {
  const { debian, input } = found;
  const paths = { ...input.paths, cliCommand: ['/opt/mcp deploy/renew', '100%', '$HOME'] };
  mkdirSync(`${debian.root}/opt/mcp deploy`);
  writeFileSync(`${debian.root}/opt/mcp deploy/renew`, '#!/bin/sh\nprintf "%s|" "$@" > /run/renewed\n', {
    mode: 0o755,
  });
  await found.install('systemd-timer', { ...input, paths });
  expect(await debian.run(['systemctl', 'list-timers', '--all', '--no-legend'])).toContain('mcp-renew.timer');
  const dropIn = '[Timer]\nOnCalendar=\nOnActiveSec=1s\nRandomizedDelaySec=0\nAccuracySec=100ms\n';
  mkdirSync(`${debian.root}/etc/systemd/system/mcp-renew.timer.d`);
  writeFileSync(`${debian.root}/etc/systemd/system/mcp-renew.timer.d/soon.conf`, dropIn);
  await debian.run(['systemctl', 'daemon-reload']);
  await debian.run(['systemctl', 'restart', 'mcp-renew.timer']);
  await waitUntil(async () => (await debian.exec(['test', '-s', '/run/renewed'])).status === 0, 30_000, 'the timer');
  expect(await debian.run(['cat', '/run/renewed'])).toBe(
    '100%|$HOME|cert|renew|--quiet|--file|/srv/mcp/mcp-deploy.yaml|',
  );
});

onTheMachine('a person without root runs it too', async (found) => {
  const { debian, input } = found;
  const { commands } = { commands: (await found.install('systemd')).commands };
  for (const { argv } of commands.remove) await debian.run(argv);
  await debian.run(['useradd', '--create-home', 'ada']);
  await debian.run(['loginctl', 'enable-linger', 'ada']);
  const paths = {
    ...input.paths,
    baseDir: '/home/ada/mcp',
    stateDir: '/home/ada/mcp/.mcp-deploy',
    configFile: '/home/ada/mcp/.mcp-deploy/server.json',
  };
  found.writeConfig('/home/ada/mcp');
  const credentials = `${debian.root}/run/credentials/mcp.service`;
  mkdirSync(credentials, { recursive: true });
  writeFileSync(`${credentials}/first-key`, bootedKey, { mode: 0o644 });
  await debian.run(['chown', '-R', 'ada:ada', '/home/ada/mcp']);
  const { renderSystemdUserFiles } = await import('../../src/targets/systemd/files.ts');
  const { planSystemdUserCommands } = await import('../../src/targets/systemd/commands.ts');
  const [file] = renderSystemdUserFiles({ ...input, paths });
  const folder = '/home/ada/.config/systemd/user';
  await debian.run(['runuser', '-u', 'ada', '--', 'mkdir', '-p', folder]);
  writeFileSync(`${debian.root}${file?.installPath ?? ''}`, file?.content ?? '');
  const uid = (await debian.run(['id', '-u', 'ada'])).trim();
  const asAda = ['runuser', '-u', 'ada', '--', 'env', `XDG_RUNTIME_DIR=/run/user/${uid}`];
  await waitUntil(
    async () => (await debian.exec(['test', '-S', `/run/user/${uid}/systemd/private`])).status === 0,
    30_000,
    'the systemd of ada',
  );
  for (const { argv } of planSystemdUserCommands({ ...input, paths }).install) await debian.run([...asAda, ...argv]);
  expect((await found.call('echo', { message: 'of ada' })).body).toContain('of ada');
});
