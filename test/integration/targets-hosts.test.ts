import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { renderTarget } from '../../src/targets/index.ts';
import type { TargetName } from '../../src/targets/types.ts';
import { goldenCases, isRendered } from '../helpers/target-golden.ts';
import { runTool, testWithTools } from '../helpers/tools.ts';

// Firewalls, logrotate and launchd: every golden case, read by the program that it is for. There is no pf here.

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mcpd-hosts-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const casesOf = (target: TargetName) => goldenCases().filter((each) => isRendered(each, target));

/** The files of a target by name, written into a folder. */
function write(target: TargetName, input: Parameters<typeof renderTarget>[1]): Map<string, string> {
  const files = renderTarget(target, input);
  const own = mkdtempSync(join(folder, 'case-'));
  return new Map(
    files.map(({ path, content, mode }) => {
      const file = join(own, basename(path));
      writeFileSync(file, content, { mode });
      return [basename(path).replace(/^[^.]*\./, ''), file];
    }),
  );
}

describe.each(casesOf('firewall'))('golden case $name', ({ input }) => {
  testWithTools(['shellcheck'], 'shellcheck has nothing to say of the script for ufw', () => {
    const file = write('firewall', input).get('ufw.sh');
    if (file === undefined) throw new Error('the case has no such file');
    expect(runTool('shellcheck', [file])).toBe('');
  });

  testWithTools(['nft', 'unshare', ...rootOnly()], 'nft takes the rules, also a second time', () => {
    const file = write('firewall', input).get('nft');
    if (file === undefined) throw new Error('the case has no such file');
    // In a network of its own: nothing of this machine is touched.
    const inNamespace = (script: string): string => runTool('unshare', ['--net', '/bin/sh', '-ec', script, 'sh', file]);
    inNamespace('export PATH="$PATH:/usr/sbin"; nft --check --file "$1"');
    const listed = inNamespace('export PATH="$PATH:/usr/sbin"; nft -f "$1"; nft -f "$1"; nft list ruleset');
    expect(listed.match(/^table /gm)).toHaveLength(1);
    expect(listed).toContain('policy drop');
  });

  testWithTools(['python3'], 'the service of firewalld is well-formed', () => {
    const file = write('firewall', input).get('firewalld.xml');
    if (file === undefined) throw new Error('the case has no such file');
    const script = 'import sys, xml.dom.minidom as m; print(len(m.parse(sys.argv[1]).getElementsByTagName("port")))';
    expect(Number(runTool('python3', ['-c', script, file]))).toBeGreaterThan(0);
  });
});

describe.each(casesOf('logrotate'))('golden case $name', ({ input }) => {
  testWithTools(['logrotate'], 'logrotate takes it without an error', () => {
    const [file] = write('logrotate', input).values();
    if (file === undefined) throw new Error('the case has no such file');
    expect(
      runTool('sh', ['-c', 'logrotate --debug "$1" 2>&1 | grep -i error || echo none', 'sh', withUser(file)]),
    ).toBe('none\n');
  });

  /** The same for a user that this machine has. */
  function withUser(file: string): string {
    const known = join(folder, 'known.conf');
    mkdirSync(folder, { recursive: true });
    runTool('sh', ['-c', `sed -E 's/(create 0600|su) .*/\\1 root root/' "$1" > "$2"`, 'sh', file, known]);
    return known;
  }
});

describe.each(casesOf('launchd-daemon'))('golden case $name', ({ input }) => {
  testWithTools(['plistutil'], 'plistutil reads the daemon', () => {
    const [file] = write('launchd-daemon', input).values();
    if (file === undefined) throw new Error('the case has no such file');
    runTool('plistutil', ['-i', file, '-f', 'bin', '-o', `${file}.bin`]);
    expect(runTool('plistutil', ['-i', `${file}.bin`, '-f', 'xml'])).toContain('<key>UserName</key>');
  });
});

function rootOnly(): readonly string[] {
  return process.getuid?.() === 0 ? [] : ['the rights of root'];
}
