import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { createPorts } from '../../src/host/ports.ts';
import { runBin } from '../helpers/cli.ts';

const root = mkdtempSync(join(tmpdir(), 'mcp-launchd-'));
const folder = join(root, 'notes');
const state = join(root, 'launchd');
const agents = join(root, 'home/Library/LaunchAgents');

afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Proves argv and property list against a stand-in; launchd itself was never asked. */
test(
  'an agent of launchd is installed, changed by a reload, stopped, started and removed, in the words of launchctl(1)',
  { timeout: 120_000 },
  async () => {
    for (const path of [folder, state, join(root, 'bin'), agents]) mkdirSync(path, { recursive: true });
    copyFileSync(new URL('../helpers/fake-launchctl.mjs', import.meta.url), join(root, 'bin/launchctl'));
    writeFileSync(join(root, 'bin/plutil'), '#!/bin/sh\n[ "$1" = -lint ] && [ -f "$2" ]\n');
    for (const name of ['launchctl', 'plutil']) chmodSync(join(root, 'bin', name), 0o755);
    const env = {
      PATH: `${join(root, 'bin')}:${process.env['PATH'] ?? ''}`,
      HOME: join(root, 'home'),
      LAUNCHD_STATE: state,
    };
    const port = await createPorts().endpoint.freePort();
    const write = (more: string): void =>
      writeFileSync(
        join(folder, 'mcp-deploy.yaml'),
        `version: 1\nname: notes\nservice: { manager: launchd }\nserver: { listen: "localhost:${port}" }\n${more}`,
      );
    const run = async (...args: readonly string[]): Promise<string> => {
      const ran = await runBin(args, { cwd: folder, env });
      expect(ran.exitCode, `${ran.stdout}${ran.stderr}`).toBe(0);
      return ran.stdout;
    };
    const calls = (): readonly string[] => {
      const said = readFileSync(join(state, 'calls'), 'utf8').trim().split('\n');
      writeFileSync(join(state, 'calls'), '');
      return said.filter((line) => !line.startsWith('print '));
    };
    const label = `gui/${process.getuid?.() ?? 501}/mcp-deploy.notes`;
    const plist = join(agents, 'mcp-deploy.notes.plist');

    write('');
    try {
      expect(await run('apply')).toContain('Endpoint');
      expect(calls()).toEqual([`bootstrap ${label.replace('/mcp-deploy.notes', '')} ${plist}`]);
      expect(readFileSync(plist, 'utf8')).toContain(`<string>${folder}</string>`);
      await run('plan', '--check');

      write('logs: { level: debug }\n');
      await run('apply');
      expect(calls()).toEqual([`kill SIGHUP ${label}`]);

      await run('stop');
      expect(calls()).toEqual([`bootout ${label}`]);
      await run('start');
      expect(calls()).toEqual([`bootstrap ${label.replace('/mcp-deploy.notes', '')} ${plist}`]);

      await run('uninstall', '--yes');
      expect(calls()).toEqual([`bootout ${label}`]);
      expect(existsSync(plist)).toBe(false);
      expect(existsSync(join(folder, '.mcp-deploy'))).toBe(false);
    } finally {
      const left = join(state, 'mcp-deploy.notes.pid');
      if (existsSync(left)) process.kill(-Number(readFileSync(left, 'utf8')), 'SIGKILL');
    }
  },
);
