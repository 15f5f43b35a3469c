#!/usr/bin/env node
// launchctl as far as mcp-deploy speaks to it: bootstrap starts what a property list names, bootout ends it. Its state and a log of
// its arguments lie in the folder LAUNCHD_STATE. It is a stand-in for tests: nothing here has been run on macOS.
import { spawn } from 'node:child_process';
import { appendFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';

const folder = process.env['LAUNCHD_STATE'] ?? '';
const [verb = '', ...words] = process.argv.slice(2);
appendFileSync(join(folder, 'calls'), `${[verb, ...words].join(' ')}\n`);
const stateOf = (label) => join(folder, `${label}.pid`);
const labelOf = (target) => target.split('/').at(-1) ?? '';

switch (verb) {
  case 'bootstrap': {
    const [, file = ''] = words;
    const text = readFileSync(file, 'utf8');
    const label = basename(file, '.plist');
    if (existsSync(stateOf(label))) process.exit(5);
    const list = /<key>ProgramArguments<\/key>\s*<array>(.*?)<\/array>/s.exec(text)?.[1] ?? '';
    const argv = [...list.matchAll(/<string>(.*?)<\/string>/g)].map(([, word = '']) => word);
    const cwd = /<key>WorkingDirectory<\/key>\s*<string>(.*?)<\/string>/.exec(text)?.[1];
    const child = spawn(argv[0] ?? '', argv.slice(1), { cwd, detached: true, stdio: 'ignore' });
    child.unref();
    writeFileSync(stateOf(label), String(child.pid));
    break;
  }
  case 'bootout': {
    const label = labelOf(words[0] ?? '');
    if (!existsSync(stateOf(label))) process.exit(3);
    process.kill(-Number(readFileSync(stateOf(label), 'utf8')), 'SIGTERM');
    rmSync(stateOf(label));
    break;
  }
  case 'print':
    process.exit(existsSync(stateOf(labelOf(words[0] ?? ''))) ? 0 : 113);
    break;
  case 'kill':
    process.kill(Number(readFileSync(stateOf(labelOf(words[1] ?? '')), 'utf8')), words[0]);
    break;
  default:
    process.exit(64);
}
