import { spawnSync } from 'node:child_process';
import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { isStackFrame, tellingWords } from '../../src/deployment/telling-words.ts';
import { readStderr } from '../../src/server/backends/stderr-reader.ts';

/** What the programs really wrote, without the paths of the machine. */
const cases: readonly [string, string, readonly string[]][] = [
  [
    'node without a module',
    `node:internal/modules/cjs/loader:1210
  throw err;
  ^

Error: Cannot find module 'nope'
Require stack:
- /srv/a.cjs
    at Module._resolveFilename (node:internal/modules/cjs/loader:1207:15)
    at Function.executeUserEntryPoint [as runMain] (node:internal/modules/run_main:164:12) {
  code: 'MODULE_NOT_FOUND',
  requireStack: [ '/srv/a.cjs' ]
}

Node.js v20.20.2`,
    ["Error: Cannot find module 'nope'", 'Require stack:', '- /srv/a.cjs'],
  ],
  [
    'node without a package of an ES module',
    `node:internal/modules/esm/resolve:873
  throw new ERR_MODULE_NOT_FOUND(packageName, fileURLToPath(base), null);
        ^

Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'nope' imported from /srv/a.mjs
    at packageResolve (node:internal/modules/esm/resolve:873:9)
    at ModuleJob._link (node:internal/modules/esm/module_job:168:49) {
  code: 'ERR_MODULE_NOT_FOUND'
}

Node.js v20.20.2`,
    ["Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'nope' imported from /srv/a.mjs"],
  ],
  [
    'node with an error of two lines',
    `/srv/b.cjs:1
function f(){ throw new TypeError('API_KEY must be set\\nsecond line') }
              ^

TypeError: API_KEY must be set
second line
    at f (/srv/b.cjs:1:21)
    at node:internal/main/run_main_module:28:49

Node.js v20.20.2`,
    ['TypeError: API_KEY must be set', 'second line'],
  ],
  [
    'node with a cause',
    `/srv/d.cjs:1
Promise.reject(new Error('no database', {cause: new Error('ECONNREFUSED')}))
               ^

Error: no database
    at Object.<anonymous> (/srv/d.cjs:1:16)
    ... 4 lines matching cause stack trace ...
    at node:internal/main/run_main_module:28:49 {
  [cause]: Error: ECONNREFUSED
      at Object.<anonymous> (/srv/d.cjs:1:49)
      at node:internal/main/run_main_module:28:49
}

Node.js v20.20.2`,
    ['Error: no database', '  [cause]: Error: ECONNREFUSED'],
  ],
  [
    'node with a port that is taken',
    `node:events:502
      throw er; // Unhandled 'error' event
      ^

Error: listen EADDRINUSE: address already in use :::45275
    at Server.setupListenHandle [as _listen2] (node:net:1908:16)
Emitted 'error' event on Server instance at:
    at emitErrorNT (node:net:1944:8)
    at process.processTicksAndRejections (node:internal/process/task_queues:82:21) {
  code: 'EADDRINUSE',
  errno: -98,
  syscall: 'listen',
  address: '::',
  port: 45275
}

Node.js v20.20.2`,
    ['Error: listen EADDRINUSE: address already in use :::45275'],
  ],
  [
    'python without a module',
    `Traceback (most recent call last):
  File "/srv/b.py", line 1, in <module>
    import nope
ModuleNotFoundError: No module named 'nope'`,
    ["ModuleNotFoundError: No module named 'nope'"],
  ],
  ['python -m', '/usr/bin/python3: No module named nope', ['/usr/bin/python3: No module named nope']],
  [
    'python with an error while another one was handled',
    `Traceback (most recent call last):
  File "/srv/a.py", line 4, in <module>
    import nope
ModuleNotFoundError: No module named 'nope'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/srv/a.py", line 6, in <module>
    f()
  File "/srv/a.py", line 2, in f
    raise RuntimeError('API_KEY is not set')
RuntimeError: API_KEY is not set`,
    ['RuntimeError: API_KEY is not set'],
  ],
  [
    'npx of a package that is not there',
    `npm error code E404
npm error 404 Not Found - GET http://127.0.0.1:35719/mcp-server-nope - Not found
npm error 404
npm error 404  The requested resource 'mcp-server-nope@*' could not be found or you do not have permission to access it.
npm error 404
npm error 404 Note that you can also install from a
npm error 404 tarball, folder, http url, or git url.
npm error A complete log of this run can be found in: /home/me/.npm/_logs/2026-11-22T03_42_09_745Z-debug-0.log`,
    [
      'npm error 404 Not Found - GET http://127.0.0.1:35719/mcp-server-nope - Not found',
      "npm error 404  The requested resource 'mcp-server-nope@*' could not be found or you do not have permission to access it.",
      'npm error 404 Note that you can also install from a',
    ],
  ],
  [
    'uvx of a package that is not there',
    `  × No solution found when resolving tool dependencies:
  ╰─▶ Because new-printer was not found in the package registry and you require new-printer, we can
      conclude that your requirements are unsatisfiable.`,
    [
      '  × No solution found when resolving tool dependencies:',
      '  ╰─▶ Because new-printer was not found in the package registry and you require new-printer, we can',
      '      conclude that your requirements are unsatisfiable.',
    ],
  ],
  [
    'a shared library that is not there',
    './prog: error while loading shared libraries: libzz.so: cannot open shared object file: No such file or directory',
    [
      './prog: error while loading shared libraries: libzz.so: cannot open shared object file: No such file or directory',
    ],
  ],
  ['a shell', 'sh: 1: nope-cmd: not found', ['sh: 1: nope-cmd: not found']],
  [
    'a program that says it in words and goes on talking',
    'starting\nDATABASE_URL is required\nbye',
    ['DATABASE_URL is required', 'bye'],
  ],
  ['a program that says nothing of an error', 'one\ntwo\n\nthree\nfour', ['two', 'three', 'four']],
  ['nothing but brackets', '{\n}', ['{', '}']],
  ['nothing', '', ['']],
];

test.each(cases)('%s', (_name, stderr, expected) => {
  expect(tellingWords(stderr.split('\n'))).toEqual(expected);
});

test('of one line, it is the first of them', () => {
  for (const [, stderr, [first]] of cases.slice(0, 13)) {
    expect(tellingWords(stderr.split('\n'), 1)).toEqual([first]);
  }
});

test('what this Node writes is understood too, also after the reader has let go of what does not fit', async () => {
  const chain = "function f(n) { if (n === 0) require('nope'); else f(n - 1); }\nError.stackTraceLimit = 60;\nf(50);";
  const { stderr } = spawnSync(process.execPath, ['-e', chain], { encoding: 'utf8' });
  expect(stderr.split('\n').filter(isStackFrame).length).toBeGreaterThan(40);
  const stream = new PassThrough();
  const quiet = { error() {}, warn() {}, info() {}, debug() {} };
  const { lastWords } = readStderr(stream, 'main', quiet);
  stream.end(stderr);
  await new Promise((resolve) => stream.on('end', resolve));
  expect(lastWords).toHaveLength(20);
  expect(tellingWords(lastWords)[0]).toBe("Error: Cannot find module 'nope'");
});

test('long lines of anything cost no time that grows with their square', () => {
  for (const text of [
    'a.'.repeat(50_000),
    ' '.repeat(100_000),
    'A'.repeat(100_000),
    `npm error ${' '.repeat(100_000)}x`,
  ]) {
    expect(tellingWords([text, 'end']).at(-1)).toBe('end');
  }
});
